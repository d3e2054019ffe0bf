/** A loss has a name only where its like passes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf } from '../sip/octets.ts';
import { lossesOf, NOT_SIP } from './losses.ts';
import type { Passage, PortKind } from './passage.ts';

function passage(what: string, portKind: PortKind, arrives: boolean, more: Partial<Passage> = {}): Passage {
  const bytes = new Uint8Array([1]);
  const inside = { address: '192.168.1.50', port: 40_000 };
  return {
    ...{
      id: 'g',
      step: 'matrix',
      what,
      direction: 'to-server',
      transport: 'udp',
      portKind,
      inside,
      sentAt: 0,
    },
    ...{ outside: inside, server: { address: '198.51.100.5', port: 5060 }, sent: bytes, receivedAt: 0 },
    ...{ received: arrives ? bytes : undefined, deliveredTo: undefined, tries: 3, recognised: true },
    ...more,
  } as Passage;
}

const faultsOf = (passages: readonly Passage[]) => lossesOf(passages).map(({ fault }) => fault);

test('nothing on 5060 and all elsewhere is 5060; whether it is the port or SIP, a datagram that is not SIP tells', () => {
  const both = [passage('OPTIONS', 'sip', false), passage('OPTIONS', 'control', true)];
  assert.match(lossesOf(both)[0]!.explanation, /port is blocked/);
  assert.match(lossesOf([...both, passage(NOT_SIP, 'sip', true)])[0]!.explanation, /recognised and dropped/);
});

test('nothing anywhere is no fault that could be named', () => {
  assert.deepEqual(faultsOf([passage('OPTIONS', 'sip', false), passage('OPTIONS', 'control', false)]), []);
});

test('one method that never passes is named, one that was tried once is not', () => {
  const rest = [passage('OPTIONS', 'sip', true), passage('OPTIONS', 'control', true)];
  assert.deepEqual(faultsOf([...rest, passage('PUBLISH', 'sip', false)]), ['DROP-METHOD']);
  assert.deepEqual(faultsOf([...rest, passage('PUBLISH', 'sip', false, { tries: 1 })]), []);
  assert.deepEqual(faultsOf([...rest, passage('INVITE, with decoys', 'sip', false)]), ['DROP-MALFORMED']);
});

test('requests of the server that never come in, where responses do, are incoming calls that are lost', () => {
  const into = { direction: 'to-client' } as const;
  const lost = ['OPTIONS', 'INVITE', 'NOTIFY'].map((what) => passage(what, 'sip', false, into));
  const out = passage('OPTIONS', 'sip', true);
  assert.deepEqual(faultsOf([out, passage('200 to OPTIONS', 'sip', true, into), ...lost]), ['DROP-INBOUND']);
});

test('everything of one socket, and nothing of the others, is a box that has room for one', () => {
  const from = (port: number, arrives: boolean, more: Partial<Passage> = {}): Passage =>
    passage('REGISTER', 'sip', arrives, {
      ...{ inside: { address: '192.168.1.50', port }, sent: octetsOf('REGISTER sip:x SIP/2.0\r\n\r\n') },
      ...more,
    });
  const others = [from(40_001, false), from(40_002, false), passage('OPTIONS', 'control', true)];
  const first = [from(40_000, true), from(40_000, true, { direction: 'to-client', step: 'idle' })];
  const elsewhere = first.map((one) => ({ ...one, step: 'idle' }));
  assert.deepEqual(faultsOf([...others, ...elsewhere]), ['MULTI-ONESERVER']);
  // One way only, or of two sockets, is something else.
  assert.deepEqual(faultsOf([...others, elsewhere[0]!]), ['DROP-5060']);
  assert.deepEqual(faultsOf([...others, ...elsewhere, from(40_003, true, { step: 'idle' })]), ['DROP-5060']);
});
