/** Calls, live and recent, and one call with its ladder. */
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CallState, Conversation, Rung } from '../src/console/calls.ts';
import { ask, download } from './api.ts';
import { Ladder } from './ladder.tsx';
import { lastMessage } from './live.ts';
import { MessagePanel } from './message.tsx';
import { Badge, Card, Empty, Failure, Heading, Link, type Tone, useLoaded } from './parts.tsx';
import { ago, clock, count, isHidden, party } from './words.ts';

const EVERY_MS = 2_000;

const kinds = [
  ['call', 'Calls'],
  ['registration', 'Registrations'],
  ['other', 'Other'],
] as const;

export function CallsPage() {
  const [kind, setKind] = useState<Conversation['kind']>('call');
  const calls = useLoaded(() => ask<readonly Conversation[]>('GET', '/calls'), 'calls', EVERY_MS);
  const shown = (calls.value ?? []).filter((one) => one.kind === kind);
  return (
    <>
      <Heading note="Every message that crossed, as it came and as it left.">Calls</Heading>
      <Failure error={calls.error} />
      <fieldset class="tabs">
        <legend class="unseen">What to show</legend>
        {kinds.map(([id, name]) => (
          <button key={id} type="button" aria-pressed={kind === id} onClick={() => setKind(id)}>
            {name}
            <span class="number">{(calls.value ?? []).filter((one) => one.kind === id).length}</span>
          </button>
        ))}
      </fieldset>
      <Card>
        {shown.length === 0 ? (
          <Empty>{calls.value === undefined ? 'Loading…' : 'None is kept at present.'}</Empty>
        ) : (
          <ul class="rows">
            {shown.map((call) => (
              <CallRow key={call.callId} call={call} now={Date.now()} />
            ))}
          </ul>
        )}
      </Card>
    </>
  );
}

const states: Readonly<Record<CallState, readonly [Tone, string]>> = {
  ringing: ['accent', 'ringing'],
  talking: ['good', 'talking'],
  ending: ['plain', 'ending'],
  ended: ['plain', 'ended'],
  failed: ['warn', 'failed'],
  cancelled: ['plain', 'cancelled'],
};

export function CallRow({ call, now }: { readonly call: Conversation; readonly now: number }) {
  return (
    <li>
      <Link to={`/calls/${encodeURIComponent(call.callId)}`} class="call-row">
        <span class="parties">
          <Parties call={call} />
        </span>
        <span class="state">
          <StateBadge call={call} />
        </span>
        <span class="what muted">
          {count(call.messages, 'message')}, {count(call.edits, 'correction')}
          {call.hearing === undefined ? null : (
            <span class={call.hearing.good ? 'heard' : 'unheard'}>
              {' '}
              · {call.hearing.good ? 'audio both ways' : call.hearing.text}
            </span>
          )}
        </span>
        <time class="muted" dateTime={new Date(call.startedAt).toISOString()}>
          {ago(call.startedAt, now)}
        </time>
      </Link>
    </li>
  );
}

/** Names where they may be seen, otherwise the machines. */
function Parties({ call }: { readonly call: Conversation }) {
  const { kind, from, to, phone = 'phone', provider = 'provider', direction } = call;
  if (kind === 'registration') return <>{isHidden(to) ? phone : party(to)}</>;
  const [first, second] = !(isHidden(from) || isHidden(to))
    ? [party(from), party(to)]
    : direction === 'out'
      ? [phone, provider]
      : [provider, phone];
  return (
    <>
      {first} <span class="arrow">→</span> {second}
    </>
  );
}

function titleOf({ kind, from, to, phone = 'a phone', direction }: Conversation): string {
  const hidden = isHidden(from) || isHidden(to);
  if (kind === 'registration') return `Registration of ${hidden ? phone : party(to)}`;
  if (kind === 'other') return hidden ? `Messages of ${phone}` : `${party(from)} to ${party(to)}`;
  if (hidden) return `${direction === 'out' ? 'Call from' : 'Call to'} ${phone}`;
  return `${party(from)} calls ${party(to)}`;
}

function StateBadge({ call }: { readonly call: Conversation }) {
  if (call.state === undefined) {
    const ok = call.outcome?.startsWith('2') === true;
    return <Badge tone={ok ? 'good' : 'plain'}>{call.outcome ?? 'no answer yet'}</Badge>;
  }
  const [tone, name] = states[call.state];
  return <Badge tone={tone}>{call.outcome ?? name}</Badge>;
}

interface Detail extends Conversation {
  readonly ladder: readonly Rung[];
}

/** After a message was told, so that several at once are asked for once. */
const SETTLE_MS = 150;

export function CallPage({ callId }: { readonly callId: string }) {
  const call = useLoaded(() => ask<Detail>('GET', `/calls/${encodeURIComponent(callId)}`), callId, EVERY_MS);
  const [chosen, choose] = useState<number | undefined>(undefined);
  const timer = useRef<number | undefined>(undefined);
  useSignalEffect(() => {
    if (lastMessage.value?.callId !== callId) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(call.reload, SETTLE_MS) as unknown as number;
  });
  useEffect(() => () => clearTimeout(timer.current), []);
  const { value } = call;
  // The first one that was changed says most; a person's own choice stays.
  const open = chosen ?? value?.ladder.find((rung) => rung.edits > 0)?.id ?? value?.ladder[0]?.id;
  if (value === undefined)
    return (
      <>
        <Heading>Call</Heading>
        <Failure error={call.error} />
      </>
    );
  return (
    <>
      <p class="back">
        <Link to="/calls">← All calls</Link>
      </p>
      <Heading
        note={
          <>
            <StateBadge call={value} /> Began at {clock(value.startedAt)}
            {' · '}
            {count(value.ladder.length, 'message')}, {count(value.edits, 'correction')}
          </>
        }
      >
        {titleOf(value)}
      </Heading>
      <Streams call={value} />
      <div class="split">
        <Card title="Who said what" class="ladder-card">
          <Ladder
            rungs={value.ladder}
            phone={value.phone ?? ''}
            provider={value.provider ?? ''}
            chosen={open}
            choose={(id) => {
              choose(id);
              // Where the message stands below the ladder, it is brought into sight.
              if (matchMedia('(max-width: 62rem)').matches)
                setTimeout(
                  () => document.querySelector('.message')?.scrollIntoView({ block: 'start' }),
                  SETTLE_MS,
                );
            }}
          />
        </Card>
        {open === undefined ? null : <MessagePanel key={open} id={open} />}
      </div>
      <p class="muted small footer">
        <span>
          Call-ID <code>{value.callId}</code>
        </span>
        <Capture callId={callId} />
      </p>
    </>
  );
}

/** Both sides of every message, with each edit as a comment. */
function Capture({ callId }: { readonly callId: string }) {
  const [error, setError] = useState<unknown>(undefined);
  return (
    <>
      <button
        type="button"
        onClick={() =>
          void download(`/capture?call=${encodeURIComponent(callId)}`, 'sipalg.pcapng').catch(setError)
        }
      >
        Download for Wireshark
      </button>
      <Failure error={error} />
    </>
  );
}

function Streams({ call }: { readonly call: Conversation }) {
  if (call.kind !== 'call' || call.media === undefined || call.media.length === 0) return null;
  return (
    <Card title="Audio and video">
      {call.hearing === undefined ? (
        <p class="muted">Too early to say who hears whom.</p>
      ) : (
        <p class={`verdict ${call.hearing.good ? 'good' : 'bad'}`}>{call.hearing.text}</p>
      )}
      <ul class="streams">
        {call.media.map((stream) => (
          <li key={`${stream.external.address} ${stream.external.port}`}>
            <Direction
              name="from the phone"
              place={
                stream.internal === undefined ? '' : `${stream.internal.address}:${stream.internal.port}`
              }
              packets={stream.fromPhone}
              past={call.state === 'ended'}
            />
            <Direction
              name="to the phone"
              place={`${stream.external.address}:${stream.external.port}`}
              packets={stream.toPhone}
              past={call.state === 'ended'}
            />
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Direction({
  name,
  place,
  packets,
  past,
}: {
  readonly name: string;
  readonly place: string;
  readonly packets: number | undefined;
  /** Counted when it was last looked at, shortly before the end. */
  readonly past: boolean;
}) {
  return (
    <div class={`direction ${packets === 0 ? 'silent' : ''}`}>
      <span class="muted">{name}</span>
      <span class="packets">
        {packets === undefined
          ? 'not counted'
          : `${past && packets > 0 ? 'at least ' : ''}${count(packets, 'packet')}`}
      </span>
      <code>{place}</code>
    </div>
  );
}
