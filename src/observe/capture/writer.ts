/**
 * Writes UDP datagrams as a pcap file: link type raw IP, or Ethernet with made-up addresses. Checksums are right, so that
 * any reader takes the packets for what they are.
 */
import { type Endpoint, isIPv6 } from '../../core/net/address.ts';
import type { TimeMs } from '../../core/net/time.ts';
import { LINK_ETHERNET, LINK_RAW } from './link-layer.ts';
import { ipPacket } from './packet.ts';

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
