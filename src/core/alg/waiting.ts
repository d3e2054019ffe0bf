/**
 * Packets that wait: a message that names an endpoint which is still being opened is kept as it came, and handled anew
 * when the last endpoint that it waits for has been answered for, and not before, so that its cost stays linear.
 *
 * One of them that cannot be had keeps nothing else from the message: it goes on without. Only without the mapping by which
 * it leaves, or came, it cannot go on.
 */
import type { Input, MappingId } from './io.ts';

export type Packet = Extract<Input, { kind: 'packet' }>;

interface Entry {
  readonly packet: Packet;
  /** The mapping by which it came or leaves; its end is the end of the waiting. */
  readonly owner: MappingId;
  readonly ids: Set<MappingId>;
  /** One that it named could not be had: nothing more is opened for it. */
  lacking: boolean;
}

/** A packet that is handled anew. */
export interface Resumed {
  readonly packet: Packet;
  readonly lacking: boolean;
}

export class Waiting {
  readonly #byId = new Map<MappingId, Set<Entry>>();
  readonly #byOwner = new Map<MappingId, Set<Entry>>();
  readonly #limit: number;

  /** `limit`: packets that may wait for one mapping. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False where too many wait already. `lacking`: it has waited before, for one that could not be had. */
  add(packet: Packet, owner: MappingId, ids: Iterable<MappingId>, lacking: boolean): boolean {
    const ofOwner = this.#byOwner.get(owner) ?? new Set();
    if (ofOwner.size >= this.#limit) return false;
    const entry: Entry = { packet, owner, ids: new Set(ids), lacking };
    this.#byOwner.set(owner, ofOwner.add(entry));
    for (const id of entry.ids) this.#byId.set(id, (this.#byId.get(id) ?? new Set()).add(entry));
    return true;
  }

  /** The packets that wait for nothing any more now that this one is answered for, in the order in which they came. */
  answered(id: MappingId, isLacking = false): Resumed[] {
    const ready: Resumed[] = [];
    for (const entry of this.#byId.get(id) ?? []) {
      entry.ids.delete(id);
      entry.lacking ||= isLacking;
      if (entry.ids.size > 0) continue;
      this.#forget(entry);
      ready.push({ packet: entry.packet, lacking: entry.lacking });
    }
    this.#byId.delete(id);
    return ready;
  }

  /** The packets that can never be handled, because the mapping by which they leave or came is gone. */
  abandoned(id: MappingId): Packet[] {
    const entries = [...(this.#byOwner.get(id) ?? [])];
    for (const entry of entries) this.#forget(entry);
    return entries.map((entry) => entry.packet);
  }

  #forget(entry: Entry): void {
    const ofOwner = this.#byOwner.get(entry.owner);
    ofOwner?.delete(entry);
    if (ofOwner?.size === 0) this.#byOwner.delete(entry.owner);
    for (const id of entry.ids) {
      const ofId = this.#byId.get(id);
      ofId?.delete(entry);
      if (ofId?.size === 0) this.#byId.delete(id);
    }
  }
}
