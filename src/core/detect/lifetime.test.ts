import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeLifetime, lifetimeOf } from './lifetime.ts';

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
