/**
 * A router between everybody inside and everybody outside, in three network namespaces:
 *
 *   inside: 192.168.0.0/16 and 10.0.0.0/8 ── lan 192.168.1.1 [router] wan 203.0.113.1 ── outside: all other addresses
 *           2001:db8:1::/64               ──                [router] 2001:db8:3::1   ── the rest of 2001:db8::/32
 *
 * Both ends own every address of theirs, and one socket each takes whatever UDP comes out of the router, at any address and
 * port: nothing that arrives is overlooked, and what arrives nowhere has not left the router. The router is one that
 * knows masquerade, of IPv6 as well, and has no firewall, so that what somebody must not reach is kept from him by what is tested, not by it.
 *
 * That nothing more arrives is known, not waited for: a datagram of our own goes the same way behind all others, and what
 * came before it is all there is (`fence`).
 */
import { writeFileSync } from 'node:fs';
import { Journal } from '../../demo/journal.ts';
import { Namespace } from '../../demo/namespace.ts';
import { type Address, type Endpoint, endpointKey, formatEndpoint } from '../../src/core/net/address.ts';
import { UdpSocket } from '../../src/linux/udp-socket.ts';
import { Streams } from './streams.ts';

export const EXTERNAL = '203.0.113.1';
export const EXTERNAL_6 = '2001:db8:3::1';
const SINK_PORT = 9;
/**
 * Who is behind which link is written down, not asked for: the kernel has one table of what ARP has found out for all
 * namespaces, and others may have filled it.
 */
const MAC = {
  lan: '02:00:00:00:00:01',
  inside: '02:00:00:00:00:02',
  wan: '02:00:00:00:00:03',
  outside: '02:00:00:00:00:04',
} as const;
/** The next hop to all that is inside; nobody sends to it. */
const INSIDE = '192.168.255.254';
/** Next hops of IPv6 inside, of the router and of those behind it, and outside. */
const HOP_6 = { router: 'fe80::1', inside: 'fe80::2', outside: 'fe80::3' } as const;
export const ARRIVES_MS = 5_000;
const FENCE = 'fence ';

export type Side = 'internal' | 'external';

export interface Datagram {
  readonly side: Side;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

export interface Fence {
  /** Inside, and the place outside to which its datagrams go. Nobody else has these addresses. */
  readonly inside: Endpoint;
  readonly outside: Endpoint;
}

export class World {
  readonly router = new Namespace('router');
  readonly #spaces = { internal: new Namespace('inside'), external: new Namespace('outside') };
  readonly #sinks: UdpSocket[] = [];
  #streams: Streams | undefined;
  readonly #sockets = new Map<string, UdpSocket>();
  readonly #journal = new Journal<Datagram>(
    (one) =>
      `${formatEndpoint(one.from)} > ${formatEndpoint(one.to)}: ${Buffer.from(one.bytes).toString('latin1').slice(0, 60)}`,
  );
  #fences = 0;
  #external = EXTERNAL;

  constructor() {
    try {
      this.#link();
      for (const side of ['internal', 'external'] as const)
        for (const address of ['127.0.0.1', '::1'])
          this.#sinks.push(this.#socket(side, { address, port: SINK_PORT }, true));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** TCP, from the first time that it is asked for. */
  get streams(): Streams {
    this.#streams ??= new Streams(this.#spaces);
    return this.#streams;
  }

  send(side: Side, from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    const key = `${side} ${endpointKey(from)}`;
    const socket = this.#sockets.get(key) ?? this.#socket(side, from, false);
    this.#sockets.set(key, socket);
    if (!socket.send(bytes, to))
      throw new Error(`${formatEndpoint(from)} cannot send to ${formatEndpoint(to)}`);
  }

  /** Everything that has arrived since the last time, but the fences. */
  taken(): Datagram[] {
    const all = this.#journal.entries.filter((one) => !isFence(one));
    this.#journal.clear();
    return all;
  }

  arrives(matches: (datagram: Datagram) => boolean, what: string): Promise<Datagram> {
    return this.#journal.until(matches, ARRIVES_MS, what);
  }

  /**
   * Out, back, and out again. Whoever forwards from several sockets may serve them in any order, but only those that
   * have something: with the first arrival, all before it has been read; the two others then come behind its answers.
   */
  async fence({ inside, outside }: Fence): Promise<void> {
    const number = ++this.#fences;
    let back: Endpoint = inside;
    for (const leg of [1, 2, 3]) {
      const text = `${FENCE}${number} ${leg}`;
      const bytes = Buffer.from(text, 'latin1');
      if (leg === 2) this.send('external', outside, back, bytes);
      else this.send('internal', inside, outside, bytes);
      const there = await this.arrives((one) => Buffer.from(one.bytes).equals(bytes), text);
      if (leg === 1) back = there.from;
    }
  }

  /** Forgets senders and flows: the next scenario finds a world in which nothing has happened. `external`: of IPv4. */
  reset(external: Address = EXTERNAL): void {
    if (external !== this.#external) this.#move(external);
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
    this.#journal.clear();
    this.#streams?.reset();
    this.router.run('conntrack', ['-F']);
  }

  close(): void {
    this.#streams?.close();
    for (const socket of [...this.#sockets.values(), ...this.#sinks]) socket.close();
    this.router.remove();
    for (const space of Object.values(this.#spaces)) space.remove();
  }

  /** Another IPv4 address for the router, to which all that is outside knows the way. */
  #move(external: Address): void {
    const outside = this.#spaces.external;
    ip(outside, `route replace ${external}/32 dev eth0 table local scope link`);
    ip(outside, `neigh replace ${external} lladdr ${MAC.wan} dev eth0 nud permanent`);
    ip(
      this.router,
      `addr del ${this.#external}/24 dev wan`,
      `addr add ${external}/24 dev wan`,
      'route replace default via 203.0.113.254 dev wan onlink',
    );
    this.#external = external;
  }

  #socket(side: Side, local: Endpoint, originalDestination: boolean): UdpSocket {
    return this.#spaces[side].enter(
      () =>
        new UdpSocket(
          { local, transparent: true, originalDestination, receiveBufferBytes: 1 << 20 },
          {
            datagram: (bytes, from, to) => this.#journal.add({ side, from, to, bytes }),
            fault: (error) => {
              throw error;
            },
          },
        ),
    );
  }

  #link(): void {
    const { internal, external } = this.#spaces;
    ip(
      this.router,
      'link set lo up',
      `link add lan address ${MAC.lan} type veth peer name eth0 address ${MAC.inside} netns ${internal.name}`,
      `link add wan address ${MAC.wan} type veth peer name eth0 address ${MAC.outside} netns ${external.name}`,
      'link set lan up',
      'link set wan up',
      'addr add 192.168.1.1/24 dev lan noprefixroute',
      `route add 192.168.0.0/16 via ${INSIDE} dev lan onlink`,
      `route add 10.0.0.0/8 via ${INSIDE} dev lan onlink`,
      `neigh add ${INSIDE} lladdr ${MAC.inside} dev lan nud permanent`,
      `addr add ${EXTERNAL}/24 dev wan`,
      'route add default via 203.0.113.254',
      `neigh add 203.0.113.254 lladdr ${MAC.outside} dev wan nud permanent`,
      'addr add 2001:db8:1::1/128 dev lan nodad',
      `addr add ${EXTERNAL_6}/128 dev wan nodad`,
      `neigh add ${HOP_6.inside} lladdr ${MAC.inside} dev lan nud permanent`,
      `neigh add ${HOP_6.outside} lladdr ${MAC.outside} dev wan nud permanent`,
      `route add 2001:db8:1::/64 via ${HOP_6.inside} dev lan`,
      `route add default via ${HOP_6.outside} dev wan`,
    );
    // All addresses of its own: what is sent there is delivered.
    ip(
      internal,
      'link set lo up',
      'link set eth0 up',
      'route add local 192.168.0.0/16 dev lo table local',
      'route add local 10.0.0.0/8 dev lo table local',
      'route add 192.168.1.1/32 dev eth0 table local scope link',
      'route add default via 192.168.1.1 dev eth0 onlink',
      `neigh add 192.168.1.1 lladdr ${MAC.lan} dev eth0 nud permanent`,
      'route add local 2001:db8:1::/64 dev lo table local',
      `neigh add ${HOP_6.router} lladdr ${MAC.lan} dev eth0 nud permanent`,
      `route add default via ${HOP_6.router} dev eth0`,
    );
    ip(
      external,
      'link set lo up',
      'link set eth0 up',
      'addr add 203.0.113.254/24 dev eth0',
      'route add local 0.0.0.0/0 dev lo table local',
      'route add 203.0.113.0/24 dev eth0 table local scope link',
      `neigh add ${EXTERNAL} lladdr ${MAC.wan} dev eth0 nud permanent`,
      'route add local 2001:db8::/32 dev lo table local',
      `neigh add ${HOP_6.router} lladdr ${MAC.wan} dev eth0 nud permanent`,
      `route add ${EXTERNAL_6}/128 via ${HOP_6.router} dev eth0 table local`,
    );
    for (const space of [internal, external]) {
      set(space, { 'conf/all/accept_local': 1, 'conf/eth0/accept_local': 1 });
      set(space, { 'conf/all/rp_filter': 0, 'conf/eth0/rp_filter': 0 });
      for (const [family, address] of [
        ['ip', '127.0.0.1'],
        ['ip6', '[::1]'],
      ] as const)
        space.run(
          'nft',
          ['-f', '-'],
          chain(
            'sink',
            'filter hook prerouting priority mangle',
            `iifname "eth0" meta l4proto udp tproxy to ${address}:${SINK_PORT} accept`,
            [],
            family,
          ),
        );
    }
    inOneQueue(this.router, ['lan', 'wan']);
    for (const space of [internal, external]) inOneQueue(space, ['eth0']);
    set(this.router, { ip_forward: 1, 'conf/all/rp_filter': 1, 'conf/all/send_redirects': 0 });
    this.router.enter(() => writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1'));
    for (const family of ['ip', 'ip6'] as const)
      this.router.run(
        'nft',
        ['-f', '-'],
        chain('nat', 'nat hook postrouting priority srcnat', 'oifname "wan" masquerade', [], family),
      );
  }
}

/** A table with one chain, as `nft -f` reads it. */
export function chain(
  table: string,
  hook: string,
  rule: string,
  more: readonly string[] = [],
  family: 'ip' | 'ip6' = 'ip',
): string {
  return [`table ${family} ${table} {`, ...more, 'chain only {', `type ${hook};`, rule, '}', '}', ''].join(
    '\n',
  );
}

/**
 * All packets of a link wait in the queue of one processor, whichever has sent them: nothing overtakes. Where the kernel
 * has no such setting, it has one processor.
 */
function inOneQueue(space: Namespace, links: readonly string[]): void {
  const files = links.map((link) => `/sys/class/net/${link}/queues/rx-0/rps_cpus`);
  space.run('sh', ['-c', files.map((file) => `if [ -e ${file} ]; then echo 1 > ${file}; fi`).join('\n')]);
}

function ip(space: Namespace, ...lines: string[]): void {
  space.run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
}

function set(space: Namespace, values: Readonly<Record<string, number>>): void {
  space.enter(() => {
    for (const [key, value] of Object.entries(values)) writeFileSync(`/proc/sys/net/ipv4/${key}`, `${value}`);
  });
}

function isFence({ bytes }: Datagram): boolean {
  return Buffer.from(bytes).toString('latin1', 0, FENCE.length) === FENCE;
}
