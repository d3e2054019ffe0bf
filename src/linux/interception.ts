/**
 * What makes phones' packets come to us, and of which there is one, however many engines share the phones: policy route, ruleset,
 * accept rules, and the heartbeat without which the rules rest.
 */
import type { Endpoint } from '../core/net/address.ts';
import { addAcceptRules, hasAcceptRules } from './accept-chain.ts';
import { type Conntrack, IPS_DST_NAT, IPS_SRC_NAT } from './conntrack.ts';
import type { Family } from './family.ts';
import { forwardsInUse } from './forwarded.ts';
import { install } from './install.ts';
import { BRIDGE_REMEDY, filteredBridge, localAddresses } from './interfaces.ts';
import { heartbeats, type NftElements, renew } from './nft-elements.ts';
import { readForwardedHosts, readForwards, readLearnedForwards } from './operator-forwards.ts';
import type { LinuxPlaneOptions } from './plane-options.ts';
import { readRuleset } from './program.ts';
import type { RoutedPhones } from './routed-phones.ts';
import { HEARTBEAT_S, type ListenPorts, type RulesetOptions, SETS } from './ruleset.ts';
import { staleSignalling } from './signalling-flows.ts';
import { removeEverything } from './switch.ts';
import { ERRNO, SystemError } from './system-error.ts';

export const HEARTBEAT_MS = 1_000;
/** A gap in which the rules may have been inactive. */
const GAP_MS = (HEARTBEAT_S - 1) * 1_000;
/** How often the accept rules are looked after. */
export const LOOK_MS = 15_000;
export const DEFAULT_SIP_PORTS: readonly number[] = [5060];

export interface InterceptionParts {
  readonly elements: NftElements;
  readonly conntrack: Conntrack;
  readonly routed: RoutedPhones;
  readonly families: readonly Family[];
  /** Where each engine takes packets, in the order of the shares (phone-share.ts); at least one. */
  listening(): readonly ListenPorts[];
  /** The table is new: has all elements set again, before this returns. */
  restore(): void;
  /** Why there must be no heartbeat; undefined where nothing speaks against it. */
  obstacle(): string | undefined;
  /** The rules may have been inactive for a while. */
  gap(): void;
  tell(code: string, what: unknown): void;
  notice(code: string, text: string): void;
}

export class Interception {
  readonly #options: LinuxPlaneOptions;
  readonly #parts: InterceptionParts;
  readonly #sipPorts: readonly number[];
  #lastBeatMs = 0;
  #heartbeats = 0;
  #forwarded: readonly Endpoint[] = [];
  /** Why the last heartbeat was not given. */
  #obstacle: string | undefined;

  /** Throws a `SystemError` where interception cannot work here at all. */
  constructor(options: LinuxPlaneOptions, parts: InterceptionParts) {
    this.#options = options;
    this.#parts = parts;
    this.#sipPorts = options.sipPorts ?? DEFAULT_SIP_PORTS;
  }

  get heartbeats(): number {
    return this.#heartbeats;
  }

  /** Why the rules rest and the phones have ordinary NAT; undefined while they intercept. */
  resting(): string | undefined {
    const silentMs = performance.now() - this.#lastBeatMs;
    if (silentMs < HEARTBEAT_S * 1_000) return undefined;
    const why = this.#obstacle === undefined ? '' : `${this.#obstacle}; `;
    return `${why}the kernel has had no heartbeat for ${Math.round(silentMs / 1000)} s: the phones have ordinary NAT`;
  }

  /**
   * Route, ruleset, accept rules, elements; the heartbeat that makes it all take effect comes last, where nothing stands in its way.
   */
  install(): void {
    const { conntrack, routed, families } = this.#parts;
    const forwards = readForwards(this.#sipPorts);
    routed.look(readRuleset());
    routed.lookAtBridges();
    const learned = [
      ...readLearnedForwards(),
      ...forwardsInUse(conntrack.list({ status: IPS_DST_NAT }), this.#sipPorts),
    ];
    const { internal, acceptChains = [], routeTable, rulePriority } = this.#options;
    const route = {
      internal,
      families,
      ...(routeTable === undefined ? {} : { table: routeTable }),
      ...(rulePriority === undefined ? {} : { priority: rulePriority }),
    };
    install(this.#rulesetOptions(forwards, learned), route, acceptChains, (code, error) =>
      this.#parts.tell(code, error),
    );
    this.#parts.restore();
    this.#forwarded = [...forwards, ...learned];
    if (this.#parts.obstacle() === undefined) this.begin();
  }

  /** The first heartbeat: from now on phones' packets come to us, also those of flows that were made meanwhile. */
  begin(): void {
    this.#pulse();
    this.#removeStale(this.#forwarded);
  }

  /** To be called every `HEARTBEAT_MS`. False where the rules rest. */
  beat(): boolean {
    try {
      this.#obstacle = this.#findObstacle();
      // Without a heartbeat the rules rest, and the phones have the router's ordinary NAT.
      if (this.#obstacle !== undefined) return false;
      if (this.#parts.routed.lookAtBridges()) this.install();
      const gap = performance.now() - this.#lastBeatMs;
      this.#pulse();
      if (gap < GAP_MS) return true;
      this.#parts.gap();
      const forwards = readForwards(this.#sipPorts);
      this.#removeStale([...forwards, ...readLearnedForwards()]);
      this.#parts.notice('linux.gap', `the gateway stood still for ${Math.round(gap)} ms`);
      return true;
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== ERRNO.ENOENT) {
        this.#parts.tell('linux.heartbeat', error);
        return false;
      }
      this.#attempt('linux.ruleset-lost', () => {
        this.install();
        this.#parts.notice(
          'linux.ruleset-lost',
          'somebody flushed the nftables ruleset; ours is there again',
        );
      });
      return false;
    }
  }

  /** Looks after what others may have changed: to be called every `LOOK_MS`. */
  look(): void {
    const { routed } = this.#parts;
    const chains = this.#options.acceptChains ?? [];
    if (chains.length === 0 && !routed.looks) return;
    const ruleset = readRuleset();
    this.#attempt('linux.nat66', () => {
      if (!routed.look(ruleset)) return;
      this.install();
      this.#parts.notice('linux.nat66', routed.describe());
    });
    this.#attempt('linux.accept-chain', () => {
      if (chains.length === 0 || hasAcceptRules(chains, ruleset)) return;
      addAcceptRules(chains);
      this.#parts.notice(
        'linux.accept-chain',
        'the firewall was loaded again; our accept rules are back in it',
      );
    });
  }

  #rulesetOptions(forwarded: readonly Endpoint[], learned: readonly Endpoint[]): RulesetOptions {
    const { internal, external, excludedPhones, excludedProviders, providers } = this.#options;
    const { routed } = this.#parts;
    const [first, ...others] = this.#parts.listening();
    return {
      ...(first ?? { listenPort: 0 }),
      others,
      internal,
      external,
      sipPorts: this.#sipPorts,
      translated6: routed.translated,
      intercept6: routed.intercepts,
      watchGroup: routed.group,
      excludedPhones: excludedPhones ?? [],
      excludedProviders: excludedProviders ?? [],
      providers: providers ?? [],
      rates: this.#options.rates,
      forwarded,
      learned,
      forwardedHosts: readForwardedHosts(this.#sipPorts),
    };
  }

  #removeStale(forwarded: readonly Endpoint[]): void {
    const { conntrack } = this.#parts;
    const stale = staleSignalling(conntrack.list({ status: IPS_SRC_NAT }), {
      sipPorts: this.#sipPorts,
      local: localAddresses(),
      forwarded,
      excludedPhones: this.#options.excludedPhones ?? [],
      excludedProviders: this.#options.excludedProviders ?? [],
    });
    for (const entry of stale) conntrack.remove(entry);
    if (stale.length > 0)
      this.#parts.notice('linux.stale-flows', `${stale.length} SIP flows with ordinary NAT are taken over`);
  }

  #pulse(): void {
    this.#parts.elements.apply(renew(SETS.heartbeat, heartbeats(HEARTBEAT_S * 1_000)));
    this.#lastBeatMs = performance.now();
    this.#heartbeats++;
  }

  #findObstacle(): string | undefined {
    const bridge = filteredBridge(this.#options.internal);
    if (bridge === undefined) return this.#parts.obstacle();
    const what = `br_netfilter was switched on under ${bridge}`;
    this.#parts.tell('linux.bridge-netfilter', `${what}: ${BRIDGE_REMEDY}`);
    return what;
  }

  #attempt(code: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#parts.tell(code, error);
    }
  }
}

/** Throws a `SystemError` where frames would be lost. */
export function refuseFilteredBridge(internal: readonly string[]): void {
  const bridge = filteredBridge(internal);
  if (bridge !== undefined)
    throw new SystemError(
      'linux/bridge-netfilter',
      `frames on ${bridge} go through br_netfilter, where interception loses them`,
      BRIDGE_REMEDY,
    );
}

/** Rules, route and accept rules, gone. What comes now finds the router's ordinary NAT. */
export function removeInterception({ sipPorts, routeTable }: LinuxPlaneOptions): void {
  removeEverything({
    sipPorts: sipPorts ?? DEFAULT_SIP_PORTS,
    ...(routeTable === undefined ? {} : { table: routeTable }),
  });
}
