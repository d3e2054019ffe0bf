/** The catalogue of the repository, as the tests read it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { recipeFiles } from '../../src/routers/catalogue.ts';
import type { LintedFile } from '../../src/routers/lint/rule.ts';
import { parseRecipe } from '../../src/routers/load.ts';
import { recipeProblemText } from '../../src/routers/problem.ts';

export const folder = fileURLToPath(new URL('../../recipes/', import.meta.url));

/** Throws at the first file that is no recipe. */
export function readRecord(path: string): LintedFile {
  const text = readFileSync(join(folder, path), 'utf8');
  const { recipe, problems } = parseRecipe(text, path);
  if (recipe === undefined) throw new Error(problems.map(recipeProblemText).join('\n'));
  return { path, text, recipe };
}

export const paths: readonly string[] = recipeFiles(folder);
