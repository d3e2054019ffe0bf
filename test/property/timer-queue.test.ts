/** The queue of due times against the obvious: a list that is looked through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Due, TimerQueue, UNQUEUED } from '../../src/core/nat/timer-queue.ts';

interface Item extends Due {
  readonly id: number;
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), id: fc.nat(12), at: fc.nat(100) }),
  fc.record({ kind: fc.constant('cancel' as const), id: fc.nat(12) }),
  fc.record({ kind: fc.constant('run' as const), ms: fc.nat(40) }),
);

test('what is scheduled comes when it is due, once, in order; what is cancelled never', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new TimerQueue<Item>();
      const items = Array.from(
        { length: 13 },
        (_, id): Item => ({ id, dueAt: Number.POSITIVE_INFINITY, place: UNQUEUED }),
      );
      let now = 0;
      for (const one of steps) {
        if (one.kind === 'set') {
          items[one.id]!.dueAt = now + one.at;
          queue.schedule(items[one.id]!);
        } else if (one.kind === 'cancel') queue.cancel(items[one.id]!);
        else {
          now += one.ms;
          const expected = items.filter(({ dueAt }) => dueAt <= now).map(({ id }) => id);
          const came: number[] = [];
          for (const item of queue.due(now)) {
            came.push(item.id);
            item.dueAt = Number.POSITIVE_INFINITY;
          }
          assert.deepEqual(
            came.sort((a, b) => a - b),
            expected,
          );
        }
        const waiting = items.filter(({ dueAt }) => dueAt < Number.POSITIVE_INFINITY);
        assert.equal(queue.size, waiting.length);
        const earliest = Math.min(...waiting.map(({ dueAt }) => dueAt));
        assert.ok(waiting.length === 0 ? queue.next === undefined : queue.next! <= earliest);
      }
    }),
    { numRuns: 500 },
  );
});

test('what falls due is in order of its times', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { maxLength: 200 }), (times) => {
      const queue = new TimerQueue<Item>();
      for (const [id, dueAt] of times.entries()) queue.schedule({ id, dueAt, place: UNQUEUED });
      const came = [...queue.due(1000)].map(({ dueAt }) => dueAt);
      assert.deepEqual(
        came,
        [...times].sort((a, b) => a - b),
      );
    }),
  );
});
