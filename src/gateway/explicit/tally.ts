/** Counts what is dropped and why, and tells the operator: the first time, then at most once a minute for each reason. */
export class Tally {
  readonly #counts = new Map<string, { total: number; told: number; toldAtMs: number }>();
  readonly #notice: (code: string, text: string) => void;

  constructor(notice: (code: string, text: string) => void) {
    this.#notice = notice;
  }

  /** Codes are a fixed few, so the table needs no bound. */
  count(code: string, text: string): void {
    const now = Date.now();
    let entry = this.#counts.get(code);
    if (entry === undefined) {
      entry = { total: 0, told: 0, toldAtMs: Number.NEGATIVE_INFINITY };
      this.#counts.set(code, entry);
    }
    entry.total++;
    if (now - entry.toldAtMs < NOTICE_INTERVAL_MS) return;
    const more = entry.total - entry.told - 1;
    entry.told = entry.total;
    entry.toldAtMs = now;
    this.#notice(code, more > 0 ? `${text} (and ${more} times since the last notice)` : text);
  }

  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].map(([code, entry]) => [code, entry.total]));
  }
}

const NOTICE_INTERVAL_MS = 60_000;
