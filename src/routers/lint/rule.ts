/** What a rule of the linter is: one promise of the catalogue that the schema cannot express. */
import type { Procedure, Recipe, Step } from '../schema.ts';
import { phases } from '../schema.ts';

export interface LintedFile {
  /** Within the folder of recipes, with forward slashes. */
  readonly path: string;
  /** The bytes as they stand. */
  readonly text: string;
  readonly recipe: Recipe;
}

export interface LintContext {
  readonly file: LintedFile;
  /** All files of the catalogue, this one among them. */
  readonly files: readonly LintedFile[];
  /** Whether a run of words (see `runsOf`) stands in the article, where that is known. */
  readonly isCopied: ((run: string) => boolean) | undefined;
}

export interface Finding {
  readonly what: string;
  readonly remedy: string;
}

export interface LintRule {
  /** The name of its file. */
  readonly id: string;
  /** One sentence: what it holds. */
  readonly holds: string;
  readonly find: (context: LintContext) => readonly Finding[];
}

export type Phase = (typeof phases)[number];

/** Every step of a recipe, with the place where it stands. */
export function* allSteps(recipe: Recipe): Generator<{
  readonly procedure: Procedure;
  readonly phase: Phase;
  readonly step: Step;
  readonly place: string;
}> {
  for (const procedure of recipe.procedures)
    for (const phase of phases)
      for (const [i, step] of procedure[phase].entries())
        yield { procedure, phase, step, place: `procedure ${procedure.id}, ${phase}, step ${i + 1}` };
}
