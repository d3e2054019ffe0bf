/**
 * The page that compares us with the kernel's SIP helper is what a run gives. On another kernel than the page's the helper
 * may behave otherwise: there the sentences of the page are held against the run, and the rest is not.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { KERNEL_LINE, kernelPage } from './kernel-page.ts';
import { kernelObstacle, runKernelHelper } from './kernel-run.ts';

const PAGE = new URL('../../docs/explanation/kernel-alg-compared.md', import.meta.url);
const TEST_MS = 120_000;

const obstacle = namespaceObstacle() ?? kernelObstacle();

test('the page about the kernel’s helper is what it does', {
  timeout: TEST_MS,
  skip: obstacle ?? false,
}, async (t) => {
  const written = readFileSync(PAGE, 'utf8');
  // Throws where a sentence does not hold.
  const page = kernelPage(await runKernelHelper());
  const [line = ''] = KERNEL_LINE.exec(written) ?? [];
  const series = release().split('.', 2).join('.');
  if (!line.includes(` ${series}.`)) {
    t.diagnostic(`not compared line by line: the page is of another kernel than Linux ${series}`);
    return;
  }
  const plain = (text: string): string[] => text.replace(KERNEL_LINE, '').split('\n');
  const [is, should] = [plain(written), plain(page)];
  const other = should.findIndex((text, i) => text !== is[i]);
  assert.ok(
    other < 0 && is.length === should.length,
    `run \`node scripts/kernel-alg.ts\`: line ${other + 1} is\n  ${is[other]}\nand the run gives\n  ${should[other]}`,
  );
});
