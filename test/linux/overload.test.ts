/** What is dropped in overload, and what never is: decided from octets and times alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LATE_MS, Overload } from '../../src/linux/overload.ts';

function octets(start: string, ...fields: string[]): Uint8Array {
  return Buffer.from(
    [start, 'Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1', ...fields, '', ''].join('\r\n'),
    'latin1',
  );
}

const NEW = octets(
  'INVITE sip:bob@example.net SIP/2.0',
  'From: <sip:a@x>;tag=1',
  'To: <sip:bob@example.net>',
);
const INSIDE = octets('INVITE sip:bob@example.net SIP/2.0', 'From: <sip:a@x>;tag=1', 'To: <sip:b@x>;tag=2');

test('a request that begins something goes once it is late, and the queue has been late for a while', () => {
  const told: string[] = [];
  const overload = new Overload((text) => told.push(text));
  const queue = overload.queue();
  assert.equal(queue.drops(NEW, LATE_MS - 1, 0), false);
  assert.equal(queue.drops(NEW, LATE_MS, 1_000), false, 'a moment of standstill is no overload');
  assert.equal(queue.drops(NEW, LATE_MS + 50, 1_099), false);
  assert.equal(queue.drops(NEW, LATE_MS + 50, 1_100), true);
  assert.equal(queue.drops(NEW, 10, 1_200), false, 'it has been read to the end');
  assert.equal(queue.drops(NEW, LATE_MS, 1_300), false, 'it begins anew');
  assert.equal(overload.dropped, 1);
  assert.match(told.join(), /calls that are up go on/);
});

test('what belongs to calls and registrations that are there is never dropped, however long it has waited', () => {
  const queue = new Overload(() => {}).queue();
  queue.drops(NEW, LATE_MS, 0);
  const to = 'To: <sip:b@x>';
  for (const kept of [
    INSIDE,
    octets('SIP/2.0 200 OK', to),
    ...['ACK', 'BYE', 'CANCEL', 'PRACK', 'UPDATE', 'INFO', 'REFER', 'NOTIFY'].map((method) =>
      octets(`${method} sip:b@x SIP/2.0`, to),
    ),
    octets('REGISTER sip:x SIP/2.0', 't : "B" <sip:b@x> ; tag=7'),
  ])
    assert.equal(queue.drops(kept, 5_000, 1_000), false, Buffer.from(kept).toString().split('\r\n')[0]);
  for (const dropped of [
    octets('REGISTER sip:x SIP/2.0', to),
    octets('OPTIONS sip:x SIP/2.0', to),
    octets('SUBSCRIBE sip:x SIP/2.0', to, 'X-To: ;tag=1'),
    Buffer.from('no SIP at all'),
  ])
    assert.equal(queue.drops(dropped, 5_000, 1_000), true);
});

test('an age that only a clock that was set can make drops nothing', () => {
  const queue = new Overload(() => {}).queue();
  for (const age of [-1, Number.NaN, 60_000, 1e12])
    for (const now of [0, 1_000, 2_000]) assert.equal(queue.drops(NEW, age, now), false);
});
