/**
 * Where things stand in a message, whatever is wrong with it: lines, names, values, line ends, body. Every octet belongs
 * to exactly one part, so that a comparison of parts misses none. The scanner of core/sip refuses what is damaged; here
 * the damage is what is looked for.
 */
import type { Span } from '../net/span.ts';
import { COLON, CR, decimal, isTokenCharacter, isWhite, LF, textOf, trimEnd } from '../sip/octets.ts';
import { printable } from './octet-text.ts';

export interface Line {
  /** Without its line end. */
  readonly text: Span;
  /** CRLF, LF, or empty where the message ends. */
  readonly end: Span;
}

export interface Field {
  /** The long name in lower case, whatever the spelling; empty where the line has no colon. */
  readonly name: string;
  readonly nameSpan: Span;
  /** Colon and white space between name and value. */
  readonly gap: Span;
  /** The value without white space around it; folds inside it stay. */
  readonly value: Span;
  /** White space behind the value. */
  readonly padding: Span;
  /** From the name to before the line end; folds included. */
  readonly line: Span;
  readonly end: Span;
}

export interface Layout {
  readonly bytes: Uint8Array;
  /** Empty lines in front. */
  readonly leading: Span;
  readonly startLine: Line;
  readonly isRequest: boolean;
  /** Of the start line, or of CSeq in a response. */
  readonly method: string;
  readonly status: number;
  readonly requestUri: Span | undefined;
  readonly fields: readonly Field[];
  /** The empty line; undefined where the message ends before it. */
  readonly blank: Span | undefined;
  /** As far as Content-Length says and there are octets. */
  readonly body: Span;
  /** What follows the body. */
  readonly trailing: Span;
  /** The number in Content-Length; undefined where there is none, or it is no number. */
  readonly declared: number | undefined;
}

const compactNames: Readonly<Record<string, string>> = {
  a: 'accept-contact',
  b: 'referred-by',
  c: 'content-type',
  d: 'request-disposition',
  e: 'content-encoding',
  f: 'from',
  i: 'call-id',
  j: 'reject-contact',
  k: 'supported',
  l: 'content-length',
  m: 'contact',
  n: 'identity-info',
  o: 'event',
  r: 'refer-to',
  s: 'subject',
  t: 'to',
  u: 'allow-events',
  v: 'via',
  x: 'session-expires',
  y: 'identity',
};

/** Linear; never throws. */
export function layoutOf(bytes: Uint8Array): Layout {
  const end = bytes.length;
  let i = 0;
  while (i < end && (bytes[i] === CR || bytes[i] === LF)) i++;
  const leading = { start: 0, end: i };
  const startLine = lineAt(bytes, i);
  i = startLine.end.end;
  const fields: Field[] = [];
  let blank: Span | undefined;
  while (i < end) {
    const line = lineAt(bytes, i);
    if (line.text.end === line.text.start && line.end.end > line.end.start) {
      blank = line.end;
      i = line.end.end;
      break;
    }
    const field = fieldAt(bytes, line);
    fields.push(field);
    i = field.end.end;
  }
  const lengthField = fields.find(({ name }) => name === 'content-length');
  const declared =
    lengthField === undefined ? -1 : decimal(bytes, lengthField.value.start, lengthField.value.end, 9);
  const bodyEnd = blank === undefined ? end : declared < 0 ? end : Math.min(end, i + declared);
  const words = textOf(bytes, startLine.text.start, startLine.text.end).split(' ');
  const isRequest = !/^SIP\//i.test(words[0]!);
  const uriStart = startLine.text.start + words[0]!.length + 1;
  const cseq = fields.find(({ name }) => name === 'cseq');
  return {
    bytes,
    leading,
    startLine,
    isRequest,
    method: isRequest
      ? words[0]!
      : cseq === undefined
        ? ''
        : (textOf(bytes, cseq.value.start, cseq.value.end).split(/\s+/)[1] ?? ''),
    status: isRequest ? 0 : Number.parseInt(words[1] ?? '', 10) || 0,
    requestUri:
      isRequest && words.length >= 3
        ? { start: uriStart, end: startLine.text.end - words.at(-1)!.length - 1 }
        : undefined,
    fields,
    blank,
    body: { start: i, end: bodyEnd },
    trailing: { start: bodyEnd, end },
    declared: declared < 0 ? undefined : declared,
  };
}

/** The lines of a range, none of them folded. */
export function linesOf(bytes: Uint8Array, range: Span): Line[] {
  const lines: Line[] = [];
  for (let i = range.start; i < range.end; ) {
    const line = lineAt(bytes, i, range.end);
    lines.push(line);
    i = line.end.end;
  }
  return lines;
}

export function valueText(layout: Layout, field: Field): string {
  return textOf(layout.bytes, field.value.start, field.value.end);
}

/** `INVITE`, `200 to REGISTER`: for people, and safe to print. */
export function labelOf({ isRequest, method, status }: Layout): string {
  const name = printable(method.slice(0, 32));
  return isRequest ? name : `${status} to ${name || 'a request'}`;
}

/** The first field of a name. */
export function fieldNamed(layout: Layout, name: string): Field | undefined {
  return layout.fields.find((field) => field.name === name);
}

/** Whether a datagram is a SIP message, or what is left of one: a start line that says so. */
export function looksLikeSip(bytes: Uint8Array): boolean {
  let i = 0;
  while (i < bytes.length && (bytes[i] === CR || bytes[i] === LF)) i++;
  const line = lineAt(bytes, i, Math.min(bytes.length, i + 2048));
  const text = textOf(bytes, line.text.start, line.text.end);
  return /^SIP\/\d\.\d \d{3}/i.test(text) || /^[\w.!%*+`'~-]+ \S.* SIP\/\d\.\d\s*$/i.test(text);
}

function lineAt(bytes: Uint8Array, start: number, limit = bytes.length): Line {
  const found = bytes.indexOf(LF, start);
  const lf = found < 0 || found >= limit ? -1 : found;
  if (lf < 0) return { text: { start, end: limit }, end: { start: limit, end: limit } };
  const textEnd = lf > start && bytes[lf - 1] === CR ? lf - 1 : lf;
  return { text: { start, end: textEnd }, end: { start: textEnd, end: lf + 1 } };
}

function fieldAt(bytes: Uint8Array, first: Line): Field {
  let last = first;
  while (last.end.end < bytes.length && last.end.end > last.end.start && isWhite(bytes[last.end.end]!))
    last = lineAt(bytes, last.end.end);
  const line = { start: first.text.start, end: last.text.end };
  let nameEnd = line.start;
  while (nameEnd < line.end && isTokenCharacter(bytes[nameEnd]!)) nameEnd++;
  let colon = nameEnd;
  while (colon < line.end && isWhite(bytes[colon]!)) colon++;
  if (colon >= line.end || bytes[colon] !== COLON || nameEnd === line.start) {
    const none = { start: line.start, end: line.start };
    return { name: '', nameSpan: none, gap: none, value: line, padding: at(line.end), line, end: last.end };
  }
  let valueStart = colon + 1;
  while (
    valueStart < line.end &&
    (isWhite(bytes[valueStart]!) || bytes[valueStart] === CR || bytes[valueStart] === LF)
  )
    valueStart++;
  const valueEnd = Math.max(trimEnd(bytes, valueStart, line.end), valueStart);
  const spelled = textOf(bytes, line.start, nameEnd).toLowerCase();
  return {
    name: compactNames[spelled] ?? spelled,
    nameSpan: { start: line.start, end: nameEnd },
    gap: { start: nameEnd, end: valueStart },
    value: { start: valueStart, end: valueEnd },
    padding: { start: valueEnd, end: line.end },
    line,
    end: last.end,
  };
}

function at(offset: number): Span {
  return { start: offset, end: offset };
}
