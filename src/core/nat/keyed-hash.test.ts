import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedHash } from './keyed-hash.ts';

const OCTETS = Uint8Array.from({ length: 64 }, (_, i) => i);

function digest(hash: KeyedHash, ...lengths: readonly number[]): [number, number] {
  hash.begin();
  let start = 0;
  for (const length of lengths) {
    hash.add(OCTETS, start, start + length);
    start += length;
  }
  hash.end();
  return [hash.first >>> 0, hash.second >>> 0];
}

test('the first half is what Linux has in its table for hsiphash on 32-bit machines (lib/tests/siphash_kunit.c)', () => {
  const hash = new KeyedHash([0x03020100, 0x07060504]);
  const expected = [0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65];
  for (const [length, first] of expected.entries()) assert.equal(digest(hash, length)[0], first);
  assert.equal(digest(hash, 63)[0], 0x87178304);
});

test('another key and another division of the same octets give another digest, in both halves', () => {
  const hash = new KeyedHash([1, 2]);
  const seen = new Set<number>();
  for (const [first, second] of [
    digest(hash, 16),
    digest(hash, 8, 8),
    digest(hash, 9, 7),
    digest(hash, 16, 0),
    digest(new KeyedHash([1, 3]), 16),
    digest(new KeyedHash([2, 2]), 16),
  ])
    seen.add(first).add(second);
  assert.equal(seen.size, 12);
  assert.deepEqual(digest(hash, 8, 8), digest(hash, 8, 8));
});
