/** What is wrong with a recipe, as data: where, what, and how to mend it. Programs match on the code. */

export const recipeProblemCodes = {
  'routers/not-readable': 'The file or the folder cannot be read.',
  'routers/too-large': 'The file is longer than a recipe can be.',
  'routers/syntax': 'The file is not YAML, or uses more of YAML than recipes do.',
  'routers/field': 'A field is missing, unknown, or has a value that it cannot have.',
  'routers/lint': 'The record is well-formed and breaks a rule of the catalogue.',
} as const;

export type RecipeProblemCode = keyof typeof recipeProblemCodes;

export interface RecipeProblem {
  readonly code: RecipeProblemCode;
  readonly file: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
  /** The linter's rule, where one was broken. */
  readonly rule?: string;
  readonly what: string;
  readonly remedy: string;
}

export function recipeProblemText(problem: RecipeProblem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== undefined).join(':');
  const rule = problem.rule === undefined ? '' : ` (${problem.rule})`;
  return `${problem.code} ${place}${rule}\n  ${problem.what}\n  ${problem.remedy}`;
}
