/**
 * Due times of many things, earliest first. A thing that is put off stays where it is until its old time comes, so that
 * refreshing costs nothing: that is what most of them do most of the time.
 */
import type { TimeMs } from '../net/time.ts';

export interface Due {
  /** When it is due; may change at any time. Infinity: never. */
  dueAt: TimeMs;
  /** Owned by the queue. */
  queuedAt: TimeMs;
}

export class TimerQueue<Item extends Due> {
  readonly #heap: { at: TimeMs; item: Item }[] = [];

  /** The earliest time at which something may be due. */
  get next(): TimeMs | undefined {
    return this.#heap[0]?.at;
  }

  /** To be called when an item is new, or due earlier than before. */
  schedule(item: Item): void {
    if (item.dueAt === Number.POSITIVE_INFINITY || item.queuedAt <= item.dueAt) return;
    item.queuedAt = item.dueAt;
    this.#push({ at: item.dueAt, item });
  }

  /** The items that are due by `now`. An item that is still wanted has to be scheduled again. */
  *due(now: TimeMs): Generator<Item> {
    for (let top = this.#heap[0]; top !== undefined && top.at <= now; top = this.#heap[0]) {
      this.#pop();
      const { item, at } = top;
      if (item.queuedAt !== at) continue; // an earlier entry has taken its place
      item.queuedAt = Number.POSITIVE_INFINITY;
      if (item.dueAt <= now) yield item;
      else this.schedule(item);
    }
  }

  #push(entry: { at: TimeMs; item: Item }): void {
    const heap = this.#heap;
    heap.push(entry);
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (heap[parent]!.at <= heap[i]!.at) return;
      [heap[parent], heap[i]] = [heap[i]!, heap[parent]!];
      i = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      const right = left + 1;
      let least = i;
      if (left < heap.length && heap[left]!.at < heap[least]!.at) least = left;
      if (right < heap.length && heap[right]!.at < heap[least]!.at) least = right;
      if (least === i) return;
      [heap[least], heap[i]] = [heap[i]!, heap[least]!];
      i = least;
    }
  }
}
