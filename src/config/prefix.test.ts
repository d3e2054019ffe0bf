import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatPrefix, parsePrefix, prefixContains } from './prefix.ts';

test('host bits are cleared, and the text is canonical', () => {
  assert.deepEqual(parsePrefix('192.0.2.77/24'), { address: '192.0.2.0', length: 24 });
  assert.deepEqual(parsePrefix('2001:DB8:0:0:1::1/64'), { address: '2001:db8::', length: 64 });
  assert.deepEqual(parsePrefix('10.0.0.1'), { address: '10.0.0.1', length: 32 });
  for (const text of ['', '10.0.0.1/33', '10.0.0/8', 'a/8', '::1/129', '10.0.0.0/8/8']) {
    assert.equal(parsePrefix(text), undefined, text);
  }
});

test('contains', () => {
  const inside = (prefix: string, address: string): boolean => prefixContains(parsePrefix(prefix)!, address);
  assert.equal(inside('192.168.0.0/16', '192.168.255.1'), true);
  assert.equal(inside('192.168.0.0/16', '192.169.0.1'), false);
  assert.equal(inside('0.0.0.0/0', '255.1.2.3'), true);
  assert.equal(inside('::/0', '1.2.3.4'), false);
  assert.equal(inside('2001:db8::/33', '2001:db8:8000::1'), false);
  assert.equal(inside('fe80::1', 'fe80::1'), true);
});

test('property: text and back', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128), (address, bits) => {
      const prefix = parsePrefix(`${address}/${Math.min(bits, address.includes(':') ? 128 : 32)}`);
      if (prefix === undefined) return;
      assert.deepEqual(parsePrefix(formatPrefix(prefix)), prefix);
      assert.equal(prefixContains(prefix, prefix.address), true);
    }),
  );
});
