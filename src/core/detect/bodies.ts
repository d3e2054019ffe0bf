/**
 * Bodies, and the Content-Length that says how long they are. SDP is compared line by line, also inside a multipart; any
 * other body is none of an ALG's business, and every octet of it that differs is a fault.
 */
import type { Span } from '../net/span.ts';
import { scanMediaType, sdpParts } from '../sip/multipart.ts';
import { textOf } from '../sip/octets.ts';
import { addressIn, replacedAddresses } from './address-text.ts';
import { changedRange } from './align.ts';
import type { FaultId } from './faults.ts';
import type { Known } from './known.ts';
import { fieldNamed, type Layout } from './layout.ts';
import { emptyAt, type Ledger } from './ledger.ts';
import { compareSdp } from './sdp-compare.ts';

/** Both headers are whole. */
export function compareBodies(ledger: Ledger, known: Known, sent: Layout, received: Layout): void {
  const [before, after] = bodiesOf(ledger, sent, received);
  const isCut = isCutOff(ledger, sent, received, before, after);
  if (isCut)
    ledger.add({
      fault: 'TRUNC',
      line: 'body',
      sent: { start: Math.max(before.start, before.end - (length(before) - length(after))), end: before.end },
      received: emptyAt(after.end),
      explanation: `${sent.bytes.length} octets were sent and ${received.bytes.length} arrived: the end of the body is missing.`,
    });
  if (!ledger.same(before, after)) compareContents(ledger, known, sent, received, before, after, isCut);
  const tails = [
    { start: before.end, end: sent.bytes.length },
    { start: after.end, end: received.bytes.length },
  ] as const;
  if (!ledger.same(...tails))
    ledger.add({
      fault: 'SYN-CRLF',
      line: 'behind the body',
      sent: tails[0],
      received: tails[1],
      explanation: 'The octets behind the body were changed.',
    });
  compareLengths(ledger, sent, received, before, after, isCut);
}

/** What is the body on both sides: what Content-Length says, unless it is Content-Length that is wrong. */
function bodiesOf(ledger: Ledger, sent: Layout, received: Layout): [Span, Span] {
  const before = sent.body;
  const all = { start: received.body.start, end: received.bytes.length };
  const wasAll = { start: before.start, end: sent.bytes.length };
  // Octets behind the body that Content-Length has been made to include.
  const isSwallowed =
    length(sent.trailing) > 0 &&
    (received.declared ?? 0) >= length(all) &&
    Math.abs(length(all) - length(wasAll)) < length(sent.trailing);
  if (isSwallowed) return [wasAll, all];
  if (length(received.trailing) === 0) return [before, all];
  // As sent: octets behind the body that were there before.
  const trailing = length(sent.trailing);
  if (trailing > 0 && length(all) >= trailing) {
    const end = all.end - trailing;
    if (ledger.same(sent.trailing, { start: end, end: all.end })) return [before, { start: all.start, end }];
  }
  if (ledger.same(before, received.body) || sharedTail(ledger, before, received.body) >= 4)
    return [before, received.body];
  return [before, all];
}

/** Whether the end of the body is missing, and not something in its middle. */
function isCutOff(ledger: Ledger, sent: Layout, received: Layout, before: Span, after: Span): boolean {
  if (length(after) >= length(before)) return false;
  const isPrefix = ledger.same({ start: before.start, end: before.start + length(after) }, after);
  if (received.declared === undefined) return isPrefix && sent.declared === undefined;
  if (received.declared <= length(after) || (sent.declared ?? 0) > length(before)) return false;
  if (isPrefix) return true;
  if (withoutCr(sent.bytes, before) === withoutCr(received.bytes, after)) return false;
  const tail = sharedTail(ledger, before, after);
  if (tail <= 2) return true;
  // The last line that arrived is the beginning of one that was sent.
  const lastLine = textOf(received.bytes, after.start, after.end).split('\n').at(-1)!;
  return lastLine !== '' && `\n${textOf(sent.bytes, before.start, before.end)}`.includes(`\n${lastLine}`);
}

function withoutCr(bytes: Uint8Array, body: Span): string {
  return textOf(bytes, body.start, body.end).replaceAll('\r', '');
}

function compareContents(
  ledger: Ledger,
  known: Known,
  sent: Layout,
  received: Layout,
  before: Span,
  after: Span,
  isCut: boolean,
): void {
  const type = contentType(sent);
  const olds = sdpIn(sent, before);
  const news = sdpIn(received, after);
  const isWholeSdp = /^application\s*\/\s*sdp\b/i.test(type) || (type === '' && isSdp(sent.bytes, before));
  if (isWholeSdp && !isEncoded(sent)) {
    compareSdp(ledger, known, before, after, isCut);
    return;
  }
  if (olds.length > 0 && olds.length === news.length && !isCut) {
    let i = before.start;
    let j = after.start;
    for (const [index, old] of olds.entries()) {
      const fresh = news[index]!;
      compareOpaque(ledger, known, sent, { start: i, end: old.start }, { start: j, end: fresh.start });
      if (!ledger.same(old, fresh)) compareSdp(ledger, known, old, fresh, false);
      i = old.end;
      j = fresh.end;
    }
    compareOpaque(ledger, known, sent, { start: i, end: before.end }, { start: j, end: after.end });
    return;
  }
  compareOpaque(ledger, known, sent, before, after, isCut);
}

function compareOpaque(
  ledger: Ledger,
  known: Known,
  sent: Layout,
  before: Span,
  after: Span,
  isCut = false,
): void {
  if (ledger.same(before, after)) return;
  const range = changedRange(ledger.sent, before.start, before.end, ledger.received, after.start, after.end);
  const stretch = {
    sent: { start: range.aStart, end: range.aEnd },
    received: { start: range.bStart, end: range.bEnd },
  };
  if (isCut) {
    const prefix = ledger.same({ start: before.start, end: before.start + length(after) }, after);
    ledger.explained.push({
      sent: { start: before.start + length(after), end: before.end },
      received: emptyAt(after.end),
    });
    if (prefix) return;
  }
  const replaced = replacedAddresses(
    textOf(sent.bytes, before.start, before.end),
    textOf(ledger.received, after.start, after.end),
  );
  const own = replaced?.some(
    (one) => known.isInside(addressIn(one.before)) || known.isOutside(addressIn(one.before)),
  );
  const how =
    replaced === undefined
      ? ''
      : ` ${replaced.map((one) => `${one.before} became ${one.after}`).join(', ')}${own === true ? ': the client’s address was replaced as text' : ''}.`;
  ledger.add({
    fault: faultOfBody(sent),
    line: 'body',
    ...stretch,
    explanation: `The body (${contentType(sent) || 'without a type'}) was changed.${how}`,
  });
}

function faultOfBody(sent: Layout): FaultId {
  const type = contentType(sent).toLowerCase();
  if (
    isEncoded(sent) ||
    /signed|pkcs7|encrypted|pgp/.test(type) ||
    fieldNamed(sent, 'identity') !== undefined
  )
    return 'BODY-GZIP-PGP';
  const isState = sent.method === 'NOTIFY' || sent.method === 'PUBLISH';
  if (isState && !/sipfrag/.test(type)) return 'BODY-BLF';
  return /dialog-info|pidf|simple-message-summary|watcherinfo|rlmi/.test(type) ? 'BODY-BLF' : 'BODY-MSG';
}

function compareLengths(
  ledger: Ledger,
  sent: Layout,
  received: Layout,
  before: Span,
  after: Span,
  isCut: boolean,
): void {
  const old = fieldNamed(sent, 'content-length');
  const fresh = fieldNamed(received, 'content-length');
  if (old === undefined || fresh === undefined) return;
  const stretch = { sent: old.value, received: fresh.value };
  const isSame = ledger.same(old.value, fresh.value);
  if (sent.declared === undefined || received.declared === undefined) {
    if (!isSame)
      ledger.add({
        fault: sent.declared === received.declared ? 'X-UNKNOWN' : 'LEN-WRONG',
        line: 'Content-Length',
        ...stretch,
        explanation: `Content-Length became "${ledger.receivedText(fresh.value).slice(0, 40)}".`,
      });
    return;
  }
  const grown = length(after) - length(before);
  if (received.declared - sent.declared === grown) {
    if (isSame) return;
    if (grown !== 0) ledger.explained.push(stretch);
    else
      ledger.add({
        fault: 'SYN-ORDER',
        line: 'Content-Length',
        ...stretch,
        explanation: 'The same length is written with other digits.',
      });
    return;
  }
  if (isCut && received.declared === sent.declared) {
    if (!isSame) ledger.explained.push(stretch);
    return;
  }
  const isMultipart = /^multipart\b/i.test(contentType(sent)) && isCountedFromSdp(received, after);
  ledger.add({
    fault: isMultipart ? 'LEN-MULTIPART' : 'LEN-WRONG',
    line: 'Content-Length',
    ...stretch,
    explanation: isMultipart
      ? `Content-Length says ${received.declared}, which is the length from the SDP on; the whole multipart has ${length(after)} octets.`
      : `Content-Length says ${received.declared}, and the body has ${length(after)} octets.`,
  });
}

function isCountedFromSdp({ bytes, declared }: Layout, body: Span): boolean {
  const text = textOf(bytes, body.start, body.end);
  const start = text.indexOf('v=0');
  if (start < 0 || declared === undefined) return false;
  if (declared === text.length - start) return true;
  const end = text.indexOf('\r\n--', start);
  return end >= 0 && (declared === end - start || declared === end + 2 - start);
}

function sdpIn(layout: Layout, body: Span): Span[] {
  const field = fieldNamed(layout, 'content-type');
  const type = field === undefined ? undefined : scanMediaType(layout.bytes, field.value);
  return type === undefined ? [] : sdpParts(layout.bytes, type, body);
}

function isSdp(bytes: Uint8Array, body: Span): boolean {
  return textOf(bytes, body.start, Math.min(body.end, body.start + 4)) === 'v=0\r';
}

function isEncoded(layout: Layout): boolean {
  const field = fieldNamed(layout, 'content-encoding');
  return field !== undefined && !/^identity$/i.test(textOf(layout.bytes, field.value.start, field.value.end));
}

function contentType(layout: Layout): string {
  const field = fieldNamed(layout, 'content-type');
  return field === undefined ? '' : textOf(layout.bytes, field.value.start, field.value.end);
}

function sharedTail(ledger: Ledger, before: Span, after: Span): number {
  let count = 0;
  const limit = Math.min(length(before), length(after));
  while (count < limit && ledger.sent[before.end - 1 - count] === ledger.received[after.end - 1 - count])
    count++;
  return count;
}

function length({ start, end }: Span): number {
  return end - start;
}
