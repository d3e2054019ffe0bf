/** What shows a fault, for people: the lines as they were sent and as they arrived. */
import { alterationLines, type DiffLine } from '../core/detect/alteration-text.ts';
import type { CheckFinding } from '../core/detect/check-report.ts';
import type { Evidence } from '../core/detect/evidence.ts';
import { oneLine } from '../core/detect/octet-text.ts';

const MOST_LINES = 8;
const LONGEST = 160;

export function evidenceDiff({ sent, received, where }: Evidence): DiffLine[] {
  if (received === undefined) return [{ mark: '-', text: firstLine(sent) }];
  if (where === undefined) return [{ mark: ' ', text: firstLine(received) }];
  const removed = sent.subarray(where.sent.start, where.sent.end);
  const added = received.subarray(where.received.start, where.received.end);
  return alterationLines({ where, sent: removed, received: added }, sent, received).slice(0, MOST_LINES);
}

export function evidenceTitle({ what, received, server, transport }: Evidence): string {
  const place = `${transport.toUpperCase()}, ${server}`;
  return received === undefined ? `${what} (${place}): sent, and never arrived` : `${what} (${place}):`;
}

export const severities = ['', 'a clue', 'some features fail', 'serious', 'calls fail'] as const;
export const grades = {
  A: 'the octets of both ends show it',
  B: 'behaviour shows it',
  C: 'concluded from one end',
} as const;

/** `from the phone to the provider (port 5060): Contact, 12 of 40 messages`. */
export function wayOf({ direction, portKinds, places, seen, of }: CheckFinding): string {
  const way =
    direction === undefined
      ? places.length === 0
        ? 'behaviour'
        : 'on the way there, on the way back, or by the server'
      : direction === 'to-server'
        ? 'from the phone to the provider'
        : 'from the provider to the phone';
  const ports = portKinds.length === 0 ? '' : ` (${portKinds.map((kind) => PORTS[kind]).join(', ')})`;
  const where = places.length === 0 ? '' : `: ${places.slice(0, MOST_LINES).join(', ')}`;
  return `${way}${ports}${where}${of > 1 ? `, ${seen} of ${of} messages` : ''}`;
}

const PORTS = { sip: 'port 5060', other: 'other SIP ports', control: 'a port that is not SIP' } as const;

function firstLine(bytes: Uint8Array): string {
  const end = bytes.indexOf(0x0d);
  return oneLine(bytes.subarray(0, Math.min(end < 0 ? bytes.length : end, LONGEST)));
}
