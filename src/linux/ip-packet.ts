/**
 * The UDP datagram or the TCP segment in an IPv6 packet.
 *
 * Facts: the fixed header has 40 octets; extension headers follow one another, each naming the next (RFC 8200 §4):
 * hop-by-hop options (0), routing (43) and destination options (60) have their length in 8 octets less the first 8, the
 * authentication header (51) in 4 octets less the first 8 (RFC 4302 §2.2). A fragment (44) with an offset holds no UDP header.
 * The kernel puts fragments together before it forwards (nf_defrag_ipv6), so none is met here but a packet that is whole
 * in itself. A TCP header says its own length in 4 octets (RFC 9293 §3.1); segments that the kernel has joined have one.
 */
import { addressOf, type Endpoint } from '../core/net/address.ts';
import type { Segment } from '../stream/followed.ts';

const HEADER = 40;
const TCP = 6;
const UDP = 17;
const UDP_HEADER = 8;
const TCP_HEADER = 20;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
/** Hop-by-hop options, routing, destination options. */
const OPTIONS: readonly number[] = [0, 43, 60];
/** More than any packet needs; a chain without end is an attack. */
const MAX_EXTENSIONS = 8;
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

interface Ends {
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

export interface Datagram extends Ends {
  readonly kind: 'udp';
  /** A copy. */
  readonly payload: Uint8Array;
}

export interface TcpPacket extends Ends {
  readonly kind: 'tcp';
  /** Its payload is a copy. */
  readonly segment: Segment;
}

/** Undefined for what is neither UDP nor TCP over IPv6, or is cut short. */
export function readPacket(packet: Uint8Array): Datagram | TcpPacket | undefined {
  if (packet.length < HEADER || packet[0]! >> 4 !== 6) return undefined;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let next = packet[6]!;
  let at = HEADER;
  for (let extensions = 0; next !== UDP && next !== TCP; extensions++) {
    if (extensions === MAX_EXTENSIONS || at + 8 > packet.length) return undefined;
    const length = packet[at + 1]!;
    let size = (length + 1) * 8;
    if (next === FRAGMENT) {
      if (view.getUint16(at + 2) >> 3 !== 0) return undefined;
      size = 8;
    } else if (next === AUTHENTICATION) size = (length + 2) * 4;
    else if (!OPTIONS.includes(next)) return undefined;
    next = packet[at]!;
    at += size;
  }
  if (at + (next === UDP ? UDP_HEADER : TCP_HEADER) > packet.length) return undefined;
  const endpoint = (addressAt: number, portAt: number): Endpoint => ({
    address: addressOf(packet.subarray(addressAt, addressAt + 16)),
    port: view.getUint16(portAt),
  });
  const ends = { source: endpoint(8, at), destination: endpoint(24, at + 2) };
  if (next === UDP) {
    const end = at + view.getUint16(at + 4);
    if (end < at + UDP_HEADER || end > packet.length) return undefined;
    return { kind: 'udp', ...ends, payload: packet.slice(at + UDP_HEADER, end) };
  }
  // What follows the payload of the packet is none of it.
  const end = Math.min(packet.length, HEADER + view.getUint16(4));
  const payload = at + (packet[at + 12]! >> 4) * 4;
  if (payload < at + TCP_HEADER || payload > end) return undefined;
  const flags = packet[at + 13]!;
  return {
    kind: 'tcp',
    ...ends,
    segment: {
      sequence: view.getUint32(at + 4),
      acknowledged: (flags & ACK) === 0 ? undefined : view.getUint32(at + 8),
      opens: (flags & SYN) !== 0,
      ends: (flags & FIN) !== 0,
      breaks: (flags & RST) !== 0,
      payload: packet.slice(payload, end),
    },
  };
}
