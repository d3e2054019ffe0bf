/** Counts by name, for limits of one among many: a name that has nothing is not held. */
export class Tally {
  readonly #counts = new Map<string, { count: number }>();

  of(name: string): number {
    return this.#counts.get(name)?.count ?? 0;
  }

  add(name: string): void {
    const known = this.#counts.get(name);
    if (known === undefined) this.#counts.set(name, { count: 1 });
    else known.count++;
  }

  remove(name: string): void {
    const known = this.#counts.get(name);
    if (known !== undefined && --known.count === 0) this.#counts.delete(name);
  }
}
