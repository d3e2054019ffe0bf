/** What the data plane has to be told, and what it tells of itself. */
import type { DataPlane, MappingId, PlaneHandler } from '../core/alg/io.ts';
import type { Address } from '../core/net/address.ts';
import type { ConnectionLimits } from '../stream/connections.ts';
import type { ChainName } from './accept-chain.ts';
import type { Dropped } from './flood-watch.ts';
import type { Rates } from './rate-rules.ts';
import type { ListenPorts } from './ruleset.ts';

export interface LinuxPlaneOptions {
  readonly internal: readonly string[];
  readonly external: readonly string[];
  /** Default 5060. */
  readonly sipPorts?: readonly number[];
  /** The wildcard socket's port on 127.0.0.1; by default any free one. */
  readonly listenPort?: number;
  readonly excludedPhones?: readonly string[];
  readonly excludedProviders?: readonly string[];
  /** Addresses or prefixes of providers that may call from where no phone has registered. */
  readonly providers?: readonly string[];
  readonly acceptChains?: readonly ChainName[];
  /** Provider endpoints with a socket at one time; the one unused longest goes first. Default 1024. */
  readonly maxProviderSockets?: number;
  /**
   * IPv6: found out from the router's own NAT rules (auto, the default), or laid down: routed without NAT, translated (NAT66),
   * or left alone.
   */
  readonly ipv6?: 'auto' | 'routed' | 'translated' | 'off';
  /** The first NFLOG group that is tried. Default 5060. */
  readonly watchGroup?: number;
  /** TCP connections; `defaultConnectionLimits` says what holds otherwise. */
  readonly connections?: Partial<ConnectionLimits>;
  readonly receiveBufferBytes?: number;
  /** How often is looked whether media passes; default 30 s, 3 s at least. */
  readonly mediaLookMs?: number;
  /** Packets a second that one phone and one provider may send; default 1000 and 5000. */
  readonly rates?: Partial<Rates>;
  /**
   * One of several engines that share the phones: what there is one of (rules, route, heartbeat, what is routed) somebody else has
   * (interception.ts). Default: all of it is ours.
   */
  readonly shared?: boolean;
  readonly routeTable?: number;
  readonly rulePriority?: number;
}

export interface LinuxPlaneStats {
  readonly providerSockets: number;
  readonly externalSockets: number;
  readonly connections: number;
  readonly mediaMappings: number;
  readonly elements: number;
  readonly sendFailures: number;
  /** Signs of life to the kernel. */
  readonly heartbeats: number;
  /** Requests dropped because more came than could be handled. */
  readonly shed: number;
  /** Packets that the kernel has dropped before they came to us. */
  readonly dropped: Dropped | undefined;
}

export interface LinuxPlaneHandler extends PlaneHandler {
  /** All addresses of the external interfaces: told by `start`, and whenever they have changed. */
  externalAddresses(addresses: readonly Address[]): void;
}

export interface LinuxPlane extends DataPlane {
  /** Rules, routes and sockets; throws a `SystemError`, and then nothing is left behind. */
  start(): void;
  stats(): LinuxPlaneStats;
  /** What becomes of IPv6, in words. */
  ipv6(): string;
  /** Why the rules rest and the phones have ordinary NAT; undefined while they intercept. */
  resting(): string | undefined;
  /** Packets on the first port of each media mapping, as the kernel counts them. */
  mediaTraffic(): Map<MappingId, { readonly fromPhone: number; readonly toPhone: number }>;
  /** Where phones' packets have to be brought. */
  listening(): ListenPorts;
  /** Sets all elements again: the table was written anew. */
  restoreElements(): void;
}
