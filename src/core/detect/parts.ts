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
  reader.protocol();
  reader.white();
  reader.hostPort();
  reader.parameters(false);
  return reader.end();
}

export function nameAddrParts(text: string, offset: number): Part[] {
  const reader = new Reader(text, offset);
  reader.white();
  reader.display();
  reader.white();
  const isOpen = reader.sign('open', '<');
  reader.uri(isOpen || text.includes('>'));
  reader.sign('close', '>');
  reader.parameters(false);
  return reader.end();
}

export function uriParts(text: string, offset: number): Part[] {
  const reader = new Reader(text, offset);
  reader.uri(true);
  return reader.end();
}

/** Octet by octet, each looked at a few times at most. */
class Reader {
  readonly #text: string;
  readonly #offset: number;
  readonly #parts: Part[] = [];
  #at = 0;
  #isUnclosed = false;

  constructor(text: string, offset: number) {
    this.#text = text;
    this.#offset = offset;
  }

  sign(kind: PartKind, sign: string): boolean {
    if (this.#text[this.#at] !== sign) return false;
    this.#push(kind, kind, 1);
    return true;
  }

  white(): void {
    this.#take('white', 'white', this.#while(this.#at, isWhite));
  }

  /** name "/" version "/" transport, with white space around the slashes. */
  protocol(): void {
    let i = this.#at;
    for (let word = 0; word < 3; word++) {
      const end = this.#while(i, isProtocolCharacter);
      if (end === i) return;
      i = end;
      if (word === 2) break;
      i = this.#while(i, isWhite);
      if (this.#text[i] !== '/') return;
      i = this.#while(i + 1, isWhite);
    }
    this.#take('protocol', 'protocol', i);
  }

  /** A quoted-string, or words that end at a "<". */
  display(): void {
    const start = this.#at;
    if (this.#text[start] === '"') {
      const end = this.#quotedEnd(start);
      if (end > 0) return this.#take('display', 'display', end);
    }
    const end = this.#while(start, (c) => !'<:;@'.includes(c));
    if (this.#text[end] === '<') this.#take('display', 'display', end);
  }

  hostPort(): void {
    const start = this.#at;
    if (this.#text[start] === '[') {
      const end = this.#while(start, (c) => c !== ']' && c !== '>');
      this.#take('host', 'host', this.#text[end] === ']' ? end + 1 : end);
    } else {
      // An address ends after its four numbers, whatever has been glued to it.
      const address = this.#addressEnd(start);
      this.#take('host', 'host', address > 0 ? address : this.#while(start, isHostCharacter));
    }
    const colon = this.#while(this.#at, isWhite);
    if (this.#text[colon] !== ':') return;
    this.white();
    let i = this.#while(this.#at + 1, isWhite);
    if (this.#text[i] === '-') i++;
    this.#take('port', 'port', this.#while(i, isDigit));
  }

  uri(isBracketed: boolean): void {
    const scheme = this.#while(this.#at, isSchemeCharacter);
    if (scheme > this.#at && this.#text[scheme] === ':') this.#take('scheme', 'scheme', scheme + 1);
    const stop = isBracketed ? '@>' : '@>;';
    const at = this.#while(this.#at, (c) => !stop.includes(c));
    if (this.#text[at] === '@') this.#take('user', 'user', at + 1);
    this.hostPort();
    if (isBracketed) this.parameters(true);
  }

  parameters(inUri: boolean): void {
    const { length } = this.#text;
    while (this.#at < length && !(inUri && this.#text[this.#at] === '>')) {
      this.white();
      if (inUri && this.#text[this.#at] === '?') {
        this.#take(
          'headers',
          'headers',
          this.#while(this.#at, (c) => c !== '>'),
        );
        continue;
      }
      const semicolon = this.#text[this.#at] === ';';
      const from = this.#while(semicolon ? this.#at + 1 : this.#at, isWhite);
      const nameEnd = this.#while(from, inUri ? isNameInUri : isName);
      const key = this.#text.slice(from, nameEnd).toLowerCase();
      if (semicolon) this.#push('separator', `separator ${key}`, 1);
      this.white();
      if (nameEnd > from) {
        this.#take('parameter', `parameter ${key}`, this.#valueEnd(nameEnd, inUri));
        continue;
      }
      // Octets that fit nowhere are one part.
      const fits = (c: string): boolean => isName(c) || isWhite(c) || c === ';' || (inUri && c === '>');
      this.#take(
        'other',
        'other',
        this.#while(this.#at, (c) => !fits(c)),
      );
    }
  }

  end(): Part[] {
    if (this.#at < this.#text.length) this.#push('other', 'other', this.#text.length - this.#at);
    return this.#parts;
  }

  /** One past the value of a parameter whose name ends at `from`. */
  #valueEnd(from: number, inUri: boolean): number {
    if (inUri) return this.#text[from] === '=' ? this.#while(from + 1, isValueInUri) : from;
    const equals = this.#while(from, isWhite);
    if (this.#text[equals] !== '=') return from;
    const start = this.#while(equals + 1, isWhite);
    const quoted = this.#text[start] === '"' ? this.#quotedEnd(start) : -1;
    return quoted > 0 ? quoted : this.#while(start, isValue);
  }

  /** One past the closing quote, or -1. Where one quote does not close, no later one does. */
  #quotedEnd(start: number): number {
    if (this.#isUnclosed) return -1;
    for (let i = start + 1; i < this.#text.length; i++) {
      if (this.#text[i] === '\\') i++;
      else if (this.#text[i] === '"') return i + 1;
    }
    this.#isUnclosed = true;
    return -1;
  }

  #addressEnd(start: number): number {
    let i = start;
    for (let number = 0; number < 4; number++) {
      if (number > 0 && this.#text[i++] !== '.') return -1;
      const end = this.#while(i, isDigit);
      if (end === i || end > i + 3) return -1;
      i = end;
    }
    return this.#text[i] === '.' ? -1 : i;
  }

  #while(from: number, holds: (c: string) => boolean): number {
    let i = from;
    while (i < this.#text.length && holds(this.#text[i]!)) i++;
    return i;
  }

  #take(kind: PartKind, key: string, end: number): void {
    if (end > this.#at) this.#push(kind, key, end - this.#at);
  }

  #push(kind: PartKind, key: string, length: number): void {
    const start = this.#offset + this.#at;
    const text = this.#text.slice(this.#at, this.#at + length);
    this.#parts.push({ kind, key, span: { start, end: start + length }, text });
    this.#at += length;
  }
}

function isWhite(c: string): boolean {
  return c === ' ' || c === '\t' || c === '\r' || c === '\n';
}

function isDigit(c: string): boolean {
  return c >= '0' && c <= '9';
}

function isLetter(c: string): boolean {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

function isHostCharacter(c: string): boolean {
  return isLetter(c) || isDigit(c) || c === '.' || c === '_' || c === '-';
}

function isSchemeCharacter(c: string): boolean {
  return isLetter(c) || isDigit(c) || c === '+' || c === '.' || c === '-';
}

function isProtocolCharacter(c: string): boolean {
  return !isWhite(c) && c !== '/' && c !== ';' && c !== ',';
}

function isName(c: string): boolean {
  return !isWhite(c) && !';=,<>"'.includes(c);
}

function isNameInUri(c: string): boolean {
  return isName(c) && c !== '?';
}

function isValue(c: string): boolean {
  return !isWhite(c) && c !== ';' && c !== ',';
}

function isValueInUri(c: string): boolean {
  return !isWhite(c) && c !== ';' && c !== '>' && c !== '?';
}

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
