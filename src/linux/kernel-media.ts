/**
 * Media on the kernel's NAT maps: elements for every port and source, and the connections that they have made.
 *
 * Facts relied on:
 * - A nat chain decides on a flow's first packet; the flow then lives in the connection table without its element. So
 *   whatever changes an element also removes the flows made from it, after the element has changed: their next packets
 *   are decided anew, and those that are still allowed do not notice.
 * - A flow made before the mapping was there (early media, or the phone's port used by an earlier call) would keep its
 *   other NAT for ever; such flows are removed when the mapping opens.
 */

import type { MappingId, MediaMapping } from '../core/alg/io.ts';
import { type Endpoint, parseIPv4 } from '../core/net/address.ts';
import type { Conntrack, ConntrackFilter } from './conntrack.ts';
import type { ElementStore, WantedElement } from './element-store.ts';
import { endpointElement, sourceElement } from './nft-elements.ts';
import { SETS } from './ruleset.ts';
import { isFree } from './udp-socket.ts';

/** A crashed daemon leaves no hole for longer than this; a running one renews three times as often. */
export const MEDIA_TIMEOUT_MS = 3_600_000;
const MAX_PORTS = 16;
const MAX_SOURCES = 32;

type InternalMapping = MediaMapping & { readonly internal: Endpoint };

export class KernelMedia {
  readonly #store: ElementStore;
  readonly #conntrack: Conntrack;
  readonly #mappings = new Map<MappingId, InternalMapping>();

  constructor(store: ElementStore, conntrack: Conntrack) {
    this.#store = store;
    this.#conntrack = conntrack;
  }

  get size(): number {
    return this.#mappings.size;
  }

  /** The reason why not, or undefined when it is open. Throws a `SystemError` for what the kernel refuses. */
  open(mapping: MediaMapping): string | undefined {
    const { internal } = mapping;
    if (internal === undefined) return 'the kernel maps only what has an internal endpoint';
    if (mapping.ports > MAX_PORTS) return `${mapping.ports} ports in one mapping, ${MAX_PORTS} are allowed`;
    for (let k = 0; k < mapping.ports; k++) {
      const local = shift(mapping.external, k);
      if (!isFree(local)) return `a program on this machine holds UDP ${local.address}:${local.port}`;
    }
    this.#set({ ...mapping, internal });
    return undefined;
  }

  update(mapping: MediaMapping): void {
    const before = this.#mappings.get(mapping.id);
    const { internal } = mapping;
    if (before === undefined || internal === undefined) return;
    const next = { ...mapping, external: before.external, internal };
    if (rules(before) === rules(next)) return;
    this.#set(next, before);
  }

  close(id: MappingId): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined) return;
    this.#mappings.delete(id);
    try {
      this.#store.drop(owner(id));
    } finally {
      this.#conntrack.removeMatching(...ports(mapping).flatMap((k) => flowsOf(shift(mapping.external, k))));
    }
  }

  #set(mapping: InternalMapping, before?: InternalMapping): void {
    this.#store.put(owner(mapping.id), elements(mapping));
    this.#mappings.set(mapping.id, mapping);
    // While the internal endpoint stays, what the phone sends leaves as `external`, and is among the flows of that.
    const moved = before === undefined || inside(before) !== inside(mapping);
    this.#conntrack.removeMatching(
      ...ports(mapping).flatMap((k) => [
        ...flowsOf(shift(mapping.external, k)),
        ...(moved ? [flowFrom(shift(mapping.internal, k))] : []),
      ]),
      ...(before === undefined || !moved
        ? []
        : ports(before)
            .slice(mapping.ports)
            .flatMap((k) => flowsOf(shift(before.external, k)))),
    );
  }
}

function owner(id: MappingId): string {
  return `media ${id}`;
}

function shift(e: Endpoint, by: number): Endpoint {
  return { address: e.address, port: e.port + by };
}

function ports(mapping: MediaMapping): number[] {
  return Array.from({ length: mapping.ports }, (_, k) => k);
}

function sourcesOf(mapping: MediaMapping): string[] {
  // A source that is no IPv4 cannot send to an IPv4 mapping.
  const addresses = mapping.sources.map((source) => source.address).filter((a) => parseIPv4(a) !== undefined);
  return [...new Set(addresses)].slice(0, MAX_SOURCES);
}

function inside({ internal, ports: count }: InternalMapping): string {
  return `${internal.address} ${internal.port} ${count}`;
}

/** All of a mapping that the kernel's rules depend on, as text to compare. The external endpoint never changes. */
function rules(mapping: InternalMapping): string {
  return [inside(mapping), ...sourcesOf(mapping).sort()].join(' ');
}

function elements(mapping: InternalMapping): WantedElement[] {
  const timeoutMs = MEDIA_TIMEOUT_MS;
  return ports(mapping).flatMap((k) => {
    const external = shift(mapping.external, k);
    const inner = endpointElement(shift(mapping.internal, k));
    return [
      { set: SETS.mediaOut, key: inner, value: endpointElement(external), timeoutMs },
      { set: SETS.mediaInternal, key: inner, timeoutMs },
      ...sourcesOf(mapping).map((source) => ({
        set: SETS.mediaIn,
        key: sourceElement(source, external),
        value: inner,
        timeoutMs,
      })),
    ];
  });
}

/** Flows from outside to `external`, and flows from inside that leave as `external`. */
function flowsOf(external: Endpoint): ConntrackFilter[] {
  const to = { destinationAddress: external.address, destinationPort: external.port };
  return [{ original: to }, { reply: to }];
}

function flowFrom(internal: Endpoint): ConntrackFilter {
  return { original: { sourceAddress: internal.address, sourcePort: internal.port } };
}
