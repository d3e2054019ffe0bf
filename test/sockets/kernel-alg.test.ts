/**
 * The page that compares us with the kernel's SIP helper is what a run gives. On another kernel than the page's the helper
 * may behave otherwise: there the sentences of the page are held against the run, and the rest is not.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { compareMessages } from '../../src/core/detect/compare.ts';
import { looksLikeSip } from '../../src/core/detect/layout.ts';
import { holdsLaws } from '../detect/laws.ts';
import type { Crossed } from './compare.ts';
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
  const judged = new Judge();
  // Throws where a sentence does not hold.
  const page = kernelPage(await runKernelHelper((crossed) => judged.add(crossed)));
  t.diagnostic(judged.summary());
  judged.check();
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

/** The comparison, in whose eyes the helper is what its source says: right in most, and wrong in what is known of it. */
class Judge {
  readonly #verdicts = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #unknown = new Set<string>();

  add({ path, side, from, to, sent, arrived }: Crossed): void {
    const isOut = side === 'internal';
    // Turned round inside: it has not been outside.
    if (isOut && /^(?:192\.168|10)\./.test(arrived.to.address)) return;
    if (!looksLikeSip(sent) || !looksLikeSip(arrived.bytes)) return;
    const comparison = compareMessages(sent, arrived.bytes, {
      direction: isOut ? 'to-server' : 'to-client',
      inside: isOut ? from : arrived.to,
      outside: isOut ? arrived.from : to,
    });
    holdsLaws(sent, arrived.bytes, comparison);
    count(this.#verdicts, comparison.verdict);
    for (const { fault, consistent } of comparison.findings) {
      if (!consistent) count(this.#faults, fault);
      if (fault === 'X-UNKNOWN') this.#unknown.add(path);
    }
  }

  summary(): string {
    return [...this.#verdicts, ...this.#faults].map(([name, times]) => `${name} ${times}`).join(', ');
  }

  check(): void {
    const verdict = (name: string): number => this.#verdicts.get(name) ?? 0;
    assert.ok(verdict('correct-alg') > 4 * verdict('faulty') && verdict('faulty') > 20, this.summary());
    // From and To are mapped, a port is always written, Content-Length of a multipart is counted from its SDP, and
    // bodies are searched whatever their type.
    for (const fault of ['ADDR-FROMTO', 'SYN-PORTADD', 'LEN-MULTIPART', 'BODY-MSG'])
      assert.ok(this.#faults.has(fault), `${fault} is not named: ${this.summary()}`);
    // A Via with folds inside its sent-by comes out with a port twice, which has no name.
    assert.deepEqual(
      [...this.#unknown].filter((path) => !path.includes('folded-via')),
      [],
    );
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
