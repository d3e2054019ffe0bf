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
 * - What a router forwards without NAT needs no interception: a copy of each message (`log group`) is all that the engine
 *   wants. The copy is taken behind the operator's filter, so that what he drops is no message; where nobody listens to
 *   the group, the rule does nothing.
 * - Rules of one family are passed over by packets of the other; `tproxy ip` breaks off for IPv6, and the other way round.
 * - A TCP connection is taken with its first packet (SYN) or never: one that exists belongs to whoever made it. What follows
 *   finds the accepted socket; `socket wildcard` cannot be asked of a handshake that is not done, and is not.
 * - Each packet of media pays for every expression on its way and for every look into a set, found or not (0.1 to 0.3 µs): what
 *   is settled for most of them stands first.
 * - `mangle + 10` comes after rules that set whole marks at `mangle`, and before `dstnat`.
 */
import { type Address, type Endpoint, formatHost, isIPv6, parseAddress } from '../core/net/address.ts';
import { FAMILIES, type Family, familyOf, IPV4, IPV6 } from './family.ts';
import { shareExpression } from './phone-share.ts';
import {
  copyChains,
  DEFAULT_RATES,
  noteContacted,
  phoneLimit,
  type Rates,
  rateChains,
  rateSets,
} from './rate-rules.ts';
import { SystemError } from './system-error.ts';

export const TABLE = 'sipalg';

/** Bits of the packet mark. All that we set and test is masked to them. */
export const INTERCEPT_MARK = 0x0800_0000;
export const ACCEPT_MARK = 0x0400_0000;

/** Seconds that the rules stay active after the last heartbeat. */
export const HEARTBEAT_S = 5;

/** Names of the sets and maps of our table, as they are for IPv4; those of IPv6 have a 6 behind them. */
export const SETS = {
  heartbeat: 'heartbeat',
  forwarded: 'forwarded',
  signalling: 'signalling',
  signallingTcp: 'signalling_tcp',
  peers: 'peers',
  peersTcp: 'peers_tcp',
  mediaIn: 'media_in',
  mediaOut: 'media_out',
  mediaInternal: 'media_internal',
  /** RTP ports of the phones, with what came from them and what went to them. */
  mediaFrom: 'media_from',
  mediaTo: 'media_to',
  /** Signalling endpoints of phones that are routed without NAT. */
  routed: 'routed',
  routedTcp: 'routed_tcp',
  /** What may be sent to the media ports of such phones: source, phone, port. */
  routedMedia: 'routed_media',
} as const;

/** Where one engine takes packets. */
export interface ListenPorts {
  /** Of the wildcard transparent socket, on 127.0.0.1. */
  readonly listenPort: number;
  /** Of its twin, on ::1. Undefined: IPv6 passes as if we were not there. */
  readonly listenPort6?: number | undefined;
  /** Of the transparent TCP listeners, on 127.0.0.1 and ::1; a family without one has ordinary NAT. */
  readonly tcpListenPort?: number | undefined;
  readonly tcpListenPort6?: number | undefined;
}

export interface RulesetOptions extends ListenPorts {
  /** Of further engines, which share the phones with the first (phone-share.ts). */
  readonly others?: readonly ListenPorts[] | undefined;
  /** Interfaces with phones behind them, and interfaces towards providers. At least one each. */
  readonly internal: readonly string[];
  readonly external: readonly string[];
  readonly sipPorts: readonly number[];
  /** IPv6 addresses or prefixes of phones that the router translates (NAT66); all others are routed, and only watched. */
  readonly translated6?: readonly string[];
  /** False: what is translated is not intercepted either (its bridge would lose it). Default true. */
  readonly intercept6?: boolean;
  /** The netlink group (NFLOG) to which messages of routed phones are copied. Default 5060. */
  readonly watchGroup?: number;
  /** Addresses or prefixes that are never intercepted. */
  readonly excludedPhones?: readonly string[];
  readonly excludedProviders?: readonly string[];
  /** Addresses or prefixes that may call without having been called first (marked for the accept chains). */
  readonly providers?: readonly string[];
  /** Internal endpoints that the operator forwards himself; never intercepted. */
  readonly forwarded?: readonly Endpoint[];
  /** Hosts to which the operator forwards SIP over any transport: their TCP is never intercepted. */
  readonly forwardedHosts?: readonly Address[];
  /** The same, learned by the kernel in a former life; forgotten after a day without such traffic. */
  readonly learned?: readonly Endpoint[];
  readonly mediaElements?: number;
  /** What one address may send; default `DEFAULT_RATES`. */
  readonly rates?: Partial<Rates> | undefined;
}

const INTERFACE = /^[A-Za-z0-9_.:@-]{1,15}$/;
const PREFIX = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/;
export const WATCH_GROUP = 5060;

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
  const address = parseAddress(match?.[1] ?? '');
  if (address === undefined || Number(match?.[2] ?? 0) > familyOf(address).bits)
    throw new SystemError(
      'linux/prefix',
      `"${text}" is not an address or prefix`,
      'write it as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
    );
  return text;
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

function timeout(name: string, family: Family, protocol: 'udp' | 'tcp', policy: string): string[] {
  return [
    `  ct timeout ${name}${family.suffix} {`,
    `    protocol ${protocol}`,
    `    l3proto ${family.nft}`,
    `    policy = { ${policy} }`,
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
  const families = options.listenPort6 === undefined ? [IPV4] : FAMILIES;
  const each = (render: (family: Family) => readonly string[]): string[] => families.flatMap(render);
  const accept = `meta mark set meta mark or ${hex(ACCEPT_MARK)}`;
  const rates = { ...DEFAULT_RATES, ...options.rates };

  return `${[
    `table inet ${TABLE}`,
    `delete table inet ${TABLE}`,
    `table inet ${TABLE} {`,
    '  comment "SIP ALG; remove with: sipalg off"',
    ...each((family) => [
      ...timeout('sipalg-intercepted', family, 'udp', 'unreplied : 1, replied : 1'),
      // The daemon gives the flow of a registered phone its exact lifetime; this is for what comes before and besides.
      ...timeout('sipalg-registered', family, 'udp', 'unreplied : 180, replied : 3600'),
      // Keepalives renew it every two minutes while the daemon lives; after it, the phone's port is soon free for plain NAT.
      ...timeout(
        'sipalg-intercepted-tcp',
        family,
        'tcp',
        'established : 300, fin_wait : 5, close_wait : 5, last_ack : 5, time_wait : 5, close : 1',
      ),
    ]),
    ...set(SETS.heartbeat, 'inet_proto', ['flags timeout']),
    ...each((family) => [...sets(family, options), ...rateSets(family)]),
    ...each((family) =>
      rateChains(
        family,
        rates,
        { providers: 'providers', peers: SETS.peers, peersTcp: SETS.peersTcp },
        take(family, 'sipalg-intercepted'),
      ),
    ),
    ...chain('intercept', 'filter hook prerouting priority mangle + 10', [
      `iifname != ${internal} return`,
      `ct status dnat,snat udp sport != ${ports} return comment "media, for the most part: neither ours nor to be learned from"`,
      'meta l4proto != { udp, tcp } return',
      ...each(({ nft, suffix }) => [
        `ct direction reply ct status dnat udp sport ${ports} update @${SETS.forwarded}${suffix} { ${nft} saddr . udp sport }`,
        `ct direction reply ct status dnat tcp sport ${ports} update @learned_hosts${suffix} { ${nft} saddr }`,
      ]),
      'meta l4proto != @heartbeat return comment "the daemon is not running: ordinary NAT"',
      'ct status dnat,snat return comment "the operator\'s port forward, or a flow older than the daemon"',
      'fib daddr type != unicast return comment "the router itself, broadcast, multicast"',
      `fib daddr oifname != ${external} return`,
      ...each((family) => interception(family, options, ports, rates)),
    ]),
    ...chain('output', 'filter hook output priority mangle + 10', [
      ...each(({ nft, nfproto, suffix }) => [
        `oifname ${internal} meta nfproto ${nfproto} meta l4proto udp socket transparent 1 meta mark set meta mark or ${hex(INTERCEPT_MARK)} ct timeout set "sipalg-intercepted${suffix}" return`,
        `oifname ${internal} meta nfproto ${nfproto} meta l4proto tcp socket transparent 1 meta mark set meta mark or ${hex(INTERCEPT_MARK)} ct timeout set "sipalg-intercepted-tcp${suffix}" return`,
        `${nft} saddr . udp sport @${SETS.signalling}${suffix} ct timeout set "sipalg-registered${suffix}"`,
      ]),
      ...each((family) => [
        noteContacted(family, 'udp', SETS.signalling),
        noteContacted(family, 'tcp', SETS.signallingTcp),
      ]),
    ]),
    ...chain('input', 'filter hook input priority mangle + 10', [
      ...each(({ nft, suffix }) => [
        `${nft} daddr . udp dport @${SETS.signalling}${suffix} ${nft} saddr @providers${suffix} ${accept}`,
        `${nft} saddr . ${nft} daddr . udp dport @${SETS.peers}${suffix} ${accept}`,
        `${nft} daddr . tcp dport @${SETS.signallingTcp}${suffix} ${nft} saddr @providers${suffix} ${accept}`,
        `${nft} saddr . ${nft} daddr . tcp dport @${SETS.peersTcp}${suffix} ${accept}`,
      ]),
      ...each(({ nft, suffix }) => [
        `iifname ${external} ${nft} daddr . udp dport @${SETS.signalling}${suffix} jump arrivals${suffix}`,
        `iifname ${external} ct state new ${nft} daddr . tcp dport @${SETS.signallingTcp}${suffix} jump arrivals_tcp${suffix}`,
      ]),
    ]),
    ...chain('forward', 'filter hook forward priority mangle + 10', [
      ...each(({ nft, suffix }) => [
        ...(suffix === '' ? [] : ['meta nfproto ipv4 return comment "the rest is of IPv6"']),
        `iifname ${internal} ${nft} saddr . udp sport @${SETS.mediaFrom}${suffix} comment "counted, and nothing else"`,
        `oifname ${internal} ${nft} daddr . udp dport @${SETS.mediaTo}${suffix} comment "counted, and nothing else"`,
        `ct status dnat ${nft} daddr . udp dport @${SETS.mediaInternal}${suffix} ${accept}`,
      ]),
      ...(families.includes(IPV6) ? pinholes(accept) : []),
    ]),
    ...(families.includes(IPV6)
      ? [...copyChains(IPV6, rates, options.watchGroup ?? WATCH_GROUP), ...watch(internal, external, ports)]
      : []),
    ...chain('media', 'nat hook prerouting priority dstnat - 1', [
      ...each(({ nft, suffix }) => [
        `dnat ${nft} to ${nft} saddr . ${nft} daddr . udp dport map @${SETS.mediaIn}${suffix}`,
      ]),
    ]),
    ...chain('source', 'nat hook postrouting priority srcnat - 1', [
      ...each(({ nft, nfproto, suffix }) => [
        `oifname ${internal} meta nfproto ${nfproto} meta mark and ${hex(INTERCEPT_MARK)} == ${hex(INTERCEPT_MARK)} snat ${nft} to ${nft} saddr comment "what the provider's impersonators send keeps its source"`,
        `${nft} saddr . udp sport @${SETS.signalling}${suffix} snat ${nft} to ${nft} saddr comment "our ports stay, also where masquerade is random"`,
        `${nft} saddr . tcp sport @${SETS.signallingTcp}${suffix} snat ${nft} to ${nft} saddr comment "the same"`,
        `oifname ${external} snat ${nft} to ${nft} saddr . udp sport map @${SETS.mediaOut}${suffix}`,
        `oifname ${internal} ct status dnat snat ${nft} to ${nft} saddr . udp sport map @${SETS.mediaOut}${suffix} comment "hairpin"`,
      ]),
    ]),
    '}',
  ].join('\n')}\n`;
}

function sets(family: Family, options: RulesetOptions): string[] {
  const { type, suffix } = family;
  const size = `size ${options.mediaElements ?? 65_536}`;
  const range = ['flags interval', 'auto-merge'];
  const prefixes = (list: readonly string[] | undefined): string[] =>
    (list ?? []).map(prefix).filter((text) => isIPv6(text) === (family === IPV6));
  const endpoints = (list: readonly Endpoint[] | undefined): string[] => [
    ...new Set(
      (list ?? [])
        .filter((e) => isIPv6(e.address) === (family === IPV6))
        .map((e) => `${prefix(e.address)} . ${e.port}`),
    ),
  ];
  return [
    ...set(`off_phones${suffix}`, type, range, prefixes(options.excludedPhones)),
    ...set(`off_providers${suffix}`, type, range, prefixes(options.excludedProviders)),
    ...set(`providers${suffix}`, type, range, prefixes(options.providers)),
    ...set(`forwarded_static${suffix}`, `${type} . inet_service`, [], endpoints(options.forwarded)),
    ...set(
      `${SETS.forwarded}${suffix}`,
      `${type} . inet_service`,
      ['size 4096', 'flags dynamic,timeout', 'timeout 1d'],
      endpoints(options.learned),
    ),
    ...set(`forwarded_hosts${suffix}`, type, [], [...new Set(prefixes(options.forwardedHosts))]),
    ...set(`learned_hosts${suffix}`, type, ['size 4096', 'flags dynamic,timeout', 'timeout 1d']),
    ...set(`${SETS.signalling}${suffix}`, `${type} . inet_service`, ['size 65536']),
    ...set(`${SETS.signallingTcp}${suffix}`, `${type} . inet_service`, ['size 65536']),
    ...set(`${SETS.peers}${suffix}`, `${type} . ${type} . inet_service`, ['size 65536', 'flags timeout']),
    ...set(`${SETS.peersTcp}${suffix}`, `${type} . ${type} . inet_service`, ['size 65536', 'flags timeout']),
    ...set(`${SETS.mediaInternal}${suffix}`, `${type} . inet_service`, [size, 'flags timeout']),
    ...set(`${SETS.mediaFrom}${suffix}`, `${type} . inet_service`, [size, 'counter']),
    ...set(`${SETS.mediaTo}${suffix}`, `${type} . inet_service`, [size, 'counter']),
    `  map ${SETS.mediaIn}${suffix} {`,
    `    type ${type} . ${type} . inet_service : ${type} . inet_service`,
    `    ${size}`,
    '    flags timeout',
    '  }',
    `  map ${SETS.mediaOut}${suffix} {`,
    `    type ${type} . inet_service : ${type} . inet_service`,
    `    ${size}`,
    '    flags timeout',
    '  }',
    ...(family === IPV6
      ? [
          ...set('translated6', type, range, prefixes(options.translated6)),
          ...set('watched6', `${type} . inet_service`, ['size 65536', 'flags dynamic,timeout', 'timeout 1h']),
          ...set(`${SETS.routed}6`, `${type} . inet_service`, ['size 65536']),
          ...set(`${SETS.routedTcp}6`, `${type} . inet_service`, ['size 65536']),
          ...set(`${SETS.routedMedia}6`, `${type} . ${type} . inet_service`, [size, 'flags timeout']),
        ]
      : []),
  ];
}

/** The first packet of a connection. */
const SYN = 'tcp flags & (fin | syn | rst | ack) == syn';

function take({ suffix }: Family, policy: string): string {
  return `meta mark set meta mark or ${hex(INTERCEPT_MARK | ACCEPT_MARK)} ct timeout set "${policy}${suffix}" accept`;
}

/** What of one family is taken, of what has come this far: the rules that stand last in the chain. */
function interception(family: Family, options: RulesetOptions, ports: string, rates: Rates): string[] {
  const { nft, nfproto, suffix } = family;
  const engines = [options, ...(options.others ?? [])];
  const at = (ports: readonly number[]): string => {
    const port =
      ports.length === 1
        ? ports[0]
        : `${shareExpression(family, ports.length)} map { ${ports.map((one, i) => `${i} : ${one}`).join(', ')} }`;
    return `${nft} to ${formatHost(family.loopback)}:${port}`;
  };
  const udpPorts = engines.map((one) => (family === IPV6 ? (one.listenPort6 ?? 0) : one.listenPort));
  const tcpPorts = engines.flatMap((one) => (family === IPV6 ? one.tcpListenPort6 : one.tcpListenPort) ?? []);
  const bound = `meta nfproto ${nfproto} meta l4proto udp socket transparent 1 socket wildcard 0`;
  return [
    ...(family === IPV6
      ? [
          'ip6 saddr fe80::/10 return',
          'ip6 daddr fe80::/10 return',
          `ip6 saddr != @translated6 return comment "routed without NAT: watched, and never taken"`,
          ...(options.intercept6 === false
            ? ['meta nfproto ipv6 return comment "the bridge is filtered (br_netfilter): ordinary NAT"']
            : []),
        ]
      : []),
    `meta l4proto tcp ${nft} saddr @forwarded_hosts${suffix} return`,
    `meta l4proto tcp ${nft} saddr @learned_hosts${suffix} return`,
    `${nft} saddr . udp sport @${SETS.forwarded}${suffix} return`,
    `${nft} saddr . udp sport @forwarded_static${suffix} return`,
    `${nft} saddr @off_phones${suffix} return`,
    `${nft} daddr @off_providers${suffix} return`,
    ...(engines.length === 1 ? [`${bound} goto bound${suffix}`] : []),
    `udp dport ${ports} ${phoneLimit(family, rates)}`,
    `udp dport ${ports} tproxy ${at(udpPorts)} ${take(family, 'sipalg-intercepted')}`,
    // Each engine has a socket of the same provider: which of them is found says nothing of whose the phone is.
    ...(engines.length === 1
      ? []
      : [
          `${bound} ${phoneLimit(family, rates)}`,
          `${bound} tproxy ${at(udpPorts)} ${take(family, 'sipalg-intercepted')}`,
        ]),
    `meta nfproto ${nfproto} meta l4proto tcp socket transparent 1 ${take(family, 'sipalg-intercepted-tcp')}`,
    ...(tcpPorts.length < engines.length
      ? []
      : [
          `${SYN} tcp dport ${ports} ${phoneLimit(family, rates)}`,
          `${SYN} tcp dport ${ports} tproxy ${at(tcpPorts)} ${take(family, 'sipalg-intercepted-tcp')}`,
        ]),
  ];
}

/** What a dropping firewall has to let through to phones that are routed without NAT. */
function pinholes(accept: string): string[] {
  return [
    `ip6 saddr . ip6 daddr . udp dport @${SETS.routedMedia}6 ${accept}`,
    `ip6 daddr . udp dport @${SETS.routed}6 ip6 saddr @providers6 ${accept}`,
    `ip6 saddr . ip6 daddr . udp dport @${SETS.peers}6 ${accept}`,
    `ip6 daddr . tcp dport @${SETS.routedTcp}6 ip6 saddr @providers6 ${accept}`,
    `ip6 saddr . ip6 daddr . tcp dport @${SETS.peersTcp}6 ${accept}`,
  ];
}

/** Copies of what phones and providers say to each other where nothing is translated. */
function watch(internal: string, external: string, ports: string): string[] {
  return chain('watch', 'filter hook forward priority filter + 10', [
    'meta nfproto != ipv6 return',
    'meta l4proto != { udp, tcp } return',
    'meta l4proto != @heartbeat return comment "the daemon is not running: nobody to tell"',
    'ct status dnat,snat return comment "translated by the operator"',
    'meta l4proto tcp ct state invalid return comment "no segment that an end would take"',
    ...['saddr', 'daddr'].flatMap((field) => [
      `ip6 ${field} @off_phones6 return`,
      `ip6 ${field} @off_providers6 return`,
    ]),
    `iifname ${internal} oifname ${external} ip6 saddr != @translated6 udp dport ${ports} update @watched6 { ip6 saddr . udp sport } ct timeout set "sipalg-registered6" goto copy_out6`,
    `iifname ${external} oifname ${internal} ip6 daddr . udp dport @${SETS.routed}6 goto copy_in6`,
    `iifname ${external} oifname ${internal} ip6 daddr . udp dport @watched6 goto copy_in6`,
    `iifname ${internal} oifname ${external} ip6 saddr != @translated6 tcp dport ${ports} goto copy_out6`,
    `iifname ${external} oifname ${internal} ip6 daddr != @translated6 ct direction reply tcp sport ${ports} goto copy_in6`,
    `iifname ${external} oifname ${internal} ip6 daddr . tcp dport @${SETS.routedTcp}6 goto copy_in6`,
    `iifname ${internal} oifname ${external} ip6 saddr . tcp sport @${SETS.routedTcp}6 goto copy_out6`,
  ]);
}
