/** Two captures of the same traffic, one on each side of a router that does what a test says. */
import { type Endpoint, sameEndpoint } from '../../src/core/net/address.ts';
import { ipPacket } from '../../src/observe/capture/packet.ts';
import type { Datagram } from '../../src/observe/capture/writer.ts';
import { writePcap } from '../../src/observe/capture/writer.ts';

export const PHONE: Endpoint = { address: '192.168.1.50', port: 5060 };
export const EXTERNAL: Endpoint = { address: '203.0.113.7', port: 61002 };
export const SERVER: Endpoint = { address: '198.51.100.5', port: 5060 };
/** The clock outside is so much ahead. */
export const SKEW_MS = 1_500;
const DELAY_MS = 2;

/** What becomes of a message on its way; undefined: it does not arrive. */
export type Box = (text: string) => string | undefined;

export class TwoSides {
  readonly inside: Datagram[] = [];
  readonly outside: Datagram[] = [];
  #now = 1_700_000_000_000;
  readonly mappings: (readonly [Endpoint, Endpoint])[] = [[PHONE, EXTERNAL]];

  wait(ms: number): this {
    this.#now += ms;
    return this;
  }

  /** From inside to outside. */
  out(text: string, box: Box = (one) => one, from = PHONE, to = SERVER): this {
    this.#now += 100;
    this.inside.push(datagram(this.#now, from, to, text));
    const arrived = box(text);
    if (arrived !== undefined)
      this.outside.push(datagram(this.#now + DELAY_MS + SKEW_MS, this.#externalOf(from), to, arrived));
    return this;
  }

  /** From outside to inside. */
  back(text: string, box: Box = (one) => one, to = PHONE, from = SERVER): this {
    this.#now += 100;
    this.outside.push(datagram(this.#now + SKEW_MS, from, this.#externalOf(to), text));
    const arrived = box(text);
    if (arrived !== undefined) this.inside.push(datagram(this.#now + DELAY_MS, from, to, arrived));
    return this;
  }

  files(): { inside: Uint8Array; outside: Uint8Array } {
    return { inside: writePcap(this.inside), outside: writePcap(this.outside) };
  }

  #externalOf(inside: Endpoint): Endpoint {
    return this.mappings.find(([one]) => sameEndpoint(one, inside))?.[1] ?? inside;
  }
}

function datagram(timeMs: number, source: Endpoint, destination: Endpoint, text: string): Datagram {
  return { timeMs, source, destination, bytes: new Uint8Array(Buffer.from(text, 'latin1')) };
}

/** An IPv4 packet with a TCP segment in it. */
export function tcpPacket(
  { source, destination }: Pick<Datagram, 'source' | 'destination'>,
  sequence: number,
  flags: number,
  payload: string,
): Uint8Array {
  const segment = new Uint8Array(20 + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, source.port);
  view.setUint16(2, destination.port);
  view.setUint32(4, sequence);
  segment[12] = 5 << 4;
  segment[13] = flags;
  segment.set(Buffer.from(payload, 'latin1'), 20);
  // The packet of a datagram as long as the segment, with the segment in its place.
  const packet = ipPacket({ source, destination, bytes: segment.subarray(8) });
  packet.set(segment, 20);
  packet[9] = 6;
  return packet;
}

/** RTP (RFC 3550 §5.1), version 2, payload type 0. */
export function rtp(ssrc: number, sequence: number): string {
  const bytes = Buffer.alloc(172);
  bytes[0] = 0x80;
  bytes.writeUInt16BE(sequence, 2);
  bytes.writeUInt32BE(ssrc, 8);
  return bytes.toString('latin1');
}
