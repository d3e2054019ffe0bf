/** Every scenario, played on the engine. `UPDATE=1` writes what arrived into the files; read the difference then. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { rules } from '../../src/core/alg/rules.ts';
import { startEngine } from './engine-driver.ts';
import { gapsOf, readScenario, scenarioFolder, scenarioPaths } from './files.ts';
import { playScenario } from './run.ts';
import { updatedText } from './update.ts';

const paths = scenarioPaths();
const update = process.env.UPDATE === '1';

for (const path of paths) {
  const chapter = path.slice(0, path.indexOf('/'));
  const scenario = readScenario(path);
  const gaps = gapsOf(scenario);
  const name = `${chapter}: ${scenario.title}${gaps.map((gap) => ` (gap: ${gap})`).join('')}`;
  test(name, async () => {
    if (update) {
      const file = join(scenarioFolder, path);
      const before = readFileSync(file, 'utf8');
      const after = await updatedText(path, before, startEngine);
      if (after !== before) writeFileSync(file, after);
    }
    const played = await playScenario(readScenario(path), startEngine);
    assert.deepEqual(played.gaps, gaps.slice(0, 1));
  });
}

test('a scenario has a sentence of its own, a chapter, and at most one gap', () => {
  const titles = new Map<string, string>();
  for (const path of paths) {
    const scenario = readScenario(path);
    assert.match(path, /^[a-z-]+\/[a-z0-9-]+\.scenario$/, path);
    assert.match(scenario.title, /^\S.*[^.]$/, path);
    assert.equal(titles.get(scenario.title), undefined, path);
    titles.set(scenario.title, path);
    assert.ok(gapsOf(scenario).length <= 1, path);
  }
});

test('every rule has a scenario in which it edits', () => {
  const used = new Set<string>();
  for (const path of paths)
    for (const step of readScenario(path).steps)
      for (const check of step.checks)
        if (check.kind === 'edits' && check.gap === undefined) for (const rule of check.rules) used.add(rule);
  assert.deepEqual(
    rules.map((rule) => rule.id).filter((id) => !used.has(id)),
    [],
  );
});
