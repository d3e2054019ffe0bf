/**
 * The parts of a Via, a name-addr or a URI, whatever is wrong with it. The parts follow one another without a gap, so
 * that every octet of a value is in one of them; what does not fit the grammar (RFC 3261 §25.1) is a part as well.
 */
import type { Span } from '../net/span.ts';

export type PartKind =
  | 'protocol'
  | 'white'
  | 'display'
  | 'open'
  | 'close'
  | 'scheme'
  | 'user'
  | 'host'
  /** With its colon. */
  | 'port'
  /** The semicolon in front of a parameter. */
  | 'separator'
  /** Name and value. */
  | 'parameter'
  /** `?` and what follows it in a URI. */
  | 'headers'
  | 'other';

export interface Part {
  readonly kind: PartKind;
  /** Says which part became which: kind, and the name of a parameter. */
  readonly key: string;
  readonly span: Span;
  readonly text: string;
}

/** The values of a comma-separated field: spans relative to the text, commas left out. */
export function splitValues(text: string): Span[] {
  const spans: Span[] = [];
  let start = 0;
  let isQuoted = false;
  let isBracketed = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (isQuoted) {
      if (c === '\\') i++;
      else if (c === '"') isQuoted = false;
    } else if (c === '"') isQuoted = true;
    else if (c === '<') isBracketed = true;
    else if (c === '>') isBracketed = false;
    else if (c === ',' && !isBracketed) {
      spans.push({ start, end: i });
      start = i + 1;
    }
  }
  spans.push({ start, end: text.length });
  return spans;
}

/** `offset` is where the text stands in its message. */
export function viaParts(text: string, offset: number): Part[] {
  const reader = new Reader(text, offset);
  reader.white();
  reader.take('protocol', /[^\s;,/]+[ \t\r\n]*\/[ \t\r\n]*[^\s;,/]+[ \t\r\n]*\/[ \t\r\n]*[^\s;,]+/y);
  reader.white();
  reader.hostPort();
  reader.parameters(false);
  return reader.end();
}

export function nameAddrParts(text: string, offset: number): Part[] {
  const reader = new Reader(text, offset);
  reader.white();
  if (!reader.take('display', /"(?:[^"\\]|\\[\s\S])*"/y) && text.includes('<'))
    reader.take('display', /[^<:;@]+(?=<)/y);
  reader.white();
  const isOpen = reader.take('open', /</y);
  reader.uri(isOpen || text.includes('>'));
  reader.take('close', />/y);
  reader.parameters(false);
  return reader.end();
}

export function uriParts(text: string, offset: number): Part[] {
  const reader = new Reader(text, offset);
  reader.uri(true);
  return reader.end();
}

class Reader {
  readonly #text: string;
  readonly #offset: number;
  readonly #parts: Part[] = [];
  #at = 0;

  constructor(text: string, offset: number) {
    this.#text = text;
    this.#offset = offset;
  }

  /** `pattern` is sticky. False where it does not match, or matches nothing. */
  take(kind: PartKind, pattern: RegExp, key: string = kind): boolean {
    pattern.lastIndex = this.#at;
    const length = pattern.exec(this.#text)?.[0].length ?? 0;
    if (length === 0) return false;
    this.#push(kind, key, length);
    return true;
  }

  white(): void {
    this.take('white', /[ \t\r\n]+/y);
  }

  hostPort(): void {
    // An address ends after its four numbers, whatever has been glued to it.
    if (!this.take('host', /\[[^\]>]*\]?/y) && !this.take('host', /\d{1,3}(?:\.\d{1,3}){3}(?![.\d])/y))
      this.take('host', /[A-Za-z0-9._-]+/y);
    this.take('white', /[ \t\r\n]+(?=:)/y);
    this.take('port', /:[ \t\r\n]*-?\d*/y);
  }

  uri(isBracketed: boolean): void {
    this.take('scheme', /[A-Za-z][A-Za-z0-9+.-]*:/y);
    this.take('user', isBracketed ? /[^@>]*@/y : /[^@>;]*@/y);
    this.hostPort();
    if (isBracketed) this.parameters(true);
  }

  parameters(inUri: boolean): void {
    const stop = inUri ? /[>]/y : /$/y;
    while (this.#at < this.#text.length) {
      stop.lastIndex = this.#at;
      if (stop.test(this.#text)) return;
      this.white();
      if (inUri && this.take('headers', /\?[^>]*/y)) continue;
      const name = /;?[ \t\r\n]*([^;=,<>"\s]*)/y;
      name.lastIndex = this.#at;
      const key = (name.exec(this.#text)?.[1] ?? '').toLowerCase();
      this.take('separator', /;/y, `separator ${key}`);
      this.white();
      if (this.take('parameter', inUri ? PARAMETER_IN_URI : PARAMETER, `parameter ${key}`)) continue;
      if (this.#at < this.#text.length && this.#text[this.#at] !== ';') {
        stop.lastIndex = this.#at;
        if (!stop.test(this.#text)) this.#push('other', 'other', 1);
      }
    }
  }

  end(): Part[] {
    if (this.#at < this.#text.length) this.#push('other', 'other', this.#text.length - this.#at);
    return this.#parts;
  }

  #push(kind: PartKind, key: string, length: number): void {
    const start = this.#offset + this.#at;
    const text = this.#text.slice(this.#at, this.#at + length);
    this.#at += length;
    const last = this.#parts.at(-1);
    if (kind === 'other' && last?.kind === 'other')
      this.#parts[this.#parts.length - 1] = {
        ...last,
        span: { start: last.span.start, end: start + length },
        text: last.text + text,
      };
    else this.#parts.push({ kind, key, span: { start, end: start + length }, text });
  }
}

const PARAMETER = /[^;=,<>"\s]+(?:[ \t\r\n]*=[ \t\r\n]*(?:"(?:[^"\\]|\\[\s\S])*"|[^;,\s]*))?/y;
const PARAMETER_IN_URI = /[^;=,<>"\s?]+(?:=[^;>?\s]*)?/y;

/** The host of a list of parts, without brackets of IPv6; undefined where there is none. */
export function hostOf(parts: readonly Part[]): string | undefined {
  return parts.find(({ kind }) => kind === 'host')?.text;
}

/** The value of a parameter; empty where it stands without one; undefined where it is absent. */
export function parameterOf(parts: readonly Part[], name: string): string | undefined {
  const part = parts.find(({ key }) => key === `parameter ${name}`);
  if (part === undefined) return undefined;
  const equals = part.text.indexOf('=');
  return equals < 0 ? '' : part.text.slice(equals + 1).trim();
}
