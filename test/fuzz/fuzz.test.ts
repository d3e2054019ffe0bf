/**
 * A million inputs in CI: half of them the same in every run, half of them new ones, whose seed is told. First what once
 * broke something, then the corpus, then mutations of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Campaign, describeFailure, failureOf } from './campaign.ts';
import { LONGEST_INPUT, MOST_INPUTS, readGrown, readRegressions } from './corpus.ts';
import { escapeInput } from './octets.ts';
import type { Target } from './target.ts';
import { targets } from './targets.ts';

const FIXED_SEED = 1;
/** Another one in every run; FUZZ_SEED makes it the one of a run that failed. */
const freshSeed = Number(process.env.FUZZ_SEED ?? Date.now() % 0x1_0000_0000) >>> 0;
const MILLION = 1_000_000;

test('the targets share a million inputs', () => {
  assert.equal(
    targets.reduce((sum, { share }) => sum + share, 0),
    MILLION,
  );
  assert.equal(new Set(targets.map(({ name }) => name)).size, targets.length);
});

for (const target of targets) {
  test(`${target.name}: the corpus is within its bounds, and holds; what once broke it does not, but for known gaps`, () => {
    const grown = readGrown(target.name);
    assert.ok(grown.length <= MOST_INPUTS, `${grown.length} inputs`);
    for (const text of [...target.seeds, ...grown]) {
      assert.ok(text.length <= LONGEST_INPUT, `an input of ${text.length} octets`);
      assert.equal(failureOf(target, text), undefined, escapeInput(text));
    }
    for (const { about, gap, text } of readRegressions(target.name)) {
      const error = failureOf(target, text);
      if (gap === undefined) assert.equal(error, undefined, `${about}: ${escapeInput(text)}`);
      else assert.notEqual(error, undefined, `mended, so take the mark off: ${about}`);
    }
  });

  const half = target.share / 2;
  test(`${target.name}: ${half} inputs of the seed that is always the same`, () =>
    explore(target, FIXED_SEED, half));

  test(`${target.name}: ${half} inputs of a fresh seed`, (context) => {
    context.diagnostic(`${target.name}: seed ${freshSeed}`);
    explore(target, freshSeed, half);
  });
}

function explore(target: Target, seed: number, inputs: number): void {
  const campaign = new Campaign(target, seed);
  for (let index = 0; index < inputs; index++) {
    const failure = campaign.attempt(index);
    if (failure !== undefined) assert.fail(`\n${describeFailure(failure)}`);
  }
}
