/** Codes and rule ids are promises to programs: unique, of one form, each with its source. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemCodes } from '../../src/config/problem.ts';
import { configKeys } from '../../src/config/schema.ts';
import { type Rule, rules } from '../../src/core/alg/rules.ts';
import { isTest, sourceFiles } from './source.ts';

const table: readonly Rule[] = rules;

test('every rule has an id of its own, and an RFC section', () => {
  assert.equal(new Set(table.map((rule) => rule.id)).size, table.length);
  for (const rule of table) {
    assert.match(rule.id, /^[a-z]+(?:-[a-z]+)*(?:\.[a-z]+(?:-[a-z]+)*)+$|^[a-z]+(?:-[a-z]+)+$/, rule.id);
    assert.match(rule.source, /^RFC \d{4} §[\dA-Z]+(?:\.\d+)*$/, rule.id);
    for (const text of [rule.summary, rule.without]) assert.match(text, /^\S.*\.$/, `${rule.id}: ${text}`);
  }
});

test('error codes have the form area/kebab-case, with the room as their area', () => {
  const rooms = new Set(sourceFiles('src').map((file) => file.path.split('/')[1]!));
  const codes = new Set<string>();
  for (const file of sourceFiles('src').filter((file) => !isTest(file.path))) {
    for (const [, area, name] of file.code.matchAll(/\bcode:\s*'([^'/]+)\/([^']+)'/g)) {
      codes.add(`${area}/${name}`);
      assert.ok(rooms.has(area!), `${file.path}: ${area}/${name}`);
      assert.match(name!, /^[a-z]+(?:-[a-z0-9]+)*$/, `${file.path}: ${area}/${name}`);
    }
  }
  assert.ok(codes.size > 0);
});

test('every problem code says what it means, and is used', () => {
  const used = sourceFiles('src/config')
    .filter((file) => file.path !== 'src/config/problem.ts' && !isTest(file.path))
    .map((file) => file.code)
    .join('\n');
  for (const [code, meaning] of Object.entries(problemCodes)) {
    assert.match(meaning, /^[A-Z].*\.$/, code);
    assert.ok(used.includes(`'${code}'`), `${code} is never reported`);
  }
});

test('every configuration key has a sentence, an example, and a default or the reason for having none', () => {
  for (const key of configKeys) {
    const name = key.path.join('.');
    assert.match(key.note.summary, /^[A-Z].*\.$/, name);
    assert.ok(key.note.example.startsWith(`${key.path.at(-1)} = `), name);
    assert.ok(key.required || key.fallback !== undefined || key.note.without !== undefined, name);
  }
  assert.equal(new Set(configKeys.map((key) => key.path.join('.'))).size, configKeys.length);
});
