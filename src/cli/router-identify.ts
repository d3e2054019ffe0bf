/** `sipalg router identify [HOST]`: which router it is, and what says so. */
import { readFileSync } from 'node:fs';
import { type Identification, identify } from '../routers/identify/identify.ts';
import { defaultGateway, requireLocal } from '../routers/identify/place.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';
import { recipeDirectory, recipesFrom } from './router.ts';

export interface IdentifyOptions {
  readonly json?: boolean;
  readonly recipes?: string;
  readonly snmp?: boolean;
  readonly public?: boolean;
  /** A report of `sipalg check --json`. */
  readonly report?: string;
}

const MOST_SHOWN = 5;

/** Exit code 1 where no recipe stands out. */
export async function routerIdentify(given: string | undefined, options: IdentifyOptions): Promise<number> {
  const recipes = recipesFrom({ ...(options.recipes === undefined ? {} : { recipes: options.recipes }) });
  const host = given ?? defaultGateway();
  requireLocal(host, options.public === true);
  const found = await identify(host, {
    recipes,
    folder: recipeDirectory(options),
    snmp: options.snmp === true,
    engine: options.report === undefined ? undefined : engineOf(options.report),
  });
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify(identificationJson(found), null, 2)}\n`
      : identificationText(found),
  );
  return found.best === undefined ? exitCode.negative : exitCode.ok;
}

/** What the wire says of the box that edits SIP there. */
function engineOf(path: string): string | undefined {
  try {
    const report: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const engine = (report as { engine?: { kind?: unknown } } | null)?.engine?.kind;
    return typeof engine === 'string' ? engine : undefined;
  } catch (error) {
    throw new UsageError(
      `--report ${path} cannot be read (${(error as Error).message.split('\n')[0]})`,
      'sipalg check REFLECTOR --json > FILE writes one',
    );
  }
}

export function identificationJson({ host, mac, evidence, candidates, best }: Identification): object {
  return {
    schema: 'sipalg-identify/1',
    host,
    mac: mac ?? null,
    best: best?.recipe.id ?? null,
    candidates: candidates.map(({ recipe, score, evidence, model }) => ({
      recipe: recipe.id,
      vendor: recipe.vendor,
      model: model ?? null,
      score,
      evidence,
    })),
    evidence,
  };
}

export function identificationText({ host, mac, evidence, candidates, best }: Identification): string {
  const lines = [`${host}${mac === undefined ? '' : ` (${mac})`}`];
  if (evidence.length === 0) lines.push('It says nothing about itself.');
  for (const { kind, value, where } of evidence) lines.push(`  ${kind.padEnd(15)} ${value}  (${where})`);
  lines.push('');
  if (candidates.length === 0) {
    lines.push(
      'No recipe fits. `sipalg router search NAME` finds one by the name on the label; `sipalg check` tells whether it edits SIP.',
    );
    return `${lines.join('\n')}\n`;
  }
  lines.push(
    best === undefined
      ? 'It does not say clearly which router it is. Possible:'
      : 'Recipes that fit, best first:',
  );
  for (const { recipe, score, evidence: shown, model } of candidates.slice(0, MOST_SHOWN)) {
    lines.push(
      `  ${recipe.id}  ${recipe.vendor}${model === undefined ? '' : `, ${model}`}  (${score} points)`,
    );
    lines.push(...shown.map(({ kind, value }) => `      ${kind}: ${value}`));
  }
  lines.push('', `sipalg router show ${candidates[0]!.recipe.id}    what is known about it`);
  return `${lines.join('\n')}\n`;
}
