/**
 * The words of the article without the article: a short hash of every eight words in a row. Enough to see a copied
 * sentence, and nothing can be read out of it.
 */
import { createHash } from 'node:crypto';
import runs from './article-runs.json' with { type: 'json' };

const known = new Set(runs);

export function isCopied(run: string): boolean {
  return known.has(hashOfRun(run));
}

export function hashOfRun(run: string): string {
  return createHash('sha256').update(run).digest('hex').slice(0, 8);
}
