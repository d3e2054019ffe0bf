import assert from 'node:assert/strict';
import { test } from 'node:test';
import { excessOf, MAX_FILE, MAX_NAMES, MAX_STATEMENT } from './bounds.ts';
import { parseConfig } from './load.ts';

const phone = '[[phone]]\naddress = "192.168.1.7"\n';

test('a file of many short statements may be as long as it says', () => {
  assert.equal(excessOf(phone.repeat(Math.floor(MAX_FILE / phone.length))), undefined);
  assert.match(excessOf(phone.repeat(MAX_FILE / phone.length + 1))?.what ?? '', /262144 are read at most/);
});

test('one statement is measured over all of its lines, and named where it begins', () => {
  for (const [text, line] of [
    [`internal = ${'['.repeat(MAX_STATEMENT)}`, 1],
    [`# a\ninternal = [\n${'"eth0",\n'.repeat(MAX_STATEMENT / 8)}]\n`, 2],
    [`state-dir = """\n${'a\n'.repeat(MAX_STATEMENT / 2)}"""\n`, 1],
    [`state-dir = "${'a'.repeat(MAX_STATEMENT)}`, 1],
    [`a = "]"\n[${'b'.repeat(MAX_STATEMENT)}]\n`, 2],
    [`a = """\\\n"""\nb = '${'c'.repeat(MAX_STATEMENT)}'\n`, 3],
  ] as const)
    assert.equal(excessOf(text)?.line, line, text.slice(0, 40));
});

test('a dotted key has so many names and no more, wherever it stands', () => {
  const key = (names: number): string => Array.from({ length: names }, () => 'a').join('.');
  for (const write of [
    (one: string) => `\n${one} = 1\n`,
    (one: string) => `\n[${one}]\n`,
    (one: string) => `\na = { b = 1.5, ${one} = 2 }\n`,
  ]) {
    assert.equal(excessOf(write(key(MAX_NAMES))), undefined);
    assert.equal(excessOf(write(key(MAX_NAMES + 1)))?.line, 2);
  }
  assert.equal(excessOf(`a = [${'1.5, '.repeat(100)}]\nb = "${key(100)}"\n`), undefined);
});

test('what stands in texts and comments opens and closes nothing, and a comment may be of any length', () => {
  for (const text of [
    `a = "[[[" # [\nb = '"'\n${phone.repeat(300)}`,
    `# ${'x'.repeat(2 * MAX_STATEMENT)}\na = 1 # ${'['.repeat(MAX_STATEMENT)}\n`,
    `a = "\\"[" # "\n${phone.repeat(300)}`,
    `a = '''['''\nb = """ " [ """\n${phone.repeat(300)}`,
    `a = "does not end\n${phone.repeat(300)}`,
  ])
    assert.equal(excessOf(text), undefined, text.slice(0, 40));
});

test('a file that is too long is a problem with its place and what to do, and is not parsed', () => {
  const { problems } = parseConfig(`\ninternal = ${'['.repeat(60_000)}`, 'sipalg.toml');
  assert.equal(problems?.length, 1);
  assert.equal(problems?.[0]?.code, 'config/too-long');
  assert.equal(problems?.[0]?.line, 2);
});
