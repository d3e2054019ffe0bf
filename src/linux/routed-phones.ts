/**
 * Phones with IPv6 that are routed without NAT: nothing of theirs is intercepted or changed, and the engine hears copies of
 * their messages. Which phones these are, the router's own NAT rules say, unless the operator does.
 */
import type { PlaneHandler } from '../core/alg/io.ts';
import type { Side } from '../core/net/flow.ts';
import { FollowedConnections } from '../stream/followed.ts';
import { IPV6 } from './family.ts';
import { BRIDGE_REMEDY_6, filteredBridge } from './interfaces.ts';
import type { Datagram, TcpPacket } from './ip-packet.ts';
import { findIptablesTranslated, findTranslated } from './nat66.ts';
import type { LinuxPlaneOptions } from './plane-options.ts';
import { tryRun } from './program.ts';
import { WATCH_GROUP } from './ruleset.ts';
import { type Direction, PacketWatch } from './watch.ts';

/** How often is looked for connections that have been silent for too long. */
const CHECK_MS = 10_000;

export class RoutedPhones {
  readonly #options: LinuxPlaneOptions;
  readonly #handler: PlaneHandler;
  readonly #fault: (code: string, error: unknown) => void;
  readonly #connections: FollowedConnections;
  #watch: PacketWatch | undefined;
  #timer: NodeJS.Timeout | undefined;
  #translated: readonly string[] = [];
  #filtered = false;

  constructor(
    options: LinuxPlaneOptions,
    handler: PlaneHandler,
    fault: (code: string, error: unknown) => void,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.#fault = fault;
    this.#connections = new FollowedConnections({
      handler,
      limits: options.connections,
      tell: (text) => fault('linux.watch', text),
    });
  }

  /** Prefixes of phones that are translated; all others are routed. */
  get translated(): readonly string[] {
    return this.#translated;
  }

  /** The NFLOG group of the copies. */
  get group(): number {
    return this.#watch?.group ?? this.#options.watchGroup ?? WATCH_GROUP;
  }

  /** Whether what is translated can be intercepted: not from a bridge under br_netfilter. */
  get intercepts(): boolean {
    return !this.#filtered;
  }

  /** Whether the router's rules decide. */
  get looks(): boolean {
    return this.#watch !== undefined && (this.#options.ipv6 ?? 'auto') === 'auto';
  }

  /** Where no copies are to be had, IPv6 is routed as if we were not there. */
  open(): void {
    try {
      this.#watch = new PacketWatch(this.group, {
        packet: (packet, direction) => this.#heard(packet, direction),
        fault: (error) => this.#fault('linux.watch', error),
      });
      this.#timer = setInterval(() => this.#connections.check(performance.now()), CHECK_MS).unref();
    } catch (error) {
      this.#fault('linux.watch', error);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watch?.close();
    this.#watch = undefined;
  }

  /** Whether br_netfilter was switched on or off for IPv6 since the last time. */
  lookAtBridges(): boolean {
    const before = this.#filtered;
    const bridge = this.#translated.length === 0 ? undefined : filteredBridge(this.#options.internal, IPV6);
    this.#filtered = bridge !== undefined;
    if (bridge !== undefined && !before)
      this.#fault('linux.bridge-netfilter', `IPv6 on ${bridge} has ordinary NAT: ${BRIDGE_REMEDY_6}`);
    return this.#filtered !== before;
  }

  /** Reads the router's rules (what `nft -j list ruleset` prints); whether they say something else than before. */
  look(ruleset: unknown): boolean {
    const { ipv6 = 'auto', external } = this.#options;
    const before = this.#translated.join();
    if (ipv6 !== 'auto') this.#translated = ipv6 === 'translated' ? [IPV6.all] : [];
    else if (ruleset !== undefined) {
      const iptables = tryRun('ip6tables-save', ['-t', 'nat']).stdout;
      const found = [...findTranslated(ruleset, external), ...findIptablesTranslated(iptables, external)];
      this.#translated = [...new Set(found)].sort();
    }
    return this.#translated.join() !== before;
  }

  describe(): string {
    if (this.#watch === undefined) return 'IPv6 is left alone';
    return this.#translated.length === 0
      ? 'this router does not translate IPv6: phones are routed as they are'
      : `this router translates IPv6 from ${this.#translated.join(', ')}`;
  }

  #heard(packet: Datagram | TcpPacket, direction: Direction): void {
    const { source, destination } = packet;
    const side: Side = direction === 'out' ? 'internal' : 'external';
    const [phone, peer] = direction === 'out' ? [source, destination] : [destination, source];
    if (packet.kind === 'tcp')
      return this.#connections.segment(side, phone, peer, packet.segment, performance.now());
    this.#handler.packet(
      { transport: 'udp', side, local: destination, remote: source },
      packet.payload,
      phone.address,
      undefined,
      true,
    );
  }
}
