/**
 * Interception for several engines, each with sockets of its own (`LinuxPlaneOptions.shared`): what there is one of, on the main thread.
 * Phones that are routed without NAT are heard here too, because the kernel copies their messages to one listener.
 */
import type { PlaneHandler } from '../core/alg/io.ts';
import { Conntrack } from './conntrack.ts';
import { FAMILIES, IPV4 } from './family.ts';
import { type Dropped, FloodWatch } from './flood-watch.ts';
import {
  HEARTBEAT_MS,
  Interception,
  LOOK_MS,
  refuseFilteredBridge,
  removeInterception,
} from './interception.ts';
import { NftElements } from './nft-elements.ts';
import type { LinuxPlaneOptions } from './plane-options.ts';
import { returnProgramPages, STARTED_MS } from './program-pages.ts';
import { RareNotices } from './rare-notices.ts';
import { RoutedPhones } from './routed-phones.ts';
import { type ListenPorts, TABLE } from './ruleset.ts';

export interface SharedInterceptionHandler extends PlaneHandler {
  /** The table is new: has every engine set its elements again, before this returns. */
  restore(): void;
  /** Why there must be no heartbeat: an engine does not answer. Asked with every heartbeat. */
  obstacle(): string | undefined;
}

export class SharedInterception {
  readonly #options: LinuxPlaneOptions;
  readonly #handler: SharedInterceptionHandler;
  readonly #notices: RareNotices;
  readonly #routed: RoutedPhones;
  #opened: { readonly elements: NftElements; readonly conntrack: Conntrack } | undefined;
  #interception: Interception | undefined;
  #floods: FloodWatch | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: LinuxPlaneOptions, handler: SharedInterceptionHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#notices = new RareNotices((code, text) => handler.notice(code, text));
    this.#routed = new RoutedPhones(options, handler, (code, error) => this.#tell(code, error));
  }

  /**
   * `listening`: of each engine, in the order of the shares. The rules rest until `begin` where there is an obstacle. Throws a
   * `SystemError`, and then nothing is left behind.
   */
  start(listening: readonly ListenPorts[]): void {
    refuseFilteredBridge(this.#options.internal);
    const families = listening.every((one) => one.listenPort6 !== undefined) ? FAMILIES : [IPV4];
    try {
      const elements = new NftElements(TABLE);
      const conntrack = new Conntrack();
      this.#opened = { elements, conntrack };
      const floods = new FloodWatch(elements, families);
      this.#floods = floods;
      if (families.length > 1) this.#routed.open();
      const interception = new Interception(this.#options, {
        elements,
        conntrack,
        routed: this.#routed,
        families,
        listening: () => listening,
        restore: () => this.#handler.restore(),
        obstacle: () => this.#handler.obstacle(),
        gap: () => {},
        tell: (code, what) => this.#tell(code, what),
        notice: (code, text) => this.#handler.notice(code, text),
      });
      this.#interception = interception;
      interception.install();
      this.#timers = [
        setTimeout(returnProgramPages, STARTED_MS),
        setInterval(() => interception.beat(), HEARTBEAT_MS),
        setInterval(() => interception.look(), LOOK_MS),
        floods.watch((code, what) => this.#tell(code, what)),
      ];
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  begin(): void {
    this.#interception?.begin();
  }

  /** To be called before the engines stop: a packet that comes now finds the router's ordinary NAT, not a closed socket. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    removeInterception(this.#options);
    this.#routed.close();
    this.#opened?.elements.close();
    this.#opened?.conntrack.close();
    this.#opened = undefined;
    this.#interception = undefined;
  }

  ipv6(): string {
    return this.#routed.describe();
  }

  resting(): string | undefined {
    return this.#interception?.resting();
  }

  get heartbeats(): number {
    return this.#interception?.heartbeats ?? 0;
  }

  get dropped(): Dropped | undefined {
    return this.#floods?.dropped;
  }

  #tell(code: string, what: unknown): void {
    this.#notices.tell(code, what);
  }
}
