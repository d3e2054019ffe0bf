import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf } from '../sip/octets.ts';
import { phoneRequest } from './probe.ts';
import { endpointOf, registrarView } from './registrar-view.ts';

const inside = { address: '192.168.1.50', port: 5060 };
const outside = { address: '203.0.113.7', port: 61_002 };
const server = { address: '198.51.100.5', port: 5060 };
const register = { id: 'gggg', method: 'REGISTER', transport: 'UDP', dress: 'plain', server } as const;

test('through plain NAT a registrar notices the NAT at the Via and at the Contact', () => {
  const view = registrarView(phoneRequest({ ...register, inside }), outside);
  assert.deepEqual(view, {
    readable: true,
    viaDiffersFromSource: true,
    contactIsPrivate: true,
    contactDiffersFromSource: true,
    noticesNat: true,
    contact: inside,
  });
});

test('where an ALG has written the mapping into both, it notices nothing, and keeps nothing open', () => {
  assert.equal(registrarView(phoneRequest({ ...register, inside: outside }), outside).noticesNat, false);
});

test('a port alone gives the NAT away; what cannot be read says nothing', () => {
  const other = { ...outside, port: 61_003 };
  const view = registrarView(phoneRequest({ ...register, inside: other }), outside);
  assert.equal(view.noticesNat, true);
  assert.equal(view.contactIsPrivate, false);
  assert.equal(registrarView(octetsOf('REGISTER'), outside).readable, false);
});

test('a URI names an endpoint where its host is an address; the port is 5060 by default', () => {
  assert.deepEqual(endpointOf('sip:a@192.0.2.1:5070;x=1'), { address: '192.0.2.1', port: 5070 });
  assert.deepEqual(endpointOf('sip:a@[2001:db8::1]'), { address: '2001:db8::1', port: 5060 });
  for (const none of ['sip:a@host', 'sip:a@192.0.2.1:0', 'tel:1', undefined])
    assert.equal(endpointOf(none), undefined);
});
