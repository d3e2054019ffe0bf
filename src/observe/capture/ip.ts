/**
 * IPv4 and IPv6 packets, as far as a datagram in them is wanted.
 *
 * Facts: the length in the header counts, not that of the frame, which may be padded (RFC 791 §3.1); checksums are not
 * looked at, because a capture on the sending machine has them before the network card fills them in; in IPv6 any
 * number of extension headers stands before the payload, and the fragment header is one of them (RFC 8200 §4).
 */
import { type Address, parseAddress } from '../../core/net/address.ts';

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

export interface IpPacket {
  readonly source: Address;
  readonly destination: Address;
  /** Of the first payload; in a later fragment of IPv6 it says nothing. */
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** IPv4 only. */
  readonly id?: number;
  readonly fragment: Fragment | undefined;
}

export interface Fragment {
  readonly id: number;
  /** Octets. */
  readonly offset: number;
  readonly more: boolean;
}

const EXTENSION_HEADERS: readonly number[] = [0, 43, 60];
const FRAGMENT_HEADER = 44;
const MAX_EXTENSION_HEADERS = 8;

/** `isCut`: the capture has not kept all of the packet. */
export function readIp(bytes: Uint8Array, isCut: boolean): IpPacket | 'other' | 'cut' | 'malformed' {
  const short = isCut ? 'cut' : 'malformed';
  if (bytes.length === 0) return short;
  const version = bytes[0]! >> 4;
  if (version === 4) return readIPv4(bytes, short);
  return version === 6 ? readIPv6(bytes, short) : 'other';
}

function readIPv4(bytes: Uint8Array, short: 'cut' | 'malformed'): IpPacket | 'cut' | 'malformed' {
  if (bytes.length < 20) return short;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = (bytes[0]! & 15) * 4;
  // 0: segmentation is left to the network card, and the frame says how long it is.
  const total = view.getUint16(2) || bytes.length;
  if (header < 20 || total < header) return 'malformed';
  if (total > bytes.length) return short;
  const flags = view.getUint16(6);
  const offset = (flags & 0x1fff) * 8;
  const more = (flags & 0x2000) !== 0;
  return {
    source: bytes.subarray(12, 16).join('.'),
    destination: bytes.subarray(16, 20).join('.'),
    protocol: bytes[9]!,
    payload: bytes.subarray(header, total),
    id: view.getUint16(4),
    fragment: more || offset > 0 ? { id: view.getUint16(4), offset, more } : undefined,
  };
}

function readIPv6(bytes: Uint8Array, short: 'cut' | 'malformed'): IpPacket | 'other' | 'cut' | 'malformed' {
  if (bytes.length < 40) return short;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(4);
  // 0: a jumbogram (RFC 2675), or segmentation left to the network card.
  const end = length === 0 ? bytes.length : 40 + length;
  if (end > bytes.length) return short;
  let next = bytes[6]!;
  let at = 40;
  let fragment: Fragment | undefined;
  for (let headers = 0; EXTENSION_HEADERS.includes(next) || next === FRAGMENT_HEADER; headers++) {
    if (headers >= MAX_EXTENSION_HEADERS || at + 8 > end) return 'malformed';
    const isFragment = next === FRAGMENT_HEADER;
    if (isFragment) {
      const field = view.getUint16(at + 2);
      const offset = field & 0xfff8;
      const more = (field & 1) !== 0;
      // A whole datagram with a fragment header is an ordinary one (RFC 8200 §4.5, "atomic fragment").
      if (more || offset > 0) fragment = { id: view.getUint32(at + 4), offset, more };
    }
    next = bytes[at]!;
    at += isFragment ? 8 : (bytes[at + 1]! + 1) * 8;
    if (fragment !== undefined) break;
  }
  if (at > end) return 'malformed';
  return {
    source: ipv6Text(view, 8),
    destination: ipv6Text(view, 24),
    protocol: next,
    payload: bytes.subarray(at, end),
    fragment,
  };
}

function ipv6Text(view: DataView, at: number): Address {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(view.getUint16(at + i).toString(16));
  return parseAddress(groups.join(':')) ?? '::';
}
