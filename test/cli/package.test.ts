/** What a package holds, laid out as npm would, without the checkout around it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import manifest from '../../package.json' with { type: 'json' };
import { root, sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-package-'));
const bundle = join(folder, 'dist', 'sipalg.js');

before(() => {
  const built = spawnSync(process.execPath, ['scripts/build.ts', '--to', bundle], { cwd: root });
  assert.equal(built.status, 0, built.stderr.toString());
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
});
after(() => rmSync(folder, { recursive: true }));

function run(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bundle, ...args], { cwd: tmpdir() });
  return { code: status, out: stdout.toString(), err: stderr.toString() };
}

test('without its recipes the package says what is missing', () => {
  const { code, err } = run('router', 'list');
  assert.equal(code, 3);
  assert.match(err, /the recipes were not installed with the program\n +The folder recipes\//);
});

test('with the files that the manifest names, the recipes are there', () => {
  for (const name of ['dist', 'recipes']) assert.ok(manifest.files.includes(name), name);
  cpSync(join(root, 'recipes'), join(folder, 'recipes'), { recursive: true });
  const { code, out, err } = run('router', 'list');
  assert.equal(code, 0, err);
  assert.equal(out, sipalg(['router', 'list']).out);
  assert.match(run('router', 'show', 'avm-fritzbox').out, /FRITZ!Box/);
});
