import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lifetimeOf } from '../../core/detect/lifetime.ts';
import { searchLifetime } from './lifetime-search.ts';

/** A NAT that forgets after so long, on a clock that runs fifty thousand times as fast. */
function natOf(lifetimeMs: number) {
  const tried: number[] = [];
  const attempt = async (idleMs: number) => {
    tried.push(idleMs);
    await new Promise((resolve) => setTimeout(resolve, idleMs / 50_000));
    return { idleMs, alive: idleMs < lifetimeMs };
  };
  return { tried, attempt };
}

const FAR = Number.POSITIVE_INFINITY;
const first = [30_000, 120_000, 600_000, 1_800_000, 3_660_000];

test('a lifetime of any length is found to within two seconds, and nothing is tried twice', async () => {
  for (const lifetimeMs of [31_000, 119_000, 300_500, 3_600_000]) {
    const { tried, attempt } = natOf(lifetimeMs);
    const { aliveMs, deadMs } = lifetimeOf(await searchLifetime(first, attempt, FAR));
    assert.ok(aliveMs! < lifetimeMs && lifetimeMs <= deadMs!, `${aliveMs} ${deadMs}`);
    assert.ok(deadMs! - aliveMs! <= 4_000, `${deadMs! - aliveMs!}`);
    assert.equal(new Set(tried).size, tried.length);
    assert.ok(tried.length < 100, String(tried.length));
  }
});

test('it is narrowed while the longer ones still wait', async () => {
  const { tried, attempt } = natOf(31_000);
  const search = searchLifetime(first, attempt, FAR);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(tried.length > first.length);
  await search;
});

test('no round begins for which there is no time, and none at all where one is wanted', async () => {
  const { tried, attempt } = natOf(31_000);
  await searchLifetime(first, attempt, performance.now() + 60_000);
  assert.deepEqual(tried, first);
  await searchLifetime(first, attempt, undefined);
  assert.deepEqual(tried, [...first, ...first]);
});

test('what fails is thrown, and an idle time that could not be tried is left out', async () => {
  await assert.rejects(
    searchLifetime([10, 20], async (ms) => (ms === 20 ? Promise.reject(new Error('lost')) : undefined), FAR),
    /lost/,
  );
  assert.deepEqual(await searchLifetime([10], async () => undefined, FAR), []);
});
