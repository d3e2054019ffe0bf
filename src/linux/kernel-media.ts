/**
 * Media on the kernel's NAT maps: elements for every port and source, and the connections that they have made.
 *
 * Facts relied on:
 * - A nat chain decides on a flow's first packet; the flow then lives in the connection table without its element. So
 *   whatever changes an element also removes the flows made from it, after the element has changed: their next packets
 *   are decided anew, and those that are still allowed do not notice.
 * - A flow made before the mapping was there (early media, or the phone's port used by an earlier call) would keep its
 *   other NAT for ever; such flows are removed when the mapping opens.
 * - A flow between endpoints that are known is removed by its tuple, with the elements. Others (media from another port than the
 *   SDP named) are found in a walk of the table, a moment later (flow-sweep.ts).
 */

import type { MappingId, MediaFlow, MediaMapping } from '../core/alg/io.ts';
import { type Address, type Endpoint, endpointKey, isIPv6, sameEndpoint } from '../core/net/address.ts';
import { type ConntrackEntry, IPS_DST_NAT, IPS_SRC_NAT } from './conntrack.ts';
import type { ElementStore, WantedElement } from './element-store.ts';
import { named } from './family.ts';
import type { FlowChanges } from './flow-changes.ts';
import type { FlowSweep } from './flow-sweep.ts';
import { MediaActivity, SHORTEST_LOOK_MS } from './media-activity.ts';
import { endpointElement, keyText, type NftElements, sourceElement } from './nft-elements.ts';
import { SETS } from './ruleset.ts';
import { isFree } from './udp-socket.ts';

/** A crashed daemon leaves no hole for longer than this; a running one renews three times as often. */
export const MEDIA_TIMEOUT_MS = 3_600_000;
const MAX_PORTS = 16;
const MAX_SOURCES = 32;
/** A port that no program held so short a time ago is not looked at again: calls take the same ports in turn. */
const FREE_MS = 30_000;
/** Ports that are remembered to be free. */
const MAX_FREE = 8_192;
/** How often is looked whether media passes. */
const MEDIA_LOOK_MS = 30_000;

/** So many mappings close at once between two walks; when calls end faster, the others close with the walk, together. */
const CLOSED_AT_ONCE = 8;

type InternalMapping = MediaMapping & { readonly internal: Endpoint };

/** Who may send, and what lets them. */
interface Admitted {
  readonly address: Address;
  readonly elements: readonly WantedElement[];
}

/** A mapping and its elements, of which an update makes only those that are new. */
interface Placed {
  readonly owner: string;
  readonly mapping: InternalMapping;
  /** The phone's ports, as keys and values of elements. */
  readonly inner: readonly Uint8Array[];
  /** Those that do not depend on who may send. */
  readonly own: readonly WantedElement[];
  readonly admitted: readonly Admitted[];
}

export class KernelMedia {
  readonly #store: ElementStore;
  readonly #flows: FlowChanges;
  readonly #sweep: FlowSweep;
  readonly #sipPorts: readonly number[];
  readonly #mappings = new Map<MappingId, Placed>();
  /** Closed for the engine, and in the kernel soon; by the phone's endpoint. */
  readonly #closing = new Map<string, Placed>();
  #closedAtOnce = 0;
  readonly #activity = new MediaActivity();
  /** Those whose external address is not there. */
  readonly #resting = new Set<MappingId>();
  #present: ReadonlySet<Address> | undefined;
  /** External ports that no program of this machine held, and when that was. */
  readonly #free = new Map<string, number>();

  /** `sipPorts`: no media comes from these, though a signalling peer may stand for who answers. */
  constructor(store: ElementStore, flows: FlowChanges, sweep: FlowSweep, sipPorts: readonly number[]) {
    this.#store = store;
    this.#flows = flows;
    this.#sweep = sweep;
    this.#sipPorts = sipPorts;
  }

  get size(): number {
    return this.#mappings.size;
  }

  /** Packets on the first port of each mapping. */
  traffic(kernel: NftElements): Map<MappingId, { fromPhone: number; toPhone: number }> {
    const traffic = new Map<MappingId, { fromPhone: number; toPhone: number }>();
    const counts = new Map<string, Map<string, number>>();
    const count = (set: string, key: string): number | undefined => {
      let all = counts.get(set);
      if (all === undefined) {
        all = kernel.counts(set);
        counts.set(set, all);
      }
      return all.get(key);
    };
    for (const { mapping } of this.#mappings.values()) {
      const { id, internal, external } = mapping;
      const key = keyText(endpointElement(internal));
      const fromPhone = count(named(SETS.mediaFrom, external.address), key);
      const toPhone = count(named(SETS.mediaTo, external.address), key);
      if (fromPhone !== undefined && toPhone !== undefined) traffic.set(id, { fromPhone, toPhone });
    }
    return traffic;
  }

  /**
   * The reason why not, or undefined: then it is open when the store has been flushed without an error for `mediaOwner(id)`.
   */
  open(mapping: MediaMapping): string | undefined {
    const { internal } = mapping;
    if (internal === undefined) return 'the kernel maps only what has an internal endpoint';
    if (mapping.ports > MAX_PORTS) return `${mapping.ports} ports in one mapping, ${MAX_PORTS} are allowed`;
    for (let k = 0; k < mapping.ports; k++) {
      const local = shift(mapping.external, k);
      if (!isRouted({ ...mapping, internal }) && !this.#isFree(local))
        return `a program on this machine holds UDP ${local.address}:${local.port}`;
    }
    // What still comes to a call that has ended is not for the next one on the phone's port.
    this.#finish(this.#closing.get(endpointKey(internal)));
    this.#set({ ...mapping, internal }, undefined);
    return undefined;
  }

  #isFree(local: Endpoint): boolean {
    const key = endpointKey(local);
    const now = performance.now();
    if (now - (this.#free.get(key) ?? Number.NEGATIVE_INFINITY) < FREE_MS) return true;
    if (!isFree(local)) return false;
    if (this.#free.size >= MAX_FREE) this.#free.clear();
    this.#free.set(key, now);
    return true;
  }

  update(mapping: MediaMapping): void {
    const before = this.#mappings.get(mapping.id);
    const { internal } = mapping;
    if (before === undefined || internal === undefined) return;
    const next = { ...mapping, external: before.mapping.external, internal };
    if (sameInside(before.mapping, next) && sameAddresses(before.admitted, sourcesOf(next)))
      // The kernel filters by address; the endpoints are still what tells known flows when the mapping closes.
      this.#mappings.set(mapping.id, { ...before, mapping: next });
    else this.#set(next, before);
  }

  /** At once; or, where many close, with the next walk: external ports rest before they are used again. */
  close(id: MappingId): void {
    const placed = this.#mappings.get(id);
    if (placed === undefined) return;
    const { mapping, owner } = placed;
    this.#mappings.delete(id);
    this.#resting.delete(id);
    const key = endpointKey(mapping.internal);
    this.#finish(this.#closing.get(key));
    this.#closing.set(key, placed);
    if (this.#isQuiet()) this.#finish(placed);
    this.#sweep.laterOf(owner, endsOf(mapping), (entry) => leadsTo(entry, mapping));
  }

  /** What is still to be closed is dropped; to be called before each walk. */
  finishClosings(): void {
    for (const { owner } of this.#closing.values()) this.#store.drop(owner);
    this.#closing.clear();
    this.#closedAtOnce = 0;
  }

  /** Without the walk: what is known of its flows goes with it. */
  #finish(closing: Placed | undefined): void {
    if (closing === undefined) return;
    const { mapping, owner } = closing;
    this.#closing.delete(endpointKey(mapping.internal));
    this.#store.drop(owner);
    this.#removeKnown(mapping, mapping.sources);
  }

  /** Whether what has to go is to go at once. */
  #isQuiet(): boolean {
    return ++this.#closedAtOnce <= CLOSED_AT_ONCE;
  }

  /** The kernel has refused what `open` asked for. */
  forget(id: MappingId): void {
    this.#mappings.delete(id);
    this.#resting.delete(id);
  }

  /** Looks every `lookMs` whether packets pass on the mappings, and tells what has changed; until the timer is cleared. */
  watch(
    lookMs: number | undefined,
    tell: (id: MappingId, flow: MediaFlow) => void,
    fault: (error: unknown) => void,
  ): NodeJS.Timeout {
    const look = (): void => {
      if (this.#mappings.size === 0) return;
      const watched = [...this.#mappings.values()].map(({ mapping }) => mapping);
      const news = this.#activity.look(watched, this.#sweep.recent(), performance.now());
      for (const [id, flow] of news) tell(id, flow);
    };
    return setInterval(
      () => {
        try {
          look();
        } catch (error) {
          fault(error);
        }
      },
      Math.max(SHORTEST_LOOK_MS, lookMs ?? MEDIA_LOOK_MS),
    );
  }

  /**
   * The external addresses are these now. What is mapped to another one rests, so that the phone's media leaves by the
   * router's ordinary NAT, and not from an address that is not ours; it is there again when the address is.
   */
  follow(present: ReadonlySet<Address>): void {
    this.#present = present;
    const changed = new Map<string, InternalMapping>();
    for (const placed of this.#mappings.values()) {
      const { mapping } = placed;
      const rested = this.#resting.has(mapping.id);
      if (this.#rests(mapping) === rested) continue;
      this.#put(placed);
      this.#removeKnown(mapping, mapping.sources);
      for (const k of ports(mapping))
        for (const first of [mapping.external, mapping.internal])
          changed.set(endpointKey(shift(first, k)), mapping);
    }
    if (changed.size === 0) return;
    this.#sweep.later('external addresses', (entry) => {
      const { original, reply } = entry;
      const ends = [original.destination, original.source, reply.destination];
      return ends.some((end) => {
        const mapping = changed.get(endpointKey(end));
        return (
          mapping !== undefined && (this.#rests(mapping) ? leadsTo(entry, mapping) : isStale(entry, mapping))
        );
      });
    });
  }

  #rests(mapping: InternalMapping): boolean {
    return !isRouted(mapping) && this.#present?.has(mapping.external.address) === false;
  }

  #put({ mapping, owner, own, admitted }: Placed): void {
    if (this.#rests(mapping)) {
      this.#store.put(owner, []);
      this.#resting.add(mapping.id);
      return;
    }
    const wanted = [...own];
    for (const { elements } of admitted) wanted.push(...elements);
    this.#store.put(owner, wanted);
    this.#resting.delete(mapping.id);
  }

  #set(mapping: InternalMapping, before: Placed | undefined): void {
    const moved = before !== undefined && !sameInside(before.mapping, mapping);
    const placed = place(mapping, moved ? undefined : before);
    this.#put(placed);
    this.#mappings.set(mapping.id, placed);
    // What is routed has no NAT that could be another one; who may not send any more is found in the walk.
    if (!isRouted(mapping)) {
      const known = before?.mapping.sources ?? [];
      const gone = moved ? known : known.filter((one) => !isAmong(one, mapping.sources));
      if (before !== undefined && gone.length > 0 && this.#isQuiet()) this.#removeKnown(before.mapping, gone);
      this.#removeKnown(
        mapping,
        moved ? mapping.sources : mapping.sources.filter((one) => !isAmong(one, known)),
      );
    }
    const old = moved ? before.mapping : undefined;
    const ends = endsOf(mapping);
    if (old !== undefined) ends.push(...endsOf(old));
    this.#sweep.laterOf(
      placed.owner,
      ends,
      (entry) => isStale(entry, mapping) || (old !== undefined && isMadeBy(entry, old)),
    );
  }

  /** The flows between the phone and these, to whom its media has been allowed, in whichever direction they were made. */
  #removeKnown({ internal, external, ports: count }: InternalMapping, sources: readonly Endpoint[]): void {
    for (const source of sources) {
      if (!fits(source, external) || source.port === 0 || this.#sipPorts.includes(source.port)) continue;
      for (let k = 0; k < count && source.port + k <= 65_535; k++) {
        const remote = shift(source, k);
        // A lookup finds an entry by either of its tuples.
        this.#flows.remove({ source: remote, destination: shift(external, k) });
        this.#flows.remove({ source: shift(internal, k), destination: remote });
      }
    }
  }
}

/** Under which the elements of a media mapping stand. */
export function mediaOwner(id: MappingId): string {
  return `media ${id}`;
}

/** One of these is an end of every flow that a mapping may have to do with. */
function endsOf({ internal, external, ports: count }: InternalMapping): Endpoint[] {
  const ends: Endpoint[] = [];
  for (let k = 0; k < count; k++) ends.push(shift(internal, k), shift(external, k));
  return ends;
}

function shift(e: Endpoint, by: number): Endpoint {
  return by === 0 ? e : { address: e.address, port: e.port + by };
}

function ports(mapping: MediaMapping): number[] {
  return Array.from({ length: mapping.ports }, (_, k) => k);
}

function sourcesOf({ sources, external }: MediaMapping): Address[] {
  const addresses: Address[] = [];
  for (const source of sources)
    if (addresses.length < MAX_SOURCES && fits(source, external) && !addresses.includes(source.address))
      addresses.push(source.address);
  return addresses;
}

function isAmong(one: Endpoint, endpoints: readonly Endpoint[]): boolean {
  return endpoints.some((other) => sameEndpoint(one, other));
}

/** A source of the other family cannot send to a mapping. */
function fits(source: Endpoint, external: Endpoint): boolean {
  return isIPv6(source.address) === isIPv6(external.address);
}

/** The external endpoint never changes. */
function sameInside(a: InternalMapping, b: InternalMapping): boolean {
  return a.ports === b.ports && sameEndpoint(a.internal, b.internal);
}

function sameAddresses(admitted: readonly Admitted[], addresses: readonly Address[]): boolean {
  return admitted.length === addresses.length && admitted.every(({ address }) => addresses.includes(address));
}

/** Routed without NAT: there is nothing to map, and only the firewall has to let the sources in. */
function isRouted({ internal, external }: InternalMapping): boolean {
  return sameEndpoint(internal, external);
}

/** `before`: of the same mapping, with the same ports. */
function place(mapping: InternalMapping, before: Placed | undefined): Placed {
  const inner = before?.inner ?? innerElements(mapping);
  return {
    owner: before?.owner ?? mediaOwner(mapping.id),
    mapping,
    inner,
    own: before?.own ?? ownElements(mapping, inner),
    admitted: sourcesOf(mapping).map(
      (address) =>
        before?.admitted.find((one) => one.address === address) ?? {
          address,
          elements: elementsFor(address, mapping, inner),
        },
    ),
  };
}

function innerElements({ internal, ports: count }: InternalMapping): Uint8Array[] {
  return Array.from({ length: count }, (_, k) => endpointElement(shift(internal, k)));
}

function ownElements(mapping: InternalMapping, inner: readonly Uint8Array[]): WantedElement[] {
  const timeoutMs = MEDIA_TIMEOUT_MS;
  const { external } = mapping;
  const { address } = external;
  const wanted: WantedElement[] = [];
  inner.forEach((key, k) => {
    if (!isRouted(mapping)) {
      const value = endpointElement(shift(external, k));
      wanted.push({ set: named(SETS.mediaOut, address), key, value, timeoutMs });
      wanted.push({ set: named(SETS.mediaInternal, address), key, timeoutMs });
    }
    // For ever, because to renew it would begin its count anew.
    if (k === 0) {
      wanted.push({ set: named(SETS.mediaFrom, address), key });
      wanted.push({ set: named(SETS.mediaTo, address), key });
    }
  });
  return wanted;
}

/** What lets one address send to the phone. */
function elementsFor(
  source: Address,
  mapping: InternalMapping,
  inner: readonly Uint8Array[],
): WantedElement[] {
  const timeoutMs = MEDIA_TIMEOUT_MS;
  const { external } = mapping;
  const routed = isRouted(mapping);
  const set = named(routed ? SETS.routedMedia : SETS.mediaIn, external.address);
  return inner.map((value, k) => {
    const key = sourceElement(source, shift(external, k));
    return routed ? { set, key, timeoutMs } : { set, key, value, timeoutMs };
  });
}

/** Whether a flow is one of the mapping: made from outside to it, or made by the phone and leaving by it. */
function leadsTo(entry: ConntrackEntry, mapping: InternalMapping): boolean {
  return isPortOf(entry.original.destination, mapping.external, mapping.ports) || isMadeBy(entry, mapping);
}

/** Whether a flow of the mapping is not as its elements would make it now: other NAT, or somebody who may not. */
function isStale(entry: ConntrackEntry, mapping: InternalMapping): boolean {
  const { original, reply, status } = entry;
  const { internal, external, ports: count, sources } = mapping;
  if (isRouted(mapping)) return (status & (IPS_SRC_NAT | IPS_DST_NAT)) === 0 && isStaleRouted(entry, mapping);
  const isAllowed = (e: Endpoint): boolean => sources.some((source) => source.address === e.address);
  if (isPortOf(original.destination, external, count)) {
    const isOurs =
      (status & IPS_DST_NAT) !== 0 &&
      reply.source.address === internal.address &&
      reply.source.port - internal.port === original.destination.port - external.port &&
      // Another flow of the phone was in the way when this one was made, and the kernel has changed the far end's port.
      (reply.destination.address !== original.source.address ||
        reply.destination.port === original.source.port);
    return !isOurs || !isAllowed(original.source);
  }
  if (isPortOf(original.source, internal, count)) {
    const isOurs =
      reply.destination.address === external.address &&
      reply.destination.port - external.port === original.source.port - internal.port;
    return !isOurs || !isAllowed(original.destination);
  }
  return false;
}

/** Whether a flow that was let in belongs to somebody who may not send any more; what the phone began is its own affair. */
function isStaleRouted(
  { original }: ConntrackEntry,
  { external, ports: count, sources }: InternalMapping,
): boolean {
  return (
    isPortOf(original.destination, external, count) &&
    !sources.some((source) => source.address === original.source.address)
  );
}

function isMadeBy(
  { original, reply }: ConntrackEntry,
  { internal, external, ports: count }: InternalMapping,
): boolean {
  return isPortOf(original.source, internal, count) && isPortOf(reply.destination, external, count);
}

function isPortOf(e: Endpoint, first: Endpoint, count: number): boolean {
  return e.address === first.address && e.port >= first.port && e.port < first.port + count;
}
