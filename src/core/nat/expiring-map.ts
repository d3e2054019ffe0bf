/**
 * A bounded map whose entries all live equally long after they were last set: the oldest stands first, so that expiry and
 * eviction cost one step for each entry that goes.
 *
 * Age is a list of its own, and not the order of the table: what is set again keeps its place in the table. A table from
 * which the first is taken again and again, or one key out and in, is full of holes that every look has to step over.
 */
import type { TimeMs } from '../net/time.ts';

interface Entry<Value> {
  readonly key: string;
  value: Value;
  expiresAt: TimeMs;
  older: Entry<Value> | undefined;
  newer: Entry<Value> | undefined;
}

export class ExpiringMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #lifetimeMs: number;
  readonly #limit: number;
  readonly #gone: (value: Value) => void;
  #oldest: Entry<Value> | undefined;
  #newest: Entry<Value> | undefined;

  /** `gone` is told of every entry that expires or is evicted. */
  constructor(lifetimeMs: number, limit: number, gone: (value: Value) => void = () => {}) {
    this.#lifetimeMs = lifetimeMs;
    this.#limit = limit;
    this.#gone = gone;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string, now: TimeMs): Value | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined || entry.expiresAt <= now ? undefined : entry.value;
  }

  /** Sets or refreshes an entry; true where another had to go for it. */
  set(key: string, value: Value, now: TimeMs): boolean {
    this.expire(now);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.value = value;
      known.expiresAt = now + this.#lifetimeMs;
      if (known !== this.#newest) {
        this.#unlink(known);
        this.#append(known);
      }
      return false;
    }
    const entry = { key, value, expiresAt: now + this.#lifetimeMs, older: undefined, newer: undefined };
    this.#entries.set(key, entry);
    this.#append(entry);
    if (this.#entries.size <= this.#limit) return false;
    this.#drop(this.#oldest!);
    return true;
  }

  /** Drops what has ended. */
  expire(now: TimeMs): void {
    while (this.#oldest !== undefined && this.#oldest.expiresAt <= now) this.#drop(this.#oldest);
  }

  #drop(entry: Entry<Value>): void {
    this.#unlink(entry);
    this.#entries.delete(entry.key);
    this.#gone(entry.value);
  }

  #append(entry: Entry<Value>): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  #unlink({ older, newer }: Entry<Value>): void {
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}
