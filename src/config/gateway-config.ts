/** The configuration as the gateway uses it: typed, checked as a whole, frozen. */
import type { Limits, Policy } from '../core/alg/policy.ts';
import type { PortRange } from '../core/nat/port-pool.ts';
import type { Address, Endpoint } from '../core/net/address.ts';
import type { ConnectionLimits } from '../stream/connections.ts';
import type { Prefix } from './prefix.ts';
import type { ConfigValues } from './schema.ts';
import type { Chain, Collector, ConsolePlace } from './value.ts';

export type PolicyMode = 'auto' | 'observe' | 'assist' | 'off';
/** Whether there is another NAT between us and the provider; auto: where our external address is a private one. */
export type UpstreamNat = 'auto' | 'yes' | 'no';
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface ProviderConfig {
  readonly name: string;
  readonly addresses: readonly Prefix[];
  readonly mode: PolicyMode;
}

export interface PhoneConfig {
  readonly address: Prefix;
  readonly mode: PolicyMode;
  /** A proxy or PBX with phones behind it. */
  readonly proxy: boolean;
}

/** What one address may send, in packets a second, with twice as many in a burst; the kernel drops what is more. */
export interface MessageRates {
  readonly messagesPerSecondPerPhone: number;
  readonly messagesPerSecondPerProvider: number;
}

export interface GatewayConfig {
  /** Explicit where `listen` names an endpoint. */
  readonly mode: 'transparent' | 'explicit';
  /** Interface names; empty in explicit mode. */
  readonly internal: readonly string[];
  readonly external: readonly string[];
  /** Empty in transparent mode. */
  readonly listen: readonly Endpoint[];
  readonly advertise: Address | undefined;
  readonly stateDir: string;
  readonly acceptChains: readonly Chain[];
  readonly signalling: { readonly ports: readonly number[]; readonly externalPorts: PortRange };
  readonly media: { readonly ports: PortRange };
  readonly policy: Policy;
  readonly upstreamNat: UpstreamNat;
  readonly limits: Limits & MessageRates & ConnectionLimits;
  readonly log: { readonly level: LogLevel; readonly reveal: boolean };
  /** Undefined: nothing is exported. */
  readonly hep:
    | {
        readonly target: Collector;
        readonly captureId: number;
        readonly password: string | undefined;
        readonly reveal: boolean;
      }
    | undefined;
  /** Where metrics are served without a token; undefined: nowhere. */
  readonly metrics: { readonly listen: Endpoint | undefined };
  /** What is kept of the last messages. */
  readonly observe: { readonly messages: number; readonly octets: number };
  readonly console: { readonly listen: ConsolePlace; readonly names: readonly string[] };
  readonly linux: {
    readonly routeTable: number;
    /** At least 1. */
    readonly engineThreads: number;
    readonly ipv6: 'auto' | 'routed' | 'translated' | 'off';
  };
  readonly providers: readonly ProviderConfig[];
  readonly phones: readonly PhoneConfig[];
}

/** How often the limits of an engine hold: each engine has them for itself. */
export function enginesOf({ mode, linux }: GatewayConfig): number {
  return mode === 'explicit' ? 1 : linux.engineThreads;
}

export function gatewayConfig(values: ConfigValues): GatewayConfig {
  return freeze({
    mode: values.listen.length > 0 ? 'explicit' : 'transparent',
    internal: values.internal,
    external: values.external,
    listen: values.listen,
    advertise: values.advertise,
    stateDir: values['state-dir'],
    acceptChains: values['accept-chains'],
    signalling: { ports: values.signalling.ports, externalPorts: values.signalling['external-ports'] },
    media: values.media,
    policy: { ...values.policy, rules: {} },
    upstreamNat: values['upstream-nat'],
    limits: {
      mappings: values.limits.mappings,
      dialogs: values.limits.dialogs,
      media: values.limits.media,
      transactions: values.limits.transactions,
      mappingsPerPhone: values.limits['mappings-per-phone'],
      dialogsPerPhone: values.limits['dialogs-per-phone'],
      mediaPerPhone: values.limits['media-per-phone'],
      transactionsPerPhone: values.limits['transactions-per-phone'],
      connections: values.limits.connections,
      connectionsPerPhone: values.limits['connections-per-phone'],
      messagesPerSecondPerPhone: values.limits['messages-per-second-per-phone'],
      messagesPerSecondPerProvider: values.limits['messages-per-second-per-provider'],
      mediaPerDescription: values.limits['media-per-description'],
      contactsPerMapping: values.limits['contacts-per-mapping'],
      peersPerMapping: values.limits['peers-per-mapping'],
      newMappingsPerMessage: values.limits['new-mappings-per-message'],
      pending: values.limits.pending,
      messageBytes: values.limits['message-bytes'],
      keepalivesPerSecond: values.limits['keepalives-per-second'],
      callIdleMs: values.limits['call-idle'] * 1000,
    },
    log: values.log,
    hep:
      values.hep.to === undefined
        ? undefined
        : {
            target: values.hep.to,
            captureId: values.hep['capture-id'],
            password: values.hep.password,
            reveal: values.hep.reveal,
          },
    metrics: { listen: values.metrics.listen },
    observe: { messages: values.observe.messages, octets: values.observe.memory * 1024 * 1024 },
    console: values.console,
    linux: {
      routeTable: values.linux['route-table'],
      engineThreads: values.linux['engine-threads'],
      ipv6: values.linux.ipv6,
    },
    providers: values.provider,
    phones: values.phone,
  });
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}
