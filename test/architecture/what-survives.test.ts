/** docs/explanation/what-survives.md makes no claim without a test, and names no test that is not there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);
const PAGE = 'docs/explanation/what-survives.md';
const COLUMNS = 4;

interface Claim {
  readonly line: number;
  readonly event: string;
  readonly cells: readonly string[];
  readonly shownBy: readonly { readonly file: string; readonly title: string }[];
}

function claims(page: string): Claim[] {
  return page.split('\n').flatMap((text, index) => {
    if (!text.startsWith('|') || /^\|[-|\s]*$/.test(text) || text.startsWith('| what happens')) return [];
    const cells = text
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const shownBy = [...(cells.at(-1) ?? '').matchAll(/`(test\/[^`]+)` "([^"]+)"/g)].map(
      ([, file = '', title = '']) => ({ file, title }),
    );
    return [{ line: index + 1, event: cells[0] ?? '', cells, shownBy }];
  });
}

function contentOf(file: string): string {
  try {
    return readFileSync(new URL(file, root), 'utf8');
  } catch {
    return '';
  }
}

test('what survives: every claim is shown by a test that exists', () => {
  const all = claims(contentOf(PAGE));
  assert.ok(all.length > 0, `${PAGE} has no table`);
  const problems = all.flatMap(({ line, event, cells, shownBy }) => {
    const where = `${PAGE}:${line} (${event})`;
    if (cells.length !== COLUMNS) return [`${where}: ${cells.length} columns, not ${COLUMNS}`];
    if (cells.some((cell) => cell === '')) return [`${where}: an empty cell`];
    if (shownBy.length === 0) return [`${where}: no test is named as \`test/…\` "title"`];
    return shownBy
      .filter(({ file, title }) => !contentOf(file).includes(title))
      .map(({ file, title }) => `${where}: ${file} has no "${title}"`);
  });
  assert.deepEqual(problems, []);
});

test('what survives: a claim whose test is gone would be seen', () => {
  const [claim] = claims(
    '| it rains | calls | nothing | `test/lab/failure.test.ts` "it rains on the router" |',
  );
  assert.deepEqual(claim?.shownBy, [{ file: 'test/lab/failure.test.ts', title: 'it rains on the router' }]);
  assert.ok(!contentOf('test/lab/failure.test.ts').includes('it rains on the router'));
  assert.equal(contentOf('test/lab/no-such-file.test.ts'), '');
});
