/** What the data plane of the explicit mode can be told, its limits, and what it tells of itself. */
import type { DataPlane } from '../../core/alg/io.ts';
import type { Address, Endpoint } from '../../core/net/address.ts';
import type { ConnectionLimits } from '../../stream/connections.ts';
import type { MediaSnapshot } from './media-relay.ts';
import type { HopTarget } from './next-hop.ts';
import type { Lookup } from './resolver.ts';
import type { Sockets } from './udp-socket.ts';

export interface ExplicitPlaneOptions {
  /** Where phones send to. An exact address is better than 0.0.0.0: phones then always hear the one that they know. */
  readonly listen: readonly Endpoint[];
  /** Our address as providers see it, where that is none of this machine's own (a container, 1:1 NAT). */
  readonly advertise?: Address;
  /** Further endpoints and names under which phones may name us in a Route. */
  readonly own?: readonly HopTarget[];
  /** Instead of the DNS. */
  readonly resolve?: Lookup;
  readonly limits?: Partial<ExplicitLimits & ConnectionLimits>;
  /** How often is looked whether media passes; default 30 s. */
  readonly mediaLookMs?: number;
  /** Default: the best that this machine has. */
  readonly sockets?: Sockets;
}

export interface ExplicitLimits {
  /** Phones remembered: their listen socket and their last provider. The one silent for longest is forgotten first. */
  readonly phones: number;
  /** Requests to phones whose responses may still come. */
  readonly transactions: number;
  /** Signalling mappings. */
  readonly signalling: number;
  /** Media mappings. */
  readonly media: number;
  /** Datagrams of one phone that wait for a name to be looked up. */
  readonly waitingPerPhone: number;
  /** Datagrams of all phones that wait. */
  readonly waiting: number;
}

export const defaultExplicitLimits: ExplicitLimits = {
  phones: 4096,
  transactions: 16_384,
  signalling: 4096,
  media: 512,
  waitingPerPhone: 32,
  waiting: 1024,
};

export interface ExplicitPlane extends DataPlane {
  /** The listen endpoints as bound, in the order of the options. */
  readonly addresses: readonly Endpoint[];
  readonly sockets: Sockets['make'];
  /** Our address as this phone knows it: what it is told to send media to. Undefined where there is no route to it. */
  innerAddress(phone: Endpoint): Address | undefined;
  snapshot(): ExplicitSnapshot;
}

export interface ExplicitSnapshot {
  readonly phones: number;
  readonly signalling: number;
  readonly waiting: number;
  /** TCP connections. */
  readonly connections: number;
  /** What was dropped, by notice code. */
  readonly dropped: Readonly<Record<string, number>>;
  readonly media: readonly MediaSnapshot[];
}
