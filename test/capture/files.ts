/** Capture files built by hand: other link layers, fragments, pcapng in both byte orders. */

import { ipPacket } from '../../src/observe/capture/packet.ts';
import type { Datagram } from '../../src/observe/capture/writer.ts';

export type ByteOrder = 'little' | 'big';

export interface RawFrame {
  readonly timeMs: number;
  readonly bytes: Uint8Array;
  /** More than `bytes` where the capture was cut. */
  readonly wireLength?: number;
}

export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export function joined(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));
}

export function datagram(number: number, bytes: Uint8Array, sixth = false): Datagram {
  return {
    timeMs: 1_700_000_000_000 + number * 7.125,
    source: { address: sixth ? '2001:db8::50' : '192.168.1.50', port: 5060 },
    destination: { address: sixth ? '2001:db8:1::5' : '198.51.100.5', port: 5060 },
    bytes,
  };
}

/** A pcap file of any link type. */
export function pcapFile(
  linkType: number,
  frames: readonly RawFrame[],
  order: ByteOrder = 'little',
): Uint8Array {
  const little = order === 'little';
  const head = new DataView(new ArrayBuffer(24));
  head.setUint32(0, 0xa1b2_c3d4, little);
  head.setUint16(4, 2, little);
  head.setUint16(6, 4, little);
  head.setUint32(16, 262_144, little);
  head.setUint32(20, linkType, little);
  const records = frames.map(({ timeMs, bytes, wireLength }) => {
    const view = new DataView(new ArrayBuffer(16));
    view.setUint32(0, Math.floor(timeMs / 1_000), little);
    view.setUint32(4, Math.round((timeMs % 1_000) * 1_000), little);
    view.setUint32(8, bytes.length, little);
    view.setUint32(12, wireLength ?? bytes.length, little);
    return joined(new Uint8Array(view.buffer), bytes);
  });
  return joined(new Uint8Array(head.buffer), ...records);
}

export interface PcapngOptions {
  readonly order?: ByteOrder;
  readonly linkType?: number;
  /** Nanoseconds instead of the default. */
  readonly nanoseconds?: boolean;
  /** Simple packet blocks, which have no time. */
  readonly simple?: boolean;
}

/** One section with one interface. */
export function pcapngFile(frames: readonly RawFrame[], options: PcapngOptions = {}): Uint8Array {
  const little = options.order !== 'big';
  const section = new DataView(new ArrayBuffer(16));
  section.setUint32(0, 0x1a2b_3c4d, little);
  section.setUint16(4, 1, little);
  section.setBigInt64(8, -1n, little);
  const face = new DataView(new ArrayBuffer(options.nanoseconds === true ? 20 : 8));
  face.setUint16(0, options.linkType ?? 101, little);
  face.setUint32(4, 262_144, little);
  if (options.nanoseconds === true) {
    face.setUint16(8, 9, little);
    face.setUint16(10, 1, little);
    face.setUint8(12, 9);
  }
  const blocks = frames.map(({ timeMs, bytes, wireLength }) => {
    const isSimple = options.simple === true;
    const view = new DataView(new ArrayBuffer(isSimple ? 4 : 20));
    if (!isSimple) {
      const units =
        options.nanoseconds === true
          ? BigInt(Math.round(timeMs * 1_000)) * 1_000n
          : BigInt(Math.round(timeMs * 1_000));
      view.setUint32(4, Number(units >> 32n), little);
      view.setUint32(8, Number(units & 0xffff_ffffn), little);
      view.setUint32(12, bytes.length, little);
    }
    view.setUint32(isSimple ? 0 : 16, wireLength ?? bytes.length, little);
    return pcapngBlock(isSimple ? 3 : 6, joined(new Uint8Array(view.buffer), bytes), options.order);
  });
  return joined(
    pcapngBlock(0x0a0d_0d0a, new Uint8Array(section.buffer), options.order),
    pcapngBlock(1, new Uint8Array(face.buffer), options.order),
    ...blocks,
  );
}

export function pcapngBlock(type: number, body: Uint8Array, order: ByteOrder = 'little'): Uint8Array {
  const little = order === 'little';
  const padding = (4 - (body.length % 4)) % 4;
  const length = 12 + body.length + padding;
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, type, little);
  head.setUint32(4, length, little);
  const tail = new DataView(new ArrayBuffer(4));
  tail.setUint32(0, length, little);
  return joined(new Uint8Array(head.buffer), body, new Uint8Array(padding), new Uint8Array(tail.buffer));
}

/** The datagram in fragments with at most `size` octets of payload, which is a multiple of 8. */
export function fragments(whole: Datagram, size: number, id = 7): Uint8Array[] {
  const packet = ipPacket(whole);
  const isSixth = packet[0]! >> 4 === 6;
  const header = isSixth ? 40 : 20;
  const pieces: Uint8Array[] = [];
  for (let at = header; at < packet.length; at += size) {
    const payload = packet.subarray(at, Math.min(at + size, packet.length));
    const more = at + size < packet.length;
    const offset = at - header;
    const head = new Uint8Array(header + (isSixth ? 8 : 0));
    head.set(packet.subarray(0, header));
    const view = new DataView(head.buffer);
    if (isSixth) {
      view.setUint16(4, payload.length + 8);
      view.setUint8(40, packet[6]!);
      view.setUint8(6, 44);
      view.setUint16(42, offset | (more ? 1 : 0));
      view.setUint32(44, id);
    } else {
      view.setUint16(2, header + payload.length);
      view.setUint16(4, id);
      view.setUint16(6, (offset / 8) | (more ? 0x2000 : 0));
      view.setUint16(10, 0);
      let sum = 0;
      for (let i = 0; i < header; i += 2) sum += view.getUint16(i);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
      view.setUint16(10, ~sum & 0xffff);
    }
    pieces.push(joined(head, payload));
  }
  return pieces;
}
