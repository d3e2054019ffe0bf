/**
 * Every scenario that real sockets can play, played on `sipalg gateway` in a router of its own. Each has a fresh gateway;
 * as many of them run side by side as there are worlds.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { gapsOf, readScenario, scenarioPaths } from '../scenario/files.ts';
import { playScenario } from '../scenario/run.ts';
import { Gateways, startGateway } from './gateway-driver.ts';
import { extraScenarios } from './kernel-run.ts';
import { DIFFERENT, playable } from './playable.ts';
import { World } from './world.ts';

const WORLDS = 4;
const TEST_MS = 60_000;

const obstacle = namespaceObstacle();
const only = process.env.SCENARIO;

const all = [...scenarioPaths().map(readScenario), ...extraScenarios()].map((original) => ({
  original,
  path: original.path,
  played: playable(original),
}));

test('what sockets cannot play has a reason, and that is little', (t) => {
  const reasons = new Map<string, number>();
  for (const { played } of all)
    if ('reason' in played) reasons.set(played.reason, (reasons.get(played.reason) ?? 0) + 1);
  const cut = all.filter(({ played }) => !('reason' in played) && played.cut !== undefined).length;
  const left = [...reasons.values()].reduce((sum, n) => sum + n, 0);
  for (const [reason, n] of reasons) t.diagnostic(`${n} left out: ${reason}`);
  t.diagnostic(
    `${all.length - left} of ${all.length} scenarios are played on sockets, ${cut} of them not to the end`,
  );
  assert.ok(left * 5 < all.length, `${left} of ${all.length}`);
});

describe('scenarios on real sockets', { concurrency: WORLDS, skip: obstacle ?? false }, () => {
  const gateways = new Gateways();
  const free: World[] = [];
  const worlds: World[] = [];
  after(() => {
    for (const world of worlds) world.close();
    gateways.close();
  });
  const world = (): World => {
    const one = free.pop() ?? new World();
    if (!worlds.includes(one)) worlds.push(one);
    return one;
  };
  for (const { original, path, played } of all) {
    if ('reason' in played || (only !== undefined && !path.includes(only))) continue;
    const chapter = path.slice(0, path.indexOf('/'));
    const different = DIFFERENT.get(path);
    const note = different?.why ?? played.cut;
    test(`${chapter}: ${original.title}${note === undefined ? '' : ` (${note})`}`, {
      timeout: TEST_MS,
    }, async () => {
      const place = world();
      try {
        const play = playScenario(played.scenario, () => startGateway(gateways, place, played));
        if (different === undefined) assert.deepEqual((await play).gaps, gapsOf(played.scenario).slice(0, 1));
        else await assert.rejects(play, { name: 'Mismatch', message: different.mismatch });
      } finally {
        free.push(place);
      }
    });
  }
});
