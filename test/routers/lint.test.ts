/** The linter: a record that breaks no rule, and for each rule records that break it and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lintRecipes, lintRules } from '../../src/routers/lint/lint.ts';
import type { LintedFile } from '../../src/routers/lint/rule.ts';
import { parseRecipe } from '../../src/routers/load.ts';
import { recipeProblemText } from '../../src/routers/problem.ts';
import { isCopied } from './article-runs.ts';

const good = `id: acme-one
vendor: Acme
names: [Acme One]
alg: { present: yes, default: on, canSwitchOff: yes, verified: true, sources: [MANUAL] }
labels:
  - { text: SIP ALG, ticked: on, verified: true, sources: [MANUAL] }
procedures:
  - id: web
    kind: web
    title: On the page ALG
    verified: true
    sources: [MANUAL]
    login: { kind: web-form, user: admin, verified: false }
    check:
      - { menu: [NAT, ALG], see: Whether there is a tick. }
    off:
      - { set: { control: SIP ALG, to: unticked }, see: No tick. }
    on:
      - { set: { control: SIP ALG, to: ticked }, see: A tick. }
    saves: by-itself
    reboot: no
    risk: { level: low, text: Nothing else changes. }
  - id: ssh
    kind: ssh
    title: By a command
    verified: false
    sources: [HEARD]
    check:
      - { send: show alg, see: on or off, answers: [{ match: '^off', means: off }, { match: '^on', means: on }] }
    off:
      - { send: alg off, see: Nothing but the prompt., silent: true }
    persist:
      - { send: save, see: saved, answers: [{ match: saved, means: done }] }
    on:
      - { send: alg on, see: Nothing but the prompt., silent: true }
    saves: by-steps
    reboot: no
    risk: { level: low, text: Nothing else changes. }
workarounds: [tls]
faults: [ADDR-CONTACT]
unproven: [Which firmware has the command.]
sources:
  - { code: MANUAL, what: 'Manual of the One, page 7', date: '2020', grade: vendor }
  - { code: HEARD, what: hearsay, grade: hearsay }
status: documented
`;

/** What is replaced, by what, and what the linter says then. */
const bad: Readonly<Record<string, readonly (readonly [RegExp | string, string, RegExp])[]>> = {
  'answered-line': [
    [
      'alg off, see: Nothing but the prompt., silent: true',
      'alg off, see: Nothing.',
      /ssh, off, step 1 does not say which/,
    ],
    [
      'match: saved, means: done',
      'match: error, means: failed',
      /ssh, persist, step 1 does not say which answer/,
    ],
  ],
  'check-first': [[/ {4}check:\n {6}- \{ menu.*\n/, '', /procedure web has no check/]],
  'expected-answer': [
    [', see: No tick. }', ' }', /procedure web, off, step 1 does not say what must be seen/],
    ['{ send: alg off,', '{ send: alg off, set: { control: A, to: b },', /does several things at once/],
    ['- { menu: [NAT, ALG], see', '- { see', /procedure web, check, step 1 does nothing/],
    [/, answers: \[.*\] \}\n/, ' }\n', /procedure ssh: no answer of its check tells on from off/],
    [
      'see: Whether there is a tick. }',
      'see: A tick., answers: [{ match: a, means: on }] }',
      /has answers: and nothing that is answered/,
    ],
  ],
  'known-value': [
    ['send: alg off,', "send: 'alg off {{number}}',", /wants number, which nothing declares/],
    ['send: alg off,', 'send: alg off, where: number,', /wants number, which nothing declares/],
    [
      'means: on }] }\n    off:',
      "means: on }], take: ['(?<number>1)'] }\n    off:",
      /takes number, which is not declared/,
    ],
    [
      '    check:\n      - { send',
      '    values: [{ name: number, what: a number, match: a, otherwise: b }]\n    check:\n      - { send',
      /its check does not take it/,
    ],
    [
      '    check:\n      - { send',
      '    values: [{ name: number, what: a number, match: a, otherwise: b }]\n    check:\n      - { send',
      /declares number and never uses it/,
    ],
    [
      '    check:\n      - { send',
      '    values: [{ name: number, what: a number, match: a, otherwise: b }]\n    check:\n      - { send',
      /cannot be its own otherwise/,
    ],
    [
      '    login: { kind: web-form, user: admin, verified: false }',
      "    login: { kind: web-form, verified: false, headers: [{ name: Cookie, value: '{{session}}' }] }",
      /the login of web wants session, which it does not take/,
    ],
  ],
  'known-sources': [
    [
      'verified: true, sources: [MANUAL] }\nlabels',
      'verified: true, sources: [MANUALS] }\nlabels',
      /source MANUALS is not in sources/,
    ],
    ['verified: true, sources: [MANUAL] }\nlabels', 'verified: true }\nlabels', /alg has no source/],
    [
      'verified: true, sources: [MANUAL] }\nlabels',
      'verified: true, sources: [HEARD] }\nlabels',
      /alg is called verified, and only the article or hearsay says so/,
    ],
    [", date: '2020'", '', /source MANUAL has no date/],
    [
      '  - { code: HEARD,',
      '  - { code: OTHER, what: x, grade: hearsay }\n  - { code: HEARD,',
      /source OTHER is not used/,
    ],
    [
      '  - { code: HEARD,',
      '  - { code: HEARD, what: x, grade: hearsay }\n  - { code: HEARD,',
      /source HEARD stands twice/,
    ],
    ['grade: vendor', 'grade: community', /the status is documented, and no procedure has a document/],
    [
      'user: admin, verified: false',
      'user: admin, verified: true, sources: [HEARD]',
      /login of web is called verified/,
    ],
  ],
  'legacy-ssh': [
    [
      '    kind: web\n',
      '    kind: web\n    legacySsh: [{ algorithm: ssh-rsa, why: old }]\n',
      /procedure web is no SSH/,
    ],
    [
      '    kind: ssh\n',
      '    kind: ssh\n    legacySsh: [{ algorithm: rot13, why: old }]\n',
      /rot13 is no old algorithm of SSH/,
    ],
    ['send: alg off,', "send: 'ssh -o KexAlgorithms=+x',", /loosens SSH in a step/],
  ],
  'no-copy': [
    [
      'title: On the page ALG',
      "title: 'if you are experiencing problems we recommend that you check your router settings'",
      /copied from the article/,
    ],
  ],
  'no-default-login': [
    [
      'user: admin, verified: false',
      'user: admin, password: admin, note: the One, verified: false',
      /gives a password without a source/,
    ],
    [
      'user: admin, verified: false',
      'user: admin, password: admin, verified: false, sources: [MANUAL]',
      /without saying for which devices/,
    ],
    ['send: alg on,', "send: 'login admin password=admin',", /has a password in a step/],
  ],
  'stated-polarity': [
    ['text: SIP ALG, ticked: on', 'text: Firewall, ticked: on', /no label states what a tick means: SIP ALG/],
    [
      '  - { text: SIP ALG,',
      '  - { text: Disable SIP ALG, ticked: on, verified: true, sources: [MANUAL] }\n  - { text: SIP ALG,',
      /“Disable SIP ALG” is said to mean on/,
    ],
  ],
  'unique-id': [
    ['id: acme-one', 'id: acme-two', /the id is acme-two/],
    ['  - id: ssh', '  - id: web', /two procedures are called web/],
  ],
  'way-back': [
    [/ {4}on:\n.*alg on.*\n/, '', /procedure ssh has no way back/],
    [/ {4}off:\n.*alg off.*\n/, '', /procedure ssh only switches on/],
    [/ {4}persist:\n.*\n/, '', /said to be kept by steps, and there are none/],
    ['saves: by-steps', 'saves: by-itself', /has persist: and says saves: by-itself/],
  ],
  'way-out': [
    ['canSwitchOff: yes', 'canSwitchOff: no', /it cannot be switched off, and a procedure does it/],
    ['present: yes', 'present: no', /there is no ALG, and faults of one/],
    [
      /canSwitchOff: yes([\s\S]*)workarounds: \[tls\]/,
      'canSwitchOff: unknown$1workarounds: []',
      /nothing can be switched, and there are no work-arounds/,
    ],
    [
      /unproven: .*\n([\s\S]*)status: documented/,
      '$1status: community',
      /the status is community, and nothing is said to be unproven/,
    ],
  ],
};

test('a record that keeps to the rules', () => {
  assert.deepEqual(problemsOf(good), []);
});

test('every rule has a bad example', () => {
  assert.deepEqual(
    lintRules.map(({ id }) => id),
    Object.keys(bad).toSorted(),
  );
});

for (const [rule, examples] of Object.entries(bad))
  test(`${rule}: ${lintRules.find(({ id }) => id === rule)?.holds}`, () => {
    for (const [from, to, expected] of examples) {
      const text = good.replace(from, to);
      assert.notEqual(text, good, `nothing was replaced: ${from}`);
      const problems = problemsOf(text);
      assert.ok(
        problems.some((problem) => problem.rule === rule && expected.test(problem.what)),
        `${expected}\n${problems.map(recipeProblemText).join('\n')}`,
      );
      for (const { what, remedy } of problems) assert.ok(what !== '' && remedy !== '');
    }
  });

test('two records with one id are told of at both', () => {
  const files = ['acme/one.yaml', 'acme/one-b.yaml'].map((path) => fileOf(good, path));
  const wrong = lintRecipes(files).filter(({ rule }) => rule === 'unique-id');
  assert.ok(
    wrong.some(
      ({ file, what }) => file === 'acme/one.yaml' && /acme\/one-b\.yaml has the same id/.test(what),
    ),
  );
  assert.ok(
    wrong.some(
      ({ file, what }) => file === 'acme/one-b.yaml' && /acme\/one\.yaml has the same id/.test(what),
    ),
  );
});

function problemsOf(text: string) {
  return lintRecipes([fileOf(text, 'acme/one.yaml')], isCopied);
}

function fileOf(text: string, path: string): LintedFile {
  const { recipe, problems } = parseRecipe(text, path);
  assert.ok(recipe !== undefined, problems?.map(recipeProblemText).join('\n'));
  return { path, text, recipe };
}
