/**
 * A journal: what has happened so far, in order, and a way to wait for what has not happened yet.
 * Every wait has a bound, and an error that names what was waited for and what happened instead.
 */
export class Journal<T> {
  readonly entries: T[] = [];
  readonly #waiters = new Set<(entry: T) => void>();
  readonly #describe: (entry: T) => string;

  constructor(describe: (entry: T) => string) {
    this.#describe = describe;
  }

  add(entry: T): void {
    this.entries.push(entry);
    for (const waiter of [...this.#waiters]) waiter(entry);
  }

  /** The first entry at or after index `from` that matches, now or within `withinMs`. */
  until(match: (entry: T) => boolean, withinMs: number, what: string, from = 0): Promise<T> {
    for (let i = from; i < this.entries.length; i++) {
      const entry = this.entries[i] as T;
      if (match(entry)) return Promise.resolve(entry);
    }
    const failure = new Error(`${what}: not within ${withinMs} ms`);
    return new Promise((resolve, reject) => {
      const waiter = (entry: T): void => {
        if (!match(entry)) return;
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        resolve(entry);
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        const last = this.entries.slice(-8).map((entry) => `    ${this.#describe(entry)}`);
        failure.message +=
          last.length === 0 ? '; nothing happened' : `; the last that happened:\n${last.join('\n')}`;
        reject(failure);
      }, withinMs);
      this.#waiters.add(waiter);
    });
  }

  /** Forgets what has happened so far. Indexes taken before are void. */
  clear(): void {
    this.entries.length = 0;
  }
}
