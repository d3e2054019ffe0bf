import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bindingRequest, readStun, type StunChange } from '../../core/net/stun.ts';
import type { Place } from '../control/protocol.ts';
import { stunReply } from './stun.ts';

const FIRST = '203.0.113.10';
const SECOND = '203.0.113.11';
const from = { address: '198.51.100.7', port: 61_002 };
const transaction = Uint8Array.from({ length: 12 }, (_, i) => i);

function placesOf(...addresses: string[]): Place[] {
  const roles = [
    ['sip', 5060],
    ['stun', 3478],
    ['stun', 3479],
  ] as const;
  return addresses
    .flatMap((address) => roles.map(([role, port]) => ({ role, port, address })))
    .map((one, place) => ({ ...one, place, transport: 'udp' as const }));
}

function ask(places: readonly Place[], place: number, change?: StunChange) {
  const bytes = bindingRequest({ transaction, ...(change === undefined ? {} : { change }) });
  const reply = stunReply(bytes, from, place, places)!;
  const at = places[reply.place]!;
  return { from: `${at.address}:${at.port}`, to: reply.to, answer: readStun(reply.bytes)! };
}

test('with two addresses it answers from where it is asked to, and says where else it is (RFC 5780)', () => {
  const places = placesOf(FIRST, SECOND);
  for (const [change, origin] of [
    [undefined, `${FIRST}:3478`],
    [{ address: false, port: true }, `${FIRST}:3479`],
    [{ address: true, port: false }, `${SECOND}:3478`],
    [{ address: true, port: true }, `${SECOND}:3479`],
  ] as const) {
    const { from: source, to, answer } = ask(places, 1, change);
    assert.equal(source, origin);
    assert.deepEqual([to, answer.mapped], [from, from]);
    assert.equal(`${answer.origin?.address}:${answer.origin?.port}`, origin);
    assert.deepEqual(answer.other, { address: SECOND, port: 3479 });
  }
});

test('with one address it tells of no other, grants another port, and refuses another address', () => {
  const places = placesOf(FIRST);
  assert.equal(ask(places, 1).answer.other, undefined);
  assert.equal(ask(places, 1, { address: false, port: true }).from, `${FIRST}:3479`);
  const { answer, from: source } = ask(places, 1, { address: true, port: false });
  assert.deepEqual([answer.kind, answer.errorCode, source], ['error', 420, `${FIRST}:3478`]);
});

test('it answers on the SIP port as well', () => {
  assert.equal(ask(placesOf(FIRST, SECOND), 0, { address: false, port: true }).from, `${FIRST}:3478`);
});

test('answers, indications and what is no STUN get no answer', () => {
  const places = placesOf(FIRST);
  const request = bindingRequest({ transaction });
  for (const type of [0x0101, 0x0111, 0x0011, 0x0003]) {
    const other = request.slice();
    new DataView(other.buffer).setUint16(0, type);
    assert.equal(stunReply(other, from, 1, places), undefined);
  }
  assert.equal(stunReply(request.subarray(0, 19), from, 1, places), undefined);
});

test('an answer to a request of ours is no longer than it', () => {
  const asked = bindingRequest({ transaction, software: `sipalg ${'g'.repeat(34)}` });
  const reply = stunReply(asked, from, 1, placesOf(FIRST, SECOND))!;
  assert.ok(reply.bytes.length <= asked.length, `${reply.bytes.length} > ${asked.length}`);
});
