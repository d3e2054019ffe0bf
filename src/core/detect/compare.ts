/**
 * Compares what was sent with what was received: octets against octets, never a message that was printed again.
 *
 * Every octet that differs is explained by a finding; what has no name is X-UNKNOWN with its octets. Total: whatever the
 * octets are, nothing is thrown, and the work grows as the messages do. Translation of the packet's source alone is never
 * a finding: it stands in no message. An edit that names the real mapping, together with all that belongs to it, is told
 * as consistent and is no fault.
 */
import { isIPv6 } from '../net/address.ts';
import type { Span } from '../net/span.ts';
import { compareBodies } from './bodies.ts';
import type { Comparison, ComparisonContext, Finding } from './comparison.ts';
import { guessEngine } from './engine-fingerprint.ts';
import { compareFields } from './fields.ts';
import { endpointOf, firstContact, type Known, learn, namedBy, topVia } from './known.ts';
import { type Field, type Layout, layoutOf } from './layout.ts';
import { emptyAt, Ledger } from './ledger.ts';
import { compareRequestUri } from './values.ts';
import { verdictOf } from './verdict.ts';

export function compareMessages(
  sent: Uint8Array,
  received: Uint8Array,
  context: ComparisonContext,
): Comparison {
  const ledger = new Ledger(sent, received, context.confidence ?? 'A');
  const whole = (bytes: Uint8Array): Span => ({ start: 0, end: bytes.length });
  if (ledger.same(whole(sent), whole(received)))
    return { verdict: 'unaltered', findings: [], engine: undefined };
  const before = layoutOf(sent);
  const after = layoutOf(received);
  const known = learn(before, after, context);
  compareStart(ledger, known, before, after);
  const cut = headerCut(ledger, before, after);
  compareFields({
    ledger,
    known,
    sent: cut?.sent ?? before,
    received: cut?.received ?? after,
    receiverAdds: context.receiverAdds ?? [],
  });
  if (cut === undefined) compareRest(ledger, known, before, after);
  noteHalfEdits(ledger, known, before, after);
  noteProxy(ledger);
  noteSixth(ledger, known);
  reconcile(ledger);
  const findings = fewer(ledger.findings).sort(
    (a, b) => a.where.sent.start - b.where.sent.start || a.where.received.start - b.where.received.start,
  );
  return { verdict: verdictOf(findings), findings, engine: guessEngine(findings, before) };
}

function compareStart(ledger: Ledger, known: Known, sent: Layout, received: Layout): void {
  const add = (
    fault: 'SYN-CRLF' | 'X-UNKNOWN',
    line: string,
    before: Span,
    after: Span,
    explanation: string,
  ): void => {
    if (!ledger.same(before, after)) ledger.add({ fault, line, sent: before, received: after, explanation });
  };
  add(
    'SYN-CRLF',
    'start',
    sent.leading,
    received.leading,
    'The empty lines in front of the message were changed.',
  );
  const isWhole = received.startLine.end.end > received.startLine.end.start;
  if (isWhole)
    add(
      'SYN-CRLF',
      'start line',
      sent.startLine.end,
      received.startLine.end,
      'The line end of the start line was changed.',
    );
  if (ledger.same(sent.startLine.text, received.startLine.text)) return;
  const [old, fresh] = [sent.requestUri, received.requestUri];
  if (old === undefined || fresh === undefined) {
    if (isWhole)
      add(
        'X-UNKNOWN',
        'start line',
        sent.startLine.text,
        received.startLine.text,
        'The start line was changed.',
      );
    return;
  }
  if (!ledger.same(old, fresh)) compareRequestUri(ledger, known, { sent: old, received: fresh });
  const parts: readonly (readonly [Span, Span])[] = [
    [
      { start: sent.startLine.text.start, end: old.start },
      { start: received.startLine.text.start, end: fresh.start },
    ],
    [
      { start: old.end, end: sent.startLine.text.end },
      { start: fresh.end, end: received.startLine.text.end },
    ],
  ];
  for (const [a, b] of parts) add('X-UNKNOWN', 'start line', a, b, 'The start line was changed.');
}

interface Cut {
  readonly sent: Layout;
  readonly received: Layout;
}

/**
 * A message that ends inside its header: what is missing from there on was cut off, and not dropped field by field. The
 * two layouts are what has to be compared of the rest.
 */
function headerCut(ledger: Ledger, sent: Layout, received: Layout): Cut | undefined {
  if (received.blank !== undefined || sent.blank === undefined || received.bytes.length >= sent.bytes.length)
    return undefined;
  const last = received.fields.at(-1);
  // All that is missing is the empty line: it is lost, and nothing was cut off.
  if (
    sent.bytes.length === sent.blank.end &&
    received.fields.length === sent.fields.length &&
    last?.end.end === received.bytes.length &&
    last.end.end > last.end.start
  )
    return undefined;
  const isPartial = last !== undefined && last.end.end === last.end.start;
  const partial = isPartial ? ledger.receivedText(last.line) : '';
  const kept = isPartial ? received.fields.slice(0, -1) : received.fields;
  const next = nextInSent(ledger, sent, kept, partial);
  let shared = 0;
  const line = isPartial ? last.line : received.fields.length === 0 ? received.startLine.text : undefined;
  const from = received.fields.length === 0 ? sent.startLine.text.start : next;
  if (line !== undefined)
    while (
      shared < line.end - line.start &&
      sent.bytes[from + shared] === received.bytes[line.start + shared]
    )
      shared++;
  ledger.add({
    fault: 'TRUNC',
    line: 'header',
    sent: { start: from + shared, end: sent.bytes.length },
    received:
      line === undefined
        ? emptyAt(received.bytes.length)
        : { start: line.start + shared, end: received.bytes.length },
    explanation: `${sent.bytes.length} octets were sent and ${received.bytes.length} arrived: the message ends inside its header.`,
  });
  return {
    sent: { ...sent, fields: sent.fields.filter((field) => field.line.start < from) },
    received: { ...received, fields: kept },
  };
}

/** Where in the message sent the line stands with which the received one ends. */
function nextInSent(ledger: Ledger, sent: Layout, kept: readonly Field[], partial: string): number {
  const last = kept.at(-1);
  let i = 0;
  if (last !== undefined) {
    const nth = kept.filter(({ name }) => name === last.name).length;
    let seen = 0;
    i = sent.fields.findIndex(({ name }) => name === last.name && ++seen === nth) + 1;
  }
  const rest = sent.fields.slice(i);
  const found =
    partial === ''
      ? rest[0]
      : (rest.find(({ line }) => ledger.sentText(line).startsWith(partial)) ?? rest[0]);
  return found?.line.start ?? sent.blank?.start ?? sent.bytes.length;
}

/** The empty line and what follows it. */
function compareRest(ledger: Ledger, known: Known, sent: Layout, received: Layout): void {
  if (sent.blank !== undefined && received.blank !== undefined) {
    if (!ledger.same(sent.blank, received.blank))
      ledger.add({
        fault: 'SYN-CRLF',
        line: 'empty line',
        sent: sent.blank,
        received: received.blank,
        explanation: 'The empty line behind the header was changed.',
      });
    compareBodies(ledger, known, sent, received);
    return;
  }
  if (sent.blank === received.blank) return;
  const range = (layout: Layout): Span =>
    layout.blank === undefined
      ? emptyAt(layout.bytes.length)
      : { start: layout.blank.start, end: layout.bytes.length };
  ledger.add({
    fault: 'SYN-CRLF',
    line: 'empty line',
    sent: range(sent),
    received: range(received),
    explanation:
      received.blank === undefined
        ? 'The empty line behind the header is lost.'
        : 'An empty line was put into the header.',
  });
}

/** A Via that was made public beside a Contact of the same endpoint that was not: the NAT is hidden, and nothing gained. */
function noteHalfEdits(ledger: Ledger, known: Known, sent: Layout, received: Layout): void {
  if (known.direction !== 'to-server' || !sent.isRequest) return;
  const via = ledger.findings.find(({ fault, consistent }) => fault === 'ADDR-VIA' && consistent);
  if (via === undefined || ledger.findings.some(({ where }) => where.line === 'Contact')) return;
  const [old, fresh] = [firstContact(sent), firstContact(received)];
  if (old === undefined || fresh === undefined) return;
  const contact = endpointOf(namedBy(old));
  const top = endpointOf(namedBy(topVia(sent) ?? []));
  const isSip = old.some(({ kind, text }) => kind === 'scheme' && text.toLowerCase() === 'sip:');
  // What an Identity covers has to stay (RFC 4474 §9).
  if (sent.fields.some(({ name }) => name === 'identity')) return;
  if (!isSip || contact === undefined || top === undefined) return;
  if (contact.address !== top.address || contact.port !== top.port) return;
  ledger.findings.push({
    ...via,
    consistent: false,
    severity: 2,
    explanation: `${via.explanation} The Contact of the same endpoint was left private: the server sees no NAT, and cannot reach the client.`,
  });
  ledger.findings.splice(ledger.findings.indexOf(via), 1);
}

/** Several marks of a proxy at once. */
function noteProxy(ledger: Ledger): void {
  const addedVia = ledger.findings.find(({ fault, where }) => fault === 'HDR-ADD' && where.line === 'Via');
  const marks = new Set(
    ledger.findings.flatMap(({ fault }) =>
      fault === 'HDR-MAXFWD' || fault === 'SYN-ORDER' || fault === 'SYN-CASE' || fault === 'HDR-ADD'
        ? [fault]
        : [],
    ),
  );
  if (addedVia === undefined || marks.size < 2) return;
  // Every proxy writes down where a request came from (RFC 3261 §16.6, §18.2.1).
  for (const [i, finding] of ledger.findings.entries())
    if (finding.fault === 'HDR-RECEIVED-FAKE')
      ledger.findings[i] = {
        ...finding,
        consistent: true,
        severity: 1,
        explanation: `${finding.explanation} A proxy has to.`,
      };
  ledger.add({
    fault: 'PROXY-B2B',
    line: 'message',
    sent: addedVia.where.sent,
    received: addedVia.where.received,
    explanation: `A Via was put in, together with ${[...marks].filter((mark) => mark !== 'HDR-ADD').join(', ')}: a proxy has written this message anew.`,
  });
}

/** Over IPv6 there is no NAT that could be a reason. */
function noteSixth(ledger: Ledger, { inside, outside }: Known): void {
  if (
    inside === undefined ||
    !isIPv6(inside.address) ||
    (outside !== undefined && outside.address !== inside.address)
  )
    return;
  const first = ledger.findings.find(
    ({ fault }) => fault.startsWith('ADDR-') || fault === 'SDP-C' || fault === 'SDP-M',
  );
  if (first === undefined) return;
  ledger.add({
    fault: 'ADDR-V6',
    line: first.where.line,
    sent: first.where.sent,
    received: first.where.received,
    explanation: 'Addresses were edited in a message over IPv6, where nothing was translated.',
  });
}

/** Line ends changed throughout are one alteration, and are told once. */
function fewer(findings: readonly Finding[]): Finding[] {
  const lineEnds = findings.filter(({ fault }) => fault === 'SYN-CRLF');
  if (lineEnds.length <= 3) return [...findings];
  const [first] = lineEnds;
  return [
    ...findings.filter(({ fault }) => fault !== 'SYN-CRLF'),
    { ...first!, explanation: `${lineEnds.length} line ends were changed; this is the first.` },
  ];
}

/** What no finding explains is X-UNKNOWN: no octet that differs is left without a name. */
function reconcile(ledger: Ledger): void {
  const all = [...ledger.findings.map(({ where }) => where), ...ledger.explained];
  const sent = uncovered(
    ledger.sent.length,
    all.map((one) => one.sent),
  );
  const received = uncovered(
    ledger.received.length,
    all.map((one) => one.received),
  );
  let head = 0;
  const shorter = Math.min(sent.length, received.length);
  while (head < shorter && ledger.sent[sent[head]!] === ledger.received[received[head]!]) head++;
  if (head === sent.length && head === received.length) return;
  let tail = 0;
  while (
    tail < shorter - head &&
    ledger.sent[sent[sent.length - 1 - tail]!] === ledger.received[received[received.length - 1 - tail]!]
  )
    tail++;
  const range = (offsets: Uint32Array, length: number): Span => {
    const last = offsets.length - tail;
    if (head < last) return { start: offsets[head]!, end: offsets[last - 1]! + 1 };
    return emptyAt(head < offsets.length ? offsets[head]! : length);
  };
  ledger.add({
    fault: 'X-UNKNOWN',
    line: 'message',
    sent: range(sent, ledger.sent.length),
    received: range(received, ledger.received.length),
    explanation: 'These octets differ, and no known fault explains it.',
  });
}

/** The offsets that no span holds. */
function uncovered(length: number, spans: readonly Span[]): Uint32Array {
  // How many spans begin at an octet, less those that end there.
  const turns = new Int32Array(length + 1);
  for (const { start, end } of spans) {
    turns[start]!++;
    turns[end]!--;
  }
  const offsets = new Uint32Array(length);
  let count = 0;
  let open = 0;
  for (let i = 0; i < length; i++) {
    open += turns[i]!;
    if (open === 0) offsets[count++] = i;
  }
  return offsets.subarray(0, count);
}
