import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { clockOffset } from './clock.ts';

test('without a round trip there is no offset', () => {
  assert.equal(clockOffset([]), undefined);
});

test('the quickest of several round trips is believed', () => {
  const offset = clockOffset([
    { sentAt: 0, receivedAt: 100, at: 1_090 },
    { sentAt: 200, receivedAt: 210, at: 1_205 },
    { sentAt: 300, receivedAt: 350, at: 1_301 },
  ]);
  assert.deepEqual(offset, { offsetMs: 1_000, uncertaintyMs: 5, roundTripMs: 10 });
});

test('however the delay is spread over the two ways, the offset is not wrong by more than it says', () => {
  const trip = fc.record({
    sentAt: fc.integer({ min: 0, max: 1e6 }),
    there: fc.integer({ min: 0, max: 5_000 }),
    back: fc.integer({ min: 0, max: 5_000 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: -1e6, max: 1e6 }),
      fc.array(trip, { minLength: 1, maxLength: 10 }),
      (truth, trips) => {
        const found = clockOffset(
          trips.map(({ sentAt, there, back }) => ({
            sentAt,
            receivedAt: sentAt + there + back,
            at: sentAt + there + truth,
          })),
        )!;
        assert.ok(Math.abs(found.offsetMs - truth) <= found.uncertaintyMs);
      },
    ),
  );
});
