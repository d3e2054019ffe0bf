/**
 * Reading octets of a SIP message in place.
 *
 * Facts (RFC 3261 §25.1): LWS is optional white space, or a line break followed by at least one white space (a fold);
 * tokens are a closed set of characters; names compare without regard to case; everything else is opaque, and may be
 * any octet. Text is latin-1 here: one octet, one character, both ways, so that nothing is lost.
 */

export const CR = 0x0d;
export const LF = 0x0a;
export const SP = 0x20;
export const HTAB = 0x09;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const COMMA = 0x2c;
export const EQUALS = 0x3d;
export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;
export const LESS = 0x3c;
export const GREATER = 0x3e;
export const AT = 0x40;
export const SLASH = 0x2f;
export const QUESTION = 0x3f;
export const ASTERISK = 0x2a;
export const LEFT_BRACKET = 0x5b;
export const RIGHT_BRACKET = 0x5d;

/** token characters: alphanum and -.!%*_+`'~ */
const tokenTable = new Uint8Array(256);
for (const c of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")
  tokenTable[c.charCodeAt(0)] = 1;

export function isTokenCharacter(c: number): boolean {
  return tokenTable[c] === 1;
}

export function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

export function isWhite(c: number): boolean {
  return c === SP || c === HTAB;
}

/** One past the white space and folds that begin at `from`; `from` itself where there are none. */
export function skipLws(bytes: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end) {
    const c = bytes[i]!;
    if (c === SP || c === HTAB) i++;
    else if (c === CR && i + 2 < end && bytes[i + 1] === LF && isWhite(bytes[i + 2]!)) i += 3;
    else break;
  }
  return i;
}

/** The end of `[start, end)` without the white space and folds that close it. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let i = end;
  while (i > start) {
    const c = bytes[i - 1]!;
    if (c === SP || c === HTAB || c === CR || c === LF) i--;
    else break;
  }
  return i;
}

/** One past the token that begins at `from`. */
export function skipToken(bytes: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end && tokenTable[bytes[i]!] === 1) i++;
  return i;
}

/** One past the closing quote of the quoted-string that begins at `from`, or -1 where it does not end. */
export function skipQuoted(bytes: Uint8Array, from: number, end: number): number {
  for (let i = from + 1; i < end; i++) {
    const c = bytes[i]!;
    if (c === BACKSLASH) i++;
    else if (c === QUOTE) return i + 1;
  }
  return -1;
}

/** The first `octet` in `[from, end)`, or -1. Bounded, so that many short searches stay linear in the message. */
export function find(bytes: Uint8Array, octet: number, from: number, end: number): number {
  for (let i = from; i < end; i++) if (bytes[i] === octet) return i;
  return -1;
}

/** Whether the octets are `lower` (which is lower case ASCII), case ignored. */
export function equalsIgnoreCase(bytes: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const c = bytes[start + i]!;
    if ((c >= 0x41 && c <= 0x5a ? c + 32 : c) !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** A decimal number of 1 to `digits` digits that fills the range exactly; -1 otherwise. */
export function decimal(bytes: Uint8Array, start: number, end: number, digits: number): number {
  if (end <= start || end - start > digits) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (!isDigit(c)) return -1;
    value = value * 10 + c - 0x30;
  }
  return value;
}

/** Whether the octets from `start` on are this latin-1 text, as long as the range. */
export function equalsText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

const CHUNK = 8192;

type Latin1Slice = (this: Uint8Array, start: number, end: number) => string;

/** The platform's own conversion where there is one (Node): it works on every Uint8Array, and is much faster. */
const latin1Slice =
  typeof Buffer === 'undefined'
    ? undefined
    : (Buffer.prototype as unknown as { latin1Slice?: Latin1Slice }).latin1Slice;

/** The octets as latin-1 text. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  if (end <= start) return '';
  if (latin1Slice !== undefined) return latin1Slice.call(bytes, start, end);
  let text = '';
  for (let i = start; i < end; i += CHUNK)
    text += String.fromCharCode.apply(
      null,
      bytes.subarray(i, Math.min(end, i + CHUNK)) as unknown as number[],
    );
  return text;
}

/** latin-1 text as octets; a character above 255 is a programming error. */
export function octetsOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
