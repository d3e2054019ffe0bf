/** Sockets that send on in batches, on the loopback interface: whole, in order, to whom and from where it was said, and no more. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import { type Endpoint, endpoint } from '../../src/core/net/address.ts';
import { bestSockets } from '../../src/gateway/explicit/udp-socket.ts';
import type { Passage, RelaySocket } from '../../src/linux/relay-socket.ts';

const isHere = process.platform === 'linux';
const { RelaySocket: Socket } = isHere ? await import('../../src/linux/relay-socket.ts') : {};

interface Heard {
  readonly bytes: Buffer;
  readonly from: Endpoint;
}

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const one of cleanUp.splice(0)) one();
});

/** A peer that hears; `all(n)` is fulfilled when n datagrams have come. */
async function peer(address: string) {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
  const heard: Heard[] = [];
  let wake = (): void => {};
  socket.on('message', (bytes, from) => {
    heard.push({ bytes, from: endpoint(from.address, from.port) });
    wake();
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  cleanUp.push(() => socket.close());
  return {
    at: endpoint(address, socket.address().port),
    send: (bytes: Uint8Array, to: Endpoint): Promise<void> =>
      new Promise((resolve) => socket.send(bytes, to.port, to.address, () => resolve())),
    heard,
    all: async (count: number): Promise<readonly Heard[]> => {
      while (heard.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return heard;
    },
  };
}

interface Relay {
  readonly socket: RelaySocket;
  readonly handed: Heard[];
  readonly faults: Error[];
}

function relay(address: string, onHanded: (one: Heard, socket: RelaySocket) => void = () => {}): Relay {
  const handed: Heard[] = [];
  const faults: Error[] = [];
  const socket: RelaySocket = new Socket!(endpoint(address, 0), {
    datagram: (bytes, from) => {
      const one = { bytes: Buffer.from(bytes), from };
      handed.push(one);
      onHanded(one, socket);
    },
    fault: (error) => faults.push(error),
  });
  cleanUp.push(() => socket.close());
  return { socket, handed, faults };
}

const counted = (): { passed: Passage['passed']; packets: number; octets: number } => {
  const sum = {
    packets: 0,
    octets: 0,
    passed: (packets: number, octets: number): void => {
      sum.packets += packets;
      sum.octets += octets;
    },
  };
  return sum;
};

const numbered = (n: number, length = 172): Buffer => {
  const bytes = Buffer.alloc(length, n & 0xff);
  bytes.writeUInt32BE(n);
  return bytes;
};

test('the make is the best that there is, or the one that was asked for', async (t) => {
  assert.equal((await bestSockets()).make, isHere ? 'batched' : 'node:dgram');
  const before = process.env.SIPALG_SOCKETS;
  t.after(() => {
    if (before === undefined) delete process.env.SIPALG_SOCKETS;
    else process.env.SIPALG_SOCKETS = before;
  });
  process.env.SIPALG_SOCKETS = 'portable';
  assert.equal((await bestSockets()).make, 'node:dgram');
});

describe('a passage', { skip: !isHere && 'there is no Linux here' }, () => {
  for (const [family, addresses] of [
    ['IPv4', ['127.0.1.1', '127.0.0.10', '127.0.0.20', '127.0.2.1']],
    ['IPv6', ['::1', '::1', '::1', '::1']],
    ['IPv4 to IPv6', ['127.0.1.1', '127.0.0.10', '::1', '::1']],
    ['IPv6 to IPv4', ['::1', '::1', '127.0.0.20', '127.0.2.1']],
  ] as const)
    test(`carries what its sender sends, whole and in order, also more than a batch (${family})`, async () => {
      const [a, inside, outside, b] = addresses;
      const phone = await peer(a);
      const provider = await peer(b);
      const inner = relay(inside);
      const outer = relay(outside);
      const sum = counted();
      inner.socket.setPassage({ source: phone.at, to: provider.at, by: outer.socket, passed: sum.passed });
      const sent = Array.from({ length: 100 }, (_, n) => numbered(n, 12 + n));
      await Promise.all(sent.map((one) => phone.send(one, inner.socket.local)));
      const heard = await provider.all(sent.length);
      assert.deepEqual(
        heard.map(({ bytes }) => bytes),
        sent,
      );
      assert.deepEqual(heard.at(-1)?.from, outer.socket.local);
      assert.deepEqual([inner.handed, inner.faults, outer.faults], [[], [], []]);
      assert.equal(sum.packets, sent.length);
      assert.equal(
        sum.octets,
        sent.reduce((all, one) => all + one.length, 0),
      );
    });

  test('carries the longest and the empty datagram', async () => {
    const phone = await peer('127.0.1.1');
    const provider = await peer('127.0.2.1');
    const inner = relay('127.0.0.10');
    const outer = relay('127.0.0.20');
    inner.socket.setPassage({ source: phone.at, to: provider.at, by: outer.socket, passed: () => {} });
    const longest = Buffer.alloc(65_507, 'x');
    for (const bytes of [longest, Buffer.alloc(0), numbered(1), longest])
      await phone.send(bytes, inner.socket.local);
    const heard = await provider.all(4);
    assert.deepEqual(
      heard.map(({ bytes }) => bytes.length),
      [65_507, 0, 172, 65_507],
    );
    assert.ok(heard[3]?.bytes.equals(longest));
  });

  test('is for its sender alone: others are handed over, in their place among its datagrams', async () => {
    const phone = await peer('127.0.1.1');
    const otherPort = await peer('127.0.1.1');
    const otherAddress = await peer('127.0.1.2');
    const provider = await peer('127.0.2.1');
    const outer = relay('127.0.0.20');
    const order: string[] = [];
    const inner = relay('127.0.0.10', ({ bytes }) => order.push(`handed ${bytes.readUInt32BE()}`));
    const passed = (packets: number): void => {
      order.push(`passed ${packets}`);
    };
    inner.socket.setPassage({ source: phone.at, to: provider.at, by: outer.socket, passed });
    // Sent within one turn of the loop: they lie in one batch.
    const all = [phone, phone, otherPort, phone, otherAddress, otherAddress, phone].map((one, n) =>
      one.send(numbered(n), inner.socket.local),
    );
    await Promise.all(all);
    const heard = await provider.all(4);
    assert.deepEqual(
      heard.map(({ bytes }) => bytes.readUInt32BE()),
      [0, 1, 3, 6],
    );
    assert.deepEqual(
      inner.handed.map(({ from }) => from),
      [otherPort.at, otherAddress.at, otherAddress.at],
    );
    assert.deepEqual(
      order.filter((one) => one.startsWith('handed')),
      ['handed 2', 'handed 4', 'handed 5'],
    );
  });

  test('that is set for a datagram of a batch carries those behind it', async () => {
    const phone = await peer('127.0.1.1');
    const provider = await peer('127.0.2.1');
    const outer = relay('127.0.0.20');
    const inner = relay('127.0.0.10', ({ bytes, from }, socket) => {
      outer.socket.send(bytes, provider.at);
      socket.setPassage({ source: from, to: provider.at, by: outer.socket, passed: () => {} });
    });
    await Promise.all([0, 1, 2, 3].map((n) => phone.send(numbered(n), inner.socket.local)));
    const heard = await provider.all(4);
    assert.deepEqual(
      heard.map(({ bytes }) => bytes.readUInt32BE()),
      [0, 1, 2, 3],
    );
    assert.equal(inner.handed.length, 1);
  });

  test('that was taken away carries nothing, and a closed socket neither sends nor receives', async () => {
    const phone = await peer('127.0.1.1');
    const provider = await peer('127.0.2.1');
    const outer = relay('127.0.0.20');
    let handed = (): void => {};
    const inner = relay('127.0.0.10', () => handed());
    inner.socket.setPassage({ source: phone.at, to: provider.at, by: outer.socket, passed: () => {} });
    await phone.send(numbered(0), inner.socket.local);
    await provider.all(1);
    inner.socket.setPassage(undefined);
    const told = new Promise<void>((resolve) => {
      handed = resolve;
    });
    await phone.send(numbered(1), inner.socket.local);
    await told;
    assert.equal(provider.heard.length, 1);
    inner.socket.setPassage({ source: phone.at, to: provider.at, by: outer.socket, passed: () => {} });
    outer.socket.close();
    await phone.send(numbered(2), inner.socket.local);
    inner.socket.close();
    inner.socket.send(numbered(3), provider.at);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(provider.heard.length, 1);
    assert.deepEqual(inner.faults, []);
  });

  test('tells of each datagram that the system does not take, and goes on', async () => {
    const phone = await peer('127.0.1.1');
    const outer = relay('127.0.0.20');
    const inner = relay('127.0.0.10');
    const sum = counted();
    const done = new Promise<void>((resolve) => {
      const passed = (packets: number, octets: number): void => {
        sum.passed(packets, octets);
        if (sum.packets === 3) resolve();
      };
      // From a loopback address there is no way to a broadcast address.
      const to = endpoint('255.255.255.255', 9);
      inner.socket.setPassage({ source: phone.at, to, by: outer.socket, passed });
    });
    for (const n of [0, 1, 2]) await phone.send(numbered(n), inner.socket.local);
    await done;
    assert.equal(outer.faults.length, 3);
    assert.match(String(outer.faults[0]), /sendmmsg/);
  });

  test('a port that is held is refused by name', () => {
    const held = relay('127.0.0.10');
    assert.throws(() => new Socket!(held.socket.local, { datagram() {}, fault() {} }), /EADDRINUSE/);
  });
});
