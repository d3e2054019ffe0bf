import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeLifetime, lifetimeOf, narrowerTimes } from './lifetime.ts';

const samples = (...pairs: [number, boolean][]) => pairs.map(([idleMs, alive]) => ({ idleMs, alive }));

test('a lifetime is a range between the last that lived and the first that did not', () => {
  const found = lifetimeOf(samples([45_000, false], [15_000, true], [30_000, true], [65_000, false]));
  assert.deepEqual(found, { aliveMs: 30_000, deadMs: 45_000, contradictory: false });
  assert.equal(describeLifetime(found), 'between 30 s and 45 s');
});

test('what was not tried is not claimed', () => {
  assert.match(describeLifetime(lifetimeOf(samples([15_000, true]))), /^longer than 15 s/);
  assert.equal(describeLifetime(lifetimeOf(samples([15_000, false]))), 'shorter than 15 s');
  assert.equal(describeLifetime(lifetimeOf([])), 'not known');
});

test('alive after a longer time than dead is no time at all', () => {
  assert.ok(lifetimeOf(samples([15_000, false], [30_000, true])).contradictory);
});

test('a range is narrowed evenly until it is right to within two seconds, and shorter ones more closely', () => {
  const range = (aliveMs: number, deadMs: number) => ({ aliveMs, deadMs, contradictory: false });
  assert.deepEqual(narrowerTimes(range(60_000, 72_000), 24), [64_000, 68_000]);
  assert.deepEqual(narrowerTimes(range(60_000, 64_000), 24), []);
  assert.deepEqual(narrowerTimes(range(1_800_000, 3_600_000), 2), [2_400_000, 3_000_000]);
  assert.deepEqual(narrowerTimes(range(500, 2_000), 24), [1_000, 1_500]);
  assert.deepEqual(narrowerTimes({ ...range(9_000, 5_000), contradictory: true }, 24), []);
  assert.deepEqual(narrowerTimes(lifetimeOf(samples([15_000, true])), 24), []);
});
