/** State that another version wrote, or another clock: nothing of it breaks the start. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Row } from '../../src/core/alg/rows.ts';
import { request, respond, sdp, Workbench } from './bench.ts';

const CONTACT = 'Contact: <sip:alice@203.0.113.1:5060>;expires=3600';
const JUNK: readonly unknown[] = [
  ...[undefined, null, true, 0, -1, 1.5, 70_000, 1e308, '', 'x', '203.0.113.300'],
  ...[
    [],
    [[]],
    [1],
    [['a']],
    [['a', null]],
    {},
    { address: 'x', port: 5060 },
    { address: '192.0.2.1', port: 0 },
  ],
];

function usedRows(): { rows: Row[]; now: number } {
  const bench = new Workbench();
  const [sent] = bench.phone(request('REGISTER'));
  bench.provider(respond(200, sent!.text, { to: 'r', extra: [CONTACT] }), '203.0.113.1:5060');
  const [invite] = bench.phone(request('INVITE', { callId: 'c1' }, sdp('192.168.1.50', 4000)));
  const answer = respond(200, invite!.text, { to: 'b1' }, sdp('198.51.100.6', 9000));
  bench.provider(answer, '203.0.113.1:5060');
  return { rows: [...bench.records.values()], now: bench.now };
}

function restored(rows: readonly Row[], now: number): Workbench {
  const bench = new Workbench();
  bench.now = now;
  bench.take(bench.engine.restore(now, rows));
  return bench;
}

/** Every value inside, with the means to put another in its place. */
function* places(value: unknown, path: (string | number)[] = []): Generator<(string | number)[]> {
  yield path;
  if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value))
      yield* places(inner, [...path, Array.isArray(value) ? Number(key) : key]);
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  if (Array.isArray(value)) return value.map((one, i) => (i === key ? replaced(one, rest, by) : one));
  const record = value as Record<string, unknown>;
  return { ...record, [key]: replaced(record[key], rest, by) };
}

describe('rows of another version', () => {
  test('are taken as they are where they are understood', () => {
    const { rows, now } = usedRows();
    const bench = restored(rows, now);
    assert.deepEqual(bench.eventsOf('state.skipped'), []);
    const { mappings, dialogs, media } = bench.engine.snapshot();
    assert.deepEqual([mappings.length, dialogs.length, media.length], [1, 1, 1]);
  });

  test('with fields that this one does not know are understood all the same', () => {
    const { rows, now } = usedRows();
    const wider = rows.map((row) =>
      typeof row.value === 'object' ? { ...row, value: { ...row.value, later: { than: 'this' } } } : row,
    );
    assert.equal(restored(wider, now).engine.snapshot().mappings.length, 1);
  });

  test('of which one is not understood cost that one, are told once, and stay', () => {
    const { rows, now } = usedRows();
    const odd: Row[] = ['a', 'b', 'c'].map((key) => ({ table: 'mapping', key, value: { shape: 'new' } }));
    const bench = restored([...odd, ...rows], now);
    assert.deepEqual(
      bench.eventsOf('state.skipped').map((event) => event.rows),
      [3],
    );
    assert.equal(bench.engine.snapshot().mappings.length, 1);
    assert.ok(![...bench.records.values()].some((row) => odd.some(({ key }) => key === row.key)));
  });

  test('with anything in the place of anything break nothing', () => {
    const { rows, now } = usedRows();
    let tried = 0;
    for (const [i, row] of rows.entries())
      for (const path of places(row.value))
        for (const junk of JUNK) {
          const changed = rows.with(i, { ...row, value: replaced(row.value, path, junk) });
          const bench = restored(changed, now);
          bench.phone(request('INVITE', { callId: 'c1', to: 'b1', cseq: 2 }, sdp('192.168.1.50', 4000)));
          bench.pass(3 * 86_400_000);
          assert.deepEqual(bench.eventsOf('engine.fault'), [], `${row.table} ${path.join('.')}`);
          assert.equal(bench.engine.snapshot().dialogs.length, 0);
          tried++;
        }
    assert.ok(tried > 500);
  });
});

test('a clock that was set back makes no registration eternal', () => {
  const { rows } = usedRows();
  const bench = restored(rows, 0);
  for (const command of bench.signalling)
    if (command.action === 'hold') assert.ok(command.lifetimeMs <= 25 * 3_600_000);
  bench.pass(3 * 86_400_000);
  const { mappings, dialogs, media } = bench.engine.snapshot();
  assert.deepEqual([mappings.length, dialogs.length, media.length], [0, 0, 0]);
});
