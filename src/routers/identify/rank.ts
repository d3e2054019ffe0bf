/** Which recipes fit what was seen, best first, each with the evidence for it. */
import { plain } from '../catalogue.ts';
import type { Recipe } from '../schema.ts';
import type { Evidence, FingerprintKind } from './evidence.ts';

export interface Candidate {
  readonly recipe: Recipe;
  readonly score: number;
  /** What speaks for it. */
  readonly evidence: readonly Evidence[];
  /** Names the model, not only the maker. */
  readonly model: string | undefined;
}

/**
 * How much one kind of evidence says. Who made the network interface says least: makers share recipes and interfaces.
 * SSH servers are shared by many makers as well.
 */
const weights: Readonly<Record<FingerprintKind, number>> = {
  'mac-vendor': 1,
  // Many makers have the same.
  engine: 1,
  'ssh-banner': 2,
  'http-server': 3,
  'http-path': 4,
  'http-title': 4,
  'http-realm': 4,
  certificate: 4,
  upnp: 4,
  'telnet-banner': 4,
  'snmp-sysdescr': 5,
};
const MODEL_BONUS = 4;
/** Less than that is a hint, not a finding. */
const TOLD = 3;

export function rankRecipes(recipes: readonly Recipe[], seen: readonly Evidence[]): Candidate[] {
  return recipes
    .map((recipe) => candidateOf(recipe, seen))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || (a.recipe.id < b.recipe.id ? -1 : 1));
}

/** The one that stands out; undefined where several fit as well, or nothing says more than who made the interface. */
export function toldApart(candidates: readonly Candidate[]): Candidate | undefined {
  const [first, second] = candidates;
  if (first === undefined || first.score < TOLD) return undefined;
  return second !== undefined && second.score >= first.score ? undefined : first;
}

/** Those that are more than a hint; the one that stands out alone, where one does. */
export function plausible(candidates: readonly Candidate[]): readonly Candidate[] {
  const best = toldApart(candidates);
  return best === undefined ? candidates.filter(({ score }) => score >= TOLD) : [best];
}

function candidateOf(recipe: Recipe, seen: readonly Evidence[]): Candidate {
  const best = new Map<FingerprintKind, number>();
  const matching = new Set<Evidence>();
  for (const { kind, match, verified } of recipe.fingerprints) {
    const pattern = new RegExp(match, 'imu');
    for (const one of seen) {
      if (one.kind !== kind || !pattern.test(one.value)) continue;
      matching.add(one);
      best.set(kind, Math.max(best.get(kind) ?? 0, verified ? weights[kind] : weights[kind] / 2));
    }
  }
  const score = [...best.values()].reduce((sum, weight) => sum + weight, 0);
  const model = score === 0 ? undefined : recipe.models.find((name) => namesModel(name, seen));
  return { recipe, score: score + (model === undefined ? 0 : MODEL_BONUS), evidence: [...matching], model };
}

/** Only a name with a number tells a model apart: "Vigor 2750", not "every router with OpenWrt". */
function namesModel(name: string, seen: readonly Evidence[]): boolean {
  if (!/^\S+(?: \S+){0,2}$/.test(name) || !/\d/.test(name)) return false;
  return seen.some(
    ({ kind, value }) => kind !== 'mac-vendor' && kind !== 'favicon' && plain(value).includes(plain(name)),
  );
}
