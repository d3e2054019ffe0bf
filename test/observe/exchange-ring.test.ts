import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Flow } from '../../src/core/net/flow.ts';
import { PlainExchange } from '../../src/observe/exchange.ts';
import { ExchangeRing } from '../../src/observe/exchange-ring.ts';

const SLAB = 131_072;
const flow: Flow = {
  transport: 'udp',
  side: 'internal',
  local: { address: '198.51.100.5', port: 5060 },
  remote: { address: '192.168.1.50', port: 5060 },
};

/** Octets that say whose they are, so that one written over is seen. */
function octets(id: number, length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => id * 31 + i);
}

function pass(ring: ExchangeRing, length: number): number | undefined {
  const bytes = octets(ring.lastId + 1, length);
  return ring.pack(1, 2, bytes, { flow, bytes }, [], {
    kind: 'message.passed',
    flow,
    summary: '',
    why: 'as it came',
    defects: [],
  });
}

test('whatever the sizes: those that are there are the last, in order, each with its own octets', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(
        fc.oneof(
          fc.record({ do: fc.constant('pass' as const), length: fc.integer({ min: 0, max: 65_535 }) }),
          fc.record({ do: fc.constantFrom('plain' as const, 'drop' as const), length: fc.constant(0) }),
        ),
        { maxLength: 80 },
      ),
      (capacity, steps) => {
        const ring = new ExchangeRing(capacity, 7);
        const model: { readonly id: number; readonly length: number | undefined }[] = [];
        for (const { do: what, length } of steps) {
          if (what === 'drop') {
            if (model.shift() !== undefined) ring.drop();
            continue;
          }
          const id =
            what === 'plain'
              ? ring.put(new PlainExchange(1, 2, flow, undefined, [], []))
              : pass(ring, length);
          model.push({ id: id!, length: what === 'plain' ? undefined : length });
          if (model.length > capacity) model.shift();
        }
        assert.equal(ring.count, model.length);
        for (const [i, { id, length }] of model.entries()) {
          assert.equal(id, ring.firstId + i);
          const one = ring.get(id)!;
          assert.equal(one.id, id);
          assert.deepEqual(one.received, length === undefined ? undefined : octets(id, length));
          if (length !== undefined) assert.deepEqual(one.sent[0]?.bytes, octets(id, length));
        }
        assert.equal(ring.get(ring.firstId - 1), undefined);
        assert.equal(ring.get(ring.lastId + 1), undefined);
      },
    ),
    { numRuns: 60 },
  );
});

test('what was given out stays as it is when its place is written again', () => {
  const ring = new ExchangeRing(3, 0);
  const id = pass(ring, 40_000)!;
  const kept = ring.get(id)!;
  for (let i = 0; i < 50; i++) pass(ring, 40_000);
  assert.equal(ring.get(id), undefined);
  assert.deepEqual(kept.received, octets(id, 40_000));
  assert.deepEqual(kept.flow, flow);
});

test('a ring that is full makes no slab: it takes what its exchanges take, and two slabs', () => {
  const ring = new ExchangeRing(100, 0);
  for (let i = 0; i < 1_000; i++) pass(ring, 6_000);
  const reserved = ring.reserved;
  assert.ok(reserved <= ring.octets + 2 * SLAB + (reserved / SLAB) * 6_100, `${reserved} octets`);
  for (let i = 0; i < 1_000; i++) pass(ring, 6_000);
  assert.equal(ring.reserved, reserved);
});
