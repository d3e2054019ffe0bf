/**
 * What plays a scenario. The engine alone is one driver; the explicit mode on real sockets, the kernel's data plane, or
 * somebody else's ALG can be others. A driver says what it can tell, and what it cannot is not asked of it.
 */
import type { Endpoint } from '../../src/core/net/address.ts';
import type { Scenario } from './scenario.ts';

/** One datagram, as whoever gets it sees it. */
export interface Arrival {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
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
  send(side: 'internal' | 'external', from: Endpoint, to: Endpoint, bytes: Uint8Array): Promise<Outcome>;
  /** Lets time pass; undefined where the driver has no other clock than the world's. */
  readonly pass: ((ms: number) => Promise<Outcome>) | undefined;
  /** Gives the gateway other external addresses; undefined where the driver cannot. */
  readonly readdress: ((addresses: readonly string[]) => Promise<Outcome>) | undefined;
  media(): readonly OpenMedia[];
  close(): Promise<void>;
}

export type StartDriver = (scenario: Scenario) => Promise<Driver>;
