/** What a capture is read into: datagrams, whole, in the order in which the file has them; and what was left out. */
import type { Endpoint } from '../../core/net/address.ts';
import type { Transport } from '../../core/net/flow.ts';
import type { TimeMs } from '../../core/net/time.ts';

export interface CapturedDatagram {
  /** Number of the packet in the file, from 1; of a fragmented datagram, the packet that made it whole. */
  readonly frame: number;
  /** With a fraction where the file has microseconds or nanoseconds. */
  readonly timeMs: TimeMs;
  /** `tcp`: `bytes` are one SIP message of the stream. */
  readonly transport: Transport;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** A copy: it stays as it is when the reader goes on. */
  readonly bytes: Uint8Array;
  /** Identification of the IPv4 packet (RFC 791 §3.2); most NATs leave it as it is. */
  readonly ipId?: number;
}

/** Why a packet did not become a datagram. */
export type Skip =
  /** TCP, where streams are not asked for. */
  | 'tcp'
  /** ARP, ICMP and whatever else is no UDP over IP. */
  | 'other'
  /** A link type that the reader does not know. */
  | 'link-type'
  /** The capture kept less of the packet than was on the wire (its snap length). */
  | 'cut'
  /** A piece of a datagram of which the rest has not come, or a piece too many. */
  | 'fragment'
  /** Lengths that contradict each other. */
  | 'malformed';

/** What ends the reading before the end of the file. The datagrams before it stand. */
export interface CaptureProblem {
  readonly code: 'observe/capture-unknown' | 'observe/capture-damaged' | 'observe/capture-cut-off';
  /** Byte of the file. */
  readonly offset: number;
  readonly text: string;
}

/** One packet as a file has it: link layer and all. A view that holds until the reader goes on. */
export interface Frame {
  readonly timeMs: TimeMs;
  readonly linkType: number;
  readonly bytes: Uint8Array;
  /** Bytes that were on the wire. */
  readonly wireLength: number;
  /** pcapng: the interface, from 0. */
  readonly interfaceId: number;
}

/** What the next octets of a file are. */
export type Step =
  /** Not whole yet. */
  | { readonly kind: 'more' }
  | { readonly kind: 'frame'; readonly length: number; readonly frame: Frame }
  /** Nothing for us; it may be longer than what has been read. */
  | { readonly kind: 'skip'; readonly length: number }
  | { readonly kind: 'damaged'; readonly text: string };

/** No packet of any capture of ours is larger (MAXIMUM_SNAPLEN of libpcap). */
export const MAX_FRAME_BYTES = 262_144;
