/**
 * A SIP message: its octets as they came, and an index of spans into them. Nothing is decoded, nothing is rebuilt.
 *
 * Facts (RFC 3261 §7): a message is a start line, header fields, an empty line and a body; lines end in CRLF; a line that
 * begins with white space continues the one before; over UDP the body ends where Content-Length says, or with the
 * datagram where there is none, and octets after it are no part of the message (§18.3).
 *
 * What is checked is what has to be true for an edit to be safe. A message with a blocking defect is passed untouched.
 * What is not checked: fields that are none of a NAT's business (Date, Warning, Accept, …).
 */
import type { Span } from '../net/span.ts';
import type { Defect, DefectCode } from './defect.ts';
import { type HeaderName, headerName, knownHeader } from './header-name.ts';
import { type NameAddr, nameAddrParameter, scanNameAddr } from './name-addr.ts';
import {
  ASTERISK,
  AT,
  COLON,
  CR,
  decimal,
  equalsIgnoreCase,
  GREATER,
  isWhite,
  LESS,
  LF,
  QUESTION,
  SP,
  skipLws,
  skipToken,
  textOf,
  trimEnd,
} from './octets.ts';
import { isSipUri } from './uri.ts';
import { scanVia, type Via } from './via.ts';

/** A header field; as a span, its value without the white space around it (folds inside it stay). */
export interface HeaderField extends Span {
  readonly name: HeaderName;
  /** The name's first octet. */
  readonly lineStart: number;
  /** Where the line end stands that closes the field. */
  readonly lineEnd: number;
}

/** The index of one message. */
export class Message {
  readonly bytes: Uint8Array;
  /**
   * The same octets as latin-1 text, made once: searching it and cutting pieces from it cost a fraction of what the same
   * costs on octets. A piece that is cut from it keeps the whole text alive, also as a part of a key: what is kept for longer
   * than the message is made by `textOf`, as Call-ID and tags are.
   */
  readonly text: string;
  readonly kind: 'request' | 'response';
  /** Of the start line in a request, of CSeq in a response; case-sensitive (RFC 3261 §7.1). */
  readonly method: string;
  /** 100–699; 0 in a request. */
  readonly status: number;
  /** Request only. */
  readonly requestUri: Span;
  /** Those whose name the gateway knows, in order. */
  readonly fields: readonly HeaderField[];
  /** All of them. */
  readonly fieldCount: number;
  /** The topmost. */
  readonly via: Via;
  readonly from: NameAddr;
  readonly to: NameAddr;
  readonly callIdSpan: Span;
  readonly cseq: number;
  /** Every Contact value in order, `*` left out. */
  readonly contacts: readonly NameAddr[];
  /** `Contact: *` (RFC 3261 §10.2.2). */
  readonly contactWildcard: boolean;
  /** The digits of Content-Length; undefined where the field is absent. */
  readonly contentLength: Span | undefined;
  /** The body as Content-Length bounds it. */
  readonly body: Span;
  readonly defects: readonly Defect[];
  #branch: string | undefined;
  #callId: string | undefined;
  #fromTag: string | undefined;
  #toTag: string | undefined;

  constructor(
    bytes: Uint8Array,
    text: string,
    startLine: StartLine,
    cseqMethod: string,
    fields: readonly HeaderField[],
    fieldCount: number,
    via: Via,
    from: NameAddr,
    to: NameAddr,
    callIdSpan: Span,
    cseq: number,
    contacts: readonly NameAddr[],
    contactWildcard: boolean,
    contentLength: Span | undefined,
    body: Span,
    defects: readonly Defect[],
  ) {
    this.bytes = bytes;
    this.text = text;
    this.kind = startLine.kind;
    this.method = startLine.kind === 'request' ? startLine.method : cseqMethod;
    this.status = startLine.status;
    this.requestUri = startLine.uri;
    this.fields = fields;
    this.fieldCount = fieldCount;
    this.via = via;
    this.from = from;
    this.to = to;
    this.callIdSpan = callIdSpan;
    this.cseq = cseq;
    this.contacts = contacts;
    this.contactWildcard = contactWildcard;
    this.contentLength = contentLength;
    this.body = body;
    this.defects = defects;
  }

  /** Of the topmost Via; empty text where there is none. */
  get branch(): string {
    const span = this.via.branch;
    this.#branch ??= span === undefined ? '' : textOf(this.bytes, span.start, span.end);
    return this.#branch;
  }

  get callId(): string {
    this.#callId ??= textOf(this.bytes, this.callIdSpan.start, this.callIdSpan.end);
    return this.#callId;
  }

  /** Empty text where there is none. */
  get fromTag(): string {
    this.#fromTag ??= tagOf(this, this.from);
    return this.#fromTag;
  }

  get toTag(): string {
    this.#toTag ??= tagOf(this, this.to);
    return this.#toTag;
  }
}

/** Either a message that may be edited, or the defects for which it may not. */
export type Scan =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly defects: readonly Defect[] };

const NONE: Span = { start: 0, end: 0 };

const NO_DEFECTS: readonly Defect[] = [];

function fail(code: DefectCode, offset: number): Scan {
  return { ok: false, defects: [{ code, offset }] };
}

/** Scans one datagram, or one framed message of a stream. Linear in its length; never throws. */
export function scanMessage(bytes: Uint8Array): Scan {
  const end = bytes.length;
  const text = textOf(bytes, 0, end);

  // RFC 3261 §7.5: empty lines before the start line are ignored.
  let i = 0;
  while (i + 1 < end && bytes[i] === CR && bytes[i + 1] === LF) i += 2;
  const startLine = scanStartLine(bytes, i, text.indexOf('\n', i), end);
  if (typeof startLine === 'string') return fail(startLine, i);
  i = startLine.next;

  const fields: HeaderField[] = [];
  let fieldCount = 0;
  let hasContentType = false;
  let hasMaxForwards = false;
  let viaField: HeaderField | undefined;
  let fromField: HeaderField | undefined;
  let toField: HeaderField | undefined;
  let callIdField: HeaderField | undefined;
  let cseqField: HeaderField | undefined;
  let lengthField: HeaderField | undefined;
  let bodyStart = -1;
  const contacts: NameAddr[] = [];
  let contactWildcard = false;

  while (i < end) {
    if (bytes[i] === CR && i + 1 < end && bytes[i + 1] === LF) {
      bodyStart = i + 2;
      break;
    }
    const lineStart = i;
    const known = knownHeader(bytes, i);
    const nameEnd = known === undefined ? skipToken(bytes, i, end) : i + known.spelling.length;
    let colon = nameEnd;
    while (colon < end && isWhite(bytes[colon]!)) colon++;
    if (nameEnd === i || colon >= end || bytes[colon] !== COLON) return fail('header-line', i);
    // Nearly all lines end at the first LF, with one space before the value and none behind it.
    const lf = text.indexOf('\n', colon + 1);
    const isPlain = lf > 0 && bytes[lf - 1] === CR && lf + 1 < end && bytes[lf + 1]! > SP;
    const lineEnd = isPlain ? lf - 1 : findLineEnd(bytes, text, colon + 1, end);
    if (lineEnd < 0) return fail(text.indexOf('\n', colon) >= 0 ? 'line-end' : 'header-end', lineStart);
    const name = known === undefined ? headerName(bytes, i, nameEnd) : known.name;
    fieldCount++;
    i = lineEnd + 2;
    if (name === 'other') continue;
    const start =
      bytes[colon + 1] === SP && bytes[colon + 2]! > SP
        ? colon + 2
        : Math.min(skipLws(bytes, colon + 1, lineEnd), lineEnd);
    const field: HeaderField = {
      name,
      lineStart,
      lineEnd,
      start,
      end: bytes[lineEnd - 1]! > SP && start < lineEnd ? lineEnd : trimEnd(bytes, start, lineEnd),
    };
    fields.push(field);
    switch (name) {
      case 'via':
        viaField ??= field;
        break;
      case 'from':
        if (fromField !== undefined) return fail('duplicate', lineStart);
        fromField = field;
        break;
      case 'to':
        if (toField !== undefined) return fail('duplicate', lineStart);
        toField = field;
        break;
      case 'call-id':
        if (callIdField !== undefined) return fail('duplicate', lineStart);
        callIdField = field;
        break;
      case 'cseq':
        if (cseqField !== undefined) return fail('duplicate', lineStart);
        cseqField = field;
        break;
      case 'content-length':
        if (lengthField !== undefined) return fail('duplicate', lineStart);
        lengthField = field;
        break;
      case 'contact':
        if (field.end - field.start === 1 && bytes[field.start] === ASTERISK) contactWildcard = true;
        else if (!scanNameAddrs(bytes, field, contacts)) return fail('contact', lineStart);
        break;
      case 'content-type':
        if (hasContentType) return fail('duplicate', lineStart);
        hasContentType = true;
        break;
      case 'max-forwards': {
        if (hasMaxForwards) return fail('duplicate', lineStart);
        hasMaxForwards = true;
        // Leading zeros are allowed (RFC 4475 §3.1.1.1), so the value is bounded and not its digits.
        const value = decimal(bytes, field.start, field.end, 15);
        if (value < 0 || value > 255) return fail('max-forwards', field.start);
        break;
      }
    }
  }
  if (bodyStart < 0) return fail('header-end', end);
  if (
    viaField === undefined ||
    fromField === undefined ||
    toField === undefined ||
    callIdField === undefined ||
    cseqField === undefined
  )
    return fail('missing', bodyStart);

  const via = scanVia(bytes, viaField.start, viaField.end);
  if (via === undefined) return fail('via', viaField.start);
  const from = scanSingleNameAddr(bytes, fromField);
  const to = scanSingleNameAddr(bytes, toField);
  if (from === undefined) return fail('from-to', fromField.start);
  if (to === undefined) return fail('from-to', toField.start);
  if (callIdField.end === callIdField.start) return fail('missing', callIdField.start);

  const numberEnd = skipToken(bytes, cseqField.start, cseqField.end);
  const methodStart = skipLws(bytes, numberEnd, cseqField.end);
  const cseq = decimal(bytes, cseqField.start, numberEnd, 15);
  const cseqMethod = methodAt(bytes, methodStart, cseqField.end);
  if (
    cseq < 0 ||
    cseq >= 2 ** 32 ||
    cseqMethod === '' ||
    skipToken(bytes, methodStart, cseqField.end) !== cseqField.end ||
    (startLine.kind === 'request' && cseqMethod !== startLine.method)
  )
    return fail('cseq', cseqField.start);

  let body: Span = { start: bodyStart, end };
  let contentLength: Span | undefined;
  let defects = NO_DEFECTS;
  if (lengthField !== undefined) {
    const declared = decimal(bytes, lengthField.start, lengthField.end, 9);
    if (declared < 0) return fail('content-length', lengthField.start);
    if (bodyStart + declared > end) return fail('content-length-long', lengthField.start);
    if (bodyStart + declared < end) defects = [{ code: 'trailing-octets', offset: bodyStart + declared }];
    contentLength = lengthField;
    body = { start: bodyStart, end: bodyStart + declared };
  } else if (bodyStart < end) defects = [{ code: 'no-content-length', offset: bodyStart }];

  return {
    ok: true,
    message: new Message(
      bytes,
      text,
      startLine,
      cseqMethod,
      fields,
      fieldCount,
      via,
      from,
      to,
      callIdField,
      cseq,
      contacts,
      contactWildcard,
      contentLength,
      body,
      defects,
    ),
  };
}

/** The first field of a name, or undefined. */
export function firstField(message: Message, name: HeaderName): HeaderField | undefined {
  const { fields } = message;
  for (let i = 0; i < fields.length; i++) if (fields[i]!.name === name) return fields[i];
  return undefined;
}

export interface StartLine {
  readonly kind: 'request' | 'response';
  readonly method: string;
  readonly status: number;
  readonly uri: Span;
  /** The first octet of the first header field. */
  readonly next: number;
}

/** The start line that begins at `start`, or what is wrong with it. `lf`: the first LF from there on, or -1. */
export function scanStartLine(
  bytes: Uint8Array,
  start: number,
  lf: number,
  end: number,
): StartLine | DefectCode {
  const lineEnd = lf > start && bytes[lf - 1] === CR ? lf - 1 : -1;
  const limit = lf < 0 ? end : lf;
  if (
    (bytes[start] === 0x53 || bytes[start] === 0x73) &&
    equalsIgnoreCase(bytes, start, Math.min(start + 4, limit), 'sip/')
  ) {
    if (lineEnd < 0) return lf < 0 ? 'header-end' : 'line-end';
    if (!equalsIgnoreCase(bytes, start, Math.min(start + 7, lineEnd), 'sip/2.0')) return 'version';
    // SIP/2.0 SP 3DIGIT SP reason
    const status = decimal(bytes, start + 8, Math.min(start + 11, lineEnd), 3);
    if (bytes[start + 7] !== SP || bytes[start + 11] !== SP || status < 100 || status > 699)
      return 'start-line';
    return { kind: 'response', method: '', status, uri: NONE, next: lf + 1 };
  }
  const methodEnd = skipToken(bytes, start, limit);
  if (methodEnd === start || bytes[methodEnd] !== SP || methodEnd >= limit) return 'not-sip';
  if (lineEnd < 0) return lf < 0 ? 'header-end' : 'line-end';
  const uriStart = methodEnd + 1;
  let uriEnd = uriStart;
  while (uriEnd < lineEnd && bytes[uriEnd] !== SP) uriEnd++;
  if (uriEnd === uriStart || uriEnd >= lineEnd)
    return equalsIgnoreCase(bytes, Math.max(lineEnd - 7, start), lineEnd, 'sip/2.0')
      ? 'start-line'
      : 'not-sip';
  if (!equalsIgnoreCase(bytes, uriEnd + 1, lineEnd, 'sip/2.0')) {
    if (equalsIgnoreCase(bytes, uriEnd + 1, Math.min(uriEnd + 8, lineEnd), 'sip/2.0')) return 'start-line';
    return equalsIgnoreCase(bytes, uriEnd + 1, Math.min(uriEnd + 5, lineEnd), 'sip/')
      ? 'version'
      : 'start-line';
  }
  // "?" may stand in the userinfo, which ends at "@"; after the host it begins header fields, which a Request-URI may
  // not have.
  const sip = equalsIgnoreCase(bytes, uriStart, Math.min(uriStart + 4, uriEnd), 'sip:');
  let at = -1;
  let question = -1;
  for (let i = uriStart; i < uriEnd; i++) {
    const c = bytes[i]!;
    if (c < SP || c === LESS || c === GREATER) return 'request-uri';
    if (c === QUESTION) question = i;
    else if (c === AT && at < 0) at = i;
  }
  if (sip && question > at) return 'request-uri';
  if (sip && !isSipUri(bytes, uriStart, uriEnd)) return 'request-uri';
  return {
    kind: 'request',
    method: methodAt(bytes, start, methodEnd),
    status: 0,
    uri: { start: uriStart, end: uriEnd },
    next: lf + 1,
  };
}

/** The CR of the CRLF that ends a header field (folds passed over); -1 where there is none, or a bare LF comes first. */
function findLineEnd(bytes: Uint8Array, text: string, from: number, end: number): number {
  let i = from;
  for (;;) {
    const lf = text.indexOf('\n', i);
    if (lf < 0 || bytes[lf - 1] !== CR) return -1;
    if (lf + 1 < end && isWhite(bytes[lf + 1]!)) {
      i = lf + 1;
      continue;
    }
    return lf - 1;
  }
}

/** Appends every value of a comma-separated field; false where one does not follow the grammar. */
export function scanNameAddrs(bytes: Uint8Array, value: Span, into: NameAddr[]): boolean {
  let i = value.start;
  for (;;) {
    const one = scanNameAddr(bytes, i, value.end);
    if (one === undefined) return false;
    into.push(one);
    if (one.end >= value.end) return true;
    i = one.end + 1;
  }
}

function scanSingleNameAddr(bytes: Uint8Array, value: Span): NameAddr | undefined {
  const one = scanNameAddr(bytes, value.start, value.end);
  return one !== undefined && one.end === value.end ? one : undefined;
}

const methods = [
  'REGISTER',
  'INVITE',
  'ACK',
  'BYE',
  'CANCEL',
  'OPTIONS',
  'SUBSCRIBE',
  'NOTIFY',
  'REFER',
  'MESSAGE',
  'INFO',
  'PRACK',
  'UPDATE',
  'PUBLISH',
];

/** The method's text; for those that are known, one that exists already. Methods are case-sensitive (RFC 3261 §7.1). */
function methodAt(bytes: Uint8Array, start: number, end: number): string {
  for (const method of methods) {
    if (method.length !== end - start || method.charCodeAt(0) !== bytes[start]) continue;
    let i = 1;
    while (i < method.length && bytes[start + i] === method.charCodeAt(i)) i++;
    if (i === method.length) return method;
  }
  return textOf(bytes, start, end);
}

function tagOf({ bytes }: Message, value: NameAddr): string {
  const tag = nameAddrParameter(bytes, value, 'tag');
  return tag === undefined ? '' : textOf(bytes, tag.start, tag.end);
}
