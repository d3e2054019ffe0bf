/**
 * Phones with IPv6 that are routed without NAT: nothing of theirs is intercepted or changed, and the engine hears copies of
 * their messages. Which phones these are, the router's own NAT rules say, unless the operator does.
 */
import type { PlaneHandler } from '../core/alg/io.ts';
import type { Flow } from '../core/net/flow.ts';
import { IPV6 } from './family.ts';
import { BRIDGE_REMEDY_6, filteredBridge } from './interfaces.ts';
import type { Datagram } from './ip-packet.ts';
import { findIptablesTranslated, findTranslated } from './nat66.ts';
import type { LinuxPlaneOptions } from './plane-options.ts';
import { tryRun } from './program.ts';
import { WATCH_GROUP } from './ruleset.ts';
import { type Direction, PacketWatch } from './watch.ts';

export class RoutedPhones {
  readonly #options: LinuxPlaneOptions;
  readonly #handler: PlaneHandler;
  readonly #fault: (code: string, error: unknown) => void;
  #watch: PacketWatch | undefined;
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
        message: (datagram, direction) => this.#heard(datagram, direction),
        fault: (error) => this.#fault('linux.watch', error),
      });
    } catch (error) {
      this.#fault('linux.watch', error);
    }
  }

  close(): void {
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

  #heard({ source, destination, payload }: Datagram, direction: Direction): void {
    const flow: Flow = {
      transport: 'udp',
      side: direction === 'out' ? 'internal' : 'external',
      local: destination,
      remote: source,
    };
    const phone = direction === 'out' ? source : destination;
    this.#handler.packet(flow, payload, phone.address, undefined, true);
  }
}
