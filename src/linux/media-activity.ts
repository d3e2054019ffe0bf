/**
 * Whether packets pass on a media mapping, told from the connection table: every packet of a flow puts its end further off.
 *
 * Facts relied on:
 * - An entry carries the seconds that it has left. Without a packet, the moment of its end stays where it was.
 * - An offloaded flow (IPS_OFFLOAD) passes by the table; the kernel keeps its entry while packets come.
 * - Counters would say more, and are off by default (net.netfilter.nf_conntrack_acct).
 */
import type { MappingId, MediaFlow } from '../core/alg/io.ts';
import { type Endpoint, endpointKey } from '../core/net/address.ts';
import { type ConntrackEntry, IPS_OFFLOAD } from './conntrack.ts';

/** Ends are whole seconds from now: what differs by less need not have moved. */
const MOVED_MS = 1_500;
/** Between two looks at least this much, so that what flows is seen to move. */
export const SHORTEST_LOOK_MS = 3_000;

export interface WatchedMedia {
  readonly id: MappingId;
  readonly internal: Endpoint;
  readonly external: Endpoint;
  readonly ports: number;
}

export class MediaActivity {
  /** Flow → when it will end, as seen at the last look. */
  #ends = new Map<number, number>();
  readonly #told = new Map<MappingId, MediaFlow>();

  /** Looks at the table; returns the mappings of which something new is to be told. */
  look(
    media: Iterable<WatchedMedia>,
    entries: readonly ConntrackEntry[],
    nowMs: number,
  ): Map<MappingId, MediaFlow> {
    const internal = new Map<string, MappingId>();
    const external = new Map<string, MappingId>();
    const ids: MappingId[] = [];
    for (const one of media) {
      ids.push(one.id);
      for (let k = 0; k < one.ports; k++) {
        internal.set(endpointKey({ address: one.internal.address, port: one.internal.port + k }), one.id);
        external.set(endpointKey({ address: one.external.address, port: one.external.port + k }), one.id);
      }
    }
    const flowing = new Set<MappingId>();
    const ends = new Map<number, number>();
    for (const { original, status, timeoutS, id } of entries) {
      const mappings = [
        internal.get(endpointKey(original.source)),
        external.get(endpointKey(original.destination)),
      ];
      if (mappings[0] === undefined && mappings[1] === undefined) continue;
      const end = nowMs + timeoutS * 1000;
      const before = this.#ends.get(id);
      const moved = before === undefined || end - before >= MOVED_MS;
      ends.set(id, moved ? end : before);
      // A hairpin is one flow of two mappings.
      if (moved || (status & IPS_OFFLOAD) !== 0)
        for (const mapping of mappings) if (mapping !== undefined) flowing.add(mapping);
    }
    this.#ends = ends;
    const news = new Map<MappingId, MediaFlow>();
    const gone = new Set(this.#told.keys());
    for (const id of ids) {
      gone.delete(id);
      const flow: MediaFlow = flowing.has(id) ? 'flowing' : 'idle';
      if (this.#told.get(id) !== flow) news.set(id, flow);
      this.#told.set(id, flow);
    }
    for (const id of gone) this.#told.delete(id);
    return news;
  }
}
