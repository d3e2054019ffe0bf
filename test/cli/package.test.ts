/** What a package holds, laid out as npm lays it out: beside what it needs, without the checkout around it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { root, sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-package-'));
const modules = join(folder, 'node_modules');
const own = join(modules, 'sipalg');
const bundle = join(own, 'dist', 'sipalg.js');

before(() => {
  const listed = spawnSync('npm', ['pack', '--dry-run', '--json'], { cwd: root });
  assert.equal(listed.status, 0, listed.stderr.toString());
  const [{ files }] = JSON.parse(listed.stdout.toString()) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const path of ['bin/sipalg', 'scripts/node.sh', 'samples/invite.sip', 'LICENSE', 'README.md'])
    assert.ok(paths.includes(path), path);
  for (const path of paths.filter((one) => !one.startsWith('dist/'))) {
    mkdirSync(dirname(join(own, path)), { recursive: true });
    cpSync(join(root, path), join(own, path));
  }
  const built = spawnSync(process.execPath, ['scripts/build.ts', '--to', bundle], { cwd: root });
  assert.equal(built.status, 0, built.stderr.toString());
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  mkdirSync(join(modules, '.bin'));
  symlinkSync('../sipalg/bin/sipalg', join(modules, '.bin', 'sipalg'));
  symlinkSync(process.execPath, join(modules, '.bin', 'node'));
});
after(() => rmSync(folder, { recursive: true }));

function run(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(join(modules, '.bin', 'sipalg'), args, {
    cwd: folder,
    timeout: 60_000,
    // What npm has put beside it has to do: no other Node is found.
    env: { PATH: '/usr/bin:/bin', NO_COLOR: '1' },
  });
  return { code: status, out: stdout.toString(), err: stderr.toString() };
}

test('the package explains a message', () => {
  const { code, out, err } = run('explain', 'node_modules/sipalg/samples/invite.sip');
  assert.equal(code, 0, err);
  assert.equal(out, sipalg(['explain', 'samples/invite.sip']).out);
});

test('the package has its recipes', () => {
  const { code, out, err } = run('router', 'list');
  assert.equal(code, 0, err);
  assert.equal(out, sipalg(['router', 'list']).out);
  assert.match(run('router', 'show', 'avm-fritzbox').out, /FRITZ!Box/);
});

test('without its recipes the package says what is missing', () => {
  rmSync(join(own, 'recipes'), { recursive: true });
  const { code, err } = run('router', 'list');
  assert.equal(code, 3);
  assert.match(err, /the recipes were not installed with the program\n +The folder recipes\//);
});

test('without its bundle the package says how it is made', () => {
  rmSync(bundle);
  const { code, err } = run('router', 'list');
  assert.equal(code, 3);
  assert.match(err, /made without .*dist\/sipalg\.js\. Make it with: npm run package/);
});
