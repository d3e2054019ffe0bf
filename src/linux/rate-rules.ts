/**
 * Parts of the ruleset that keep floods and strangers from the sockets: nothing of them ever reaches JavaScript.
 *
 * - Phones: SIP above a rate for each source address is dropped before it is taken. It is not let through to the router's
 *   ordinary NAT: a flow that once has that NAT keeps it, and the phone's next messages would leave untranslated.
 * - Providers: the same for each source address that may come in.
 * - Where IPv6 is routed, and messages are only copied, the same rates bound the copies, and nothing is dropped.
 * - Strangers: what arrives at a signalling port of ours without having been asked for, from an address that is no provider's,
 *   no registrar's and nobody's to whom that port has sent, is dropped also where the operator's firewall accepts everything.
 * - TCP: the same bounds on new connections. What a connection then brings is slowed down by its reader, and never dropped here.
 *
 * Facts relied on (tried on the kernel by the tests):
 * - A `limit … over` in a dynamic set breaks off its rule while an element is below its rate, and where the set is full: what
 *   cannot be counted passes.
 * - A packet that is dropped leaves no conntrack entry behind, so that a SYN that comes again is `ct state new` again.
 * - A set with `counter` counts for each element how often it was updated or matched.
 */
import type { Family } from './family.ts';

/** Packets a second from one source address; the burst is twice as much. */
export interface Rates {
  readonly perPhone: number;
  readonly perProvider: number;
}

export const DEFAULT_RATES: Rates = { perPhone: 1_000, perProvider: 5_000 };

/** Sets with a counter for each source address that something was dropped of. */
export const FLOOD_SETS = {
  phones: 'too_fast_phones',
  providers: 'too_fast_providers',
  strangers: 'strangers',
} as const;

/** Whom our signalling ports have sent to: source, our address, our port. */
const CONTACTED = { udp: 'contacted', tcp: 'contacted_tcp' } as const;
const SOURCES = 8_192;
/** Addresses that are counted one by one; what more there are is dropped just so. */
const COUNTED = 1_024;

export function rateSets({ type, suffix }: Family): string[] {
  const dynamic = (name: string, of: string, size: number, timeout: string, more = ''): string[] => [
    `  set ${name}${suffix} {`,
    `    type ${of}`,
    `    size ${size}`,
    '    flags dynamic,timeout',
    `    timeout ${timeout}`,
    ...(more === '' ? [] : [`    ${more}`]),
    '  }',
  ];
  return [
    ...dynamic('rate_phones', type, SOURCES, '30s'),
    ...dynamic('rate_providers', type, SOURCES, '30s'),
    ...Object.values(CONTACTED).flatMap((name) =>
      dynamic(name, `${type} . ${type} . inet_service`, 65_536, '10m'),
    ),
    ...Object.values(FLOOD_SETS).flatMap((name) => dynamic(name, type, COUNTED, '1h', 'counter')),
  ];
}

/** The chains that rules of base chains go to. `take` is what is done with what a phone's provider socket is there for. */
export function rateChains(family: Family, rates: Rates, sets: KnownSets, take: string): string[] {
  const { nft, suffix } = family;
  const unless = (protocol: 'udp' | 'tcp', peers: string): string => {
    const known = `${nft} saddr . ${nft} daddr . ${protocol} dport`;
    return `${nft} saddr != @${sets.providers}${suffix} ${known} != @${peers}${suffix} ${known} != @${CONTACTED[protocol]}${suffix} goto drop_${FLOOD_SETS.strangers}${suffix}`;
  };
  const tooFast = `update @rate_providers${suffix} { ${nft} saddr ${over(rates.perProvider)} } goto drop_${FLOOD_SETS.providers}${suffix}`;
  const drop = (name: string): string[] =>
    chain(`drop_${name}${suffix}`, [`update @${name}${suffix} { ${nft} saddr }`, 'drop']);
  return [
    ...Object.values(FLOOD_SETS).flatMap(drop),
    ...chain(`bound${suffix}`, [phoneLimit(family, rates), take]),
    ...chain(`arrivals${suffix}`, [`ct direction original ${unless('udp', sets.peers)}`, tooFast]),
    ...chain(`arrivals_tcp${suffix}`, [unless('tcp', sets.peersTcp), tooFast]),
  ];
}

/** What is only copied is never dropped: above the rate it passes without having been looked at, and is counted the same. */
export function copyChains({ nft, suffix }: Family, rates: Rates, group: number): string[] {
  const copy = (direction: 'out' | 'in', of: 'phones' | 'providers', rate: number): string[] =>
    chain(`copy_${direction}${suffix}`, [
      `update @rate_${of}${suffix} { ${nft} saddr ${over(rate)} } update @${FLOOD_SETS[of]}${suffix} { ${nft} saddr } return`,
      `log prefix "${direction}" group ${group} queue-threshold 1`,
    ]);
  return [...copy('out', 'phones', rates.perPhone), ...copy('in', 'providers', rates.perProvider)];
}

export interface KnownSets {
  readonly providers: string;
  readonly peers: string;
  readonly peersTcp: string;
}

/** A rule that ends here for what a phone sends too much. */
export function phoneLimit({ nft, suffix }: Family, rates: Rates): string {
  return `update @rate_phones${suffix} { ${nft} saddr ${over(rates.perPhone)} } goto drop_${FLOOD_SETS.phones}${suffix}`;
}

/** For the output chain: whoever is sent to may answer from any port. */
export function noteContacted({ nft, suffix }: Family, protocol: 'udp' | 'tcp', signalling: string): string {
  return `${nft} saddr . ${protocol} sport @${signalling}${suffix} update @${CONTACTED[protocol]}${suffix} { ${nft} daddr . ${nft} saddr . ${protocol} sport }`;
}

function over(rate: number): string {
  return `limit rate over ${rate}/second burst ${2 * rate} packets`;
}

function chain(name: string, rules: readonly string[]): string[] {
  return [`  chain ${name} {`, ...rules.map((rule) => `    ${rule}`), '  }'];
}
