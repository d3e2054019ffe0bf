/** The article names routers under headings; each has a record here, which says what has become of what it tells. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { articleHeadings } from './article-headings.ts';
import { paths, readRecord } from './records.ts';

const files = paths.map(readRecord);

test('every router that the article names has a record, which says whether the article holds', () => {
  for (const [heading, ids] of Object.entries(articleHeadings)) {
    for (const id of ids) {
      const file = files.find(({ recipe }) => recipe.id === id);
      assert.ok(file !== undefined, `${heading}: no record ${id}`);
      assert.ok(file.recipe.article?.headings.includes(heading), `${id} does not answer for "${heading}"`);
    }
  }
  const claimed = files.flatMap(({ recipe }) => recipe.article?.headings ?? []);
  assert.deepEqual([...new Set(claimed)].sort(), Object.keys(articleHeadings).sort());
});
