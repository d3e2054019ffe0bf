/**
 * Runs inputs of one target: a seed and an index name an input as long as the corpus on disk is the same. What an input of
 * a growing run was made from is not on disk yet, so a failure always carries the input itself.
 */
import { readGrown, readRegressions } from './corpus.ts';
import { mutate, noise } from './mutate.ts';
import { escapeInput, toOctets } from './octets.ts';
import { Random } from './random.ts';
import type { Target } from './target.ts';

export interface Failure {
  readonly target: string;
  readonly seed: number;
  readonly index: number;
  readonly text: string;
  readonly error: string;
}

export class Campaign {
  readonly target: Target;
  readonly #seed: number;
  readonly #bases: string[];
  readonly #features = new Set<string>();
  /** Inputs that did something new, smallest form, with what was new about each. */
  readonly grown: { text: string; features: readonly string[] }[] = [];

  /** Kinds of failures that are known, and told elsewhere. */
  readonly #gaps: ((error: string) => boolean)[] = [];

  constructor(target: Target, seed: number) {
    this.target = target;
    this.#seed = seed;
    this.#bases = [...target.seeds];
    for (const { gap, words, text } of readRegressions(target.name)) {
      if (gap === undefined) continue;
      const kind = words === undefined ? kindOf(failureOf(target, text) ?? '') : '';
      this.#gaps.push((error) =>
        words === undefined ? kindOf(error) === kind : words.test(error.split('\n')[0]!),
      );
    }
    for (const text of readGrown(target.name)) {
      this.#bases.push(text);
      this.#learn(text, false);
    }
  }

  get features(): number {
    return this.#features.size;
  }

  input(index: number): string {
    const { target } = this;
    const random = new Random(this.#seed, target.name, index);
    const longest = target.longest ?? 4096;
    const base = (): string =>
      target.generate !== undefined && random.once(3) ? target.generate(random) : random.pick(this.#bases);
    if (random.once(16)) return noise(random, Math.min(longest, 400));
    if (target.generate !== undefined && random.once(8)) return target.generate(random).slice(0, longest);
    const shape = target.shape ?? 'lines';
    return mutate(base(), random, { tokens: target.tokens, shape, longest, other: base });
  }

  /** The failure of one input; undefined where all is well. */
  attempt(index: number): Failure | undefined {
    const text = this.input(index);
    const error = failureOf(this.target, text);
    return error === undefined || this.#gaps.some((gap) => gap(error))
      ? undefined
      : { target: this.target.name, seed: this.#seed, index, text: this.smallest(text, error), error };
  }

  /** The same, keeping what does something new, and making new inputs of it from then on. */
  grow(index: number): Failure | undefined {
    const text = this.input(index);
    try {
      if (!this.#learn(text, true)) return undefined;
    } catch (error) {
      const words = wordsOf(error);
      if (this.#gaps.some((gap) => gap(words))) return undefined;
      return {
        target: this.target.name,
        seed: this.#seed,
        index,
        text: this.smallest(text, words),
        error: words,
      };
    }
    return undefined;
  }

  /** The shortest form found that fails in the same way. */
  smallest(text: string, error: string): string {
    const kind = kindOf(error);
    return shrink(text, (one) => kindOf(failureOf(this.target, one) ?? '') === kind);
  }

  #learn(text: string, keep: boolean): boolean {
    const found: string[] = [];
    this.target.run(toOctets(text), (feature) => {
      if (!this.#features.has(feature)) found.push(feature);
    });
    if (found.length === 0) return false;
    for (const feature of found) this.#features.add(feature);
    if (keep) {
      const small = shrink(text, (one) => this.#has(one, found));
      this.grown.push({ text: small, features: found });
      this.#bases.push(small);
    }
    return true;
  }

  #has(text: string, wanted: readonly string[]): boolean {
    const missing = new Set(wanted);
    try {
      this.target.run(toOctets(text), (feature) => missing.delete(feature));
    } catch {
      return false;
    }
    return missing.size === 0;
  }
}

/** Of many inputs the shortest that together do everything that all of them do. */
export function cover(target: Target, texts: readonly string[]): string[] {
  const features = new Set<string>();
  return [...new Set(texts)]
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    .filter((text) => {
      const before = features.size;
      try {
        target.run(toOctets(text), (feature) => features.add(feature));
      } catch {
        return false;
      }
      return features.size > before;
    });
}

/** Failures of one kind have the same first line and the same place. */
export function kindOf(error: string): string {
  const lines = error.split('\n');
  return `${lines[0]!.replace(/\d+/g, 'N')} ${lines.find((line) => line.includes(' at ')) ?? ''}`;
}

/** What is thrown, as text; undefined where nothing is. */
export function failureOf(target: Target, text: string): string | undefined {
  try {
    target.run(toOctets(text), () => undefined);
    return undefined;
  } catch (error) {
    return wordsOf(error);
  }
}

export function describeFailure({ target, seed, index, text, error }: Failure): string {
  return [
    `${target}: ${error}`,
    `  seed ${seed}, index ${index}; with the same corpus: npm run fuzz -- --target ${target} --seed ${seed} --index ${index}`,
    `  smallest input found, as a line for test/fuzz/corpus/${target}/regressions.txt:`,
    `  ${escapeInput(text)}`,
  ].join('\n');
}

const MOST_SHRINKS = 400;

/** Takes out lines, then ever smaller pieces, as long as the rest still does what is wanted. */
function shrink(text: string, keeps: (text: string) => boolean): string {
  let best = text;
  let tries = 0;
  const attempt = (one: string): boolean => {
    if (tries >= MOST_SHRINKS || !keeps(one)) return false;
    best = one;
    return true;
  };
  for (let size = best.length >> 1; size >= 1 && tries < MOST_SHRINKS; size >>= 1)
    for (let at = 0; at < best.length && tries < MOST_SHRINKS; tries++)
      if (!attempt(best.slice(0, at) + best.slice(at + size))) at += size;
  return best;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
