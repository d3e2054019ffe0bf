/**
 * `sipalg check` through simulated boxes, as a user runs it: every fault that is switched on is found and named, and plain NAT
 * is called plain NAT. Needs root.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { faults } from '../../src/core/detect/faults.ts';
import { pairs, shownBySeveral } from '../detect/pairs.ts';
import { faultyBoxes, notProbed } from './middlebox/faulty.ts';
import { Court, missed } from './middlebox/judge.ts';
import { badWeather, weather } from './middlebox/weather.ts';

const obstacle = namespaceObstacle();
const skip = obstacle === undefined ? false : obstacle;
let court: Court;

before(async () => {
  if (skip === false) court = await Court.open();
});

after(() => court?.close());

for (const row of faultyBoxes)
  test(`${row.fault} is named${row.gap === undefined ? '' : ' by nothing yet'}`, { skip }, async () => {
    const judged = await court.only(row);
    const said = missed(row, judged);
    if (row.gap === undefined) assert.equal(said, undefined);
    else assert.notEqual(said, undefined, `${row.fault} is named now: ${row.gap}`);
    if (row.fact !== undefined) assert.equal(judged.report.verdict, 'unaltered');
  });

test('a box without fault alters nothing', { skip }, async () => {
  const { report, named } = await court.check({}, ...Court.quick);
  assert.deepEqual([report.verdict, named, report.edits], ['unaltered', [], []]);
});

for (const seed of [101, 102])
  test(`plain NAT on a line that loses and reorders packets is plain NAT (${seed})`, { skip }, async () => {
    const { report, named } = await court.check(weather(badWeather, seed), ...Court.quick);
    assert.deepEqual([report.verdict, named, report.edits], ['unaltered', [], []]);
  });

test('every fault that a box can show has a simulated one, or a reason', () => {
  const known = new Set<string>([...faultyBoxes, ...notProbed].map(({ fault }) => fault));
  const missing = faults
    .filter(({ id, shownBy }) => shownBy !== 'elsewhere' && id !== 'X-UNKNOWN' && !known.has(id))
    .map(({ id }) => id);
  assert.deepEqual(missing, []);
  // Where a check has no probe, bytes of both sides have to do.
  const byBytes = new Set<string>([...pairs.map(({ fault }) => fault), ...shownBySeveral]);
  for (const { fault, why } of notProbed) if (why.includes('(diff)')) assert.ok(byBytes.has(fault), fault);
});
