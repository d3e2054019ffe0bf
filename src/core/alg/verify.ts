/**
 * The second look: whether an edited message is still the message that was meant, before it may leave.
 *
 * An edit replaces a span by printable octets, and everything between the spans is copied. So an edit that stays within
 * one header field, the Request-URI or the body can have broken nothing but what it stands in, and only that is read
 * again (`verifyEdited`). Whole fields that come or go (explicit mode) have the whole message scanned again
 * (`verifyWhole`). What the first accepts, the second accepts too: test/fuzz holds that.
 */
import type { Span } from '../net/span.ts';
import type { Edit } from '../sip/edit.ts';
import { type HeaderField, type Message, scanMessage, scanNameAddrs, scanStartLine } from '../sip/message.ts';
import type { NameAddr } from '../sip/name-addr.ts';
import { AT, COLON, CR, decimal, isWhite, LF } from '../sip/octets.ts';
import { hostPortEnd } from '../sip/uri.ts';
import { scanVia } from '../sip/via.ts';
import type { RuleId } from './rules.ts';

const NEVER_TOUCHED = 'a field that is never touched has changed';

/**
 * What differs from what was meant; undefined where all is well. `edits` stand in order, `growth` is the body's. Cost:
 * linear in the fields that were edited.
 */
export function verify(
  before: Message,
  result: Uint8Array,
  edits: readonly Edit<RuleId>[],
  growth: number,
): string | undefined {
  for (const edit of edits) if (isWholeField(edit)) return verifyWhole(before, result, edits, growth);
  return verifyEdited(before, result, edits, growth);
}

/** Explicit mode alone puts header fields in and takes some out: its own Via, a Route that names only us. */
function isWholeField({ rule }: Edit<RuleId>): boolean {
  return rule === 'via.own' || rule === 'route.own';
}

function verifyEdited(
  before: Message,
  result: Uint8Array,
  edits: readonly Edit<RuleId>[],
  growth: number,
): string | undefined {
  const { fields, body, contacts } = before;
  let shift = 0;
  let next = 0;
  /** The first Contact that does not end before the place that is looked at. */
  let contact = 0;
  let n = 0;
  let lengthFollows = growth === 0 || before.contentLength === undefined;
  while (n < edits.length) {
    const { start, end } = edits[n]!.span;
    // The body holds no structure of the message but its length, and that there is one.
    if (start >= body.start) {
      if (edits[edits.length - 1]!.span.end > body.end) return 'an edit leaves the body';
      if (body.end === body.start || body.end + growth <= body.start) return 'a body has come or gone';
      break;
    }
    while (next < fields.length && fields[next]!.lineEnd < start) next++;
    const field = fields[next];
    const inRequestUri =
      before.kind === 'request' && start >= before.requestUri.start && end <= before.requestUri.end;
    let place: Span;
    if (inRequestUri) place = before.requestUri;
    else if (field !== undefined && start >= field.start && end <= field.end) place = field;
    else return 'an edit stands where nothing may be edited';
    // All edits of one place are looked at together.
    while (contact < contacts.length && contacts[contact]!.end < place.start) contact++;
    const first = n;
    const from = place.start + shift;
    for (; n < edits.length && edits[n]!.span.start <= place.end; n++) {
      const { span, replacement } = edits[n]!;
      if (span.end > place.end) return 'an edit leaves its field';
      shift += replacement.length - (span.end - span.start);
    }
    const to = place.end + shift;
    if (n - first === 1 && isSwap(before, edits[first]!, place, contact, result, from, to)) continue;
    const fault = inRequestUri
      ? verifyRequestUri(before, result, from, to)
      : verifyField(before, field!, contact, result, from, to, growth);
    if (fault !== undefined) return fault;
    lengthFollows ||= place === before.contentLength;
  }
  return lengthFollows ? undefined : 'Content-Length does not fit the body';
}

/**
 * The commonest edit needs no scan of its field: one host and port, where the sent-by of the topmost Via or the URI of a
 * Contact has its own, gives way to another host and port, and both end where the grammar ends them.
 */
function isSwap(
  before: Message,
  { span, replacement }: Edit<RuleId>,
  place: Span,
  contact: number,
  result: Uint8Array,
  from: number,
  to: number,
): boolean {
  const at = from + span.start - place.start;
  return (
    (isSentBy(before, span) || isContactHost(before, contact, span)) &&
    hostPortEnd(before.bytes, span.start, place.end) === span.end &&
    hostPortEnd(result, at, to) === at + replacement.length
  );
}

function isSentBy({ via }: Message, { start, end }: Span): boolean {
  return start === via.sentBy.span.start && end === via.sentBy.span.end;
}

/** Whether the span stands in the URI of a Contact, behind its scheme or its "@". */
function isContactHost({ bytes, contacts }: Message, first: number, span: Span): boolean {
  const c = bytes[span.start - 1];
  if (c !== AT && c !== COLON) return false;
  let i = first;
  while (i < contacts.length && contacts[i]!.uri.end < span.end) i++;
  return i < contacts.length && span.start > contacts[i]!.uri.start;
}

function verifyRequestUri(before: Message, result: Uint8Array, from: number, to: number): string | undefined {
  const start = from - before.method.length - 1;
  const startLine = scanStartLine(result, start, result.indexOf(LF, start), result.length);
  return typeof startLine !== 'string' &&
    startLine.kind === 'request' &&
    startLine.method === before.method &&
    startLine.uri.start === from &&
    startLine.uri.end === to
    ? undefined
    : 'the result is not a message any more: request-uri';
}

function verifyField(
  before: Message,
  field: HeaderField,
  contact: number,
  result: Uint8Array,
  from: number,
  to: number,
  growth: number,
): string | undefined {
  // The line still ends where it did, and nowhere before: what was a fold is one, and nothing else has become one.
  const tail = field.lineEnd - field.end;
  if (!endsFirst(result, from, to + tail)) return 'the result is not a message any more: line-end';
  switch (field.name) {
    case 'via': {
      // Only the topmost one has been read, and only it is edited.
      if (field.start > before.via.sentBy.span.start) return NEVER_TOUCHED;
      const via = scanVia(result, from, to);
      if (via === undefined) return 'the result is not a message any more: via';
      return lengthOf(via.branch) === lengthOf(before.via.branch) &&
        sameOctets(before.bytes, before.via.end, field.end, result, via.end, to)
        ? undefined
        : NEVER_TOUCHED;
    }
    case 'contact': {
      const contacts: NameAddr[] = [];
      if (!scanNameAddrs(result, { start: from, end: to }, contacts))
        return 'the result is not a message any more: contact';
      let after = contact;
      while (after < before.contacts.length && before.contacts[after]!.end <= field.end) after++;
      return contacts.length === after - contact ? undefined : NEVER_TOUCHED;
    }
    case 'route':
    case 'record-route':
    case 'refer-to':
      return scanNameAddrs(result, { start: from, end: to }, [])
        ? undefined
        : `the result is not a message any more: ${field.name}`;
    case 'content-length':
      return decimal(result, from, to, 9) === before.body.end - before.body.start + growth
        ? undefined
        : 'Content-Length does not fit the body';
    default:
      return NEVER_TOUCHED;
  }
}

/** Whether the first line end from `from` on that no fold follows is the one at `at`. */
function endsFirst(bytes: Uint8Array, from: number, at: number): boolean {
  let lf = bytes.indexOf(LF, from);
  while (lf >= 0 && lf < at && bytes[lf - 1] === CR && isWhite(bytes[lf + 1]!))
    lf = bytes.indexOf(LF, lf + 1);
  return lf === at + 1 && bytes[at] === CR && !isWhite(bytes[at + 2]!);
}

function lengthOf(span: Span | undefined): number {
  return span === undefined ? -1 : span.end - span.start;
}

/** The same for any edits, by a scan of the whole result. */
export function verifyWhole(
  before: Message,
  result: Uint8Array,
  edits: readonly Edit<RuleId>[],
  growth: number,
): string | undefined {
  const scan = scanMessage(result);
  if (!scan.ok) return `the result is not a message any more: ${scan.defects[0]?.code}`;
  const after = scan.message;
  if (after.fieldCount !== before.fieldCount + fieldGrowth(before, edits))
    return 'the number of header fields has changed';
  if (after.defects.length !== before.defects.length) return 'the result has another defect';
  if (
    !sameSpans(before, before.callIdSpan, after, after.callIdSpan) ||
    after.cseq !== before.cseq ||
    after.method !== before.method ||
    !sameSpans(before, addressToEnd(before.from), after, addressToEnd(after.from)) ||
    !sameSpans(before, addressToEnd(before.to), after, addressToEnd(after.to)) ||
    after.contacts.length !== before.contacts.length
  )
    return NEVER_TOUCHED;
  if (after.body.end - after.body.start !== before.body.end - before.body.start + growth)
    return 'Content-Length does not fit the body';
  return undefined;
}

function fieldGrowth(message: Message, edits: readonly Edit<RuleId>[]): number {
  let growth = 0;
  for (const edit of edits) {
    if (!isWholeField(edit)) continue;
    const { span, replacement } = edit;
    if (replacement.endsWith('\r\n')) growth++;
    else if (
      message.fields.some(({ lineStart, lineEnd }) => lineStart === span.start && lineEnd + 2 === span.end)
    )
      growth--;
  }
  return growth;
}

/** From the address of a From or To to its end. */
function addressToEnd({ uri, end }: NameAddr): Span {
  return { start: uri.start, end };
}

function sameSpans(a: Message, one: Span, b: Message, other: Span): boolean {
  return sameOctets(a.bytes, one.start, one.end, b.bytes, other.start, other.end);
}

function sameOctets(
  a: Uint8Array,
  start: number,
  end: number,
  b: Uint8Array,
  from: number,
  to: number,
): boolean {
  if (to - from !== end - start) return false;
  for (let i = start; i < end; i++) if (a[i] !== b[from + i - start]) return false;
  return true;
}
