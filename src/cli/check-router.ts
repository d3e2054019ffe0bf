/**
 * Advice that names the recipe: where switching an ALG off would help, the router in front is asked who it is, as
 * `sipalg router identify` asks (no password, nobody but the router).
 */
import type { CheckedStep, CheckReport } from '../core/detect/check-report.ts';
import type { RecipeLink } from '../core/detect/verdict.ts';
import { type Identification, identify } from '../routers/identify/identify.ts';
import { gatewayAddress } from '../routers/identify/place.ts';
import { plausible } from '../routers/identify/rank.ts';
import { recipeDirectory, recipesFrom } from './router.ts';

/** A device on the own network answers at once or not at all. */
const ANSWER_MS = 1_000;
const MOST_RECIPES = 5;

export interface RouterAnswer {
  readonly step: CheckedStep;
  readonly recipes: readonly RecipeLink[];
}

/** Whether it is worth asking: something is to be switched off, and not behind the next router. */
export function asksForRouter({ advice, location }: CheckReport): boolean {
  return advice.some(({ id }) => id === 'switch-off') && (location?.nearest ?? 1) <= 1;
}

export async function askRouter(engine: string | undefined): Promise<RouterAnswer> {
  const host = gatewayAddress();
  if (host === undefined) return unknown('this machine has no default gateway that could be asked');
  try {
    const recipes = recipesFrom({});
    const folder = recipeDirectory({});
    return answerOf(await identify(host, { recipes, folder, snmp: false, engine, timeoutMs: ANSWER_MS }));
  } catch (error) {
    return unknown((error as Error).message);
  }
}

export function answerOf({ host, candidates }: Identification): RouterAnswer {
  const recipes = plausible(candidates)
    .slice(0, MOST_RECIPES)
    .map(({ recipe, model }) => ({ id: recipe.id, name: model ?? recipe.names[0] ?? recipe.vendor }));
  if (recipes.length === 0)
    return unknown(
      `the router ${host} does not say who it is; \`sipalg router search NAME\` finds its recipe`,
    );
  const names = recipes.map(({ name }) => name).join(', or ');
  const result = `the router ${host} says that it is ${names}`;
  return { step: { ...STEP, state: 'done', result }, recipes };
}

/** The report with what the router has said. */
export function withRouter(report: CheckReport, { step, recipes }: RouterAnswer): CheckReport {
  return {
    ...report,
    advice: report.advice.map((one) => (one.id === 'switch-off' ? { ...one, recipes } : one)),
    steps: [...report.steps, step],
  };
}

const STEP = { id: 'router', title: 'Which router it is' } as const;

function unknown(result: string): RouterAnswer {
  return { step: { ...STEP, state: 'not-checked', result }, recipes: [] };
}
