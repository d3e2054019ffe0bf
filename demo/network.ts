/**
 * The network of the demo and of the lab, in namespaces:
 *
 *   phone1 192.168.1.10 ─┐
 *   phone2 192.168.1.11 ─┤ br0 192.168.1.1 [router] eth0 203.0.113.1 ── 203.0.113.254 [provider]
 *   pbx    192.168.1.20 ─┘                                             198.51.100.5  signalling
 *                                                                      198.51.100.6  media
 *                                                                      198.51.100.7  the far end
 *                                                                      198.51.100.66 a stranger
 *
 * The router has what home and office routers have: masquerade, a firewall that drops what it does not know, strict
 * reverse-path filtering. The provider's side has no way to 192.168.0.0/16: what is sent there ends in `void`, a link
 * with nobody behind it, and is counted. (An unreachable route would tell the sender with an error; the Internet does not.)
 *
 * Bridge netfilter is off in the router: with it, frames between two bridge ports pass the IP hooks of the router.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import type { Socket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { Namespace, removeStaleNamespaces } from './namespace.ts';

export const addresses = {
  phone1: '192.168.1.10',
  phone2: '192.168.1.11',
  pbx: '192.168.1.20',
  routerInternal: '192.168.1.1',
  routerExternal: '203.0.113.1',
  provider: '198.51.100.5',
  media: '198.51.100.6',
  farEnd: '198.51.100.7',
  stranger: '198.51.100.66',
} as const;

/** The same places over IPv6, where the network has it. The LAN's prefix is global, or a ULA behind NAT66. */
export const addresses6 = {
  phone1: '2001:db8:1::10',
  phone2: '2001:db8:1::11',
  routerInternal: '2001:db8:1::1',
  routerExternal: '2001:db8:ff::1',
  provider: '2001:db8:5::5',
  media: '2001:db8:5::6',
  farEnd: '2001:db8:5::7',
  stranger: '2001:db8:5::66',
} as const;
export const ula = { phone1: 'fd00:1::10', phone2: 'fd00:1::11', routerInternal: 'fd00:1::1' } as const;

/** The router's link to the NAT upstream of it, where there is one. */
export const upstream = { outside: '100.64.0.2', inside: '100.64.0.1' } as const;

export const hosts = ['phone1', 'phone2', 'pbx', 'router', 'provider'] as const;
export type Host = (typeof hosts)[number] | 'upstream';

export interface NetworkOptions {
  /** `routed` is a router without NAT whose LAN the provider can reach: there every call must work as it is. */
  readonly nat?: 'masquerade' | 'masquerade fully-random' | 'routed';
  /** Firewall: drops on the way in and through what it does not know. Default: on. */
  readonly firewall?: boolean;
  /** Lifetime of the router's UDP flows in seconds, unreplied and assured. Default: the kernel's. */
  readonly udpTimeoutSeconds?: number;
  /**
   * Another NAT between the router and the provider, as a mobile or fibre operator has one (RFC 6598): the router's external
   * address is then 100.64.0.2, and a UDP flow is forgotten there after so many seconds without a packet.
   */
  readonly upstreamUdpTimeoutSeconds?: number;
  /** The operator forwards UDP port 5060 of the external address to the PBX. */
  readonly forwardToPbx?: boolean;
  /** IPv6 besides IPv4: global addresses that are routed, or ULAs that are masqueraded. Default: none. */
  readonly ipv6?: 'routed' | 'masquerade';
}

export class Network {
  readonly options: NetworkOptions;
  readonly #spaces = new Map<Host, Namespace>();

  constructor(options: NetworkOptions = {}) {
    this.options = options;
    removeStaleNamespaces();
    for (const host of hosts) this.#spaces.set(host, new Namespace(host));
    if (this.#hasUpstream) this.#spaces.set('upstream', new Namespace('upstream'));
    try {
      this.#link();
      this.#route();
      if (options.ipv6 !== undefined) this.#addIPv6(options.ipv6);
      this.#filter();
      if (this.#hasUpstream) this.#translateUpstream();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  space(host: Host): Namespace {
    return this.#spaces.get(host)!;
  }

  socket(host: Host, address: string, port: number): Promise<Socket> {
    return this.space(host).socket(address, port);
  }

  run(host: Host, program: string, ...args: string[]): string {
    return this.space(host).run(program, args);
  }

  spawn(host: Host, program: string, args: readonly string[], options?: SpawnOptions): ChildProcess {
    return this.space(host).spawn(program, args, options);
  }

  /** How many packets the provider's side has sent to private addresses. */
  sentIntoTheVoid(): number {
    const links = JSON.parse(this.run('provider', 'ip', '-s', '-j', 'link', 'show', 'void')) as {
      stats64: { tx: { packets: number } };
    }[];
    return links[0]?.stats64.tx.packets ?? 0;
  }

  /** Forgets all flows, as a router does that was switched off and on. */
  forgetFlows(): void {
    this.space('router').run('conntrack', ['-F']);
  }

  close(): void {
    for (const space of this.#spaces.values()) space.remove();
    this.#spaces.clear();
  }

  get #hasUpstream(): boolean {
    return this.options.upstreamUdpTimeoutSeconds !== undefined;
  }

  #link(): void {
    const router = this.space('router');
    router.run('ip', ['-batch', '-'], 'link set lo up\nlink add br0 type bridge forward_delay 0\n');
    for (const host of ['phone1', 'phone2', 'pbx'] as const) {
      const space = this.space(host);
      router.run(
        'ip',
        ['-batch', '-'],
        `link add ${host} type veth peer name eth0 netns ${space.name}\nlink set ${host} master br0 up\n`,
      );
      space.run(
        'ip',
        ['-batch', '-'],
        [
          'link set lo up',
          'link set eth0 up',
          `addr add ${addresses[host]}/24 dev eth0`,
          `route add default via ${addresses.routerInternal}`,
          '',
        ].join('\n'),
      );
    }
    router.run(
      'ip',
      ['-batch', '-'],
      [
        `addr add ${addresses.routerInternal}/24 dev br0`,
        'link set br0 up',
        `link add eth0 type veth peer name eth0 netns ${this.space(this.#hasUpstream ? 'upstream' : 'provider').name}`,
        `addr add ${this.#hasUpstream ? upstream.outside : addresses.routerExternal}/24 dev eth0`,
        'link set eth0 up',
        '',
      ].join('\n'),
    );
    if (this.#hasUpstream)
      this.space('upstream').run(
        'ip',
        ['-batch', '-'],
        [
          'link set lo up',
          `addr add ${upstream.inside}/24 dev eth0`,
          'link set eth0 up',
          `link add eth1 type veth peer name eth0 netns ${this.space('provider').name}`,
          `addr add ${addresses.routerExternal}/24 dev eth1`,
          'link set eth1 up',
          'route add default via 203.0.113.254',
          '',
        ].join('\n'),
      );
    this.space('provider').run(
      'ip',
      ['-batch', '-'],
      [
        'link set lo up',
        'link set eth0 up',
        'addr add 203.0.113.254/24 dev eth0',
        ...[addresses.provider, addresses.media, addresses.farEnd, addresses.stranger].map(
          (address) => `addr add ${address}/32 dev eth0`,
        ),
        'link add void type veth peer name nobody',
        'link set void arp off up',
        'link set nobody up',
        this.options.nat === 'routed'
          ? `route add 192.168.1.0/24 via ${addresses.routerExternal}`
          : 'route add 192.168.0.0/16 dev void src 198.51.100.5',
        '',
      ].join('\n'),
    );
  }

  #route(): void {
    const router = this.space('router');
    router.run('ip', [
      'route',
      'add',
      'default',
      'via',
      this.#hasUpstream ? upstream.inside : '203.0.113.254',
    ]);
    const { udpTimeoutSeconds } = this.options;
    router.enter(() => {
      const set = (key: string, value: number): void => writeFileSync(`/proc/sys/net/${key}`, String(value));
      set('ipv4/ip_forward', 1);
      // A router that redirects is a router that leaves the path: a hairpin would be lost.
      set('ipv4/conf/all/send_redirects', 0);
      for (const name of ['all', 'default', 'br0', 'eth0']) set(`ipv4/conf/${name}/rp_filter`, 1);
      try {
        set('bridge/bridge-nf-call-iptables', 0);
        set('bridge/bridge-nf-call-ip6tables', 0);
      } catch {
        // No bridge netfilter in this kernel: nothing to switch off.
      }
      if (udpTimeoutSeconds !== undefined) {
        set('netfilter/nf_conntrack_udp_timeout', udpTimeoutSeconds);
        set('netfilter/nf_conntrack_udp_timeout_stream', udpTimeoutSeconds);
      }
    });
  }

  #translateUpstream(): void {
    const space = this.space('upstream');
    const seconds = String(this.options.upstreamUdpTimeoutSeconds);
    space.enter(() => {
      for (const key of ['udp_timeout', 'udp_timeout_stream'])
        writeFileSync(`/proc/sys/net/netfilter/nf_conntrack_${key}`, seconds);
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    });
    space.run(
      'nft',
      ['-f', '-'],
      `table ip nat {
        chain forward {
          type filter hook forward priority filter; policy drop;
          iifname "eth0" accept
          ct state established,related accept
        }
        chain postrouting { type nat hook postrouting priority srcnat; oifname "eth1" masquerade; }
      }`,
    );
  }

  #addIPv6(how: 'routed' | 'masquerade'): void {
    const inside = how === 'routed' ? addresses6 : ula;
    const [prefix] = inside.routerInternal.split('::');
    const batch = (host: Host, lines: readonly string[]): void => {
      this.space(host).run('ip', ['-6', '-batch', '-'], `${lines.join('\n')}\n`);
    };
    batch('router', [
      `addr add ${inside.routerInternal}/64 dev br0 nodad`,
      `addr add ${addresses6.routerExternal}/64 dev eth0 nodad`,
      'route add default via 2001:db8:ff::fe',
    ]);
    for (const host of ['phone1', 'phone2'] as const)
      batch(host, [
        `addr add ${inside[host]}/64 dev eth0 nodad`,
        `route add default via ${inside.routerInternal}`,
      ]);
    const { provider, media, farEnd, stranger, routerExternal } = addresses6;
    batch('provider', [
      // Programs that leave the choice to the system send from the far end's address, which is the only preferred one.
      'addr add 2001:db8:ff::fe/64 dev eth0 nodad preferred_lft 0',
      ...[provider, media, stranger].map((one) => `addr add ${one}/128 dev eth0 nodad preferred_lft 0`),
      `addr add ${farEnd}/128 dev eth0 nodad`,
      how === 'routed' ? `route add ${prefix}::/64 via ${routerExternal}` : 'route add fc00::/7 dev void',
    ]);
    this.space('router').enter(() => writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1'));
    if (how === 'masquerade')
      this.space('router').run(
        'nft',
        ['-f', '-'],
        'table ip6 nat { chain postrouting { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }; }',
      );
  }

  #filter(): void {
    const { nat = 'masquerade', firewall = true, forwardToPbx = false, ipv6 } = this.options;
    const rules = [
      'table inet firewall {',
      '  chain sip { }',
      '  chain input {',
      `    type filter hook input priority filter; policy ${firewall ? 'drop' : 'accept'};`,
      '    iifname { "lo", "br0" } accept',
      '    ct state established,related accept',
      '    icmp type echo-request accept',
      '    meta l4proto ipv6-icmp accept',
      '    jump sip',
      '  }',
      '  chain forward {',
      `    type filter hook forward priority filter; policy ${firewall && (nat !== 'routed' || ipv6 !== undefined) ? 'drop' : 'accept'};`,
      '    iifname "br0" oifname "eth0" accept',
      '    ct state established,related accept',
      '    ct status dnat accept',
      '  }',
      '}',
    ];
    if (nat !== 'routed') {
      rules.push(
        'table ip nat {',
        '  chain prerouting {',
        '    type nat hook prerouting priority dstnat;',
        forwardToPbx ? `    iifname "eth0" udp dport 5060 dnat to ${addresses.pbx}:5060` : '',
        '  }',
        '  chain postrouting {',
        '    type nat hook postrouting priority srcnat;',
        `    oifname "eth0" ${nat}`,
        '  }',
        '}',
      );
    }
    this.space('router').run('nft', ['-f', '-'], rules.join('\n'));
  }
}
