import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bindingRequest,
  bindingSuccess,
  CHANGE_REQUEST,
  isBindingRequest,
  isStun,
  readStun,
  unknownAttributes,
} from './stun.ts';

const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));

/** RFC 5769 §2.2 and §2.3: their fingerprints hold all octets together. */
const IPV4_RESPONSE = octets(`
  0101003c 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220 00200008 0001a147e112a643
  00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96`);
const IPV6_RESPONSE = octets(`
  01010048 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220 00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
  00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c`);

const transaction = octets('000102030405060708090a0b');

test('the answers of RFC 5769 are read, fingerprint and all', () => {
  for (const [bytes, address] of [
    [IPV4_RESPONSE, '192.0.2.1'],
    [IPV6_RESPONSE, '2001:db8:1234:5678:11:2233:4455:6677'],
  ] as const) {
    const message = readStun(bytes);
    assert.deepEqual(message?.mapped, { address, port: 32_853 });
    assert.deepEqual(
      [message?.kind, message?.method, message?.software, message?.fingerprint, message?.unknown],
      ['success', 1, 'test vector', 'right', []],
    );
  }
});

test('a request is read as it was made, and its answer as well', () => {
  const endpoint = fc.record(
    {
      address: fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', '::1', 'fe80::7')),
      port: fc.integer({ min: 1, max: 65_535 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(endpoint, endpoint, fc.boolean(), fc.boolean(), (mapped, other, address, port) => {
      const request = readStun(
        bindingRequest({ transaction, change: { address, port }, software: 'sipalg x' }),
      );
      assert.ok(request !== undefined && isBindingRequest(request));
      assert.deepEqual(
        [request.change, request.software, request.fingerprint],
        [{ address, port }, 'sipalg x', 'right'],
      );
      const answer = readStun(bindingSuccess(request, { mapped, origin: other, other }));
      assert.deepEqual(
        [answer?.kind, answer?.mapped, answer?.origin, answer?.other, answer?.fingerprint],
        ['success', mapped, other, other, 'right'],
      );
      assert.deepEqual(answer?.transaction, transaction);
      const refusal = readStun(unknownAttributes(request, [CHANGE_REQUEST]));
      assert.deepEqual([refusal?.kind, refusal?.errorCode], ['error', 420]);
    }),
  );
});

test('SIP, RTP and keepalives are no STUN', () => {
  for (const text of ['OPTIONS sip:a@b SIP/2.0\r\n\r\n', '\r\n\r\n', '\0', 'SIP/2.0 200 OK\r\n\r\n'])
    assert.equal(isStun(Buffer.from(text)), false);
  assert.equal(isStun(octets('8000 0000 00000000 67686a6b 000000000000000000000000')), false);
  // As RFC 3489 had it, without the cookie.
  assert.equal(isStun(octets('00010000 00000000 000102030405060708090a0b')), false);
});

test('a message cut short, made longer or with an attribute beyond its end is none', () => {
  for (let length = 0; length < IPV4_RESPONSE.length; length++)
    assert.equal(readStun(IPV4_RESPONSE.subarray(0, length)), undefined);
  assert.equal(readStun(Buffer.concat([IPV4_RESPONSE, Buffer.alloc(4)])), undefined);
  assert.equal(readStun(octets('00010004 2112a442 000102030405060708090a0b 80220001')), undefined);
});

test('an octet that is altered shows in the fingerprint, or the message is none', () => {
  for (let i = 0; i < IPV4_RESPONSE.length; i++) {
    const altered = IPV4_RESPONSE.slice();
    altered[i]! ^= 0x40;
    assert.notEqual(readStun(altered)?.fingerprint, 'right', String(i));
  }
});

test('attributes that have to be understood and are not are told; the others are passed over', () => {
  const bytes = octets('0001000c 2112a442 000102030405060708090a0b 7fff0004 00000000 ffff0000');
  assert.deepEqual(readStun(bytes)?.unknown, [0x7fff]);
});
