/** Connections of SIP that were made while the gateway was away, and that would go on past it. */
import { type Endpoint, endpointKey } from '../core/net/address.ts';
import { type ConntrackEntry, IPS_DST_NAT, IPS_SRC_NAT } from './conntrack.ts';
import { inPrefix } from './family.ts';
import type { FlowJudgement } from './flow-sweep.ts';

export interface StaleContext {
  readonly sipPorts: readonly number[];
  /** This machine's own addresses: its own flows are left alone. */
  readonly local: ReadonlySet<string>;
  readonly forwarded: readonly Endpoint[];
  readonly excludedPhones: readonly string[];
  readonly excludedProviders: readonly string[];
}

/** UDP flows from an internal host to a SIP port that carry the router's ordinary NAT; never those of a port forward. */
export function staleSignalling(entries: readonly ConntrackEntry[], context: StaleContext): ConntrackEntry[] {
  const forwarded = new Set(context.forwarded.map(endpointKey));
  return entries.filter((entry) => {
    const { source, destination } = entry.original;
    return (
      context.sipPorts.includes(destination.port) &&
      (entry.status & IPS_SRC_NAT) !== 0 &&
      (entry.status & IPS_DST_NAT) === 0 &&
      !context.local.has(source.address) &&
      !forwarded.has(endpointKey(source)) &&
      !context.excludedPhones.some((prefix) => inPrefix(source.address, prefix)) &&
      !context.excludedProviders.some((prefix) => inPrefix(destination.address, prefix))
    );
  });
}

/** Flows of sockets of ours, started from either end. */
export function isFlowAt(...endpoints: readonly Endpoint[]): FlowJudgement {
  const keys = new Set(endpoints.map(endpointKey));
  return ({ original }) =>
    keys.has(endpointKey(original.source)) || keys.has(endpointKey(original.destination));
}
