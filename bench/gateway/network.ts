/**
 * The network that everything is measured in, of namespaces made and removed by the run:
 *
 *   phones 192.168.4.1 … ── lan 192.168.0.1 [router] eth0 203.0.113.1 ── 203.0.113.254 [provider] 198.51.100.5 signalling
 *                                                                                      198.51.100.6 media
 *
 * All phones are addresses of one namespace, behind one neighbour of the router's: the kernel holds 1024 neighbours in all
 * namespaces together (gc_thresh3), and drops what goes to more. The router has masquerade, a firewall that drops what it
 * does not know, and strict reverse-path filtering, in every variant alike.
 *
 * The kernel keeps the flows of all namespaces in one hash table, so that what walks it pays for its size everywhere.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Namespace, removeStaleNamespaces } from '../../demo/namespace.ts';

export const PROVIDER = '198.51.100.5';
export const PROVIDER_MEDIA = '198.51.100.6';
/** What is sent there is lost without an answer: it only makes flows in the router. */
export const SILENT = '198.51.100.9';
/** A second provider, for calls that are held while others are measured. */
export const SPARE = '198.51.100.7';
export const EXTERNAL = '203.0.113.1';
export const ROUTER = '192.168.0.1';
const NEIGHBOUR = '192.168.0.2';
const PHONES_PER_BLOCK = 250;

/** `helper` is the kernel's own SIP helper, assigned by rule as nftables does it since automatic assignment is gone. */
export type Forwarding = 'nat' | 'helper';

/** The address of phone `i`, counted from 0. */
export function phoneAddress(i: number): string {
  return `192.168.${4 + Math.floor(i / PHONES_PER_BLOCK)}.${1 + (i % PHONES_PER_BLOCK)}`;
}

export class BenchNetwork {
  readonly phones: Namespace;
  readonly router: Namespace;
  readonly provider: Namespace;

  constructor(phones: number, forwarding: Forwarding) {
    removeStaleNamespaces();
    this.phones = new Namespace('phones');
    this.router = new Namespace('router');
    this.provider = new Namespace('provider');
    try {
      this.#link(phones);
      this.#settings();
      this.router.run('nft', ['-f', '-'], ruleset(forwarding));
      this.provider.run(
        'nft',
        ['-f', '-'],
        `table ip silent { chain input { type filter hook input priority filter; ip daddr ${SILENT} drop; }; }`,
      );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Packets that left the router towards the provider, all protocols. */
  forwarded(): number {
    const [link] = JSON.parse(this.router.run('ip', ['-s', '-j', 'link', 'show', 'eth0'])) as {
      stats64: { tx: { packets: number } };
    }[];
    return link?.stats64.tx.packets ?? 0;
  }

  /** Flows that the router knows. */
  flows(): number {
    return this.router.enter(() =>
      Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_count', 'latin1')),
    );
  }

  close(): void {
    for (const space of [this.phones, this.router, this.provider]) space.remove();
  }

  #link(phones: number): void {
    const { router, provider } = this;
    batch(router, [
      'link set lo up',
      `link add lan type veth peer name eth0 netns ${this.phones.name}`,
      `link add eth0 type veth peer name eth0 netns ${provider.name}`,
      `addr add ${ROUTER}/24 dev lan`,
      `addr add ${EXTERNAL}/24 dev eth0`,
      'link set lan up',
      'link set eth0 up',
    ]);
    batch(this.phones, [
      'link set lo up',
      'link set eth0 up',
      `addr add ${NEIGHBOUR}/24 dev eth0`,
      ...Array.from({ length: phones }, (_, i) => `addr add ${phoneAddress(i)}/32 dev lo`),
      `route add default via ${ROUTER}`,
    ]);
    batch(provider, [
      'link set lo up',
      'link set eth0 up',
      'addr add 203.0.113.254/24 dev eth0',
      ...[PROVIDER, PROVIDER_MEDIA, SPARE, SILENT].map((address) => `addr add ${address}/32 dev eth0`),
    ]);
    batch(router, ['route add default via 203.0.113.254', `route add 192.168.0.0/16 via ${NEIGHBOUR}`]);
  }

  #settings(): void {
    this.router.enter(() => {
      set('ipv4/ip_forward', 1);
      for (const name of ['all', 'default', 'lan', 'eth0']) set(`ipv4/conf/${name}/rp_filter`, 1);
      // Flows that were made to be many must not end while they are measured.
      set('netfilter/nf_conntrack_udp_timeout', 300);
    });
  }
}

function batch(space: Namespace, lines: readonly string[]): void {
  space.run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
}

function set(key: string, value: number): void {
  writeFileSync(`/proc/sys/net/${key}`, String(value));
}

function ruleset(forwarding: Forwarding): string {
  return [
    'table inet firewall {',
    '  chain input {',
    '    type filter hook input priority filter; policy drop;',
    '    iifname { "lo", "lan" } accept',
    '    ct state established,related accept',
    '  }',
    '  chain forward {',
    '    type filter hook forward priority filter; policy drop;',
    '    iifname "lan" oifname "eth0" accept',
    '    ct state established,related accept',
    '    ct status dnat accept',
    '  }',
    '}',
    'table ip nat {',
    ...(forwarding === 'helper' ? ['  ct helper sip { type "sip" protocol udp; }'] : []),
    '  chain postrouting {',
    '    type nat hook postrouting priority srcnat;',
    '    oifname "eth0" masquerade',
    '  }',
    ...(forwarding === 'helper'
      ? [
          '  chain assign {',
          '    type filter hook prerouting priority filter;',
          '    udp dport 5060 ct helper set "sip"',
          '  }',
        ]
      : []),
    '}',
  ].join('\n');
}
