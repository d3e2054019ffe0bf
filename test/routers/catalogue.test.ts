/** Every record of the catalogue, and what the catalogue as a whole promises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageMarkdown } from '../../src/cli/router-markdown.ts';
import { pageOf, UNVERIFIED } from '../../src/cli/router-page.ts';
import { pageText } from '../../src/cli/router-text.ts';
import { loadCatalogue, searchRecipes } from '../../src/routers/catalogue.ts';
import { lintRecipes } from '../../src/routers/lint/lint.ts';
import { recipeProblemText } from '../../src/routers/problem.ts';
import { shownLine } from '../../src/routers/values.ts';
import { isCopied } from './article-runs.ts';
import { folder, paths, readRecord } from './records.ts';

const files = paths.map(readRecord);
const problems = lintRecipes(files, isCopied);

for (const file of files) {
  const { recipe, path } = file;
  test(`recipe ${path}`, () => {
    assert.deepEqual(problems.filter((problem) => problem.file === path).map(recipeProblemText), []);

    const page = pageOf(recipe);
    const text = pageText(page, false);
    const markdown = pageMarkdown(page);
    const flat = text.replaceAll(/\s+/g, ' ');
    for (const { id } of recipe.sources.map(({ code }) => ({ id: code })))
      assert.ok(text.includes(`${id}:`), id);
    for (const procedure of recipe.procedures) {
      assert.ok(flat.includes(procedure.title), procedure.title);
      for (const step of [...procedure.check, ...procedure.off, ...procedure.persist, ...procedure.on]) {
        if (step.send !== undefined) {
          const line = shownLine(step.send);
          assert.ok(text.includes(`\n         ${line}\n`), `not to be copied as it stands: ${line}`);
          assert.ok(markdown.includes(`\n   ${line}\n`), line);
        }
        assert.ok(flat.includes(step.see!.replaceAll(/\s+/g, ' ')), step.see);
      }
      if (procedure.off.length > 0) {
        assert.match(text, /To put it back/);
        assert.match(text, /sipalg check/);
        assert.match(text, /Risk (low|medium|high)/);
      }
    }
    if (recipe.article !== undefined) assert.ok(flat.includes(recipe.article.why.replaceAll(/\s+/g, ' ')));
    assert.ok(!/undefined|\[object/.test(text + markdown));
    assert.doesNotThrow(() => JSON.stringify(recipe));
    const doubtful = [
      recipe.alg,
      ...recipe.procedures,
      ...recipe.labels,
      ...recipe.warnings,
      ...recipe.firewall,
    ];
    if (doubtful.some(({ verified }) => !verified)) assert.ok(flat.includes(UNVERIFIED));
  });
}

test('the loader and the files agree', () => {
  const { recipes, problems: unread } = loadCatalogue(folder);
  assert.deepEqual(unread, []);
  assert.equal(recipes.length, files.length);
});

test('a search by vendor, model or nickname finds what it should', () => {
  const recipes = files.map(({ recipe }) => recipe);
  const first = (query: string): string | undefined => searchRecipes(recipes, query)[0]?.id;
  assert.equal(first('fritzbox'), 'avm-fritzbox');
  assert.equal(first('FRITZ!Box'), 'avm-fritzbox');
  assert.equal(first('fritz box 7590'), 'avm-fritzbox');
  assert.equal(first('routeros'), 'mikrotik-routeros');
  assert.equal(first('vigor 2130'), 'draytek-vigor-2750-2130');
  assert.deepEqual(searchRecipes(recipes, '   '), []);
  assert.deepEqual(searchRecipes(recipes, 'zzz'), []);
});
