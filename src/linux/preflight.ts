/**
 * What stands in the way on this machine, before anything is set: each obstacle with the way to mend it.
 *
 * `gatherFacts` (machine-facts.ts) reads the machine; `findObstacles` judges, and is pure.
 */
import { isUnspecified } from '../core/net/address.ts';
import type { ChainName } from './accept-chain.ts';
import { type BaseChain, droppingChains, flowtables, type Probe, sipHelpers } from './firewall.ts';
import { BRIDGE_REMEDY } from './interfaces.ts';
import { gatherFacts, type MachineFacts, SHARES } from './machine-facts.ts';
import { isOurs, ROUTE_TABLE } from './policy-route.ts';
import { ipv6Obstacles } from './preflight-ipv6.ts';
import { ACCEPT_MARK, INTERCEPT_MARK } from './ruleset.ts';

export interface Obstacle {
  readonly code: `linux/${string}`;
  /** An error keeps the gateway from working; a warning makes it work less well. */
  readonly severity: 'error' | 'warning';
  readonly what: string;
  readonly remedy: string;
}

export interface PreflightOptions {
  readonly internal: readonly string[];
  readonly external: readonly string[];
  readonly sipPorts?: readonly number[];
  readonly mediaPorts?: { readonly first: number; readonly last: number };
  readonly acceptChains?: readonly ChainName[];
  readonly routeTable?: number;
  /** How many engines share the phones. Default 1. */
  readonly engines?: number;
}

const CAP_NET_BIND_SERVICE = 1n << 10n;
const CAP_NET_ADMIN = 1n << 12n;
const DEFAULT_MEDIA = { first: 16_384, last: 32_767 };

export async function preflight(options: PreflightOptions): Promise<Obstacle[]> {
  return findObstacles(options, await gatherFacts(options));
}

export function findObstacles(options: PreflightOptions, facts: MachineFacts): Obstacle[] {
  return [
    ...programs(facts),
    ...interfaces(options, facts),
    ...sysctls(options, facts),
    ...helpers(facts),
    ...firewalls(options, facts),
    ...ipv6Obstacles(options, facts),
    ...ports(options, facts),
    ...marks(options, facts),
  ];
}

function error(code: Obstacle['code'], what: string, remedy: string): Obstacle {
  return { code, severity: 'error', what, remedy };
}

function warning(code: Obstacle['code'], what: string, remedy: string): Obstacle {
  return { code, severity: 'warning', what, remedy };
}

function* programs(facts: MachineFacts): Iterable<Obstacle> {
  const missing = [
    ...((facts.capabilities & CAP_NET_ADMIN) === 0n ? ['CAP_NET_ADMIN'] : []),
    ...((facts.capabilities & CAP_NET_BIND_SERVICE) === 0n ? ['CAP_NET_BIND_SERVICE'] : []),
  ];
  if (missing.length > 0)
    yield error(
      'linux/not-privileged',
      `this process lacks ${missing.join(' and ')}`,
      'run as root (sudo), or as a service with AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE',
    );
  if (!facts.programs.nft)
    yield error('linux/no-nft', 'the program nft is missing', 'apt-get install nftables');
  if (!facts.programs.ip) yield error('linux/no-ip', 'the program ip is missing', 'apt-get install iproute2');
  for (const { feature, problem } of facts.missingFeatures.filter((one) => one.feature === 'IPv6'))
    yield warning(
      'linux/kernel-feature',
      `the kernel does not take what IPv6 needs (${problem}): phones have plain routing or NAT66`,
      `load or build the module for it (modprobe ${MODULES[feature]})`,
    );
  for (const { feature, problem } of facts.missingFeatures.filter((one) => one.feature !== 'IPv6'))
    yield error(
      'linux/kernel-feature',
      `the kernel does not take ${feature}: ${problem}`,
      `load or build the module for it (modprobe ${MODULES[feature] ?? 'nf_tables'}), or ${
        feature === SHARES ? 'leave engine-threads at its default' : 'use the explicit mode (--listen)'
      }`,
    );
}

const MODULES: Readonly<Record<string, string>> = {
  tproxy: 'nft_tproxy',
  socket: 'nft_socket',
  'ct timeout': 'nft_ct nfnetlink_cttimeout',
  fib: 'nft_fib_inet',
  IPv6: 'nft_tproxy nfnetlink_log',
  'nat maps': 'nft_nat',
  [SHARES]: 'nft_hash nft_tproxy',
};

function* interfaces(options: PreflightOptions, facts: MachineFacts): Iterable<Obstacle> {
  const both = options.internal.filter((name) => options.external.includes(name));
  for (const name of both)
    yield error('linux/interface-twice', `${name} is named as internal and as external`, 'name it once');
  for (const [side, names] of [
    ['internal', options.internal],
    ['external', options.external],
  ] as const) {
    if (names.length === 0)
      yield error('linux/no-interface', `no ${side} interface is named`, `name one with --${side} IF`);
    for (const name of names) {
      const known = facts.interfaces.get(name);
      if (known === undefined)
        yield error(
          'linux/interface-missing',
          `there is no interface ${name}`,
          `name one of ${[...facts.interfaces.keys()].filter((other) => other !== 'lo').join(', ') || 'those that `ip link` shows'} with --${side}`,
        );
      else if (known.addresses.length === 0)
        yield warning(
          'linux/interface-without-address',
          `${name} has no address${known.up ? '' : ' and is down'}`,
          `bring it up (ip link set ${name} up) and give it an address; the gateway uses it as soon as it has one`,
        );
    }
  }
}

function* sysctls(options: PreflightOptions, facts: MachineFacts): Iterable<Obstacle> {
  if (facts.sysctl('net.ipv4.ip_forward') === '0')
    yield error(
      'linux/no-forwarding',
      'this machine does not forward packets (net.ipv4.ip_forward = 0)',
      'sysctl -w net.ipv4.ip_forward=1, and put it into /etc/sysctl.d/',
    );
  if (facts.sysctl('net.bridge.bridge-nf-call-iptables') !== '1') return;
  for (const name of options.internal)
    if (facts.interfaces.get(name)?.bridge === true)
      yield error(
        'linux/bridge-netfilter',
        `bridged frames on ${name} go through the IP firewall (br_netfilter), where interception loses them`,
        BRIDGE_REMEDY,
      );
}

function* helpers(facts: MachineFacts): Iterable<Obstacle> {
  for (const table of sipHelpers(facts.ruleset))
    yield error(
      'linux/sip-helper',
      `the kernel's own SIP helper is assigned in the nftables table ${table}; it would rewrite what the gateway has written`,
      `remove the rule with \`ct helper set\` from ${table} (nft -a list table ${table} shows its handle)`,
    );
  for (const rule of facts.iptablesHelpers)
    yield error(
      'linux/sip-helper',
      `the kernel's own SIP helper is assigned by iptables: ${rule}`,
      `remove it: iptables -t raw ${rule.replace(/^-A/, '-D')}`,
    );
  if (facts.sysctl('net.netfilter.nf_conntrack_helper') === '1' && facts.modules.has('nf_conntrack_sip'))
    yield error(
      'linux/sip-helper',
      'the kernel assigns its own SIP helper to every flow (net.netfilter.nf_conntrack_helper = 1)',
      'sysctl -w net.netfilter.nf_conntrack_helper=0, or: rmmod nf_nat_sip nf_conntrack_sip',
    );
}

function named(chain: BaseChain, options: PreflightOptions): boolean {
  return (options.acceptChains ?? []).some(
    (one) => one.family === chain.family && one.table === chain.table && one.chain === chain.chain,
  );
}

function* firewalls(options: PreflightOptions, facts: MachineFacts): Iterable<Obstacle> {
  const sipPort = options.sipPorts?.[0] ?? 5060;
  const mediaPort = (options.mediaPorts ?? DEFAULT_MEDIA).first;
  const told = new Set<string>();
  const dropping = (probe: Probe): BaseChain[] =>
    droppingChains(facts.ruleset, probe).filter((chain) => {
      const key = `${chain.family} ${chain.table} ${chain.chain}`;
      if (named(chain, options) || told.has(key)) return false;
      told.add(key);
      return true;
    });
  for (const iif of options.internal)
    for (const transport of ['udp', 'tcp'] as const)
      for (const chain of dropping({ hook: 'input', iif, port: sipPort, dnat: false, transport })) {
        const name = `${chain.family} ${chain.table} ${chain.chain}`;
        yield error(
          'linux/input-drops',
          `the chain ${name} drops SIP over ${transport.toUpperCase()} from ${iif}, which the gateway takes in locally`,
          `nft insert rule ${name} iifname "${iif}" meta l4proto { udp, tcp } th dport ${sipPort} accept; or let the gateway do it: --accept-chain '${name}'`,
        );
      }
  for (const oif of options.internal)
    for (const iif of options.external)
      for (const chain of dropping({ hook: 'forward', iif, oif, port: mediaPort, dnat: true })) {
        const name = `${chain.family} ${chain.table} ${chain.chain}`;
        yield warning(
          'linux/forward-drops',
          `the chain ${name} drops media for a phone that has not sent any yet (early media, announcements)`,
          `nft insert rule ${name} ct status dnat accept; or let the gateway do it: --accept-chain '${name}'`,
        );
      }
  for (const table of flowtables(facts.ruleset))
    yield warning(
      'linux/flowtable',
      `the flowtable ${table} carries flows past the connection table, so that media cannot be stopped at once`,
      'offload TCP only: put `meta l4proto tcp` before `flow add` (or `flow offload`)',
    );
}

function* ports(options: PreflightOptions, facts: MachineFacts): Iterable<Obstacle> {
  const sipPorts = options.sipPorts ?? [5060];
  const media = options.mediaPorts ?? DEFAULT_MEDIA;
  const external = new Set(options.external.flatMap((name) => facts.interfaces.get(name)?.addresses ?? []));
  const outside = facts.udpSockets.filter((s) => isUnspecified(s.address) || external.has(s.address));
  for (const { address, port } of outside.filter((s) => sipPorts.includes(s.port)))
    yield warning(
      'linux/sip-port-taken',
      `a program on this machine holds UDP ${address}:${port}; phones get other external ports than their own`,
      'harmless in most cases; `ss -ulpn` names the program',
    );
  const inRange = outside.filter((s) => media.first <= s.port && s.port <= media.last);
  if (inRange.length > 0)
    yield warning(
      'linux/media-port-taken',
      `programs on this machine hold UDP ports of the media range: ${inRange.map((s) => s.port).join(', ')}`,
      'they are passed over; move the range (media ports in the configuration) if there are many',
    );
  const [low, high] = (facts.sysctl('net.ipv4.ip_local_port_range') ?? '').split(/\s+/).map(Number);
  if (low === undefined || high === undefined || media.last < low || high < media.first) return;
  const reserved = facts.sysctl('net.ipv4.ip_local_reserved_ports') ?? '';
  const from = Math.max(low, media.first);
  const to = Math.min(high, media.last);
  if (reservedRanges(reserved).some(([a, b]) => a <= from && to <= b)) return;
  yield warning(
    'linux/media-range-ephemeral',
    `media ports ${from}-${to} are also handed out to programs of this machine (net.ipv4.ip_local_port_range)`,
    `sysctl -w net.ipv4.ip_local_reserved_ports=${[...(reserved === '' ? [] : [reserved]), `${media.first}-${media.last}`].join(',')}`,
  );
}

function reservedRanges(text: string): [number, number][] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const [first, last] = part.split('-').map(Number);
      return [first ?? 0, last ?? first ?? 0];
    });
}

function* marks(options: PreflightOptions, facts: MachineFacts): Iterable<Obstacle> {
  const table = options.routeTable ?? ROUTE_TABLE;
  const bits = INTERCEPT_MARK | ACCEPT_MARK;
  for (const rule of facts.rules) {
    if (isOurs(rule, table) || rule.fwmark === undefined) continue;
    // A rule that tests our bits among others takes packets by a mark that we have changed, or misses its own.
    if ((rule.fwmask & bits) !== 0)
      yield warning(
        'linux/mark-collision',
        `the policy rule ${rule.priority} tests the whole packet mark or bits that the gateway uses (0x${bits.toString(16)})`,
        `give the rule a mask that leaves these bits out: fwmark 0x${rule.fwmark.toString(16)}/0x${((rule.fwmask & ~bits) >>> 0).toString(16)}`,
      );
  }
  if (facts.foreignRoutes.length > 0)
    yield error(
      'linux/route-table-taken',
      `the routing table ${table} has other routes: ${facts.foreignRoutes[0]}`,
      'name a free table in the configuration (linux.route_table)',
    );
}
