/** The reader of recipes: whatever a file holds, a recipe comes out or problems that say where and what to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_RECIPE_BYTES, parseRecipe } from '../../src/routers/load.ts';
import { recipeProblemText } from '../../src/routers/problem.ts';

const least = `id: acme-one
vendor: Acme
alg: { present: yes, default: on, canSwitchOff: unknown, verified: false }
sources: [{ code: HEARD, what: hearsay, grade: hearsay }]
status: unproven
`;

function problemsOf(text: string): string {
  const { recipe, problems } = parseRecipe(text, 'acme/one.yaml');
  assert.equal(recipe, undefined);
  return problems!.map(recipeProblemText).join('\n');
}

test('the least that a recipe can be', () => {
  const { recipe } = parseRecipe(least, 'acme/one.yaml');
  assert.deepEqual(recipe?.names, []);
  assert.deepEqual(recipe?.procedures, []);
});

test('a problem names line and column, what is wrong, and how to mend it', () => {
  for (const [text, wanted] of [
    ['', /acme\/one\.yaml[\s\S]*the file holds no recipe/],
    ['- a\n- b\n', /the file holds no recipe/],
    ['id: [a\n', /routers\/syntax acme\/one\.yaml:\d+:\d+\n {2}not YAML/],
    ['a: 1\na: 2\n', /not YAML: Map keys must be unique/],
    [least.replace('vendor: Acme\n', ''), /vendor is missing/],
    [`${least}verdor: Acme\n`, /acme\/one\.yaml:6:1\n {2}unknown field verdor/],
    [
      least.replace('status: unproven', 'status: proven'),
      /acme\/one\.yaml:5:1\n {2}status is "proven"\n {2}write \("verified-on-wire"/,
    ],
    [
      least.replace('verified: false', 'verified: perhaps'),
      /acme\/one\.yaml:3:\d+\n {2}alg\.verified is "perhaps"\n {2}write true or false/,
    ],
    [
      least.replace('id: acme-one', 'id: Acme One'),
      /id is "Acme One"\n {2}write lower-case words joined by hyphens/,
    ],
    [`${least}workarounds: [pray]\n`, /workarounds\[1\] is "pray"/],
    [`${least}faults: [ADDR-NOTHING]\n`, /faults\[1\] is "ADDR-NOTHING"/],
    [least.replace('acme-one', '&a acme-one'), /an anchor or an alias/],
    [least.replace('acme-one', '!!js/function acme-one'), /routers\/syntax/],
    [least.replace('vendor: Acme', 'vendor: !!binary YQ=='), /routers\/syntax/],
    [`%YAML 1.1\n---\n${least}---\nid: b\n`, /routers\/syntax/],
    [`${least}fingerprints: [{ kind: upnp, match: '(a+)+b', verified: false }]\n`, /a regular expression/],
    [`${least}fingerprints: [{ kind: upnp, match: '[a', verified: false }]\n`, /a regular expression/],
  ] as const)
    assert.match(problemsOf(text), wanted, text);
});

test('yes, no, on and off are words', () => {
  const { recipe } = parseRecipe(least.replace('canSwitchOff: unknown', 'canSwitchOff: no'), 'acme/one.yaml');
  assert.equal(recipe?.alg.canSwitchOff, 'no');
  assert.equal(recipe?.alg.default, 'on');
});

test('what would grow, nest or run for ever is refused at once', () => {
  const started = performance.now();
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
  for (const [name, last] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf', 'hg', 'ih'])
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${last}`).join(',')}]`);
  assert.match(problemsOf(bomb.join('\n')), /an anchor or an alias/);
  assert.match(problemsOf(`a: ${'['.repeat(100_000)}`), /nested deeper than/);
  assert.match(problemsOf(`${'- '.repeat(50_000)}a`), /routers\/(syntax|field)/);
  assert.match(
    problemsOf(Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')),
    /nested deeper/,
  );
  assert.match(problemsOf(`${'? '.repeat(50_000)}a`), /routers\/(syntax|field)/);
  assert.match(problemsOf(`a: "${'x'.repeat(MAX_RECIPE_BYTES)}"`), /more than 128 KiB/);
  assert.match(problemsOf(`__proto__: { vendor: x }\n${least}`), /__proto__/);
  assert.equal(({} as { vendor?: string }).vendor, undefined);
  assert.ok(performance.now() - started < 5_000);
});
