/** A recipe of a router: whatever the file holds, a recipe or problems with a place; never a crash, and nothing that grows. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseRecipe } from '../../../src/routers/load.ts';
import { recipeProblemCodes, recipeProblemText } from '../../../src/routers/problem.ts';
import { recipeFields } from '../../../src/routers/schema.ts';
import type { Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';

const seeds = ['avm/fritzbox'].map((name) =>
  readFileSync(new URL(`../../../recipes/${name}.yaml`, import.meta.url), 'utf8'),
);

const least = `id: acme-one
vendor: Acme
alg: { present: yes, default: on, canSwitchOff: unknown, verified: false }
sources: [{ code: HEARD, what: hearsay, grade: hearsay }]
status: unproven
`;

const TOKENS = [
  ...[
    '&a ',
    '*a',
    '!!binary ',
    '!tag ',
    '? ',
    '- ',
    ': ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '|\n ',
    '>-\n ',
    '"',
    "'",
    '#',
  ],
  ...[
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '<<: *a\n',
    '__proto__: ',
    'constructor: ',
    '\t',
    '\r\n',
    '\\x00',
    '~',
    'null',
  ],
  ...['true', 'false', 'yes', '0x10', '.inf', '1e400', '2026-11-22', '(a+)+', '[a', '\\u0000'],
];

export const recipeTarget: Target = {
  name: 'recipe',
  share: 3_000,
  seeds: [least, ...seeds],
  tokens: [
    ...TOKENS,
    ...new Set(recipeFields.map(({ path }) => `${path.at(-1)}: `)),
    ...new Set(recipeFields.flatMap(({ words }) => words ?? [])),
  ],
  generate: generateRecipe,
  longest: 3000,
  run(bytes, seen) {
    const text = Buffer.from(bytes).toString('utf8');
    const { recipe, problems } = parseRecipe(text, 'acme/one.yaml');
    if (recipe !== undefined) {
      assert.equal(problems, undefined);
      assert.match(recipe.id, /^[a-z0-9-]+$/);
      assert.ok(recipe.sources.length > 0);
      // What was read can be told again; it has not grown by more than escapes and defaults.
      assert.ok(JSON.stringify(recipe).length < text.length * 8 + 10_000);
      return seen(`whole ${recipe.procedures.length} ${recipe.status}`);
    }
    assert.ok(problems !== undefined && problems.length > 0 && problems.length <= 20);
    const lines = text.split(/\r\n|\n|\r/).length;
    for (const problem of problems) {
      assert.ok(problem.code in recipeProblemCodes, problem.code);
      assert.ok(problem.what !== '' && problem.remedy !== '', 'a problem without words');
      assert.ok(problem.what.length < 4000 && problem.remedy.length < 4000, 'a problem without end');
      if (problem.line !== undefined)
        assert.ok(problem.line >= 1 && problem.line <= lines + 1, `line ${problem.line}`);
      assert.ok(recipeProblemText(problem).includes(problem.code));
      seen(`${problem.code} ${problem.what.slice(0, 12)}`);
    }
    seen(bucket(problems.length));
  },
};

function generateRecipe(random: Random): string {
  const lines: string[] = least.split('\n');
  for (let n = random.below(10); n > 0; n--) {
    const field = random.pick(recipeFields);
    const value = random.pick([
      () => random.pick(TOKENS),
      () => random.pick(field.words ?? ['x']),
      () => `[${random.pick(TOKENS)}]`,
      () => `{ ${random.pick(recipeFields).path.at(-1)}: ${random.pick(TOKENS)} }`,
    ])();
    lines.splice(
      random.below(lines.length),
      0,
      `${' '.repeat(random.below(5))}${field.path.at(-1)}: ${value}`,
    );
  }
  return lines.join('\n');
}
