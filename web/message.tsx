/** One message: what came, what left, and for each change its rule and its RFC section. */
import { useState } from 'preact/hooks';
import type { MessageDetail } from '../src/console/calls.ts';
import type { ShownLines } from '../src/console/shown-message.ts';
import type { Piece } from '../src/console/shown-text.ts';
import { ask } from './api.ts';
import { Card, Failure, useLoaded } from './parts.tsx';
import { count } from './words.ts';

export function MessagePanel({ id }: { readonly id: number }) {
  const { value, error } = useLoaded(() => ask<MessageDetail>('GET', `/messages/${id}`), id);
  const [whole, setWhole] = useState(true);
  if (value === undefined)
    return (
      <Card class="message">
        <Failure error={error} />
      </Card>
    );
  const changes = value.lines.filter((one) => one.kind === 'changed').length;
  return (
    <Card class="message">
      <div class="card-title">
        <h2 class="summary">{value.summary}</h2>
        {changes === 0 ? null : (
          <button type="button" class="quiet" aria-pressed={!whole} onClick={() => setWhole(!whole)}>
            {whole ? 'Only the changes' : 'The whole message'}
          </button>
        )}
      </div>
      <p class="muted small way">
        <Way message={value} />
      </p>
      <p class={`verdict ${value.verdict === 'dropped' ? 'bad' : 'plain'}`}>{verdictOf(value, changes)}</p>
      <section class="lines" aria-label="The message, line by line">
        {value.lines.map((one, i) => (
          <Lines key={i} lines={one} whole={whole} />
        ))}
      </section>
    </Card>
  );
}

function Way({
  message: { received, sent, octets, octetsSent, tookMs },
}: {
  readonly message: MessageDetail;
}) {
  return (
    <>
      {received === undefined
        ? 'sent by the gateway'
        : `from ${received.from} to ${received.to} over ${received.transport}`}
      {sent.map(({ from, to }) => `; left from ${from} to ${to}`)}
      {sent.length === 0
        ? ''
        : octets === octetsSent
          ? `; ${octets} octets`
          : `; ${octets} octets became ${octetsSent}`}
      {tookMs > 0 && tookMs < 1000
        ? `; held for ${tookMs < 10 ? tookMs.toFixed(1) : Math.round(tookMs)} ms`
        : ''}
    </>
  );
}

function verdictOf({ verdict, edits, why, defects }: MessageDetail, lines: number): string {
  const because = why === undefined ? '' : `: ${why}`;
  switch (verdict) {
    case 'translated':
      return `${count(edits, 'edit')} in ${count(lines, 'place')}; every other octet left as it came${why === undefined ? '.' : `. Left alone${because}.`}`;
    case 'passed':
      return `Not an octet was changed${because}${defects.length === 0 ? '' : ` (${defects.join(', ')})`}.`;
    case 'dropped':
      return `It was not sent on${because}.`;
    case 'sent':
      return 'The gateway sent it by itself.';
  }
}

function Lines({ lines, whole }: { readonly lines: ShownLines; readonly whole: boolean }) {
  if (lines.kind === 'changed')
    return (
      <div class="change">
        <div class="pair">
          {lines.before.map((line, i) => (
            <Line key={i} kind="before" pieces={line} />
          ))}
          {lines.after.map((line, i) => (
            <Line key={i} kind="after" pieces={line} />
          ))}
        </div>
        {lines.rules.map(({ id, source, summary, without }) => (
          <p class="rule" key={id}>
            <strong>{source}</strong> <code>{id}</code>
            <br />
            {summary}{' '}
            <span class="muted">Without it: {without.charAt(0).toLowerCase() + without.slice(1)}</span>
          </p>
        ))}
      </div>
    );
  if (!whole) return null;
  return <div class="line">{lines.line === '' ? ' ' : lines.line}</div>;
}

function Line({ kind, pieces }: { readonly kind: 'before' | 'after'; readonly pieces: readonly Piece[] }) {
  const Mark = kind === 'before' ? 'del' : 'ins';
  return (
    <div class={`line ${kind}`}>
      <span class="sign" aria-label={kind === 'before' ? 'came as' : 'left as'} role="img">
        {kind === 'before' ? '−' : '+'}
      </span>
      {pieces.map((piece, i) => (piece.edited ? <Mark key={i}>{piece.text}</Mark> : piece.text))}
    </div>
  );
}
