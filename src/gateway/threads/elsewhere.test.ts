import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Flow } from '../../core/net/flow.ts';
import { Elsewhere, MOST_QUEUED } from './elsewhere.ts';
import { LANE } from './protocol.ts';

const ALICE = { address: '192.168.1.10', port: 5060 };
const CAROL = { address: '192.168.1.11', port: 5060 };
const ALICE_OUTSIDE = { address: '203.0.113.1', port: 5060 };
const CAROL_OUTSIDE = { address: '203.0.113.1', port: 20_000 };
const PROVIDER = { address: '198.51.100.5', port: 5060 };
const BYTES = Buffer.from('OPTIONS sip:a SIP/2.0\r\n\r\n');

interface Side {
  readonly elsewhere: Elsewhere;
  readonly packets: { readonly flow: Flow; readonly text: string; readonly from: string | undefined }[];
  readonly blocks: number[];
  readonly sent: Flow[];
  full: number;
}

const open: Elsewhere[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** Two engines, as two threads see each other. */
function pair(): [Side, Side] {
  const [here, there] = engines(2);
  return [here!, there!];
}

function engines(count: number): Side[] {
  const counters = new SharedArrayBuffer(count * LANE.count * 4);
  const ports = Array.from({ length: count }, () => new Array<MessagePort | undefined>(count));
  for (let a = 0; a < count; a++)
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  const side = (me: number): Side => {
    const one: Omit<Side, 'elsewhere'> = { packets: [], blocks: [], sent: [], full: 0 };
    const elsewhere = new Elsewhere(me, counters, ports[me]!, {
      packet: (flow, bytes, from) => {
        one.packets.push({ flow, text: Buffer.from(bytes).toString(), from });
        one.blocks.push(bytes.buffer.byteLength);
      },
      send: (flow) => one.sent.push(flow),
      full: () => one.full++,
    });
    open.push(elsewhere);
    return Object.assign(one, { elsewhere });
  };
  return ports.map((_, me) => side(me));
}

function map({ elsewhere }: Side, id: number, internal = CAROL, external = CAROL_OUTSIDE): void {
  elsewhere.command('signalling', { action: 'open', id, transport: 'udp', internal, external });
  elsewhere.opened(id);
}

test('what a neighbour has opened is known when it is read, before any turn of the loop, and no longer than it is open', () => {
  const [here, there] = pair();
  there.elsewhere.command('signalling', {
    action: 'open',
    id: 7,
    transport: 'udp',
    internal: CAROL,
    external: CAROL_OUTSIDE,
  });
  here.elsewhere.catchUp();
  assert.equal(here.elsewhere.signalling('udp', CAROL_OUTSIDE), undefined, 'it is not open yet');
  there.elsewhere.opened(7);
  assert.equal(here.elsewhere.signalling('udp', CAROL_OUTSIDE), undefined, 'nobody has looked');
  here.elsewhere.catchUp();
  assert.deepEqual(here.elsewhere.signalling('udp', CAROL_OUTSIDE), CAROL);
  assert.equal(here.elsewhere.signalling('tcp', CAROL_OUTSIDE), undefined);
  there.elsewhere.command('signalling', { action: 'close', id: 7 });
  here.elsewhere.catchUp();
  assert.equal(here.elsewhere.signalling('udp', CAROL_OUTSIDE), undefined);
});

test('a neighbour’s media is known port by port', () => {
  const [here, there] = pair();
  const media = { id: 3, internal: { ...CAROL, port: 4000 }, external: { ...CAROL_OUTSIDE, port: 24_000 } };
  there.elsewhere.command('media', { action: 'open', ...media, inner: undefined, ports: 2, sources: [] });
  there.elsewhere.opened(3);
  here.elsewhere.catchUp();
  assert.deepEqual(here.elsewhere.media({ ...CAROL_OUTSIDE, port: 24_001 }), { ...CAROL, port: 4001 });
  assert.equal(here.elsewhere.media({ ...CAROL_OUTSIDE, port: 24_002 }), undefined);
  there.elsewhere.command('media', { action: 'close', id: 3 });
  here.elsewhere.catchUp();
  assert.equal(here.elsewhere.media({ ...CAROL_OUTSIDE, port: 24_001 }), undefined);
});

test('what failed to open, and a phone that is routed, are told to nobody', () => {
  const [here, there] = pair();
  const opening = { action: 'open', id: 1, transport: 'udp', internal: CAROL } as const;
  there.elsewhere.command('signalling', { ...opening, external: CAROL_OUTSIDE });
  there.elsewhere.failed(1);
  there.elsewhere.opened(1);
  there.elsewhere.command('signalling', { ...opening, id: 2, external: CAROL });
  there.elsewhere.opened(2);
  here.elsewhere.catchUp();
  for (const one of [CAROL_OUTSIDE, CAROL]) assert.equal(here.elsewhere.signalling('udp', one), undefined);
});

test('a message to a neighbour’s phone arrives there as if it had come from outside; one to a provider is nobody else’s', () => {
  const [here, there] = pair();
  map(there, 1);
  here.elsewhere.catchUp();
  const flow: Flow = { transport: 'udp', side: 'external', local: ALICE_OUTSIDE, remote: CAROL_OUTSIDE };
  assert.equal(here.elsewhere.takes({ ...flow, remote: PROVIDER }, BYTES), false);
  assert.equal(here.elsewhere.takes(flow, BYTES), true);
  there.elsewhere.catchUp();
  assert.deepEqual(there.packets, [
    {
      flow: { transport: 'udp', side: 'external', local: CAROL_OUTSIDE, remote: ALICE_OUTSIDE },
      text: BYTES.toString(),
      from: undefined,
    },
  ]);
});

test('what a phone hears from a neighbour’s endpoint leaves from there; over TCP it leaves by the phone’s own connection', () => {
  const [here, there] = pair();
  map(there, 1);
  here.elsewhere.catchUp();
  const flow: Flow = { transport: 'udp', side: 'internal', local: CAROL_OUTSIDE, remote: ALICE };
  assert.equal(here.elsewhere.takes({ ...flow, transport: 'tcp' }, BYTES), false);
  assert.equal(here.elsewhere.takes(flow, BYTES), true);
  there.elsewhere.catchUp();
  assert.deepEqual(there.sent, [flow]);
});

test('what a neighbour’s phone sends straight to an endpoint here is the neighbour’s; from anybody else it is not', () => {
  const [here, there] = pair();
  map(there, 1);
  map(here, 1, ALICE, ALICE_OUTSIDE);
  here.elsewhere.catchUp();
  const flow: Flow = { transport: 'udp', side: 'external', local: ALICE_OUTSIDE, remote: CAROL };
  assert.equal(here.elsewhere.takesDirect({ ...flow, remote: PROVIDER }, BYTES), false);
  assert.equal(here.elsewhere.takesDirect({ ...flow, transport: 'tcp' }, BYTES), false);
  assert.equal(here.elsewhere.takesDirect(flow, BYTES), true);
  there.elsewhere.catchUp();
  assert.deepEqual(there.packets[0]?.flow, { ...flow, side: 'internal' });
  assert.equal(there.packets[0]?.from, ALICE_OUTSIDE.address);
});

test('octets that are handed over do not take the block along that they stood in', () => {
  const [here, there] = pair();
  map(there, 1);
  here.elsewhere.catchUp();
  const block = new Uint8Array(65_536);
  block.set(BYTES, 100);
  const flow: Flow = { transport: 'udp', side: 'external', local: ALICE_OUTSIDE, remote: CAROL_OUTSIDE };
  here.elsewhere.takes(flow, block.subarray(100, 100 + BYTES.length));
  there.elsewhere.catchUp();
  assert.equal(there.packets[0]?.text, BYTES.toString());
  assert.deepEqual(there.blocks, [BYTES.length]);
});

test('a neighbour that does not read has a queue with an end, and what it is told of endpoints is never lost', () => {
  const [here, there] = pair();
  map(there, 1);
  here.elsewhere.catchUp();
  const flow: Flow = { transport: 'udp', side: 'external', local: ALICE_OUTSIDE, remote: CAROL_OUTSIDE };
  for (let i = 0; i < MOST_QUEUED + 5; i++) here.elsewhere.takes(flow, BYTES);
  assert.equal(here.full, 5);
  map(here, 9, ALICE, ALICE_OUTSIDE);
  there.elsewhere.catchUp();
  assert.equal(there.packets.length, MOST_QUEUED);
  assert.deepEqual(there.elsewhere.signalling('udp', ALICE_OUTSIDE), ALICE);
  here.elsewhere.takes(flow, BYTES);
  assert.equal(here.full, 5);
});

test('an idle engine reads in a turn of its own loop', async () => {
  const [here, there] = pair();
  map(there, 1);
  while (here.elsewhere.signalling('udp', CAROL_OUTSIDE) === undefined) await turn();
  assert.deepEqual(here.elsewhere.signalling('udp', CAROL_OUTSIDE), CAROL);
});

test('an endpoint that one neighbour gives back and another takes is the other’s, in whatever order they are read', () => {
  const [here, late, early] = engines(3) as [Side, Side, Side];
  const media = { internal: CAROL, external: CAROL_OUTSIDE, inner: undefined, ports: 1, sources: [] };
  map(early, 1);
  early.elsewhere.command('media', { action: 'open', id: 2, ...media });
  early.elsewhere.opened(2);
  here.elsewhere.catchUp();
  for (const id of [1, 2])
    early.elsewhere.command(id === 1 ? 'signalling' : 'media', { action: 'close', id });
  map(late, 1, ALICE);
  late.elsewhere.command('media', { action: 'open', id: 2, ...media, internal: ALICE });
  late.elsewhere.opened(2);
  // The port of the one that spoke last is read first.
  here.elsewhere.catchUp();
  assert.deepEqual(here.elsewhere.signalling('udp', CAROL_OUTSIDE), ALICE);
  assert.deepEqual(here.elsewhere.media(CAROL_OUTSIDE), ALICE);
  const flow: Flow = { transport: 'udp', side: 'external', local: ALICE_OUTSIDE, remote: ALICE };
  assert.equal(here.elsewhere.takesDirect({ ...flow, remote: CAROL }, BYTES), false, 'that phone is gone');
  assert.equal(here.elsewhere.takesDirect(flow, BYTES), true);
  late.elsewhere.catchUp();
  assert.equal(late.packets.length, 1);
});
