/** The configuration as the gateway uses it: typed, checked as a whole, frozen. */
import type { Address, Endpoint } from '../core/net/address.ts';
import type { Prefix } from './prefix.ts';
import type { ConfigValues } from './schema.ts';
import type { Chain, PortRange } from './value.ts';

export type PolicyMode = 'assist' | 'off';
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface ProviderConfig {
  readonly name: string;
  readonly addresses: readonly Prefix[];
  readonly mode: PolicyMode;
}

export interface PhoneConfig {
  readonly address: Prefix;
  readonly mode: PolicyMode;
}

/** Each limit's unit is in the table of schema.ts. */
export interface LimitsConfig {
  readonly mappings: number;
  readonly dialogs: number;
  readonly media: number;
  readonly transactions: number;
  readonly pending: number;
  readonly messageBytes: number;
  readonly connections: number;
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
  readonly policy: {
    readonly origin: 'keep' | 'translate';
    readonly received: 'restore' | 'expose';
    readonly ice: 'leave' | 'translate-all';
  };
  readonly limits: LimitsConfig;
  readonly log: { readonly level: LogLevel; readonly reveal: boolean };
  readonly linux: {
    readonly fwmarkIntercept: number;
    readonly fwmarkAccept: number;
    readonly routeTable: number;
  };
  readonly providers: readonly ProviderConfig[];
  readonly phones: readonly PhoneConfig[];
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
    policy: values.policy,
    limits: {
      mappings: values.limits.mappings,
      dialogs: values.limits.dialogs,
      media: values.limits.media,
      transactions: values.limits.transactions,
      pending: values.limits.pending,
      messageBytes: values.limits['message-bytes'],
      connections: values.limits.connections,
    },
    log: values.log,
    linux: {
      fwmarkIntercept: values.linux['fwmark-intercept'],
      fwmarkAccept: values.linux['fwmark-accept'],
      routeTable: values.linux['route-table'],
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
