/**
 * sip: URIs (RFC 3261 §19.1.1), found and not decoded: where the host and port stand.
 *
 * Facts: there is at most one "@" and it ends the userinfo, which may itself hold ";" "?" "/" and ":"; an IPv6 host is in
 * brackets; the port is absent, or 1 to 5 digits. Other schemes, sips: among them, are opaque here: sips: promises TLS
 * end to end, so no address of ours belongs into it.
 */
import { type Address, ipv4At, parseAddress } from '../net/address.ts';
import type { Span } from '../net/span.ts';
import {
  AT,
  COLON,
  decimal,
  equalsIgnoreCase,
  find,
  LEFT_BRACKET,
  QUESTION,
  RIGHT_BRACKET,
  SEMICOLON,
  textOf,
} from './octets.ts';

/** A host and an optional port, as they stand in a message. */
export interface HostPort {
  /** From the host's first octet to the port's last. */
  readonly span: Span;
  /** The host as written, brackets included. */
  readonly host: Span;
  /** Canonical address where the host is a literal; undefined for a name. */
  readonly address: Address | undefined;
  /** Undefined where none is written. */
  readonly port: number | undefined;
}

export interface SipUri extends HostPort {
  /** The userinfo without "@"; empty where there is none. */
  readonly user: Span;
  /** From the first ";" or "?" after the host and port, to the end. */
  readonly rest: Span;
}

/** The sip: URI that fills `[start, end)`, or undefined where it is of another scheme or not understood. */
export function scanSipUri(bytes: Uint8Array, start: number, end: number): SipUri | undefined {
  if (end - start < 5 || !equalsIgnoreCase(bytes, start, start + 4, 'sip:')) return undefined;
  const from = start + 4;
  let at = -1;
  for (let i = from; i < end; i++) {
    if (bytes[i] !== AT) continue;
    if (at >= 0) return undefined;
    at = i;
  }
  const hasUser = at >= 0;
  const hostStart = hasUser ? at + 1 : from;
  const host = scanHostPort(bytes, hostStart, end);
  if (host === undefined) return undefined;
  if (host.span.end < end) {
    const next = bytes[host.span.end]!;
    if (next !== SEMICOLON && next !== QUESTION) return undefined;
  }
  return {
    span: host.span,
    host: host.host,
    address: host.address,
    port: host.port,
    user: { start: from, end: hasUser ? at : from },
    rest: { start: host.span.end, end },
  };
}

/** Whether `scanSipUri` would find one; makes nothing. */
export function isSipUri(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 5 || !equalsIgnoreCase(bytes, start, start + 4, 'sip:')) return false;
  const at = find(bytes, AT, start + 4, end);
  if (at >= 0 && find(bytes, AT, at + 1, end) >= 0) return false;
  const hostEnd = hostPortEnd(bytes, at < 0 ? start + 4 : at + 1, end);
  if (hostEnd < 0) return false;
  return hostEnd === end || bytes[hostEnd] === SEMICOLON || bytes[hostEnd] === QUESTION;
}

/** host [":" port] without white space, from `start` on; it ends at the first octet that cannot belong to it. */
export function scanHostPort(bytes: Uint8Array, start: number, end: number): HostPort | undefined {
  const hostEnd = skipHost(bytes, start, end);
  if (hostEnd < 0) return undefined;
  let i = hostEnd;
  let port: number | undefined;
  if (i < end && bytes[i] === COLON) {
    let j = i + 1;
    while (j < end && bytes[j]! >= 0x30 && bytes[j]! <= 0x39) j++;
    port = decimal(bytes, i + 1, j, 5);
    if (port < 1 || port > 65535) return undefined;
    i = j;
  }
  return {
    span: { start, end: i },
    host: { start, end: hostEnd },
    address: addressAt(bytes, start, hostEnd),
    port,
  };
}

/** One past the host and port that `scanHostPort` would find, or -1; makes nothing. */
export function hostPortEnd(bytes: Uint8Array, start: number, end: number): number {
  const host = skipHost(bytes, start, end);
  if (host < 0 || host >= end || bytes[host] !== COLON) return host;
  let i = host + 1;
  while (i < end && bytes[i]! >= 0x30 && bytes[i]! <= 0x39) i++;
  const port = decimal(bytes, host + 1, i, 5);
  return port < 1 || port > 65535 ? -1 : i;
}

/** One past the host (a name, IPv4, or IPv6 in brackets) that begins at `start`, or -1 where none does. */
export function skipHost(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1;
  if (bytes[start] === LEFT_BRACKET) {
    const close = find(bytes, RIGHT_BRACKET, start, end);
    return close < 0 ? -1 : close + 1;
  }
  let i = start;
  while (i < end && isHostCharacter(bytes[i]!)) i++;
  return i === start ? -1 : i;
}

/** Canonical address of the host that fills the range, or undefined where it is a name. */
export function addressAt(bytes: Uint8Array, start: number, end: number): Address | undefined {
  const first = bytes[start]!;
  if (first === LEFT_BRACKET) return parseAddress(textOf(bytes, start + 1, end - 1));
  // A name cannot end in a digit-only label (RFC 3261 §25.1 toplabel), so most names are told by their last octet.
  const last = bytes[end - 1]!;
  if (last < 0x30 || last > 0x39 || end - start > 15) return undefined;
  return ipv4At(bytes, start, end);
}

function isHostCharacter(c: number): boolean {
  return (
    (c >= 0x61 && c <= 0x7a) ||
    (c >= 0x30 && c <= 0x39) ||
    c === 0x2e ||
    c === 0x2d ||
    (c >= 0x41 && c <= 0x5a) ||
    c === 0x5f
  );
}
