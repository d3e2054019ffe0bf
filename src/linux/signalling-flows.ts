/** Connections of SIP that were made while the gateway was away, and that would go on past it. */
import { type Endpoint, endpointKey, parseIPv4 } from '../core/net/address.ts';
import { type ConntrackEntry, IPS_DST_NAT, IPS_SRC_NAT } from './conntrack.ts';

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

/** Whether `address` is in `prefix` (`192.0.2.0/24`, or an address alone). */
export function inPrefix(address: string, prefix: string): boolean {
  const [network = '', length = '32'] = prefix.split('/');
  const a = parseIPv4(address);
  const n = parseIPv4(network);
  if (a === undefined || n === undefined) return false;
  const size = 2 ** (32 - Number(length));
  return Math.floor(a / size) === Math.floor(n / size);
}
