/**
 * `sipalg router`: the catalogue of recipes. It reads and prints; nothing is sent to any router.
 */

import { nearestWord } from '../config/suggestion.ts';
import { loadCatalogue, plain, recipeFolder, searchRecipes } from '../routers/catalogue.ts';
import { recipeProblemText } from '../routers/problem.ts';
import type { Recipe } from '../routers/schema.ts';
import { isDriven } from '../routers/ways.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError, UsageError } from './failure.ts';
import { listMarkdown, pageMarkdown } from './router-markdown.ts';
import { pageOf } from './router-page.ts';
import { listText, pageText } from './router-text.ts';

export interface RouterOptions {
  readonly json?: boolean;
  readonly markdown?: boolean;
  /** Another folder of recipes than the one that came with the program. */
  readonly recipes?: string;
}

/** Near names that are offered where nothing was found. */
const MOST_NEAR = 5;

export function routerList(options: RouterOptions): number {
  print(recipesFrom(options), options);
  return exitCode.ok;
}

export function routerSearch(words: readonly string[], options: RouterOptions): number {
  const recipes = recipesFrom(options);
  const query = words.join(' ');
  const found = searchRecipes(recipes, query);
  if (found.length > 0) {
    print(found, options);
    return exitCode.ok;
  }
  if (options.json === true) process.stdout.write('[]\n');
  process.stderr.write(`"${query}" is not in the catalogue.\n${nearText(recipes, query)}`);
  return exitCode.negative;
}

export function routerShow(id: string, options: RouterOptions): number {
  const recipes = recipesFrom(options);
  const recipe = recipes.find((one) => one.id === id.toLowerCase()) ?? onlyMatch(recipes, id);
  if (options.json === true) process.stdout.write(`${JSON.stringify(wholeJson(recipe), null, 2)}\n`);
  else if (options.markdown === true) process.stdout.write(pageMarkdown(pageOf(recipe)));
  else
    process.stdout.write(
      pageText(pageOf(recipe), process.stdout.isTTY && process.env.NO_COLOR === undefined),
    );
  return exitCode.ok;
}

/** A name that means one recipe and no other stands for its id. */
function onlyMatch(recipes: readonly Recipe[], name: string): Recipe {
  const found = searchRecipes(recipes, name);
  if (found.length === 1) return found[0]!;
  if (found.length > 1)
    throw new UsageError(
      `"${name}" is the name of ${found.length} recipes`,
      `Choose one: sipalg router show ID\n${found.map(({ id, names }) => `  ${id}  (${names.slice(0, 3).join(', ')})`).join('\n')}`,
    );
  throw new UsageError(`there is no recipe "${name}"`, nearText(recipes, name).trimEnd());
}

function nearText(recipes: readonly Recipe[], query: string): string {
  const near = nearIds(recipes, query);
  return `${near.length === 0 ? '' : `Near: ${near.join(', ')}\n`}\`sipalg router list\` shows all. For any other router: \`sipalg check\` tells whether it edits SIP, and what gets through.\n`;
}

/** By a word of the query that is found, then by spelling. */
function nearIds(recipes: readonly Recipe[], query: string): string[] {
  const words = query.split(/\s+/).filter((word) => plain(word).length > 2);
  const byWord = words.flatMap((word) => searchRecipes(recipes, word));
  const names = recipes.flatMap((recipe) =>
    [recipe.id, recipe.vendor, ...recipe.names, ...recipe.models].map((name) => ({
      name: plain(name),
      id: recipe.id,
    })),
  );
  const bySpelling = [query, ...words].flatMap((word) => {
    const nearest = nearestWord(
      plain(word),
      names.map(({ name }) => name),
    );
    return names.filter(({ name }) => name === nearest).map(({ id }) => id);
  });
  return [...new Set([...byWord.map(({ id }) => id), ...bySpelling])].slice(0, MOST_NEAR);
}

export function recipesFrom(options: RouterOptions): readonly Recipe[] {
  if (options.json === true && options.markdown === true)
    throw new UsageError('--json and --markdown exclude each other', 'Give one of them.');
  const folder = recipeDirectory(options);
  let catalogue: ReturnType<typeof loadCatalogue>;
  try {
    catalogue = loadCatalogue(folder);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new EnvironmentError(
      'cli/not-readable',
      `${folder} cannot be read (${code ?? error})`,
      'Name a folder with recipes: --recipes DIR.',
    );
  }
  // The others are good; those who keep recipes of their own want to hear of theirs.
  for (const problem of catalogue.problems) process.stderr.write(`${recipeProblemText(problem)}\n`);
  if (catalogue.recipes.length === 0)
    throw new EnvironmentError(
      'cli/not-readable',
      `there is no recipe in ${folder}`,
      'Name a folder with recipes: --recipes DIR.',
    );
  return catalogue.recipes;
}

function print(recipes: readonly Recipe[], options: RouterOptions): void {
  if (options.json === true) process.stdout.write(`${JSON.stringify(recipes.map(shortJson), null, 2)}\n`);
  else if (options.markdown === true) process.stdout.write(listMarkdown(recipes));
  else process.stdout.write(listText(recipes));
}

/** What a list has of each recipe. */
function shortJson(recipe: Recipe) {
  return {
    id: recipe.id,
    vendor: recipe.vendor,
    names: recipe.names,
    models: recipe.models,
    canSwitchOff: recipe.alg.canSwitchOff,
    procedures: recipe.procedures.map((procedure) => ({
      id: procedure.id,
      kind: procedure.kind,
      title: procedure.title,
      verified: procedure.verified,
      switchesOff: procedure.off.length > 0,
      /** By `sipalg router off`. */
      driven: isDriven(procedure, 'off'),
    })),
    status: recipe.status,
    verdict: recipe.article?.verdict ?? null,
    sources: recipe.sources,
  };
}

/** The same fields, and all the others. */
function wholeJson(recipe: Recipe) {
  const { id, vendor, names, models, ...rest } = recipe;
  return { id, vendor, names, models, canSwitchOff: recipe.alg.canSwitchOff, ...rest };
}

/** The folder that was named, or the one that came with the program. */
export function recipeDirectory({ recipes }: Pick<RouterOptions, 'recipes'>): string {
  const folder = recipes ?? recipeFolder();
  if (folder === undefined)
    throw new EnvironmentError(
      'cli/not-readable',
      'the recipes were not installed with the program',
      'The folder recipes/ of the package has to stand beside dist/ and src/; or name one with --recipes DIR.',
    );
  return folder;
}
