/** What a comparison is asked, and what it answers. */
import type { Address, Endpoint } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import type { Span } from '../net/span.ts';
import type { EngineGuess } from './engine-fingerprint.ts';
import type { Severity } from './fault.ts';
import type { FaultId } from './faults.ts';

/** `to-server`: the client sent it, the server received it; `to-client`: the other way. */
export type Direction = 'to-server' | 'to-client';

/** A: the bytes of both ends; B: timing and behaviour; C: an echo of somebody else, or one end only. */
export type Confidence = 'A' | 'B' | 'C';

/** One endpoint of the client, and the same as the server sees it. */
export interface KnownMapping {
  readonly inside: Endpoint;
  readonly outside: Endpoint;
}

/**
 * What is known beside the bytes. Everything may be left out; what is left out is concluded from the messages where that
 * is safe, and is nobody's fault where it is not.
 */
export interface ComparisonContext {
  readonly direction: Direction;
  /** Default udp. */
  readonly transport?: Transport;
  /** The endpoint of the client's socket, as the client knows it. */
  readonly inside?: Endpoint;
  /** The same socket as the server sees it; the same endpoint where there is no NAT. Differing is never a fault. */
  readonly outside?: Endpoint;
  /** Other mappings that are known to be real: media, other flows. */
  readonly mappings?: readonly KnownMapping[];
  /** Addresses at which a relay takes the client's media in, and through which media is known to flow both ways. */
  readonly relays?: readonly Address[];
  /** Whether an address belongs to the network of the client. Default: `inside` and what is private (RFC 1918). */
  readonly isInside?: (address: Address) => boolean;
  /** Whether an address is the NAT's external one. Default: that of `outside`. */
  readonly isOutside?: (address: Address) => boolean;
  /** What whoever received the message wrote into its topmost Via before the bytes were kept (RFC 3261 §18.2.1, RFC 3581 §4). */
  readonly receiverAdds?: readonly ('received' | 'rport')[];
  /** How the bytes are known. Default A. */
  readonly confidence?: Confidence;
}

export interface Place {
  /** For people: `Contact`, `Request-URI`, `Via 2`, `SDP c= (session)`, `body`. */
  readonly line: string;
  /** In the octets sent; empty where something was put in. */
  readonly sent: Span;
  /** In the octets received; empty where something was taken out. */
  readonly received: Span;
}

/** One alteration, and its name. */
export interface Finding {
  readonly fault: FaultId;
  /** That of the fault; 1 where the edit is consistent. */
  readonly severity: Severity;
  /**
   * An edit that an ALG without fault makes as well: it names the real mapping, and what belongs together was edited
   * together. It is no fault, and it is told.
   */
  readonly consistent: boolean;
  readonly where: Place;
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
  /** One or two sentences for people: what was changed, and what comes of it. */
  readonly explanation: string;
  readonly confidence: Confidence;
}

/** `correct-alg`: altered, and every alteration is consistent. */
export type VerdictKind = 'unaltered' | 'correct-alg' | 'faulty';

export interface Comparison {
  readonly verdict: VerdictKind;
  /** In the order of the message sent. Together they explain every octet that differs. */
  readonly findings: readonly Finding[];
  /** What kind of box makes such edits; undefined where nothing was altered. */
  readonly engine: EngineGuess | undefined;
}
