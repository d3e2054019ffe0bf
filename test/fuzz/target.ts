/** What a fuzz target is. Inputs are latin-1 text while they are made, and octets when they are run. */
import type { Random } from './random.ts';

export interface Target {
  readonly name: string;
  /** Of a million inputs; dear targets get fewer. */
  readonly share: number;
  /** What mutation begins with, beside the corpus. */
  readonly seeds: readonly string[];
  /** Texts that mean something to what is tested: mutation puts them in. */
  readonly tokens: readonly string[];
  /** An input that follows the grammar, more or less. */
  readonly generate?: (random: Random) => string;
  /** `octets`: no lines to be dropped or folded; single octets only. Default `lines`. */
  readonly shape?: 'lines' | 'octets';
  /** Longest input that is generated. Default 4096. */
  readonly longest?: number;
  /**
   * Runs one input and holds the result against the oracle: throws where it does not hold. Everything that it needs by
   * chance it takes from the input. `seen` is told what happened, in few and short words: an input with a new word is kept.
   */
  readonly run: (bytes: Uint8Array, seen: Seen) => void;
}

export type Seen = (feature: string) => void;

/** Counts in buckets, so that a feature does not have a spelling for every number. */
export function bucket(count: number): string {
  return count < 4 ? String(count) : count < 8 ? '4+' : count < 32 ? '8+' : '32+';
}
