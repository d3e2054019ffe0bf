/**
 * How long things take, as Prometheus' histogram: counted for every message, so that a number goes up and nothing is made. Text is
 * made when it is read (Prometheus' text format 0.0.4).
 */
export class Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #label: string | undefined;
  readonly #values: readonly string[];
  /** For each value of the label: the buckets, the last without bound, and the sum. */
  readonly #counts: Float64Array;

  /** `bounds`: ascending, in the unit that is observed. `label`: its name and the few values that it takes. */
  constructor(
    name: string,
    help: string,
    bounds: readonly number[],
    label?: { readonly name: string; readonly values: readonly string[] },
  ) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#label = label?.name;
    this.#values = label?.values ?? [''];
    this.#counts = new Float64Array(this.#values.length * (bounds.length + 2));
  }

  /** `of`: which of the label's values it belongs to. */
  observe(value: number, of = 0): void {
    const bounds = this.#bounds;
    const first = of * (bounds.length + 2);
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.#counts[first + at]!++;
    this.#counts[first + bounds.length + 1]! += value;
  }

  text(): string {
    const lines = [`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} histogram`];
    for (const [i, value] of this.#values.entries()) {
      const first = i * (this.#bounds.length + 2);
      const own = this.#label === undefined ? '' : `${this.#label}="${value}"`;
      const labels = own === '' ? '' : `{${own}}`;
      let count = 0;
      for (const [at, bound] of [...this.#bounds, '+Inf'].entries()) {
        count += this.#counts[first + at]!;
        lines.push(`${this.#name}_bucket{le="${bound}"${own === '' ? '' : `,${own}`}} ${count}`);
      }
      lines.push(`${this.#name}_sum${labels} ${this.#counts[first + this.#bounds.length + 1]!}`);
      lines.push(`${this.#name}_count${labels} ${count}`);
    }
    return `${lines.join('\n')}\n`;
  }
}
