/** Counts by name, for limits of one among many: a name that has nothing is not held. */
export class Tally {
  readonly #counts = new Map<string, Count>();

  of(name: string): number {
    return this.#counts.get(name)?.count ?? 0;
  }

  /** Counts one more. What is returned takes it back by `remove`, without another look for the name. */
  add(name: string): Count {
    let known = this.#counts.get(name);
    if (known === undefined) {
      known = { name, count: 0 };
      this.#counts.set(name, known);
    }
    known.count++;
    return known;
  }

  remove(counted: Count | string): void {
    const known = typeof counted === 'string' ? this.#counts.get(counted) : counted;
    if (known !== undefined && --known.count === 0) this.#counts.delete(known.name);
  }
}

export interface Count {
  readonly name: string;
  count: number;
}
