/** Everything that the data plane leaves in the kernel, removed. Idempotent: `sipalg off`, and every stop, call it. */
import { isIPv6, isPrivate } from '../core/net/address.ts';
import { removeAcceptRules } from './accept-chain.ts';
import { Conntrack, type ConntrackEntry, IPS_DST_NAT, IPS_SRC_NAT } from './conntrack.ts';
import { localAddresses } from './interfaces.ts';
import { removePolicyRoute } from './policy-route.ts';
import { tryRun } from './program.ts';
import { TABLE } from './ruleset.ts';

export interface RemoveOptions {
  readonly sipPorts?: readonly number[];
  readonly table?: number;
}

/** What was found and removed. */
export interface Removed {
  readonly ruleset: boolean;
  readonly acceptRules: boolean;
  readonly policyRoute: boolean;
  readonly flows: number;
}

export function removeEverything(options: RemoveOptions = {}): Removed {
  const ruleset = tryRun('nft', ['delete', 'table', 'inet', TABLE]).status === 0;
  const acceptRules = removeAcceptRules();
  const policyRoute = removePolicyRoute(options.table);
  return { ruleset, acceptRules, policyRoute, flows: removeIntercepted(options.sipPorts ?? [5060]) };
}

/**
 * The entries of intercepted flows: they have no NAT, and with our table their one-second life is gone too, so that the
 * phone's next packets would leave with its private address.
 */
function removeIntercepted(sipPorts: readonly number[]): number {
  let conntrack: Conntrack | undefined;
  try {
    conntrack = new Conntrack();
    const local = localAddresses();
    const entries = conntrack.list().filter((entry) => isIntercepted(entry, sipPorts, local));
    for (const entry of entries) conntrack.remove(entry);
    return entries.length;
  } catch {
    // No connection table in this kernel, or no right to read it: then there is no flow of ours in it either.
    return 0;
  } finally {
    conntrack?.close();
  }
}

function isIntercepted(
  { original, status, timeoutS }: ConntrackEntry,
  sipPorts: readonly number[],
  local: ReadonlySet<string>,
): boolean {
  const { source, destination } = original;
  return (
    (status & (IPS_SRC_NAT | IPS_DST_NAT)) === 0 &&
    (sipPorts.includes(source.port) || sipPorts.includes(destination.port)) &&
    // IPv6 without NAT is what routing looks like; of what we took, the source is private or the second nearly over.
    (!isIPv6(source.address) || isPrivate(source.address) || timeoutS <= 1) &&
    !local.has(source.address) &&
    !local.has(destination.address)
  );
}
