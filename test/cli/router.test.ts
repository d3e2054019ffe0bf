/** `sipalg router`, as a user calls it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sipalg } from './program.ts';

interface Short {
  readonly id: string;
  readonly vendor: string;
  readonly names: readonly string[];
  readonly models: readonly string[];
  readonly canSwitchOff: string;
  readonly procedures: readonly { readonly id: string }[];
  readonly status: string;
  readonly sources: readonly { readonly code: string }[];
}

const fields = ['id', 'vendor', 'names', 'models', 'canSwitchOff', 'procedures', 'status', 'sources'];

test('router list: a line for each, and the same as JSON and Markdown', () => {
  const json = sipalg(['router', 'list', '--json']);
  assert.equal(json.code, 0);
  const all = JSON.parse(json.out) as Short[];
  for (const one of all)
    assert.deepEqual(
      fields.filter((name) => !(name in one)),
      [],
      one.id,
    );
  assert.deepEqual(
    all.map(({ id }) => id),
    all.map(({ id }) => id).toSorted(),
  );
  const text = sipalg(['router', 'list']);
  // A head, a line for each, and what the star means.
  assert.equal(text.out.trimEnd().split('\n').length, 1 + all.length + 2);
  assert.match(text.out, /^mikrotik-routeros .*console\*.*api\*/m);
  const markdown = sipalg(['router', 'list', '--markdown']);
  for (const { id } of all) {
    assert.match(text.out, new RegExp(`^${id} `, 'm'));
    assert.ok(markdown.out.includes(`\`${id}\``));
  }
  assert.equal(json.err + text.err + markdown.err, '');
});

test('router show: steps that can be followed, the way back, and what the article gets wrong', () => {
  const { code, out, err } = sipalg(['router', 'show', 'mikrotik-routeros']);
  assert.equal(code, 0);
  assert.equal(err, '');
  for (const wanted of [
    /1\. Type:\n {9}\/ip firewall service-port print/,
    /Switch it off\n +1\. Type:\n {9}\/ip firewall service-port set \[find name=sip\] disabled=yes\n {7}See: /,
    /To put it back\n +1\. Type:\n {9}\/ip firewall service-port set \[find name=sip\] disabled=no/,
    /The article that goes round: incomplete/,
    /\(not verified\)/,
  ])
    assert.match(out, wanted);

  const whole = JSON.parse(sipalg(['router', 'show', 'mikrotik-routeros', '--json']).out) as Short & {
    readonly article: { readonly verdict: string };
  };
  assert.deepEqual(
    fields.filter((name) => !(name in whole)),
    [],
  );
  assert.equal(whole.article.verdict, 'incomplete');
  assert.match(sipalg(['router', 'show', 'mikrotik-routeros', '--markdown']).out, /^# MikroTik/);
});

test('router show takes a name that means one recipe, and lists them where it means several', () => {
  assert.match(sipalg(['router', 'show', 'FRITZ!Box']).out, /avm-fritzbox/);
  const several = sipalg(['router', 'show', 'vigor']);
  assert.equal(several.code, 2);
  assert.match(several.err, /name of \d+ recipes\n[\s\S]*draytek-vigor-telnet/);
  const unknown = sipalg(['router', 'show', 'mikrotic-routeros']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /there is no recipe "mikrotic-routeros"\n +Near: mikrotik-routeros/);
});

test('router search: found is 0, not in the catalogue is 1 and says so', () => {
  const found = sipalg(['router', 'search', 'fritzbox', '--json']);
  assert.equal(found.code, 0);
  assert.deepEqual(
    (JSON.parse(found.out) as Short[]).map(({ id }) => id),
    ['avm-fritzbox'],
  );
  const missing = sipalg(['router', 'search', 'sky', 'hub', '--json']);
  assert.equal(missing.code, 1);
  assert.equal(missing.out, '[]\n');
  assert.match(missing.err, /"sky hub" is not in the catalogue/);
  const near = sipalg(['router', 'search', 'fritzbux']);
  assert.equal(near.code, 1);
  assert.equal(near.out, '');
  assert.match(near.err, /Near: avm-fritzbox/);
});

test('router: wrong usage is 2, a folder without recipes is 3', () => {
  assert.equal(sipalg(['router', 'list', '--json', '--markdown']).code, 2);
  assert.equal(sipalg(['router', 'show']).code, 2);
  assert.equal(sipalg(['router', 'search']).code, 2);
  const none = sipalg(['router', 'list', '--recipes', '/nowhere']);
  assert.equal(none.code, 3);
  assert.match(none.err, /\/nowhere cannot be read \(ENOENT\)/);
});

test('a broken file in a folder of recipes is told of, and the others are there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sipalg-recipes-'));
  try {
    mkdirSync(join(folder, 'a'));
    writeFileSync(join(folder, 'a', 'broken.yaml'), 'id: [a\n');
    writeFileSync(join(folder, 'a', 'alias.yaml'), 'a: &a [x]\nb: [*a, *a]\n');
    writeFileSync(
      join(folder, 'a', 'good.yaml'),
      `id: a-good
vendor: A
names: [Good]
alg: { present: no, default: none, canSwitchOff: absent, verified: false, sources: [S] }
sources: [{ code: S, what: somebody, grade: hearsay }]
status: unproven
`,
    );
    const { code, out, err } = sipalg(['router', 'list', '--json', '--recipes', folder]);
    assert.equal(code, 0);
    assert.deepEqual(
      (JSON.parse(out) as Short[]).map(({ id }) => id),
      ['a-good'],
    );
    assert.match(err, /routers\/syntax a\/broken\.yaml:\d+:\d+/);
    assert.match(err, /routers\/syntax a\/alias\.yaml:1:\d+\n +an anchor or an alias/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('router identify --report: a file that is no report is told before anybody is asked', () => {
  const { code, err } = sipalg(['router', 'identify', '127.0.0.1', '--report', 'README.md']);
  assert.equal(code, 2);
  assert.match(
    err,
    /--report README\.md cannot be read .*\n +sipalg check REFLECTOR --json > FILE writes one/,
  );
});
