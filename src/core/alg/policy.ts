/** What the operator decides, and the bounds that hold without deciding: every table has one, with its default. */

import type { HashKey } from '../nat/keyed-hash.ts';
import type { PortRange } from '../nat/port-pool.ts';
import type { Address, Endpoint } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import { type RuleId, rules } from './rules.ts';

export interface Policy {
  /** `o=` only has to be unique, so it is kept unless asked for (RFC 8866 §5.2). */
  readonly origin: 'keep' | 'translate';
  /** Whether the phone sees itself in received/rport, or the external endpoint (RFC 3581 §4). */
  readonly received: 'restore' | 'expose';
  /** An SDP with ICE is left whole, or translated with all its candidates; never half (RFC 8839 §4.2.5). */
  readonly ice: 'leave' | 'translate-all';
  /** Rules switched against their default. */
  readonly rules: Partial<Record<RuleId, boolean>>;
}

/** Every rule, on or off: what the policy says, worked out once and not for each message. */
export type RuleSwitches = Readonly<Record<RuleId, boolean>>;

export function ruleSwitches(policy: Policy): RuleSwitches {
  const chosen: Partial<Record<RuleId, boolean>> = {
    'sdp.origin': policy.origin === 'translate',
    'sdp.candidate': policy.ice === 'translate-all',
    'via.received.restore': policy.received === 'restore',
  };
  return Object.fromEntries(
    rules.map(({ id, default: usual }) => [id, policy.rules[id] ?? chosen[id] ?? usual]),
  ) as RuleSwitches;
}

export interface Limits {
  /** External signalling endpoints in all. */
  readonly mappings: number;
  /** Dialogs in all. */
  readonly dialogs: number;
  /** Media mappings in all. */
  readonly media: number;
  /** Transactions remembered; the oldest goes first. */
  readonly transactions: number;
  /** The same four for one phone address: what one phone takes, the others keep. */
  readonly mappingsPerPhone: number;
  readonly dialogsPerPhone: number;
  readonly mediaPerPhone: number;
  readonly transactionsPerPhone: number;
  /** Media descriptions with a mapping, in one description. */
  readonly mediaPerDescription: number;
  /** Contact bindings remembered for one mapping. */
  readonly contactsPerMapping: number;
  /** Provider addresses that one mapping has sent to. */
  readonly peersPerMapping: number;
  /** Mappings that one message may open for further ports of its phone. */
  readonly newMappingsPerMessage: number;
  /** Datagrams that wait for one mapping to open. */
  readonly pending: number;
  /** A call that is not held and has neither media nor messages for this long is over: its BYE was lost. */
  readonly callIdleMs: number;
  /** Octets of one message that is looked into; a longer one passes untouched. */
  readonly messageBytes: number;
  /** Keepalives of our own in one second, through NATs upstream; what is more waits. */
  readonly keepalivesPerSecond: number;
}

/**
 * Both ranges lie below the ports that Linux gives to its own programs (ip_local_port_range, 32768 and up), so that no
 * program of the router's takes one of them by chance.
 */
export const defaultSignallingPorts: PortRange = { low: 20_000, high: 23_999 };
export const defaultMediaPorts: PortRange = { low: 24_000, high: 32_767 };

export const defaultPolicy: Policy = { origin: 'keep', received: 'restore', ice: 'leave', rules: {} };

export const defaultLimits: Limits = {
  mappings: 4096,
  dialogs: 8192,
  media: 4096,
  transactions: 65_536,
  mappingsPerPhone: 256,
  dialogsPerPhone: 1024,
  mediaPerPhone: 1024,
  transactionsPerPhone: 16_384,
  mediaPerDescription: 16,
  contactsPerMapping: 32,
  peersPerMapping: 64,
  newMappingsPerMessage: 4,
  pending: 64,
  callIdleMs: 600_000,
  messageBytes: 65_535,
  keepalivesPerSecond: 200,
};

/** Ports below are a host's services; no mapping ever leads to one of them. */
export const LOWEST_INTERNAL_PORT = 1024;

/** A mapping that is laid down instead of chosen. Without ports it covers the whole host, ports kept. */
export interface StaticMapping {
  readonly internal: { readonly address: Address; readonly port?: number | undefined };
  readonly external: { readonly address: Address; readonly port?: number | undefined };
}

/** The external endpoint that the static mappings lay down for an internal one. */
export function staticExternal(list: readonly StaticMapping[], internal: Endpoint): Endpoint | undefined {
  let host: Endpoint | undefined;
  for (const one of list) {
    if (one.internal.address !== internal.address) continue;
    if (one.internal.port === internal.port)
      return { address: one.external.address, port: one.external.port ?? internal.port };
    if (one.internal.port === undefined) host ??= { address: one.external.address, port: internal.port };
  }
  return host;
}

/** What other engines hold, where several share the phones of one gateway. All of it as it is at the moment of the question. */
export interface Neighbours {
  /** The phone that another engine has mapped to this external endpoint. */
  signalling(transport: Transport, external: Endpoint): Endpoint | undefined;
  /** The same for media. */
  media(external: Endpoint): Endpoint | undefined;
}

export interface EngineOptions {
  readonly policy?: Partial<Policy>;
  readonly limits?: Partial<Limits>;
  /** External ports for phones whose own port is taken. Default `defaultSignallingPorts`. */
  readonly signallingPorts?: PortRange;
  /** External ports for media. Default `defaultMediaPorts`. */
  readonly mediaPorts?: PortRange;
  /** `kernel`: the phone's packets are translated on their way; `relay`: both sides send to us. */
  readonly media?: 'kernel' | 'relay';
  readonly mappings?: readonly StaticMapping[];
  readonly mediaMappings?: readonly StaticMapping[];
  /** Whether an address is a provider's that may call although the phone has not sent there (RFC 4787 §5). */
  readonly isProvider?: (address: Address) => boolean;
  /** Whether an inside address is a proxy or PBX that puts itself into Record-Route and forwards for phones behind it. */
  readonly isProxy?: (address: Address) => boolean;
  /** What the operator asks for, for a phone and its provider (transparent mode). Default: auto for all. */
  readonly choose?: (phone: Address, provider: Address) => 'auto' | 'observe' | 'assist';
  /** Whether there is another NAT between us and the providers. Default auto: where our external address is private. */
  readonly upstreamNat?: 'auto' | 'yes' | 'no';
  /** What senders must not know, lest they crowd one place of a table. Default: two zeros, for what faces no network. */
  readonly hashKey?: HashKey;
  /** Explicit mode: our own endpoints, as phones name them in Route. */
  readonly own?: readonly Endpoint[];
  /** Where this engine has a share of the phones only: the others. */
  readonly neighbours?: Neighbours;
  /** External media ports that are in use elsewhere, and are given to nobody here. */
  readonly takenMedia?: readonly { readonly external: Endpoint; readonly ports: number }[];
}
