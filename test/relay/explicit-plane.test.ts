/** The explicit mode on real sockets, with the engine's place taken by the test. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { MappingId } from '../../src/core/alg/io.ts';
import { type Address, type Endpoint, endpoint } from '../../src/core/net/address.ts';
import type { Flow } from '../../src/core/net/flow.ts';
import {
  createExplicitPlane,
  type ExplicitPlane,
  type ExplicitPlaneOptions,
} from '../../src/gateway/explicit/plane.ts';
import { freePorts, openPeer, type Peer } from './peer.ts';

const GATEWAY = '127.0.0.1';
const EXTERNAL = '127.0.0.20';
const provider = endpoint('127.0.2.1', 5060);

interface Packet {
  readonly flow: Flow;
  readonly text: string;
  readonly externalAddress: Address | undefined;
  readonly innerAddress: Address | undefined;
}

let plane: ExplicitPlane;
let peers: Peer[];
let phone: Peer;
let packets: Inbox<Packet>;
let answers: Inbox<string>;
let notices: Inbox<string>;
let met: Set<string>;

class Inbox<T> {
  readonly #values: T[] = [];
  readonly #readers: ((value: T) => void)[] = [];

  put(value: T): void {
    const reader = this.#readers.shift();
    if (reader === undefined) this.#values.push(value);
    else reader(value);
  }

  next(): Promise<T> {
    const value = this.#values.shift();
    return value === undefined
      ? new Promise((resolve) => this.#readers.push(resolve))
      : Promise.resolve(value);
  }
}

async function start(options: Partial<ExplicitPlaneOptions> = {}): Promise<Endpoint> {
  packets = new Inbox();
  answers = new Inbox();
  notices = new Inbox();
  met = new Set();
  plane = await createExplicitPlane(
    { listen: [endpoint(GATEWAY, 0)], resolve: () => assert.fail('no name is to be looked up'), ...options },
    {
      packet: (flow, bytes, externalAddress, innerAddress) =>
        packets.put({ flow, text: Buffer.from(bytes).toString('latin1'), externalAddress, innerAddress }),
      opened: (id) => answers.put(`opened ${id}`),
      failed: (id, reason) => answers.put(`failed ${id} ${reason}`),
      closed: (id) => answers.put(`closed ${id}`),
      admits: () => true,
      limit: (name, value, one) => met.add(`${name} ${value} ${one}`),
      notice: (code) => notices.put(code),
    },
  );
  return plane.addresses[0] as Endpoint;
}

beforeEach(async () => {
  peers = [];
  phone = await peer('127.0.1.1');
});

afterEach(async () => {
  await plane.stop();
  await Promise.all(peers.map((one) => one.close()));
});

async function peer(address: string): Promise<Peer> {
  const one = await openPeer(address);
  peers.push(one);
  return one;
}

function request(uri: string, callId = 'c1', ...extra: string[]): string {
  return [
    `OPTIONS ${uri} SIP/2.0`,
    'Via: SIP/2.0/UDP 127.0.2.77:5099;branch=z9hG4bK1',
    'From: <sip:a@example.com>;tag=1',
    'To: <sip:b@example.com>',
    `Call-ID: ${callId}`,
    'CSeq: 7 OPTIONS',
    ...extra,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

const response = (branch = 'z9hG4bK1'): string =>
  request('x')
    .replace(/^OPTIONS.*/, 'SIP/2.0 200 OK')
    .replace('z9hG4bK1', branch);

async function openExternal(id: MappingId, at?: Endpoint): Promise<Endpoint> {
  const external = at ?? (await freePorts(EXTERNAL, 1));
  plane.signalling({ action: 'open', id, transport: 'udp', internal: phone.at, external });
  assert.equal(await answers.next(), `opened ${id}`);
  return external;
}

describe('a datagram from a phone', () => {
  test('is a packet from the phone to the provider that it names, with our address on the way there and the one the phone knows', async () => {
    const gateway = await start();
    const text = request('sip:bob@127.0.2.1');
    phone.send(text, gateway);
    assert.deepEqual(await packets.next(), {
      flow: { transport: 'udp', side: 'internal', local: provider, remote: phone.at },
      text,
      externalAddress: '127.0.0.1',
      innerAddress: GATEWAY,
    });
  });

  test('passes over Routes that are ourselves, by literal, by name and by the configuration', async () => {
    const gateway = await start({
      own: [{ host: '198.51.100.1', port: undefined }],
      resolve: async (target) => (target.host === 'gateway.example' ? plane.addresses : []),
    });
    const us = ['198.51.100.1', `${gateway.address}:${gateway.port}`, 'gateway.example'];
    const routes = us.map((host) => `Route: <sip:${host};lr>`);
    phone.send(request('sip:bob@example.com', 'c1', ...routes, 'Route: <sip:127.0.2.1;lr>'), gateway);
    assert.deepEqual((await packets.next()).flow.local, provider);
    phone.send(request('sip:bob@127.0.2.9', 'c1', ...routes), gateway);
    assert.deepEqual((await packets.next()).flow.local, endpoint('127.0.2.9', 5060));
  });

  test('that addresses the gateway itself goes nowhere, and an operator hears of it', async () => {
    const gateway = await start();
    phone.send(request(`sip:${gateway.address}:${gateway.port}`), gateway);
    assert.equal(await notices.next(), 'explicit.addressed-to-us');
  });

  test('waits for its name together with all that follow it, and only this phone does', async () => {
    const names = new Map<string, (found: readonly Endpoint[]) => void>();
    const asked = new Inbox<string>();
    const gateway = await start({
      resolve: (target) =>
        new Promise((resolve) => {
          names.set(target.host, resolve);
          asked.put(target.host);
        }),
    });
    const other = await peer('127.0.1.2');
    phone.send(request('sip:slow.example', 'first'), gateway);
    await asked.next();
    phone.send(request('sip:127.0.2.1', 'second'), gateway);
    phone.send(request('sip:slow.example', 'third'), gateway);
    phone.send('\r\n\r\n', gateway);
    other.send(request('sip:127.0.2.1', 'other'), gateway);
    assert.match((await packets.next()).text, /Call-ID: other/);
    assert.equal(plane.snapshot().waiting, 3);
    names.get('slow.example')?.([endpoint('127.0.2.5', 5062)]);
    for (const [callId, address] of [
      ['first', '127.0.2.5'],
      ['second', '127.0.2.1'],
      ['third', '127.0.2.5'],
    ]) {
      const packet = await packets.next();
      assert.match(packet.text, new RegExp(`Call-ID: ${callId}`));
      assert.equal(packet.flow.local.address, address);
    }
    assert.equal((await packets.next()).text, '\r\n\r\n');
    assert.equal(plane.snapshot().waiting, 0);
  });

  test('does not wait without bound', async () => {
    let found: (endpoints: readonly Endpoint[]) => void = () => {};
    const gateway = await start({
      resolve: () =>
        new Promise((resolve) => {
          found = resolve;
        }),
      limits: { waitingPerPhone: 2 },
    });
    for (const callId of ['1', '2', '3', '4']) phone.send(request('sip:slow.example', callId), gateway);
    assert.equal(await notices.next(), 'explicit.waiting');
    found([provider]);
    for (const callId of ['1', '2', '3'])
      assert.match((await packets.next()).text, new RegExp(`Call-ID: ${callId}\r`));
    assert.deepEqual(plane.snapshot().dropped, { 'explicit.waiting': 1 });
  });

  test('beyond the rate of its sender is dropped and told; another sender has a rate of his own', async () => {
    const rate = 10;
    const gateway = await start({ limits: { messagesPerSecondPerPhone: rate } });
    const other = await peer('127.0.1.2');
    for (let i = 0; i < 100; i++) phone.send(request('sip:bob@127.0.2.1', `flood-${i}`), gateway);
    assert.equal(await notices.next(), 'explicit.too-fast');
    other.send(request('sip:bob@127.0.2.1', 'modest'), gateway);
    let passed = 0;
    for (let packet = await packets.next(); !packet.text.includes('modest'); packet = await packets.next())
      passed++;
    // What a full bucket holds, and what came in while the hundred were read.
    assert.ok(passed >= 2 * rate && passed < 4 * rate, `${passed} passed`);
    assert.deepEqual([...met], [`messages-per-second-per-phone ${rate} 127.0.1.1`]);
    assert.equal(plane.snapshot().dropped['explicit.too-fast'], 100 - passed);
  });

  test('with a name that has no address is dropped, with a notice', async () => {
    const gateway = await start({ resolve: async () => [] });
    phone.send(request('sip:nowhere.example'), gateway);
    assert.equal(await notices.next(), 'explicit.no-such-host');
  });

  test('that is not SIP goes where the phone last sent SIP, or nowhere', async () => {
    const gateway = await start();
    phone.send('\0\x01noise', gateway);
    assert.equal(await notices.next(), 'explicit.not-sip');
    phone.send(request('sip:bob@127.0.2.1'), gateway);
    phone.send('\0\x01noise', gateway);
    phone.send(request('tel:+15551234567'), gateway);
    await packets.next();
    assert.deepEqual((await packets.next()).flow.local, provider);
    assert.deepEqual((await packets.next()).flow.local, provider);
  });

  test('that is broken SIP goes where its request line says, the first time', async () => {
    const gateway = await start();
    phone.send('REGISTER sip:127.0.2.1 SIP/2.0\r\nVia: nonsense\r\n\r\n', gateway);
    assert.deepEqual((await packets.next()).flow.local, provider);
  });

  test('that came from our own external socket is a loop, and dropped', async () => {
    const gateway = await start();
    const external = await openExternal(1);
    plane.send(
      { transport: 'udp', side: 'external', local: external, remote: gateway },
      Buffer.from(request('sip:bob@127.0.2.1')),
    );
    assert.equal(await notices.next(), 'explicit.loop');
  });
});

describe('a response from a phone', () => {
  test('goes back to the endpoint that the request came from, and not to where its Via points', async () => {
    const gateway = await start();
    const edge = endpoint('127.0.2.40', 5080);
    phone.send(request('sip:127.0.2.1'), gateway);
    await packets.next();
    const asked = { transport: 'udp', side: 'internal', local: edge, remote: phone.at } as const;
    plane.send(asked, Buffer.from(request('sip:phone@127.0.1.1')));
    assert.deepEqual((await phone.receive()).from, gateway);
    phone.send(response(), gateway);
    assert.deepEqual((await packets.next()).flow, asked);
  });

  test('to a request from before a restart goes to the sent-by', async () => {
    const gateway = await start();
    phone.send(response('z9hG4bKother'), gateway);
    assert.deepEqual((await packets.next()).flow.local, endpoint('127.0.2.77', 5099));
  });
});

describe('what the engine sends', () => {
  test('to a phone leaves from the listen endpoint that the phone used', async () => {
    await start({ listen: [endpoint(GATEWAY, 0), endpoint('127.0.0.2', 0)] });
    const second = plane.addresses[1] as Endpoint;
    const flow = { transport: 'udp', side: 'internal', local: provider, remote: phone.at } as const;
    plane.send(flow, Buffer.from('before'));
    assert.deepEqual((await phone.receive()).from, plane.addresses[0]);
    phone.send(request('sip:127.0.2.1'), second);
    await packets.next();
    plane.send(flow, Buffer.from('after'));
    assert.deepEqual((await phone.receive()).from, second);
    assert.equal(plane.innerAddress(phone.at), '127.0.0.2');
  });

  test('to a provider leaves from the mapping, and what comes back is a packet of it', async () => {
    await start();
    const far = await peer('127.0.2.1');
    const external = await openExternal(1);
    const flow = { transport: 'udp', side: 'external', local: external, remote: far.at } as const;
    plane.send(flow, Buffer.from('out'));
    const out = await far.receive();
    assert.deepEqual([out.text, out.from], ['out', external]);
    far.send('in', external);
    assert.deepEqual(await packets.next(), {
      flow,
      text: 'in',
      externalAddress: undefined,
      innerAddress: undefined,
    });
  });

  test('that comes back faster than a provider may send is dropped and told', async () => {
    await start({ limits: { messagesPerSecondPerProvider: 10 } });
    const external = await openExternal(1);
    const far = await peer('127.0.2.2');
    for (let i = 0; i < 100; i++) far.send(response(`z9hG4bK${i}`), external);
    assert.equal(await notices.next(), 'explicit.too-fast');
    assert.deepEqual([...met], ['messages-per-second-per-provider 10 undefined']);
  });

  test('through a mapping that is not open is counted and gone', async () => {
    await start();
    plane.send(
      { transport: 'udp', side: 'external', local: endpoint(EXTERNAL, 9), remote: provider },
      Buffer.from('out'),
    );
    assert.equal(await notices.next(), 'explicit.no-socket');
  });
});

describe('a signalling mapping', () => {
  test('fails where the port is taken, and can be had again once it is closed', async () => {
    await start();
    const external = await openExternal(1);
    plane.signalling({ action: 'open', id: 2, transport: 'udp', internal: phone.at, external });
    assert.match(await answers.next(), /^failed 2 .*EADDRINUSE/);
    plane.signalling({ action: 'hold', id: 1, peer: provider, lifetimeMs: 1000 });
    plane.signalling({ action: 'close', id: 1 });
    await openExternal(3, external);
  });

  test('is bounded, and answered also where it is closed while it opens', async () => {
    await start({ limits: { signalling: 1 } });
    const external = await freePorts(EXTERNAL, 1);
    const open = { action: 'open', internal: phone.at, external } as const;
    plane.signalling({ ...open, id: 2, transport: 'udp' });
    plane.signalling({ ...open, id: 3, transport: 'udp' });
    plane.signalling({ action: 'close', id: 2 });
    assert.match(await answers.next(), /^failed 3 1 signalling/);
    assert.match(await answers.next(), /^failed 2 closed/);
  });

  test('on an advertised address that is not ours is bound on all of ours', async () => {
    const gateway = await start({ advertise: '203.0.113.7' });
    phone.send(request('sip:127.0.2.1'), gateway);
    assert.equal((await packets.next()).externalAddress, '203.0.113.7');
    const { port } = await freePorts('127.0.0.1', 1);
    const external = await openExternal(1, endpoint('203.0.113.7', port));
    const far = await peer('127.0.2.1');
    far.send('in', endpoint('127.0.0.1', port));
    assert.deepEqual((await packets.next()).flow.local, external);
  });
});

test('a listen endpoint that is taken rejects, and leaves nothing bound', async () => {
  const gateway = await start();
  const spare = await freePorts(GATEWAY, 1);
  const handler = {
    packet() {},
    opened() {},
    failed() {},
    closed() {},
    admits: () => false,
    limit() {},
    notice() {},
  };
  await assert.rejects(createExplicitPlane({ listen: [spare, gateway] }, handler), /EADDRINUSE/);
  const again = await createExplicitPlane({ listen: [spare] }, handler);
  await again.stop();
});

test('stopped means that every socket is free again', async () => {
  const gateway = await start();
  const external = await openExternal(1);
  await plane.stop();
  for (const at of [gateway, external]) {
    const free = await openPeer(at.address, at.port);
    await free.close();
  }
});
