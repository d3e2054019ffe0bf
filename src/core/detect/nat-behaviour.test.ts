import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carrierSigns, filteringOf, mappingOf } from './nat-behaviour.ts';

const first = { address: '203.0.113.1', port: 40_000 };
const another = { address: '203.0.113.1', port: 40_002 };

test('mapping is named by RFC 4787 §4.1, and of one address no more is said than it shows', () => {
  for (const [atOtherPort, atOtherAddress, name] of [
    [first, first, 'endpoint-independent'],
    [first, another, 'address-dependent'],
    [another, another, 'address-and-port-dependent'],
    [another, undefined, 'address-and-port-dependent'],
    [first, undefined, 'not-checked'],
    [undefined, first, 'not-checked'],
  ] as const)
    assert.equal(mappingOf({ first, atOtherPort, atOtherAddress }), name);
});

test('filtering is named by RFC 4787 §5, and of one address no more is said than it shows', () => {
  for (const [otherPort, otherAddress, name] of [
    [true, true, 'endpoint-independent'],
    [true, false, 'address-dependent'],
    [false, false, 'address-and-port-dependent'],
    [false, undefined, 'address-and-port-dependent'],
    [true, undefined, 'not-checked'],
    [undefined, false, 'not-checked'],
  ] as const)
    assert.equal(filteringOf({ otherPort, otherAddress }), name);
});

test('a carrier’s NAT shows in its addresses', () => {
  assert.deepEqual(carrierSigns('192.168.1.33', ['203.0.113.1', '203.0.113.1']), []);
  assert.match(carrierSigns('100.72.3.4', ['203.0.113.1'])[0]!, /this machine has 100\.72\.3\.4/);
  assert.match(carrierSigns('192.168.1.33', ['100.64.0.9'])[0]!, /of the range that carriers use/);
  assert.match(carrierSigns('192.168.1.33', ['203.0.113.1', '203.0.113.2'])[0]!, /from 2 external addresses/);
});
