/**
 * Due times of many things, earliest first. A thing that is put off stays where it is until its old time comes, so that
 * refreshing costs nothing: that is what most of them do most of the time. Nothing stands in it twice, and what is taken
 * out is not kept alive by it.
 */
import type { TimeMs } from '../net/time.ts';

export interface Due {
  /** When it is due; may change at any time. Infinity: never. */
  dueAt: TimeMs;
  /** Owned by the queue: where it stands in it, `UNQUEUED` where it does not. */
  place: number;
}

export const UNQUEUED = -1;

interface Entry<Item> {
  readonly at: TimeMs;
  readonly item: Item;
}

export class TimerQueue<Item extends Due> {
  /** A binary heap: no entry is due before the one at half its place. */
  readonly #heap: Entry<Item>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The earliest time at which something may be due. */
  get next(): TimeMs | undefined {
    return this.#heap[0]?.at;
  }

  /** To be called when an item is new, or due earlier than before. */
  schedule(item: Item): void {
    const { dueAt, place } = item;
    if (dueAt === Number.POSITIVE_INFINITY || (place >= 0 && this.#heap[place]!.at <= dueAt)) return;
    this.#rise(place >= 0 ? place : this.#heap.length, { at: dueAt, item });
  }

  /** To be called when an item is wanted no more. */
  cancel(item: Item): void {
    const { place } = item;
    item.dueAt = Number.POSITIVE_INFINITY;
    if (place < 0) return;
    item.place = UNQUEUED;
    const last = this.#heap.pop()!;
    if (last.item !== item) this.#settle(place, last);
  }

  /** The items that are due by `now`. An item that is still wanted has to be scheduled again. */
  *due(now: TimeMs): Generator<Item> {
    for (let top = this.#heap[0]; top !== undefined && top.at <= now; top = this.#heap[0]) {
      const { item } = top;
      item.place = UNQUEUED;
      const last = this.#heap.pop()!;
      if (last !== top) this.#settle(0, last);
      if (item.dueAt <= now) yield item;
      else this.schedule(item);
    }
  }

  /** Puts an entry at a place that is free, or further up. */
  #rise(place: number, entry: Entry<Item>): void {
    const heap = this.#heap;
    let at = place;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.at <= entry.at) break;
      this.#put(at, heap[parent]!);
      at = parent;
    }
    this.#put(at, entry);
  }

  /** Puts an entry at a place that is free, further up or further down. */
  #settle(place: number, entry: Entry<Item>): void {
    const heap = this.#heap;
    let at = place;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const least = right < heap.length && heap[right]!.at < heap[left]!.at ? right : left;
      if (least >= heap.length || heap[least]!.at >= entry.at) break;
      this.#put(at, heap[least]!);
      at = least;
    }
    this.#rise(at, entry);
  }

  #put(place: number, entry: Entry<Item>): void {
    this.#heap[place] = entry;
    entry.item.place = place;
  }
}
