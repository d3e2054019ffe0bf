/**
 * Writes UDP datagrams as a pcap file: link type raw IP, or Ethernet with made-up addresses. Checksums are right, so that
 * any reader takes the packets for what they are.
 */
import { type Address, type Endpoint, isIPv6, parseIPv4 } from '../../core/net/address.ts';
import type { TimeMs } from '../../core/net/time.ts';
import { PROTOCOL_UDP } from './ip.ts';
import { LINK_ETHERNET, LINK_RAW } from './link-layer.ts';

export interface PcapOptions {
  readonly link?: 'raw' | 'ethernet';
  readonly fraction?: 'microseconds' | 'nanoseconds';
  readonly byteOrder?: 'little' | 'big';
}

export interface Datagram {
  readonly timeMs: TimeMs;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** At most 65507 octets over IPv4, 65527 over IPv6. */
  readonly bytes: Uint8Array;
}

const SNAP_LENGTH = 262_144;
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
const HOP_LIMIT = 64;

export function writePcap(datagrams: Iterable<Datagram>, options: PcapOptions = {}): Uint8Array {
  const parts = [pcapHeader(options)];
  for (const datagram of datagrams) parts.push(pcapRecord(datagram, options));
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The head of a file. */
export function pcapHeader(options: PcapOptions = {}): Uint8Array {
  const view = new DataView(new ArrayBuffer(24));
  const little = options.byteOrder !== 'big';
  view.setUint32(0, options.fraction === 'nanoseconds' ? 0xa1b2_3c4d : 0xa1b2_c3d4, little);
  view.setUint16(4, 2, little);
  view.setUint16(6, 4, little);
  view.setUint32(16, SNAP_LENGTH, little);
  view.setUint32(20, options.link === 'ethernet' ? LINK_ETHERNET : LINK_RAW, little);
  return new Uint8Array(view.buffer);
}

/** One datagram, to stand behind the head and other records made with the same options. */
export function pcapRecord(datagram: Datagram, options: PcapOptions = {}): Uint8Array {
  const packet = ipPacket(datagram);
  const link = options.link === 'ethernet' ? ETHERNET_BYTES : 0;
  const record = new Uint8Array(16 + link + packet.length);
  const view = new DataView(record.buffer);
  const little = options.byteOrder !== 'big';
  const perMs = options.fraction === 'nanoseconds' ? 1_000_000 : 1_000;
  const seconds = Math.floor(datagram.timeMs / 1_000);
  // Rounded up to a whole second it would not be a fraction any more.
  const fraction = Math.min(Math.round((datagram.timeMs - seconds * 1_000) * perMs), perMs * 1_000 - 1);
  view.setUint32(0, seconds, little);
  view.setUint32(4, fraction, little);
  view.setUint32(8, link + packet.length, little);
  view.setUint32(12, link + packet.length, little);
  if (link > 0) {
    // Locally administered addresses (IEEE 802).
    record.set([0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1], 16);
    view.setUint16(28, isIPv6(datagram.source.address) ? 0x86dd : 0x0800);
  }
  record.set(packet, 16 + link);
  return record;
}

/** The datagram in its IP packet. Throws RangeError for what no single packet can carry. */
export function ipPacket({ source, destination, bytes }: Datagram): Uint8Array {
  const isSixth = isIPv6(source.address);
  if (isSixth !== isIPv6(destination.address))
    throw new RangeError('source and destination differ in family');
  const header = isSixth ? 40 : 20;
  const udpLength = UDP_BYTES + bytes.length;
  if (udpLength + (isSixth ? 0 : header) > 65_535)
    throw new RangeError(`${bytes.length} octets do not fit into one datagram`);
  const packet = new Uint8Array(header + udpLength);
  const view = new DataView(packet.buffer);
  const from = addressBytes(source.address);
  const to = addressBytes(destination.address);
  if (isSixth) {
    view.setUint8(0, 0x60);
    view.setUint16(4, udpLength);
    view.setUint8(6, PROTOCOL_UDP);
    view.setUint8(7, HOP_LIMIT);
    packet.set(from, 8);
    packet.set(to, 24);
  } else {
    view.setUint8(0, 0x45);
    view.setUint16(2, packet.length);
    view.setUint8(8, HOP_LIMIT);
    view.setUint8(9, PROTOCOL_UDP);
    packet.set(from, 12);
    packet.set(to, 16);
    view.setUint16(10, checksum(packet.subarray(0, header)));
  }
  view.setUint16(header, source.port);
  view.setUint16(header + 2, destination.port);
  view.setUint16(header + 4, udpLength);
  packet.set(bytes, header + UDP_BYTES);
  // The pseudo-header (RFC 768, RFC 8200 §8.1): addresses, protocol and length; 0 would mean "none" and is sent as ffff.
  const pseudo = [...from, ...to, 0, PROTOCOL_UDP, udpLength >> 8, udpLength & 0xff];
  view.setUint16(header + 6, checksum(Uint8Array.from(pseudo), packet.subarray(header)) || 0xffff);
  return packet;
}

function addressBytes(address: Address): number[] {
  const fourth = parseIPv4(address);
  if (fourth !== undefined) return [24, 16, 8, 0].map((shift) => (fourth >>> shift) & 0xff);
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const end = tail === undefined || tail === '' ? [] : tail.split(':');
  if (tail !== undefined) while (groups.length + end.length < 8) groups.push('0');
  return [...groups, ...end].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** RFC 1071. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let i = 0; i < part.length; i += 2) sum += part[i]! * 256 + (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536);
  return ~sum & 0xffff;
}
