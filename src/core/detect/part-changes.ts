/** What changed between two values of the same field, part by part. */
import type { Span } from '../net/span.ts';
import { align } from './align.ts';
import { emptyAt, type Stretch } from './ledger.ts';
import type { Part, PartKind } from './parts.ts';

export interface PartChange extends Stretch {
  readonly kind: PartKind;
  readonly key: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** The parameter behind it in the value sent. */
  readonly next: string | undefined;
  /** Whether the parameter of this name, or the one behind this separator, is there on both sides, or on none. */
  readonly isKept: boolean;
}

/** In order. Parts that are equal on both sides are left out; the changes together hold every octet that differs. */
export function partChanges(
  sent: readonly Part[],
  received: readonly Part[],
  sentValue: Span,
  receivedValue: Span,
): PartChange[] {
  const changes: PartChange[] = [];
  const nexts: (string | undefined)[] = [];
  for (let i = sent.length - 1, next: string | undefined; i >= 0; i--) {
    nexts[i] = next;
    if (sent[i]!.kind === 'parameter') next = sent[i]!.text;
  }
  const [olds, news] = [sent, received].map((parts) => new Set(parts.map(({ key }) => key)));
  let sentAt = sentValue.start;
  let receivedAt = receivedValue.start;
  for (const [i, j] of align(sent.length, received.length, (a, b) => alike(sent[a]!, received[b]!))) {
    const before = i === undefined ? undefined : sent[i];
    const after = j === undefined ? undefined : received[j];
    if (before?.text !== after?.text)
      changes.push({
        kind: (before ?? after)!.kind,
        key: (before ?? after)!.key,
        before: before?.text,
        after: after?.text,
        next: i === undefined ? undefined : nexts[i],
        isKept: isKept((before ?? after)!.key, olds!, news!),
        sent: before?.span ?? emptyAt(sentAt),
        received: after?.span ?? emptyAt(receivedAt),
      });
    sentAt = before?.span.end ?? sentAt;
    receivedAt = after?.span.end ?? receivedAt;
  }
  return joined(changes);
}

/** A parameter goes or comes with its semicolon: one change. */
function joined(changes: readonly PartChange[]): PartChange[] {
  const result: PartChange[] = [];
  for (const change of changes) {
    const last = result.at(-1);
    const isPair =
      last?.kind === 'separator' &&
      change.kind === 'parameter' &&
      change.key === last.key.replace('separator', 'parameter') &&
      (change.before === undefined) === (last.before === undefined) &&
      (change.after === undefined) === (last.after === undefined) &&
      (change.before === undefined || change.after === undefined) &&
      last.sent.end === change.sent.start &&
      last.received.end === change.received.start;
    if (!isPair || last === undefined) result.push(change);
    else
      result[result.length - 1] = {
        ...change,
        sent: { start: last.sent.start, end: change.sent.end },
        received: { start: last.received.start, end: change.received.end },
      };
  }
  return result;
}

function isKept(key: string, olds: ReadonlySet<string>, news: ReadonlySet<string>): boolean {
  const parameter = key.replace('separator', 'parameter');
  return olds.has(parameter) === news.has(parameter);
}

function alike(a: Part, b: Part): number {
  if (a.key !== b.key) return 0;
  return a.text === b.text ? 1 : 0.9;
}
