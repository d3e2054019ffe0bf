/**
 * RTP in two captures: streams are the same by SSRC and sequence numbers, whatever happened to their addresses
 * (RFC 3550 §5.1). They tell the real mappings of media, which an SDP ought to name.
 */
import { type Endpoint, endpointKey, sameEndpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { Direction, KnownMapping } from './comparison.ts';
import type { CaptureSide } from './pairing.ts';

export interface MediaPacket {
  readonly timeMs: TimeMs;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly ssrc: number;
  readonly sequence: number;
}

export interface MediaStream {
  readonly ssrc: number;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  packets: number;
  /** The first few sequence numbers. */
  readonly sequences: Set<number>;
}

export interface PairedStream {
  readonly inside: MediaStream;
  readonly outside: MediaStream;
  readonly direction: Direction;
}

export interface MediaPairing {
  readonly pairs: readonly PairedStream[];
  readonly lonely: readonly { readonly side: CaptureSide; readonly stream: MediaStream }[];
  readonly mappings: readonly KnownMapping[];
}

/** Streams of one capture that are followed. */
export const MAX_MEDIA_STREAMS = 4_096;
const MAX_SEQUENCES = 64;
/** So many packets make a stream; fewer may be anything that looks like one. */
const MIN_PACKETS = 3;

/** An RTP packet, or undefined: version 2, no RTCP (RFC 5761 §4), a whole header. */
export function readMedia(
  source: Endpoint,
  destination: Endpoint,
  timeMs: TimeMs,
  bytes: Uint8Array,
): MediaPacket | undefined {
  if (bytes.length < 12 || bytes[0]! >> 6 !== 2) return undefined;
  const type = bytes[1]! & 0x7f;
  if (type >= 64 && type <= 95) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { timeMs, source, destination, ssrc: view.getUint32(8), sequence: view.getUint16(2) };
}

/** The streams of one capture, put together packet by packet. */
export class MediaStreams {
  readonly #streams = new Map<string, MediaStream>();

  add({ source, destination, ssrc, sequence }: MediaPacket): void {
    const key = `${ssrc} ${endpointKey(source)} ${endpointKey(destination)}`;
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      if (this.#streams.size >= MAX_MEDIA_STREAMS) return;
      stream = { ssrc, source, destination, packets: 0, sequences: new Set() };
      this.#streams.set(key, stream);
    }
    stream.packets++;
    if (stream.sequences.size < MAX_SEQUENCES) stream.sequences.add(sequence);
  }

  all(): MediaStream[] {
    return [...this.#streams.values()].filter(({ packets }) => packets >= MIN_PACKETS);
  }
}

export function pairMedia(
  inside: readonly MediaStream[],
  outside: readonly MediaStream[],
  isInside: (endpoint: Endpoint) => boolean,
): MediaPairing {
  const far = new Map<number, MediaStream[]>();
  for (const stream of outside) far.set(stream.ssrc, [...(far.get(stream.ssrc) ?? []), stream]);
  const taken = new Set<MediaStream>();
  const pairs: PairedStream[] = [];
  const lonely: { side: CaptureSide; stream: MediaStream }[] = [];
  const pair = (stream: MediaStream, fits: (other: MediaStream) => boolean): boolean => {
    const other = far
      .get(stream.ssrc)
      ?.find(
        (one) =>
          !taken.has(one) &&
          fits(one) &&
          [...stream.sequences].some((sequence) => one.sequences.has(sequence)),
      );
    if (other === undefined) return false;
    taken.add(other);
    const isOut = !sameEndpoint(stream.source, other.source) || isInside(stream.source);
    pairs.push({ inside: stream, outside: other, direction: isOut ? 'to-server' : 'to-client' });
    return true;
  };
  // A NAT translates one end. An echo sends the same stream back, so that the other end tells the two apart; only what is left then
  // may have been translated at both ends.
  const left = inside.filter(
    (stream) =>
      !pair(
        stream,
        ({ source, destination }) =>
          sameEndpoint(stream.destination, destination) || sameEndpoint(stream.source, source),
      ),
  );
  for (const stream of left) if (!pair(stream, () => true)) lonely.push({ side: 'inside', stream });
  for (const stream of outside) if (!taken.has(stream)) lonely.push({ side: 'outside', stream });
  const mappings = pairs.map(({ inside: one, outside: other, direction }) =>
    direction === 'to-server'
      ? { inside: one.source, outside: other.source }
      : { inside: one.destination, outside: other.destination },
  );
  return { pairs, lonely, mappings };
}
