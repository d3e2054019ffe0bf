/**
 * What plays a scenario. The engine alone is one driver; the explicit mode on real sockets, the kernel's data plane, or
 * somebody else's ALG can be others. A driver says what it can tell, and what it cannot is not asked of it.
 */
import type { Endpoint } from '../../src/core/net/address.ts';
import type { Transport } from '../../src/core/net/flow.ts';
import type { Scenario } from './scenario.ts';

/** One datagram, as whoever gets it sees it. */
export interface Arrival {
  /** TCP: the connection's name; `any`: whichever leads there. */
  readonly on?: string;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

/** What a message goes by. */
export interface By {
  readonly transport: Transport;
  /** TCP: a name that the first message on it gives it. */
  readonly connection: string;
}

export interface OpenMedia {
  /** The phone's endpoint; with a relay, ours towards the phone. */
  readonly inside: Endpoint;
  readonly external: Endpoint;
  readonly ports: number;
  /** Who may send. */
  readonly sources: readonly Endpoint[];
}

export interface Told {
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Outcome {
  readonly arrivals: readonly Arrival[];
  readonly events: readonly Told[];
  /** Rules of all edits, in the order of the message, each once. */
  readonly rules: readonly string[];
}

export interface Driver {
  /** What it can tell apart from the datagrams. */
  readonly tells: { readonly events: boolean; readonly rules: boolean; readonly media: boolean };
  send(
    side: 'internal' | 'external',
    from: Endpoint,
    to: Endpoint,
    bytes: Uint8Array,
    by?: By,
  ): Promise<Outcome>;
  /** A connection ends; undefined where the driver has none. */
  readonly closed: ((connection: string) => Promise<Outcome>) | undefined;
  /** Lets time pass; undefined where the driver has no other clock than the world's. */
  readonly pass: ((ms: number) => Promise<Outcome>) | undefined;
  /** Gives the gateway other external addresses; undefined where the driver cannot. */
  readonly readdress: ((addresses: readonly string[]) => Promise<Outcome>) | undefined;
  media(): readonly OpenMedia[];
  close(): Promise<void>;
}

export type StartDriver = (scenario: Scenario) => Promise<Driver>;
