/** This machine's addresses, by interface; and the one on the route to a destination. */
import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type Address, parseAddress } from '../core/net/address.ts';
import { type Family, familyOf, IPV4, isLinkLocal } from './family.ts';
import * as sys from './sys.ts';

/** Link-local addresses are left out: nothing that is routed comes from one. */
export function addressesOf(names: readonly string[]): Set<Address> {
  const all = networkInterfaces();
  const found = new Set<Address>();
  for (const name of names)
    for (const info of all[name] ?? []) {
      const address = parseAddress(info.address);
      if (address !== undefined && !isLinkLocal(address)) found.add(address);
    }
  return found;
}

export function localAddresses(): Set<Address> {
  return addressesOf(Object.keys(networkInterfaces()));
}

/**
 * The first bridge among `names` whose frames go through the IP firewall (br_netfilter): there the kernel forgets the
 * socket that `tproxy` has chosen, and a first packet is lost instead of intercepted.
 */
export function filteredBridge(names: readonly string[], { nft }: Family = IPV4): string | undefined {
  return names.find((name) => {
    if (!existsSync(`/sys/class/net/${name}/bridge`)) return false;
    try {
      return readFileSync(`/proc/sys/net/bridge/bridge-nf-call-${nft}tables`, 'utf8').trim() === '1';
    } catch {
      return false;
    }
  });
}

export const BRIDGE_REMEDY =
  'sysctl -w net.bridge.bridge-nf-call-iptables=0, and put it into /etc/sysctl.d/ (Docker switches it on)';
export const BRIDGE_REMEDY_6 = BRIDGE_REMEDY.replace('iptables', 'ip6tables');

const CACHE_MS = 2_000;
const CACHE_SIZE = 4_096;

/**
 * Our address on the route to a provider: the kernel chooses it when a datagram socket is connected; no packet leaves.
 * Kept for two seconds, so that a new address or route is soon seen.
 */
export class ExternalAddresses {
  readonly #interfaces: readonly string[];
  readonly #known = new Map<Address, { readonly address: Address | undefined; readonly untilMs: number }>();

  constructor(interfaces: readonly string[]) {
    this.#interfaces = interfaces;
  }

  /** Undefined where there is no route, or where it does not lead out of an external interface. */
  towards(provider: Address, nowMs: number): Address | undefined {
    const known = this.#known.get(provider);
    if (known !== undefined && known.untilMs > nowMs) return known.address;
    if (this.#known.size >= CACHE_SIZE) this.#known.clear();
    const address = sourceAddress(provider);
    const found = address !== undefined && addressesOf(this.#interfaces).has(address) ? address : undefined;
    this.#known.set(provider, { address: found, untilMs: nowMs + CACHE_MS });
    return found;
  }

  clear(): void {
    this.#known.clear();
  }
}

function sourceAddress(destination: Address): Address | undefined {
  let fd: sys.FileDescriptor | undefined;
  try {
    fd = sys.socket(familyOf(destination).domain, sys.SOCK_DGRAM, 0);
    sys.connectInet(fd, { address: destination, port: 5060 });
    return sys.localEndpoint(fd).address;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) sys.close(fd);
  }
}
