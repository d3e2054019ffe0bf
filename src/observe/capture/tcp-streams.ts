/**
 * SIP messages out of captured TCP segments: segments put in order, the stream cut into messages.
 *
 * Facts: sequence numbers count octets and wrap at 2^32 (RFC 9293 §3.4); SYN and FIN count one; a segment may come twice,
 * overlap another, or late; where a message ends stands in its Content-Length (RFC 3261 §18.3). A capture may begin in
 * the middle of a connection, and may lack segments: reading goes on at the next segment that begins like SIP.
 */
import { type Endpoint, endpointKey } from '../../core/net/address.ts';
import { Framer } from '../../core/sip/framing.ts';
import { isTokenCharacter, SP } from '../../core/sip/octets.ts';

/** Directions of connections that are followed at one time; the longest silent one goes first. */
export const MAX_STREAMS = 4_096;
/** Octets of one direction that wait for an earlier segment. */
const MAX_WAITING_BYTES = 262_144;
const MAX_WAITING_SEGMENTS = 32;

const FIN = 1;
const SYN = 2;
const RST = 4;

export interface Segment {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly sequence: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

interface Stream {
  /** The sequence number that comes next; undefined before the first segment. */
  next: number | undefined;
  framer: Framer | undefined;
  readonly waiting: Map<number, Uint8Array>;
  waitingBytes: number;
}

/** A TCP segment, or undefined where its header does not fit. */
export function readSegment(source: string, destination: string, bytes: Uint8Array): Segment | undefined {
  if (bytes.length < 20) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = (bytes[12]! >> 4) * 4;
  const [from, to] = [view.getUint16(0), view.getUint16(2)];
  if (header < 20 || header > bytes.length || from === 0 || to === 0) return undefined;
  return {
    source: { address: source, port: from },
    destination: { address: destination, port: to },
    sequence: view.getUint32(4),
    flags: bytes[13]!,
    payload: bytes.subarray(header),
  };
}

export class TcpStreams {
  readonly #streams = new Map<string, Stream>();
  /** Places at which segments are missing. */
  gaps = 0;

  /** The messages that this segment completes. */
  add(segment: Segment): Uint8Array[] {
    const key = `${endpointKey(segment.source)} ${endpointKey(segment.destination)}`;
    const stream = this.#find(key);
    const { flags, payload } = segment;
    let { sequence } = segment;
    if ((flags & SYN) !== 0) {
      sequence = (sequence + 1) >>> 0;
      stream.next = sequence;
      stream.framer = new Framer();
      stream.waiting.clear();
      stream.waitingBytes = 0;
    }
    const messages: Uint8Array[] = [];
    if (payload.length > 0) {
      stream.next ??= sequence;
      this.#take(stream, sequence, payload, messages);
    }
    if ((flags & (RST | FIN)) !== 0 && stream.waiting.size === 0) this.#streams.delete(key);
    return messages;
  }

  #find(key: string): Stream {
    const before = this.#streams.get(key);
    if (before !== undefined) {
      // The newest stands last.
      this.#streams.delete(key);
      this.#streams.set(key, before);
      return before;
    }
    if (this.#streams.size >= MAX_STREAMS) {
      const [oldest] = this.#streams.keys();
      this.#streams.delete(oldest!);
    }
    const stream: Stream = { next: undefined, framer: undefined, waiting: new Map(), waitingBytes: 0 };
    this.#streams.set(key, stream);
    return stream;
  }

  #take(stream: Stream, sequence: number, payload: Uint8Array, messages: Uint8Array[]): void {
    const ahead = distance(stream.next!, sequence);
    if (ahead > 0) {
      if (!stream.waiting.has(sequence)) {
        stream.waiting.set(sequence, payload.slice());
        stream.waitingBytes += payload.length;
      }
      if (stream.waiting.size > MAX_WAITING_SEGMENTS || stream.waitingBytes > MAX_WAITING_BYTES)
        this.#skipGap(stream, messages);
      return;
    }
    // What has come before is cut off; nothing may be left.
    if (-ahead >= payload.length) return;
    this.#feed(stream, payload.subarray(-ahead), messages);
    this.#drain(stream, messages);
  }

  #drain(stream: Stream, messages: Uint8Array[]): void {
    for (let found = stream.waiting.size > 0; found; ) {
      found = false;
      for (const [sequence, payload] of stream.waiting) {
        const ahead = distance(stream.next!, sequence);
        if (ahead > 0) continue;
        stream.waiting.delete(sequence);
        stream.waitingBytes -= payload.length;
        if (-ahead < payload.length) this.#feed(stream, payload.subarray(-ahead), messages);
        found = stream.waiting.size > 0;
      }
    }
  }

  /** Goes on behind segments that will not come. */
  #skipGap(stream: Stream, messages: Uint8Array[]): void {
    let first: number | undefined;
    for (const sequence of stream.waiting.keys())
      if (first === undefined || distance(first, sequence) < 0) first = sequence;
    if (first === undefined) return;
    this.gaps++;
    stream.next = first;
    stream.framer = undefined;
    this.#drain(stream, messages);
  }

  /** The capture is at its end: what still waits for segments waits in vain. */
  end(): void {
    for (const stream of this.#streams.values()) {
      if (stream.waiting.size > 0) this.gaps++;
      stream.waiting.clear();
    }
  }

  #feed(stream: Stream, payload: Uint8Array, messages: Uint8Array[]): void {
    stream.next = (stream.next! + payload.length) >>> 0;
    if (stream.framer === undefined) {
      if (!beginsLikeSip(payload)) return;
      stream.framer = new Framer();
    }
    for (const { kind, bytes } of stream.framer.feed(payload)) {
      if (kind === 'message') messages.push(bytes);
      else if (kind === 'raw') stream.framer = undefined;
    }
  }
}

/** How far `to` is ahead of `from`, −2^31 to 2^31 − 1. */
function distance(from: number, to: number): number {
  return (to - from) | 0;
}

/** A token, and a space or the "/" of SIP/2.0 behind it. */
function beginsLikeSip(bytes: Uint8Array): boolean {
  let i = 0;
  while (i < bytes.length && i < 32 && isTokenCharacter(bytes[i]!)) i++;
  return i > 0 && (bytes[i] === SP || bytes[i] === 0x2f);
}
