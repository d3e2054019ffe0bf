/**
 * Fragments put together again, within bounds.
 *
 * Facts: fragments belong together by source, destination, identification and, in IPv4, protocol (RFC 791 §3.2, RFC 8200
 * §4.5); every fragment but the last has a multiple of eight octets; fragments that overlap are an attack, and the whole
 * datagram goes (RFC 5722 §4), but the same fragment twice is only a copy, as a capture on two interfaces has it.
 */
import type { TimeMs } from '../../core/net/time.ts';
import type { IpPacket } from './ip.ts';

/** Datagrams that are incomplete at one time. */
export const MAX_PENDING = 256;
/** 65535 octets in the smallest fragments that anybody sends. */
const MAX_PIECES = 512;
const MAX_DATAGRAM = 65_535;
/** RFC 1122 §3.3.2 asks for 60 to 120 s; what is 30 s late is no SIP any more (RFC 3261: 64·T1 = 32 s). */
const MAX_AGE_MS = 30_000;

interface Pending {
  readonly since: TimeMs;
  readonly pieces: Map<number, Uint8Array>;
  received: number;
  /** Known with the last fragment. */
  total: number | undefined;
  /** Known with the first fragment. */
  protocol: number | undefined;
}

export interface Whole {
  readonly protocol: number;
  readonly payload: Uint8Array;
}

export class Reassembly {
  readonly #pending = new Map<string, Pending>();
  /** Fragments that came to nothing. */
  lost = 0;

  get pending(): number {
    return this.#pending.size;
  }

  /** The whole datagram with its last missing fragment; undefined before. */
  add(packet: IpPacket, interfaceId: number, timeMs: TimeMs): Whole | undefined {
    const { fragment, payload } = packet;
    if (fragment === undefined) return packet;
    const { offset, more } = fragment;
    const isFourth = !packet.source.includes(':');
    const key = `${interfaceId} ${packet.source} ${packet.destination} ${fragment.id} ${isFourth ? packet.protocol : ''}`;
    if (
      (more && payload.length % 8 !== 0) ||
      payload.length === 0 ||
      offset + payload.length > MAX_DATAGRAM
    ) {
      this.lost++;
      return undefined;
    }
    const one = this.#find(key, timeMs);
    if (offset === 0) one.protocol = packet.protocol;
    const before = one.pieces.get(offset);
    if (before !== undefined && before.length === payload.length) return undefined;
    if (before !== undefined || one.pieces.size >= MAX_PIECES) return this.#drop(key, one, 1);
    one.pieces.set(offset, payload.slice());
    one.received += payload.length;
    if (!more) one.total = offset + payload.length;
    if (one.total === undefined || one.received < one.total || one.protocol === undefined) return undefined;
    const whole = new Uint8Array(one.total);
    let at = 0;
    for (const [start, piece] of [...one.pieces].sort(([a], [b]) => a - b)) {
      if (start !== at || at + piece.length > one.total) return this.#drop(key, one, 0);
      whole.set(piece, at);
      at += piece.length;
    }
    this.#pending.delete(key);
    return { protocol: one.protocol, payload: whole };
  }

  /** Nothing more will come. */
  end(): void {
    for (const [key, one] of this.#pending) this.#drop(key, one, 0);
  }

  #find(key: string, timeMs: TimeMs): Pending {
    const before = this.#pending.get(key);
    if (before !== undefined) {
      if (Math.abs(timeMs - before.since) <= MAX_AGE_MS) return before;
      this.#drop(key, before, 0);
    }
    if (this.#pending.size >= MAX_PENDING) {
      const [oldest] = this.#pending;
      if (oldest !== undefined) this.#drop(oldest[0], oldest[1], 0);
    }
    const one: Pending = {
      since: timeMs,
      pieces: new Map(),
      received: 0,
      total: undefined,
      protocol: undefined,
    };
    this.#pending.set(key, one);
    return one;
  }

  #drop(key: string, one: Pending, more: number): undefined {
    this.#pending.delete(key);
    this.lost += one.pieces.size + more;
  }
}
