/** Results of checks that somebody has left for a support desk: few, not for long, and in memory alone. */
import { randomBytes } from 'node:crypto';

export interface ResultLimits {
  readonly results: number;
  readonly octets: number;
  readonly lifetimeMs: number;
}

export const defaultResultLimits: ResultLimits = {
  results: 100,
  octets: 32 * 1024 * 1024,
  lifetimeMs: 7 * 24 * 3_600_000,
};

interface Result {
  readonly html: Uint8Array;
  readonly expiresAt: number;
}

export class Results {
  readonly #limits: ResultLimits;
  /** The oldest first. */
  readonly #kept = new Map<string, Result>();
  #octets = 0;

  constructor(limits: ResultLimits = defaultResultLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#kept.size;
  }

  /** Its name, which nobody guesses (128 bits), and when it goes. The oldest make room. */
  add(html: Uint8Array, now: number): { readonly name: string; readonly expiresAt: number } {
    const name = randomBytes(16).toString('base64url');
    const expiresAt = now + this.#limits.lifetimeMs;
    this.#kept.set(name, { html, expiresAt });
    this.#octets += html.length;
    this.#expire(now);
    return { name, expiresAt };
  }

  get(name: string, now: number): Uint8Array | undefined {
    this.#expire(now);
    return this.#kept.get(name)?.html;
  }

  clear(): void {
    this.#kept.clear();
    this.#octets = 0;
  }

  #expire(now: number): void {
    const { results, octets } = this.#limits;
    for (const [name, { html, expiresAt }] of this.#kept) {
      if (expiresAt > now && this.#kept.size <= results && this.#octets <= octets) return;
      this.#kept.delete(name);
      this.#octets -= html.length;
    }
  }
}
