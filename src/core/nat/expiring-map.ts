/**
 * A bounded map whose entries all live equally long after they were last set: the oldest stands first, so that expiry and
 * eviction cost one step for each entry that goes.
 */
import type { TimeMs } from '../net/time.ts';

export class ExpiringMap<Value> {
  readonly #entries = new Map<string, { value: Value; expiresAt: TimeMs }>();
  readonly #lifetimeMs: number;
  readonly #limit: number;
  readonly #gone: (value: Value) => void;

  /** `gone` is told of every entry that expires, is evicted, or is set again. */
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
    const before = this.#entries.get(key);
    if (before !== undefined) {
      this.#entries.delete(key);
      this.#gone(before.value);
    }
    this.#entries.set(key, { value, expiresAt: now + this.#lifetimeMs });
    this.expire(now);
    if (this.#entries.size <= this.#limit) return false;
    for (const [oldest, { value: evicted }] of this.#entries) {
      this.#entries.delete(oldest);
      this.#gone(evicted);
      break;
    }
    return true;
  }

  /** Drops what has ended. */
  expire(now: TimeMs): void {
    for (const [key, entry] of this.#entries) {
      if (entry.expiresAt > now) return;
      this.#entries.delete(key);
      this.#gone(entry.value);
    }
  }
}
