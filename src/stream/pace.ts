/**
 * How fast sources may go: a bucket of tokens for each, which fills at its rate. What a connection brings beyond it is not
 * lost: whoever reads stops reading, and TCP makes the sender wait.
 */

/** What counts as one message; a longer one counts as often as this goes into it, as its datagrams would. */
const OCTETS = 1_500;

/** What so many octets of one message cost. */
export function costOf(octets: number): number {
  return Math.max(1, Math.ceil(octets / OCTETS));
}

/** Sources that are counted at a time: where anybody may send, there can be more of them than packets that are worth it. */
const MAX_SOURCES = 16_384;

interface Bucket {
  tokens: number;
  filledMs: number;
}

export class Pace {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, Bucket>();

  /** A bucket holds what comes in two seconds, as in the kernel's rules for UDP. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#burst = 2 * perSecond;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /**
   * 0: taken. Otherwise the milliseconds until it may be asked again. What costs more than a full bucket is taken from one
   * that has anything in it, and waited for afterwards.
   */
  take(source: string, cost: number, nowMs: number): number {
    const bucket = this.#buckets.get(source) ?? this.#open(source, nowMs);
    this.#fill(bucket, nowMs);
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) * 1000) / this.#perSecond);
    bucket.tokens -= cost;
    return 0;
  }

  /** Forgets whose bucket is full again. */
  sweep(nowMs: number): void {
    for (const [source, bucket] of this.#buckets) {
      this.#fill(bucket, nowMs);
      if (bucket.tokens >= this.#burst) this.#buckets.delete(source);
    }
  }

  /** A full one; where there are too many, in the place of the oldest. */
  #open(source: string, nowMs: number): Bucket {
    if (this.#buckets.size >= MAX_SOURCES)
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    const bucket = { tokens: this.#burst, filledMs: nowMs };
    this.#buckets.set(source, bucket);
    return bucket;
  }

  #fill(bucket: Bucket, nowMs: number): void {
    const more = (Math.max(0, nowMs - bucket.filledMs) * this.#perSecond) / 1000;
    bucket.tokens = Math.min(this.#burst, bucket.tokens + more);
    bucket.filledMs = nowMs;
  }
}
