/**
 * The whole nftables ruleset as text, from plain options: a pure function, tested against a golden file.
 *
 * Facts relied on (each is tried on the kernel by the tests):
 * - `tproxy` breaks off its rule where no socket listens. Standing before `meta mark set`, it lets the packet of a dead
 *   daemon go on to the router's ordinary NAT; standing after it, the packet would be lost. The order is load-bearing.
 * - `ct timeout set` works on an entry's first packet only, and overrides the kernel's UDP timeouts for its whole life.
 * - An intercepted flow has no NAT in its conntrack entry. After the daemon dies that entry would carry the phone's
 *   private address out, so that it lives one second from packet to packet.
 * - A nat chain sees the first packet of a flow only, and the first chain that gives a flow its NAT wins: ours stand one
 *   before the router's.
 * - `mangle + 10` comes after rules that set whole marks at `mangle`, and before `dstnat`.
 */
import { type Address, type Endpoint, parseIPv4 } from '../core/net/address.ts';
import { SystemError } from './system-error.ts';

export const TABLE = 'sipalg';

/** Bits of the packet mark. All that we set and test is masked to them. */
export const INTERCEPT_MARK = 0x0800_0000;
export const ACCEPT_MARK = 0x0400_0000;

/** Seconds that the rules stay active after the last heartbeat. */
export const HEARTBEAT_S = 5;

/** Names of the sets and maps of our table. */
export const SETS = {
  heartbeat: 'heartbeat',
  forwarded: 'forwarded',
  signalling: 'signalling',
  peers: 'peers',
  mediaIn: 'media_in',
  mediaOut: 'media_out',
  mediaInternal: 'media_internal',
} as const;

export interface RulesetOptions {
  /** Interfaces with phones behind them, and interfaces towards providers. At least one each. */
  readonly internal: readonly string[];
  readonly external: readonly string[];
  readonly sipPorts: readonly number[];
  /** Where the wildcard transparent socket listens, on 127.0.0.1. */
  readonly listenPort: number;
  /** Addresses or prefixes that are never intercepted. Here and below IPv6 is passed over: it is not intercepted. */
  readonly excludedPhones?: readonly string[];
  readonly excludedProviders?: readonly string[];
  /** Addresses or prefixes that may call without having been called first (marked for the accept chains). */
  readonly providers?: readonly string[];
  /** Internal endpoints that the operator forwards himself; never intercepted. */
  readonly forwarded?: readonly Endpoint[];
  /** The same, learned by the kernel in a former life; forgotten after a day without such traffic. */
  readonly learned?: readonly Endpoint[];
  readonly mediaElements?: number;
}

const INTERFACE = /^[A-Za-z0-9_.:@-]{1,15}$/;
const PREFIX = /^([0-9.]+)(?:\/(\d{1,2}))?$/;

function interfaces(names: readonly string[], what: string): string {
  if (names.length === 0)
    throw new SystemError(
      'linux/no-interface',
      `no ${what} interface is named`,
      `name one with --${what} IF`,
    );
  for (const name of names)
    if (!INTERFACE.test(name))
      throw new SystemError(
        'linux/interface-name',
        `"${name}" is not the name of an interface`,
        '`ip link` lists the names',
      );
  return braces(names.map((name) => `"${name}"`));
}

function braces(items: readonly (string | number)[]): string {
  return `{ ${items.join(', ')} }`;
}

function prefix(text: string): string {
  const match = PREFIX.exec(text);
  if (match === null || parseIPv4(match[1] ?? '') === undefined || Number(match[2] ?? 32) > 32)
    throw new SystemError(
      'linux/prefix',
      `"${text}" is not an IPv4 address or prefix`,
      'write it as 192.0.2.7 or 192.0.2.0/24',
    );
  return text;
}

function address(text: Address): Address {
  return prefix(text);
}

function set(
  name: string,
  type: string,
  more: readonly string[],
  elements: readonly string[] = [],
): string[] {
  return [
    `  set ${name} {`,
    `    type ${type}`,
    ...more.map((line) => `    ${line}`),
    ...(elements.length === 0 ? [] : [`    elements = ${braces(elements)}`]),
    '  }',
  ];
}

function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [
    `  chain ${name} {`,
    `    type ${hook}; policy accept;`,
    ...rules.map((rule) => `    ${rule}`),
    '  }',
  ];
}

function timeout(name: string, unreplied: number, replied: number): string[] {
  return [
    `  ct timeout ${name} {`,
    '    protocol udp',
    '    l3proto ip',
    `    policy = { unreplied : ${unreplied}, replied : ${replied} }`,
    '  }',
  ];
}

function hex(mark: number): string {
  return `0x${mark.toString(16).padStart(8, '0')}`;
}

/** The text for `nft -f -`. Applying it replaces our table, in one transaction, and touches no other. */
export function renderRuleset(options: RulesetOptions): string {
  const internal = interfaces(options.internal, 'internal');
  const external = interfaces(options.external, 'external');
  const ports = braces(options.sipPorts);
  const endpoints = (list: readonly Endpoint[] | undefined): string[] => [
    ...new Set((list ?? []).map((e) => `${address(e.address)} . ${e.port}`)),
  ];
  const prefixes = (list: readonly string[] | undefined): string[] =>
    (list ?? []).filter((text) => !text.includes(':')).map(prefix);
  const size = `size ${options.mediaElements ?? 65_536}`;
  const take = `meta mark set meta mark or ${hex(INTERCEPT_MARK | ACCEPT_MARK)} ct timeout set "sipalg-intercepted" accept`;
  const accept = `meta mark set meta mark or ${hex(ACCEPT_MARK)}`;
  const range = ['flags interval', 'auto-merge'];

  return `${[
    `table inet ${TABLE}`,
    `delete table inet ${TABLE}`,
    `table inet ${TABLE} {`,
    '  comment "SIP ALG; remove with: sipalg off"',
    ...timeout('sipalg-intercepted', 1, 1),
    // The daemon gives the flow of a registered phone its exact lifetime; this is for what comes before and besides.
    ...timeout('sipalg-registered', 180, 3600),
    ...set(SETS.heartbeat, 'inet_proto', ['flags timeout']),
    ...set('off_phones', 'ipv4_addr', range, prefixes(options.excludedPhones)),
    ...set('off_providers', 'ipv4_addr', range, prefixes(options.excludedProviders)),
    ...set('providers', 'ipv4_addr', range, prefixes(options.providers)),
    ...set('forwarded_static', 'ipv4_addr . inet_service', [], endpoints(options.forwarded)),
    ...set(
      SETS.forwarded,
      'ipv4_addr . inet_service',
      ['size 4096', 'flags dynamic,timeout', 'timeout 1d'],
      endpoints(options.learned),
    ),
    ...set(SETS.signalling, 'ipv4_addr . inet_service', ['size 65536']),
    ...set(SETS.peers, 'ipv4_addr . ipv4_addr . inet_service', ['size 65536', 'flags timeout']),
    ...set(SETS.mediaInternal, 'ipv4_addr . inet_service', [size, 'flags timeout']),
    `  map ${SETS.mediaIn} {`,
    '    type ipv4_addr . ipv4_addr . inet_service : ipv4_addr . inet_service',
    `    ${size}`,
    '    flags timeout',
    '  }',
    `  map ${SETS.mediaOut} {`,
    '    type ipv4_addr . inet_service : ipv4_addr . inet_service',
    `    ${size}`,
    '    flags timeout',
    '  }',
    ...chain('intercept', 'filter hook prerouting priority mangle + 10', [
      `iifname != ${internal} return`,
      'meta nfproto != ipv4 return',
      'meta l4proto != udp return',
      `ct direction reply ct status dnat udp sport ${ports} update @${SETS.forwarded} { ip saddr . udp sport }`,
      'meta l4proto != @heartbeat return comment "the daemon is not running: ordinary NAT"',
      'ct status dnat,snat return comment "the operator\'s port forward, or a flow older than the daemon"',
      'fib daddr type != unicast return comment "the router itself, broadcast, multicast"',
      `fib daddr oifname != ${external} return`,
      `ip saddr . udp sport @${SETS.forwarded} return`,
      'ip saddr . udp sport @forwarded_static return',
      'ip saddr @off_phones return',
      'ip daddr @off_providers return',
      `socket transparent 1 socket wildcard 0 ${take}`,
      `udp dport ${ports} tproxy ip to 127.0.0.1:${options.listenPort} ${take}`,
    ]),
    ...chain('output', 'filter hook output priority mangle + 10', [
      `oifname ${internal} meta nfproto ipv4 meta l4proto udp socket transparent 1 meta mark set meta mark or ${hex(INTERCEPT_MARK)} ct timeout set "sipalg-intercepted" return`,
      `ip saddr . udp sport @${SETS.signalling} ct timeout set "sipalg-registered"`,
    ]),
    ...chain('input', 'filter hook input priority mangle + 10', [
      `ip daddr . udp dport @${SETS.signalling} ip saddr @providers ${accept}`,
      `ip saddr . ip daddr . udp dport @${SETS.peers} ${accept}`,
    ]),
    ...chain('forward', 'filter hook forward priority mangle + 10', [
      `ct status dnat ip daddr . udp dport @${SETS.mediaInternal} ${accept}`,
    ]),
    ...chain('media', 'nat hook prerouting priority dstnat - 1', [
      `dnat ip to ip saddr . ip daddr . udp dport map @${SETS.mediaIn}`,
    ]),
    ...chain('source', 'nat hook postrouting priority srcnat - 1', [
      `oifname ${internal} meta nfproto ipv4 meta mark and ${hex(INTERCEPT_MARK)} == ${hex(INTERCEPT_MARK)} snat ip to ip saddr comment "what the provider's impersonators send keeps its source"`,
      `ip saddr . udp sport @${SETS.signalling} snat ip to ip saddr comment "our ports stay, also where masquerade is random"`,
      `oifname ${external} snat ip to ip saddr . udp sport map @${SETS.mediaOut}`,
      `oifname ${internal} ct status dnat snat ip to ip saddr . udp sport map @${SETS.mediaOut} comment "hairpin"`,
    ]),
    '}',
  ].join('\n')}\n`;
}
