/**
 * The catalogue: all recipes of a folder, and how one is found in it. The folder `recipes/` lies beside `src/` in a
 * checkout and beside `dist/` in an installed package.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseRecipe } from './load.ts';
import type { RecipeProblem } from './problem.ts';
import type { Recipe } from './schema.ts';

export interface Catalogue {
  /** By id. */
  readonly recipes: readonly Recipe[];
  readonly problems: readonly RecipeProblem[];
}

/** More files than that is another folder than the one that was meant. */
const MAX_RECIPES = 2000;

/** Undefined where the recipes were not installed. */
export function recipeFolder(): string | undefined {
  const besides = ['../recipes', '../../recipes'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  return besides.find((path) => existsSync(path));
}

/** Reads every `<vendor>/<model>.yaml`. A file that cannot be read leaves a problem, and the others are there. */
export function loadCatalogue(folder: string): Catalogue {
  const recipes: Recipe[] = [];
  const problems: RecipeProblem[] = [];
  for (const path of recipeFiles(folder).slice(0, MAX_RECIPES)) {
    const file = join(folder, path);
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const what = `cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`;
      problems.push({
        code: 'routers/not-readable',
        file: path,
        what,
        remedy: 'check the rights on the file',
      });
      continue;
    }
    const loaded = parseRecipe(text, path);
    if (loaded.recipe === undefined) problems.push(...loaded.problems);
    else recipes.push(loaded.recipe);
  }
  recipes.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { recipes, problems };
}

/** Paths within the folder, with forward slashes, sorted. */
export function recipeFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.yaml'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

/** The id that a file must have: `draytek/vigor-telnet.yaml` is `draytek-vigor-telnet`. */
export function idOfFile(path: string): string {
  return path.replace(/\.yaml$/, '').replaceAll('/', '-');
}

/**
 * Recipes in which every word of the query occurs: in id, vendor, names or models, whatever the case and punctuation
 * ("fritzbox" finds FRITZ!Box). Best first.
 */
export function searchRecipes(recipes: readonly Recipe[], query: string): Recipe[] {
  const words = query.split(/\s+/).map(plain).filter(Boolean);
  if (words.length === 0) return [];
  const whole = plain(query);
  return recipes
    .map((recipe) => ({ recipe, score: scoreOf(recipe, words, whole) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || (a.recipe.id < b.recipe.id ? -1 : 1))
    .map(({ recipe }) => recipe);
}

function scoreOf(recipe: Recipe, words: readonly string[], whole: string): number {
  const own = [recipe.id, recipe.vendor, ...recipe.names, ...recipe.models].map(plain);
  if (own.includes(whole)) return 4;
  if (own.some((name) => name.startsWith(whole))) return 3;
  if (own.some((name) => name.includes(whole))) return 2;
  return words.every((word) => own.some((name) => name.includes(word))) ? 1 : 0;
}

/** Letters and digits only, in small: FRITZ!Box, "fritz box" and fritzbox are one. */
export function plain(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, '');
}
