/**
 * Who may import whom. Each room may import what stands to its left, and itself:
 *
 *   core/net ← core/{sip,sdp} ← core/nat ← core/{alg,relay,detect} ← stream ← {linux, state, observe, config, routers}
 *            ← {gateway, detector} ← console ← cli
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTest, sourceFiles } from './source.ts';

const ranks: readonly (readonly string[])[] = [
  ['core/net'],
  ['core/sip', 'core/sdp'],
  ['core/nat'],
  ['core/alg', 'core/relay', 'core/detect'],
  ['stream'],
  ['linux', 'state', 'observe', 'config', 'routers'],
  ['gateway', 'detector'],
  ['console'],
  ['cli'],
];

/** What a room may import although it does not stand to its left, and why. */
const exceptions: readonly { readonly from: string; readonly to: string; readonly why: string }[] = [
  { from: 'src/cli/demo.ts', to: 'demo/demo.ts', why: 'the command that starts the demonstration' },
  { from: 'src/cli/main.ts', to: 'package.json', why: 'the version' },
];

const sources = sourceFiles('src');

function roomOf(path: string): string | undefined {
  const [top, first, second] = path.split('/');
  if (top !== 'src') return undefined;
  return first === 'core' ? `core/${second}` : first;
}

function rankOf(room: string | undefined): number {
  return ranks.findIndex((rooms) => rooms.includes(room ?? ''));
}

test('every source file is in a room of the design', () => {
  const homeless = sources.map((file) => file.path).filter((path) => rankOf(roomOf(path)) < 0);
  assert.deepEqual(homeless, []);
});

test('a file imports its own room and rooms to its left, nothing else', () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const room = roomOf(file.path);
    for (const target of file.imports) {
      if (exceptions.some((exception) => exception.from === file.path && exception.to === target)) continue;
      // Tests may use the helpers of test/.
      if (isTest(file.path) && target.startsWith('test/')) continue;
      const targetRoom = roomOf(target);
      if (targetRoom === room && room !== undefined) continue;
      const targetRank = rankOf(targetRoom);
      if (targetRank >= 0 && targetRank < rankOf(room)) continue;
      wrong.push(`${file.path} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('core imports nothing but core', () => {
  const wrong = sources
    .filter((file) => file.path.startsWith('src/core/') && !isTest(file.path))
    .flatMap((file) => file.packages.map((name) => `${file.path} imports ${name}`));
  assert.deepEqual(wrong, []);
});

test('what ships does not import tests, benchmarks or development packages', async () => {
  const { default: manifest } = await import('../../package.json', { with: { type: 'json' } });
  const allowed = new Set(Object.keys(manifest.dependencies));
  const wrong = sources
    .filter((file) => !isTest(file.path))
    .flatMap((file) => [
      ...file.imports
        .filter((path) => /^(test|bench)\/|\.test\.ts$/.test(path))
        .map((path) => `${file.path} imports ${path}`),
      ...file.packages
        .filter((name) => !name.startsWith('node:') && !allowed.has(packageName(name)))
        .map((name) => `${file.path} imports ${name}`),
    ]);
  assert.deepEqual(wrong, []);
});

function packageName(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]!;
}
