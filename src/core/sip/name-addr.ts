/**
 * name-addr and addr-spec with their header parameters, as in From, To, Contact, Refer-To and Route (RFC 3261 §20.10,
 * §25.1).
 *
 * Facts: without angle brackets, everything after the first ";" is a parameter of the header field and none of the URI,
 * and the URI may not hold "," or "?" (§20.10); inside them, everything belongs to the URI; commas separate values only
 * outside quotes and brackets; `Contact: *` is a value of its own.
 */
import type { Span } from '../net/span.ts';
import {
  COMMA,
  EQUALS,
  equalsIgnoreCase,
  find,
  GREATER,
  isTokenCharacter,
  isWhite,
  LEFT_BRACKET,
  LESS,
  QUESTION,
  QUOTE,
  RIGHT_BRACKET,
  SEMICOLON,
  skipLws,
  skipQuoted,
  skipToken,
} from './octets.ts';

export interface NameAddr {
  /** The addr-spec, without brackets. */
  readonly uri: Span;
  /** One past the value and its parameters: a comma stands there, or the end of the header field. */
  readonly end: number;
  /** Where the header parameters begin (the first ";"), or `end`. */
  readonly parameters: number;
}

/** What ends a URI in brackets, and what ends the value of a parameter: white space and controls, and these. */
const endsUri = octetSet('<>"');
const endsValue = octetSet('<>";,');

function octetSet(others: string): Uint8Array {
  const set = new Uint8Array(256).fill(1, 0, 0x21);
  for (const c of others) set[c.charCodeAt(0)] = 1;
  return set;
}

/** The value that begins at `start`; undefined where it does not follow the grammar. */
export function scanNameAddr(bytes: Uint8Array, start: number, end: number): NameAddr | undefined {
  let i = skipLws(bytes, start, end);
  if (i >= end) return undefined;
  if (bytes[i] === QUOTE) {
    i = skipQuoted(bytes, i, end);
    if (i < 0) return undefined;
    i = skipLws(bytes, i, end);
    if (bytes[i] !== LESS || i >= end) return undefined;
  } else if (bytes[i] !== LESS) {
    // Either a display name of tokens before "<", or a bare addr-spec.
    const open = displayNameEnd(bytes, i, end);
    if (open < 0) return scanBare(bytes, i, end);
    i = open;
  }
  let close = i + 1;
  while (close < end && endsUri[bytes[close]!] === 0) close++;
  if (close >= end || close === i + 1 || bytes[close] !== GREATER) return undefined;
  return withParameters(bytes, { start: i + 1, end: close }, close + 1, end);
}

/** The value of one header parameter; an empty span where it stands without a value; undefined where it is absent. */
export function nameAddrParameter(bytes: Uint8Array, value: NameAddr, lowerName: string): Span | undefined {
  let i = value.parameters;
  while (i < value.end && bytes[i] === SEMICOLON) {
    const nameStart = skipLws(bytes, i + 1, value.end);
    const nameEnd = skipToken(bytes, nameStart, value.end);
    i = skipLws(bytes, nameEnd, value.end);
    let found: Span = { start: nameEnd, end: nameEnd };
    if (i < value.end && bytes[i] === EQUALS) {
      const valueStart = skipLws(bytes, i + 1, value.end);
      const valueEnd = skipGenericValue(bytes, valueStart, value.end);
      found = { start: valueStart, end: valueEnd };
      i = skipLws(bytes, valueEnd, value.end);
    }
    if (equalsIgnoreCase(bytes, nameStart, nameEnd, lowerName)) return found;
  }
  return undefined;
}

/** The "<" after a display name of tokens; -1 where there is no such thing before a scheme's colon. */
function displayNameEnd(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end) {
    const c = bytes[i]!;
    if (c === LESS) return i;
    if (isTokenCharacter(c)) i++;
    else {
      const next = skipLws(bytes, i, end);
      if (next === i) return -1;
      i = next;
    }
  }
  return -1;
}

function scanBare(bytes: Uint8Array, start: number, end: number): NameAddr | undefined {
  let i = start;
  while (i < end) {
    const c = bytes[i]!;
    if (c === SEMICOLON || c === COMMA || isWhite(c) || c === 0x0d) break;
    if (c < 0x20 || c === QUESTION || c === LESS || c === GREATER || c === QUOTE) return undefined;
    i++;
  }
  if (!hasScheme(bytes, start, i)) return undefined;
  return withParameters(bytes, { start, end: i }, i, end);
}

function hasScheme(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (bytes[i] === 0x3a) return i > start && i + 1 < end;
    if (!isTokenCharacter(bytes[i]!)) return false;
  }
  return false;
}

function withParameters(bytes: Uint8Array, uri: Span, from: number, end: number): NameAddr | undefined {
  let i = skipLws(bytes, from, end);
  const parameters = i;
  while (i < end && bytes[i] === SEMICOLON) {
    const nameStart = skipLws(bytes, i + 1, end);
    const nameEnd = skipToken(bytes, nameStart, end);
    if (nameEnd === nameStart) return undefined;
    i = skipLws(bytes, nameEnd, end);
    if (i < end && bytes[i] === EQUALS) {
      const valueStart = skipLws(bytes, i + 1, end);
      const valueEnd = skipGenericValue(bytes, valueStart, end);
      if (valueEnd <= valueStart) return undefined;
      i = skipLws(bytes, valueEnd, end);
    }
  }
  if (i < end && bytes[i] !== COMMA) return undefined;
  return { uri, parameters, end: i };
}

/** gen-value: token, host or quoted-string; other characters that are seen in the field (":" "/" "@") are let through. */
function skipGenericValue(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1;
  if (bytes[start] === QUOTE) return skipQuoted(bytes, start, end);
  if (bytes[start] === LEFT_BRACKET) {
    const close = find(bytes, RIGHT_BRACKET, start, end);
    return close < 0 ? -1 : close + 1;
  }
  let i = start;
  while (i < end && endsValue[bytes[i]!] === 0) i++;
  return i;
}
