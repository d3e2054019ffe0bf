/** Two SDP descriptions: what was changed, and whether what belongs together was changed together. */
import { isPrivate, isUnspecified } from '../net/address.ts';
import type { Span } from '../net/span.ts';
import { addressIn, isOthersPrivate, replacedAddresses } from './address-text.ts';
import { align, likeness } from './align.ts';
import { badPort } from './endpoint-change.ts';
import type { FaultId } from './faults.ts';
import { type Known, realText } from './known.ts';
import { emptyAt, type Ledger } from './ledger.ts';
import { noteCoherence } from './sdp-coherence.ts';
import { addressOf, mediaLine, placeIn, type SdpLine, sdpLines } from './sdp-lines.ts';
import { hasNewControl } from './values.ts';

const DIRECTIONS: readonly string[] = ['sendrecv', 'sendonly', 'recvonly', 'inactive'];
const SECRETS: readonly string[] = [
  'crypto',
  'fingerprint',
  'setup',
  'key-mgmt',
  'identity',
  'tls-id',
  'zrtp-hash',
];

export interface LinePair {
  readonly sent: SdpLine;
  readonly received: SdpLine;
}

/** `isCut`: the received message ends before its end; lines that are missing there are cut off, and not dropped. */
export function compareSdp(
  ledger: Ledger,
  known: Known,
  sentRange: Span,
  receivedRange: Span,
  isCut: boolean,
): void {
  const sent = sdpLines(ledger.sent, sentRange);
  const received = sdpLines(ledger.received, receivedRange);
  const pairs: LinePair[] = [];
  const aligned = align(sent.length, received.length, (i, j) => alike(sent[i]!, received[j]!));
  let sentAt = sentRange.start;
  let receivedAt = receivedRange.start;
  const lastReceived = received.length - 1;
  const relay = known.hasRelay && isRelayed(known, sent, received) ? { sent, received } : undefined;
  for (const [i, j] of aligned) {
    const before = i === undefined ? undefined : sent[i];
    const after = j === undefined ? undefined : received[j];
    if (before !== undefined && after !== undefined) pairs.push({ sent: before, received: after });
    if (before !== undefined && after !== undefined) {
      if (isCut && j === lastReceived && before.text.startsWith(after.text))
        noteCutLine(ledger, before, after);
      else compareLine(ledger, known, before, after);
    } else if (before !== undefined) {
      const whole = { start: before.span.start, end: before.end.end };
      if (isCut && receivedAt >= receivedRange.end)
        ledger.explained.push({ sent: whole, received: emptyAt(receivedAt) });
      else noteLost(ledger, before, whole, receivedAt, relay);
    } else if (after !== undefined) noteAdded(ledger, after, sentAt, relay);
    sentAt = before?.end.end ?? sentAt;
    receivedAt = after?.end.end ?? receivedAt;
  }
  if (!isCut) noteCoherence(ledger, known, sent, received, pairs);
}

function alike(a: SdpLine, b: SdpLine): number {
  if (a.text === b.text) return 1;
  if (a.type !== b.type || a.attribute !== b.attribute)
    return a.type === '' || b.type === '' ? likeness(a.text, b.text) * 0.9 : 0;
  // The same kind of line in another form; of several (a=rtpmap, a=candidate) the one that is most alike.
  const once = a.type !== 'a' && a.type !== 'm' && a.type !== 'b';
  return once || a.attribute === 'rtcp' || DIRECTIONS.includes(a.attribute)
    ? 0.9
    : likeness(a.text, b.text) * 0.9;
}

function noteCutLine(ledger: Ledger, before: SdpLine, after: SdpLine): void {
  ledger.explained.push({
    sent: { start: before.span.start + after.text.length, end: before.end.end },
    received: { start: after.span.end, end: after.end.end },
  });
}

function compareLine(ledger: Ledger, known: Known, before: SdpLine, after: SdpLine): void {
  const line = placeIn(before);
  if (!ledger.same(before.end, after.end))
    ledger.add({
      fault: 'SYN-CRLF',
      line,
      sent: before.end,
      received: after.end,
      explanation: 'The line end was changed.',
    });
  if (before.text === after.text) return;
  const [start, tail] = sharedEnds(before.text, after.text);
  const sent = { start: before.span.start + start, end: before.span.end - tail };
  const received = { start: after.span.start + start, end: after.span.end - tail };
  const add = (fault: FaultId, explanation: string, consistent = false): void =>
    ledger.add({ fault, line, sent, received, explanation, consistent });
  const became = `"${short(before.text)}" became "${short(after.text)}"`;
  if (hasNewControl(before.text, after.text)) return add('SYN-NUL', 'Control octets stand where text was.');
  switch (before.type) {
    case 'c':
    case 'o':
      return compareAddressLine(known, before, after, add, became);
    case 'm':
      return compareMediaLine(known, before, after, add, became);
    case 'a':
      if (before.attribute === 'rtcp') return compareRtcp(known, before, after, add, became);
      if (before.attribute === 'candidate') return compareCandidate(known, before, after, add, became);
      break;
  }
  const fault = faultOfLine(before);
  const replaced = replacedAddresses(before.text, after.text);
  if (fault === 'SDP-ATTR-CUT' && replaced !== undefined) {
    const olds = replaced.map((one) => addressIn(one.before));
    if (olds.some((one) => known.isInside(one) || known.isOutside(one)))
      return add('ADDR-GLOBAL', `${became}: an address was replaced as text.`);
    if (known.inside !== undefined && olds.some((one) => isOthersPrivate(one, known.isInside)))
      return add('ADDR-OTHER', `${became}: a private address that is not the client’s.`);
    return add('ADDR-GLOBAL', `${became}: an address was replaced as text.`);
  }
  add(fault, `${became}.`);
}

type Add = (fault: FaultId, explanation: string, consistent?: boolean) => void;

function compareAddressLine(known: Known, before: SdpLine, after: SdpLine, add: Add, became: string): void {
  const old = addressOf(before);
  const fresh = addressOf(after);
  const skeleton = (text: string): string => text.replace(/(\bIN IP[46] )[^\s/]+/, '$1');
  if (skeleton(before.text) !== skeleton(after.text) || old === undefined || fresh === undefined) {
    add(before.type === 'o' && old === fresh ? 'SDP-ATTR-CUT' : 'SDP-C', `${became}.`);
    return;
  }
  if (isUnspecified(old)) {
    add('SDP-HOLD', `${became}: 0.0.0.0 holds the call, and now it does not.`);
    return;
  }
  if (known.direction === 'to-client' && known.isRelay(fresh)) {
    add('SDP-C', `${became}, a relay through which media flows.`, true);
    return;
  }
  if (isMapped(known, old, fresh)) {
    add('SDP-C', `${became}, ${realText(known)}.`, true);
    return;
  }
  if (
    before.type === 'c' &&
    known.direction === 'to-server' &&
    known.isOutside(old) &&
    !known.isInside(old)
  ) {
    add('STUN-CLASH', `${became}, although it named the external address already.`);
    return;
  }
  if (known.direction === 'to-server' && known.inside !== undefined && isOthersPrivate(old, known.isInside)) {
    add('ADDR-OTHER', `${became}: a private address that is not the client’s.`);
    return;
  }
  add('SDP-C', `${became}${known.outside === undefined ? '' : ', which is not the real mapping'}.`);
}

/** Whether an address of an SDP became what it is on the other side. */
function isMapped(known: Known, old: string, fresh: string): boolean {
  if (known.direction === 'to-server')
    // Without any other evidence the SDP itself says what the external address is.
    return (
      known.isInside(old) &&
      (known.outside === undefined ? isPrivate(old) && !known.isInside(fresh) : known.isOutside(fresh))
    );
  return known.isInside(fresh);
}

function compareMediaLine(known: Known, before: SdpLine, after: SdpLine, add: Add, became: string): void {
  const old = mediaLine(before.text);
  const fresh = mediaLine(after.text);
  if (old === undefined || fresh === undefined) {
    add(/^m=\S+ {2}|^m=\S+ [^\s/]*[^\d\s/]/.test(after.text) ? 'SYN-PORTRANGE' : 'SDP-M', `${became}.`);
    return;
  }
  if (old.media !== fresh.media) add(old.media === 'image' ? 'BODY-T38' : 'SDP-SECOND-M', `${became}.`);
  else if (old.protocol !== fresh.protocol)
    add(
      /SAVP/.test(old.protocol) !== /SAVP/.test(fresh.protocol)
        ? 'SDP-CRYPTO-STRIP'
        : old.media === 'image'
          ? 'BODY-T38'
          : 'SDP-ATTR-CUT',
      `${became}.`,
    );
  else if (old.formats !== fresh.formats)
    add(old.media === 'image' ? 'BODY-T38' : 'SDP-ATTR-CUT', `${became}: formats differ.`);
  else if (old.count !== fresh.count) add('SDP-ATTR-CUT', `${became}: the number of ports differs.`);
  if (old.port === fresh.port) return;
  if (fresh.port === '0')
    add(before.media > 0 ? 'SDP-SECOND-M' : 'SDP-M', `${became}: port 0 refuses the media.`);
  else if (badPort(`:${fresh.port}`)) add('SYN-PORTRANGE', `${became}: this port cannot exist.`);
  else {
    const real = realPort(known, before, Number(old.port));
    if (real !== undefined && real !== Number(fresh.port))
      add('SDP-M', `${became}; the real mapping is port ${real}.`);
    else if (old.port === '0') add('SDP-M', `${became}: media that was refused has got a port.`);
    else
      add(
        'SDP-M',
        real === undefined ? `${became}.` : `${became}, which is the real mapping.`,
        known.outside !== undefined || known.direction === 'to-client',
      );
  }
}

/** The external port of a media port, where the context knows the mapping. */
function realPort(known: Known, _line: SdpLine, port: number): number | undefined {
  const { inside } = known;
  if (inside === undefined || known.direction !== 'to-server') return undefined;
  return known.externalOf({ address: inside.address, port })?.port;
}

function compareRtcp(known: Known, before: SdpLine, after: SdpLine, add: Add, became: string): void {
  const form = (text: string): string =>
    text.replace(/^a=rtcp:\d+/, 'a=rtcp:').replace(/(\bIN IP[46] )\S+/, '$1');
  const old = addressOf(before);
  const fresh = addressOf(after);
  const port = /^a=rtcp:([^\s]*)/.exec(after.text)?.[1] ?? '';
  // Without an address it is that of the c= line (RFC 3605 §2.1).
  if (known.hasRelay && /^a=rtcp:\d{1,5}$/.test(after.text) && !badPort(`:${port}`))
    add('SDP-M', `${became}.`, true);
  else if (form(before.text) !== form(after.text)) add('SDP-PART', `${became}.`);
  else if (port !== '0' && badPort(`:${port}`)) add('SYN-PORTRANGE', `${became}: this port cannot exist.`);
  else if (
    old !== fresh &&
    !known.isRelay(fresh) &&
    (old === undefined || fresh === undefined || !isMapped(known, old, fresh))
  )
    add('SDP-PART', `${became}, which is not the real mapping.`);
  else add('SDP-M', `${became}.`, true);
}

function compareCandidate(known: Known, before: SdpLine, after: SdpLine, add: Add, became: string): void {
  const old = before.text.split(' ');
  const fresh = after.text.split(' ');
  const changed = old.flatMap((word, i) => (word === fresh[i] ? [] : [i]));
  // foundation component transport priority address port typ … raddr address rport port
  const isAddressOnly =
    old.length === fresh.length &&
    changed.every((i) => i === 4 || i === 5 || old[i - 1] === 'raddr' || old[i - 1] === 'rport');
  const isRight = changed.every(
    (i) => (i !== 4 && old[i - 1] !== 'raddr') || isMapped(known, old[i] ?? '', fresh[i] ?? ''),
  );
  add('SDP-ICE-STRIP', `${became}.`, isAddressOnly && isRight && known.outside !== undefined);
}

/** Both forms of a description that a relay has written anew. */
interface Relayed {
  readonly sent: readonly SdpLine[];
  readonly received: readonly SdpLine[];
}

function isRelayed(known: Known, sent: readonly SdpLine[], received: readonly SdpLine[]): boolean {
  const addresses = (lines: readonly SdpLine[]) =>
    lines.filter(({ type }) => type === 'c').map((line) => addressOf(line));
  const before = addresses(sent);
  return addresses(received).some(
    (one) =>
      !before.includes(one) && (known.direction === 'to-client' ? known.isRelay(one) : known.isOutside(one)),
  );
}

/**
 * What a relay takes out because the media goes through it: ICE, and `setup` without a fingerprint that it could belong to (RFC
 * 8842 §5.1). And what stands in another place.
 */
function isRelaysWork({ attribute, text, media }: SdpLine, { sent, received }: Relayed): boolean {
  if (attribute === 'candidate' || attribute.startsWith('ice-') || attribute === 'remote-candidates')
    return true;
  if (attribute === 'setup') return !sent.some((line) => line.attribute === 'fingerprint');
  return received.some((line) => line.text === text && line.media === media);
}

/** What means nothing that was not meant before: the default direction (RFC 8866 §6.7), a payload type by its own name (RFC 3551 §6). */
function isSaidAnyway({ text, media }: SdpLine, { sent }: Relayed): boolean {
  const isStatic = /^a=rtpmap:(?:0 PCMU|3 GSM|8 PCMA|9 G722|18 G729)\/8000(?:\/1)?$/.test(text);
  const directions = sent.filter(
    (line) => DIRECTIONS.includes(line.attribute) && (line.media === media || line.media === -1),
  );
  return (
    isStatic ||
    sent.some((line) => line.text === text && line.media === media) ||
    (text === 'a=sendrecv' && directions.length === 0)
  );
}

function noteLost(ledger: Ledger, line: SdpLine, sent: Span, at: number, relay: Relayed | undefined): void {
  ledger.add({
    fault: faultOfLine(line),
    line: placeIn(line),
    sent,
    received: emptyAt(at),
    explanation: `"${short(line.text)}" did not arrive.`,
    consistent: relay !== undefined && isRelaysWork(line, relay),
  });
}

function noteAdded(ledger: Ledger, line: SdpLine, at: number, relay: Relayed | undefined): void {
  ledger.add({
    fault: hasNewControl('', line.text) ? 'SYN-NUL' : line.text === '' ? 'SYN-CRLF' : faultOfLine(line),
    line: placeIn(line),
    sent: emptyAt(at),
    received: { start: line.span.start, end: line.end.end },
    explanation: line.text === '' ? 'An empty line was put in.' : `"${short(line.text)}" was put in.`,
    consistent: relay !== undefined && isSaidAnyway(line, relay),
  });
}

function faultOfLine({ type, attribute, text }: SdpLine): FaultId {
  if (type === 'c' || type === 'o') return 'SDP-C';
  if (type === 'm') return text.startsWith('m=image') ? 'BODY-T38' : 'SDP-SECOND-M';
  if (type === '') return text === '' ? 'SYN-CRLF' : 'X-UNKNOWN';
  if (attribute === 'rtcp') return 'SDP-PART';
  if (attribute === 'candidate' || attribute.startsWith('ice-') || attribute === 'remote-candidates')
    return 'SDP-ICE-STRIP';
  if (SECRETS.includes(attribute)) return 'SDP-CRYPTO-STRIP';
  if (DIRECTIONS.includes(attribute)) return 'SDP-HOLD';
  return attribute.startsWith('t38') ? 'BODY-T38' : 'SDP-ATTR-CUT';
}

/** How many octets two texts share at their beginning and at their end. */
function sharedEnds(a: string, b: string): [number, number] {
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  return [head, tail];
}

function short(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
