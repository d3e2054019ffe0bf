/**
 * From what a URI names to an endpoint, over UDP.
 *
 * Facts (RFC 3263 §4.2): an address literal is used as it is, with port 5060 where none is written; a name with a port is
 * looked up as A or AAAA; a name without one is looked up as SRV `_sip._udp.`, and as A or AAAA with port 5060 where
 * there is no such record. A SRV target of "." says that the service is not offered; lower priority values come first,
 * and weights share the load within one priority (RFC 2782).
 *
 * A name may have addresses of both families. The phone's own is preferred, where there is a route to it; the other one is as
 * good, because all that is said and sent goes through us (RFC 6157 §3.1).
 *
 * NAPTR (§4.1) chooses the transport, and here there is only one. Failover to the next record (§4.3) is the phone's:
 * the gateway keeps no transaction to notice a failure by.
 */
import { promises as dns } from 'node:dns';
import { type Address, type Endpoint, endpoint, isIPv6, parseAddress } from '../../core/net/address.ts';
import type { HopTarget } from './next-hop.ts';

export type Family = 4 | 6;

/** Every endpoint that serves the target, the preferred first, those of the family before the others. Rejecting and an empty list both mean: none. */
export type Lookup = (target: HopTarget, family: Family) => Promise<readonly Endpoint[]>;

const DEFAULT_PORT = 5060;
/** Answers come without their TTL (`dns.resolveSrv`), so they are kept for less than most providers' shortest. */
const FRESH_MS = 30_000;
/** A phone repeats a request for 32 s (timers B and F, RFC 3261 §17.1): a failure must not outlive that. */
const FAILED_MS = 5_000;
const LOOKUP_TIMEOUT_MS = 4_000;
const MAX_NAMES = 512;
const MAX_RECORDS = 8;

interface Answer {
  readonly endpoint: Endpoint | undefined;
  readonly staleAtMs: number;
}

export class Resolver {
  readonly #lookup: Lookup;
  readonly #answers = new Map<string, Answer>();
  readonly #underWay = new Map<string, Promise<Endpoint | undefined>>();

  readonly #isReachable: (address: Address) => boolean;

  constructor(lookup: Lookup = lookupInDns, isReachable: (address: Address) => boolean = () => true) {
    this.#lookup = lookup;
    this.#isReachable = isReachable;
  }

  /** At once where the target is a literal or was looked up a moment ago. Undefined: no such place. */
  resolve(target: HopTarget, family: Family): Endpoint | undefined | Promise<Endpoint | undefined> {
    const literal = parseAddress(target.host);
    if (literal !== undefined) return endpoint(literal, target.port ?? DEFAULT_PORT);
    const key = `${family} ${target.host} ${target.port ?? ''}`;
    const answer = this.#answers.get(key);
    if (answer !== undefined && answer.staleAtMs > Date.now()) return answer.endpoint;
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    if (this.#underWay.size >= MAX_NAMES) return answer?.endpoint;
    const asked = this.#ask(key, target, family, answer?.endpoint).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asked);
    return asked;
  }

  async #ask(
    key: string,
    target: HopTarget,
    family: Family,
    last: Endpoint | undefined,
  ): Promise<Endpoint | undefined> {
    let found: readonly Endpoint[] | undefined;
    try {
      found = await withTimeout(this.#lookup(target, family));
    } catch {
      found = undefined;
    }
    // A provider that is still listed stays the provider: registrations and dialogs live on one of its hosts. And a DNS
    // that does not answer is no reason to lose a provider that was there a moment ago.
    const kept =
      last !== undefined &&
      this.#isReachable(last.address) &&
      (found ?? []).some((e) => e.port === last.port && e.address === last.address);
    const best = (found ?? []).find((e) => this.#isReachable(e.address)) ?? found?.[0];
    const chosen = found === undefined || kept ? last : best;
    this.#answers.delete(key);
    this.#answers.set(key, {
      endpoint: chosen,
      staleAtMs: Date.now() + (found === undefined || found.length === 0 ? FAILED_MS : FRESH_MS),
    });
    if (this.#answers.size > MAX_NAMES) {
      const oldest = this.#answers.keys().next().value;
      if (oldest !== undefined) this.#answers.delete(oldest);
    }
    return chosen;
  }
}

export function familyOf(address: Address): Family {
  return isIPv6(address) ? 6 : 4;
}

export const lookupInDns: Lookup = async (target, family) => {
  if (target.port !== undefined) return lookupHost(target.host, target.port, family);
  const records = await dns.resolveSrv(`_sip._udp.${target.host}`).catch(() => []);
  if (records.length === 0) return lookupHost(target.host, DEFAULT_PORT, family);
  if (records.length === 1 && records[0]?.name === '') return [];
  const endpoints: Endpoint[] = [];
  for (const record of byPriorityAndWeight(records, Math.random).slice(0, MAX_RECORDS))
    endpoints.push(...(await lookupHost(record.name, record.port, family).catch(() => [])));
  return endpoints;
};

/** getaddrinfo, so that the hosts file and local names count too. */
async function lookupHost(host: string, port: number, family: Family): Promise<readonly Endpoint[]> {
  const order = family === 6 ? 'ipv6first' : 'ipv4first';
  const found = await dns.lookup(host, { all: true, order });
  return found.map((one) => endpoint(parseAddress(one.address) ?? one.address, port));
}

/** Within a priority, each next one is drawn with a chance in proportion to its weight (RFC 2782). */
export function byPriorityAndWeight<R extends { readonly priority: number; readonly weight: number }>(
  records: readonly R[],
  random: () => number,
): R[] {
  const rest = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: R[] = [];
  while (rest.length > 0) {
    const first = rest[0] as R;
    const group = rest.filter((r) => r.priority === first.priority);
    let draw = random() * group.reduce((sum, r) => sum + r.weight, 0);
    const chosen =
      group.find((r) => {
        draw -= r.weight;
        return draw <= 0;
      }) ?? first;
    rest.splice(rest.indexOf(chosen), 1);
    ordered.push(chosen);
  }
  return ordered;
}

function withTimeout<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer from the DNS')), LOOKUP_TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
