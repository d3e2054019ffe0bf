import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SmallMap, SmallSet } from './small-map.ts';

const step = fc.record({
  do: fc.constantFrom('set', 'set', 'set', 'delete', 'clear', 'deleteEach'),
  key: fc.constantFrom('a', 'b', 'c', ''),
  value: fc.nat({ max: 9 }),
});

test('a small map is a map', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const small = new SmallMap<string, number>();
      const map = new Map<string, number>();
      for (const { do: what, key, value } of steps) {
        if (what === 'set') {
          small.set(key, value);
          map.set(key, value);
        } else if (what === 'delete') assert.equal(small.delete(key), map.delete(key));
        else if (what === 'clear') {
          small.clear();
          map.clear();
        } else
          for (const table of [small, map]) for (const [one, of] of table) if (of >= value) table.delete(one);
        assert.equal(small.size, map.size);
        assert.deepEqual([...small], [...map]);
        assert.deepEqual([...small.keys()], [...map.keys()]);
        assert.deepEqual([...small.values()], [...map.values()]);
        for (const other of ['a', 'b', 'c', '']) {
          assert.equal(small.get(other), map.get(other));
          assert.equal(small.has(other), map.has(other));
        }
        assert.deepEqual([...new SmallMap(map)], [...map]);
      }
    }),
  );
});

test('a small set is a set', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const small = new SmallSet<string>();
      const set = new Set<string>();
      for (const { do: what, key } of steps) {
        if (what === 'set') {
          small.add(key);
          set.add(key);
        } else if (what === 'delete') assert.equal(small.delete(key), set.delete(key));
        else if (what === 'clear') {
          small.clear();
          set.clear();
        } else for (const table of [small, set]) for (const one of table) if (one >= key) table.delete(one);
        assert.equal(small.size, set.size);
        assert.deepEqual([...small], [...set]);
        for (const other of ['a', 'b', 'c', '']) assert.equal(small.has(other), set.has(other));
      }
    }),
  );
});
