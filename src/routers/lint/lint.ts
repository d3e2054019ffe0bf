/** The linter of the catalogue: one rule a file, and this is the table of them. */
import type { RecipeProblem } from '../problem.ts';
import { answeredLine } from './answered-line.ts';
import { checkFirst } from './check-first.ts';
import { expectedAnswer } from './expected-answer.ts';
import { knownSources } from './known-sources.ts';
import { knownValue } from './known-value.ts';
import { legacySsh } from './legacy-ssh.ts';
import { noCopy } from './no-copy.ts';
import { noDefaultLogin } from './no-default-login.ts';
import type { LintedFile, LintRule } from './rule.ts';
import { statedPolarity } from './stated-polarity.ts';
import { uniqueId } from './unique-id.ts';
import { wayBack } from './way-back.ts';
import { wayOut } from './way-out.ts';

export const lintRules: readonly LintRule[] = [
  answeredLine,
  checkFirst,
  expectedAnswer,
  knownSources,
  knownValue,
  legacySsh,
  noCopy,
  noDefaultLogin,
  statedPolarity,
  uniqueId,
  wayBack,
  wayOut,
];

/** `isCopied`: whether a run of words is the article's; without it that rule holds its peace. */
export function lintRecipes(
  files: readonly LintedFile[],
  isCopied?: (run: string) => boolean,
): RecipeProblem[] {
  return files.flatMap((file) =>
    lintRules.flatMap((rule) =>
      rule.find({ file, files, isCopied }).map(
        ({ what, remedy }): RecipeProblem => ({
          code: 'routers/lint',
          file: file.path,
          rule: rule.id,
          what,
          remedy,
        }),
      ),
    ),
  );
}
