/**
 * The topmost Via (RFC 3261 §20.42, §25.1): where the sent-by and the parameters of response routing stand.
 *
 * Facts: white space and folds may stand around "/" and ":" and between the parts; several Vias may share one header
 * field, separated by commas; `rport` without a value asks for RFC 3581; `received` may be an IPv6 address without
 * brackets (RFC 5118 §4.5).
 */
import { parseAddress } from '../net/address.ts';
import type { Span } from '../net/span.ts';
import { nameAddrParameter } from './name-addr.ts';
import {
  COLON,
  COMMA,
  decimal,
  EQUALS,
  equalsIgnoreCase,
  equalsText,
  find,
  isDigit,
  LEFT_BRACKET,
  QUOTE,
  RIGHT_BRACKET,
  SEMICOLON,
  SLASH,
  skipLws,
  skipQuoted,
  skipToken,
  textOf,
} from './octets.ts';
import { addressAt, type HostPort, skipHost } from './uri.ts';

export interface Via {
  /** `UDP`, `TCP`, … as written. */
  readonly transport: Span;
  /** host [":" port], white space around the colon included in the span. */
  readonly sentBy: HostPort;
  /** The value of branch; empty span where there is none. */
  readonly branch: Span | undefined;
  /** The value of received. */
  readonly received: Span | undefined;
  /** The value of rport; an empty span where rport stands without one; undefined where it does not stand. */
  readonly rport: Span | undefined;
  /** One past the Via and its parameters: a comma stands there, or the end of the header field. */
  readonly end: number;
}

/** The first Via of the header field value `[start, end)`; undefined where it does not follow the grammar. */
export function scanVia(bytes: Uint8Array, start: number, end: number): Via | undefined {
  const protocol = protocolEnd(bytes, start, end);
  if (protocol < 0) return undefined;
  const transportStart = skipLws(bytes, protocol, end);
  const transportEnd = skipToken(bytes, transportStart, end);
  if (transportEnd === transportStart) return undefined;
  const hostStart = skipLws(bytes, transportEnd, end);
  if (hostStart === transportEnd) return undefined;
  const sentBy = scanSentBy(bytes, hostStart, end);
  if (sentBy === undefined) return undefined;

  let branch: Span | undefined;
  let received: Span | undefined;
  let rport: Span | undefined;
  let i = skipLws(bytes, sentBy.span.end, end);
  while (i < end && bytes[i] === SEMICOLON) {
    const nameStart = skipLws(bytes, i + 1, end);
    const nameEnd = skipToken(bytes, nameStart, end);
    if (nameEnd === nameStart) return undefined;
    let value: Span = { start: nameEnd, end: nameEnd };
    i = skipLws(bytes, nameEnd, end);
    if (i < end && bytes[i] === EQUALS) {
      const valueStart = skipLws(bytes, i + 1, end);
      const valueEnd = skipParameterValue(bytes, valueStart, end);
      if (valueEnd <= valueStart) return undefined;
      value = { start: valueStart, end: valueEnd };
      i = skipLws(bytes, valueEnd, end);
    }
    if (branch === undefined && equalsIgnoreCase(bytes, nameStart, nameEnd, 'branch')) branch = value;
    else if (equalsIgnoreCase(bytes, nameStart, nameEnd, 'rport')) {
      if (rport !== undefined) return undefined;
      rport = value;
    } else if (equalsIgnoreCase(bytes, nameStart, nameEnd, 'received')) {
      if (received !== undefined) return undefined;
      received = value;
    }
  }
  if (i < end && bytes[i] !== COMMA) return undefined;
  return { transport: { start: transportStart, end: transportEnd }, sentBy, branch, received, rport, end: i };
}

/** One past the "/" that stands before the transport; -1 where there is none. */
function protocolEnd(bytes: Uint8Array, start: number, end: number): number {
  if (start + 8 <= end && equalsText(bytes, start, start + 8, 'SIP/2.0/')) return start + 8;
  let i = skipLws(bytes, start, end);
  const name = skipToken(bytes, i, end);
  if (name === i) return -1;
  i = skipLws(bytes, name, end);
  if (bytes[i] !== SLASH || i >= end) return -1;
  i = skipLws(bytes, i + 1, end);
  const version = skipToken(bytes, i, end);
  if (version === i) return -1;
  i = skipLws(bytes, version, end);
  return bytes[i] === SLASH && i < end ? i + 1 : -1;
}

/** The address that `received` names, brackets or not; undefined where there is none. */
export function receivedAddress(bytes: Uint8Array, via: Via): string | undefined {
  if (via.received === undefined) return undefined;
  return parseAddress(textOf(bytes, via.received.start, via.received.end).replace(/^\[|\]$/g, ''));
}

function scanSentBy(bytes: Uint8Array, start: number, end: number): HostPort | undefined {
  const hostEnd = skipHost(bytes, start, end);
  if (hostEnd < 0) return undefined;
  let portEnd = hostEnd;
  let port: number | undefined;
  const colon = skipLws(bytes, hostEnd, end);
  if (colon < end && bytes[colon] === COLON) {
    const portStart = skipLws(bytes, colon + 1, end);
    portEnd = portStart;
    while (portEnd < end && isDigit(bytes[portEnd]!)) portEnd++;
    port = decimal(bytes, portStart, portEnd, 5);
    if (port < 1 || port > 65535) return undefined;
  }
  return {
    span: { start, end: portEnd },
    host: { start, end: hostEnd },
    address: addressAt(bytes, start, hostEnd),
    port,
  };
}

/** token, host (IPv6 in brackets or bare) or quoted-string. */
function skipParameterValue(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1;
  if (bytes[start] === QUOTE) return skipQuoted(bytes, start, end);
  if (bytes[start] === LEFT_BRACKET) {
    const close = find(bytes, RIGHT_BRACKET, start, end);
    return close < 0 ? -1 : close + 1;
  }
  let i = start;
  for (;;) {
    const j = skipToken(bytes, i, end);
    if (j >= end || bytes[j] !== COLON) return j;
    i = j + 1;
  }
}

/** The value of a parameter; an empty span where it stands without a value; undefined where it is absent. */
export function viaParameter(bytes: Uint8Array, via: Via, lowerName: string): Span | undefined {
  const parameters = skipLws(bytes, via.sentBy.span.end, via.end);
  return nameAddrParameter(bytes, { uri: via.sentBy.span, parameters, end: via.end }, lowerName);
}
