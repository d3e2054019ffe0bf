/**
 * IP packets as they would have been on the wire: UDP datagrams, and segments of TCP. Checksums are right, so that any reader
 * takes them for what they are.
 */
import { type Address, addressOctets, type Endpoint, isIPv6 } from '../../core/net/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './ip.ts';

export interface Payload {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** UDP: at most 65507 octets over IPv4, 65527 over IPv6; TCP: 65495 and 65515. */
  readonly bytes: Uint8Array;
}

/** Numbers of a segment (RFC 9293 §3.1). */
export interface Segment {
  readonly sequence: number;
  readonly acknowledgement: number;
}

const UDP_BYTES = 8;
const TCP_BYTES = 20;
const HOP_LIMIT = 64;
const PSH_ACK = 0x18;
const WINDOW = 65_535;

/** The datagram in its IP packet. Throws RangeError for what no single packet can carry. */
export function ipPacket(payload: Payload): Uint8Array {
  const { packet, view, header } = emptyPacket(payload, PROTOCOL_UDP, UDP_BYTES);
  view.setUint16(header, payload.source.port);
  view.setUint16(header + 2, payload.destination.port);
  view.setUint16(header + 4, packet.length - header);
  // 0 would mean "none" and is sent as ffff (RFC 768).
  view.setUint16(header + 6, transportChecksum(payload, PROTOCOL_UDP, packet.subarray(header)) || 0xffff);
  return packet;
}

/** The octets as one segment that acknowledges everything before it. Throws RangeError as above. */
export function tcpPacket(payload: Payload, { sequence, acknowledgement }: Segment): Uint8Array {
  const { packet, view, header } = emptyPacket(payload, PROTOCOL_TCP, TCP_BYTES);
  view.setUint16(header, payload.source.port);
  view.setUint16(header + 2, payload.destination.port);
  view.setUint32(header + 4, sequence);
  view.setUint32(header + 8, acknowledgement);
  view.setUint8(header + 12, (TCP_BYTES / 4) << 4);
  view.setUint8(header + 13, PSH_ACK);
  view.setUint16(header + 14, WINDOW);
  view.setUint16(header + 16, transportChecksum(payload, PROTOCOL_TCP, packet.subarray(header)));
  return packet;
}

/** IP header and payload, with room for the transport's header between them. */
function emptyPacket(
  { source, destination, bytes }: Payload,
  protocol: number,
  transportBytes: number,
): { readonly packet: Uint8Array; readonly view: DataView; readonly header: number } {
  const isSixth = isIPv6(source.address);
  if (isSixth !== isIPv6(destination.address))
    throw new RangeError('source and destination differ in family');
  const header = isSixth ? 40 : 20;
  const length = transportBytes + bytes.length;
  if (length + (isSixth ? 0 : header) > 65_535)
    throw new RangeError(`${bytes.length} octets do not fit into one packet`);
  const packet = new Uint8Array(header + length);
  const view = new DataView(packet.buffer);
  const from = octetsOfAddress(source.address);
  const to = octetsOfAddress(destination.address);
  if (isSixth) {
    view.setUint8(0, 0x60);
    view.setUint16(4, length);
    view.setUint8(6, protocol);
    view.setUint8(7, HOP_LIMIT);
    packet.set(from, 8);
    packet.set(to, 24);
  } else {
    view.setUint8(0, 0x45);
    view.setUint16(2, packet.length);
    view.setUint8(8, HOP_LIMIT);
    view.setUint8(9, protocol);
    packet.set(from, 12);
    packet.set(to, 16);
    view.setUint16(10, checksum(packet.subarray(0, header)));
  }
  packet.set(bytes, header + transportBytes);
  return { packet, view, header };
}

/** Over the pseudo-header too (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1): addresses, protocol and length. */
function transportChecksum({ source, destination }: Payload, protocol: number, segment: Uint8Array): number {
  const from = octetsOfAddress(source.address);
  const to = octetsOfAddress(destination.address);
  const pseudo = [...from, ...to, 0, protocol, segment.length >> 8, segment.length & 0xff];
  return checksum(Uint8Array.from(pseudo), segment);
}

function octetsOfAddress(address: Address): Uint8Array {
  const octets = addressOctets(address);
  if (octets === undefined) throw new RangeError(`${address} is no address`);
  return octets;
}

/** RFC 1071. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let i = 0; i < part.length; i += 2) sum += part[i]! * 256 + (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536);
  return ~sum & 0xffff;
}
