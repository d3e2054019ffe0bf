/** The connections that cross, on real sockets of loopback, with an engine that passes every message as it came. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint } from '../../src/core/net/address.ts';
import { type ConnectionLimits, Connections, type ConnectionsOptions } from '../../src/stream/connections.ts';

const HOST = '127.0.3.1';
const EXTERNAL: Endpoint = { address: HOST, port: 5060 };

let provider: Server;
let front: Server;
let connections: Connections;
let local: Endpoint;
const notices: string[] = [];
const met: string[] = [];
let closed = 0;
const far: Socket[] = [];
/** Every socket of the test's own, so that none outlives a failure. */
const all: Socket[] = [];

const handler: ConnectionsOptions['handler'] = {
  // What an engine does that changes nothing: it goes on, over the same connection.
  packet: (flow, bytes) => {
    const { connection, local: own, remote } = flow;
    if (connection === undefined) return;
    connections.send(
      flow.side === 'internal'
        ? { transport: 'tcp', side: 'external', local: EXTERNAL, remote: own, connection }
        : {
            transport: 'tcp',
            side: 'internal',
            local: remote,
            remote: { address: HOST, port: 9 },
            connection,
          },
      bytes,
    );
  },
  admits: () => false,
  limit: (name, value, phone) => met.push(`${name} ${value} ${phone}`),
  closed: () => closed++,
};

function start(limits: Partial<ConnectionLimits> = {}): void {
  connections = new Connections({
    handler,
    limits,
    connect: (_side, _local, remote) =>
      connect({ host: remote.address, port: remote.port, allowHalfOpen: true }),
    fromPhone: ({ id, phone, local: own }, bytes) => {
      const flow = { transport: 'tcp', side: 'internal', local: own, remote: phone, connection: id } as const;
      connections.send({ ...flow, side: 'external', local: EXTERNAL, remote: own }, bytes);
      return undefined;
    },
    externalAddress: () => HOST,
    notice: (code, text) => notices.push(`${code} ${text}`),
  });
}

before(async () => {
  provider = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    all.push(socket);
    far.push(socket);
    provider.emit('arrived');
  }).listen(0, HOST);
  await once(provider, 'listening');
  local = { address: HOST, port: (provider.address() as { port: number }).port };
  front = createServer({ allowHalfOpen: true }, (socket) =>
    connections.acceptPhone(socket, local, { address: '127.0.0.1', port: socket.remotePort ?? 0 }),
  ).listen(0, HOST);
  await once(front, 'listening');
});

after(() => {
  connections.stop();
  for (const socket of all) socket.destroy();
  provider.close();
  front.close();
});

async function phone(): Promise<Socket> {
  const { port } = front.address() as { port: number };
  const socket = connect({ host: HOST, port, allowHalfOpen: true });
  all.push(socket);
  socket.setNoDelay(true).on('error', () => {});
  // A refusal may come before the connection is told of.
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  return socket;
}

async function arrived(): Promise<Socket> {
  while (far.length === 0) await once(provider, 'arrived');
  return far.shift() as Socket;
}

function gone(socket: Socket): Promise<boolean> {
  socket.resume();
  return socket.closed ? Promise.resolve(true) : new Promise((resolve) => socket.once('close', resolve));
}

/** All that a socket brings until the other side has ended. */
async function whole(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

const message = (text: string): string => `OPTIONS sip:a SIP/2.0\r\nl: ${text.length}\r\n\r\n${text}`;

const stream = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.string({ maxLength: 40 }).map((text) => Buffer.from(message(text), 'latin1')),
      },
      { weight: 2, arbitrary: fc.constantFrom('\r\n', '\r\n\r\n').map((text) => Buffer.from(text)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom('INVITE sip:b SIP/2.0\r\nVia: x\r\n\r\n', 'OPTIONS ', '\r')
          .map((t) => Buffer.from(t)),
      },
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((parts) => Buffer.concat(parts))
  .filter((bytes) => bytes.length > 0);

test('whatever is sent, and however it is cut, arrives as it was sent, both ways, to the end', async () => {
  start();
  await fc.assert(
    fc.asyncProperty(
      stream,
      stream,
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      async (out, back, cuts) => {
        const here = await phone();
        let at = 0;
        for (let i = 0; at < out.length; i++) {
          const size = cuts[i % cuts.length] as number;
          here.write(out.subarray(at, at + size));
          at += size;
          await new Promise((resolve) => setImmediate(resolve));
        }
        const heard = whole(here);
        here.end();
        if (/^(?:\r\n)*$/.test(out.toString('latin1'))) {
          // Keepalives alone lead nowhere: there is nobody to answer.
          await gone(here);
          return;
        }
        const there = await arrived();
        assert.deepEqual(await whole(there), out);
        there.end(back);
        assert.deepEqual(await heard, back);
      },
    ),
    { numRuns: 60, interruptAfterTimeLimit: 8000, timeout: 3000 },
  );
  assert.equal(connections.size, 0);
});

test('a connection that breaks on one side breaks on the other, and is told once', async () => {
  start();
  for (const side of ['phone', 'provider'] as const) {
    const before = closed;
    const here = await phone();
    here.write(message('x'));
    const there = await arrived();
    await once(there, 'data');
    const [breaks, sees] = side === 'phone' ? [here, there] : [there, here];
    const end = gone(sees);
    breaks.resetAndDestroy();
    assert.ok(await end);
    while (connections.size > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(closed, before + 1);
  }
});

test('a provider that cannot be reached breaks the connection of the phone', async () => {
  start();
  const free = createServer().listen(0, HOST);
  await once(free, 'listening');
  const { port } = free.address() as { port: number };
  free.close();
  const reachable = local;
  local = { address: HOST, port };
  const here = await phone();
  const end = gone(here);
  here.write(message('x'));
  assert.ok(await end);
  local = reachable;
  assert.match(notices.at(-1) ?? '', /^stream\.broken .*ECONNREFUSED/);
});

test('of one phone only so many connections are taken in, and one that ends makes room', async () => {
  start({ connectionsPerPhone: 2 });
  const [first] = [await phone(), await phone()];
  const third = await phone();
  assert.ok(await gone(third));
  assert.equal(met.at(-1), 'connections-per-phone 2 127.0.0.1');
  first.end();
  await gone(first);
  while (connections.size > 1) await new Promise((resolve) => setImmediate(resolve));
  const fourth = await phone();
  fourth.write(message('x'));
  await once(await arrived(), 'data');
  connections.stop();
});

test('in all only so many connections are taken in', async () => {
  start({ connections: 1 });
  await phone();
  assert.ok(await gone(await phone()));
  assert.equal(met.at(-1), 'connections 1 127.0.0.1');
  connections.stop();
});

test('who sends faster than the rate is read more slowly, also on a new connection, and nothing of it is lost', async () => {
  const rate = 400;
  start({ messagesPerSecondPerPhone: rate });
  met.length = 0;
  const flood = message('x').repeat(2 * rate + 100);
  const begun = performance.now();
  const here = await phone();
  here.end(flood);
  const there = await arrived();
  assert.equal((await whole(there)).length, flood.length);
  // What a full bucket holds comes at once; the other hundred at the rate.
  assert.ok(performance.now() - begun >= 200, 'it was not held up');
  assert.ok(met.length > 0 && met.every((one) => one === `messages-per-second-per-phone ${rate} 127.0.0.1`));
  there.end();
  await gone(here);
  const again = await phone();
  const first = performance.now();
  again.end(message('y').repeat(100));
  assert.equal((await whole(await arrived())).length, 100 * message('y').length);
  assert.ok(performance.now() - first >= 100, 'a new connection has a bucket of its own');
  connections.stop();
});

test('keepalives before the first message do not decide where it goes, however many they are', async () => {
  start();
  const here = await phone();
  let heard = '';
  here.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
  });
  here.write('\r\n'.repeat(5_000));
  const text = message('x');
  here.write(text);
  const there = await arrived();
  const chunks: Buffer[] = [];
  there.on('data', (chunk: Buffer) => chunks.push(chunk));
  while (!Buffer.concat(chunks).toString('latin1').endsWith(text)) await once(there, 'data');
  const before = Buffer.concat(chunks).toString('latin1').slice(0, -text.length);
  // Those that could be kept come first, and nothing else does.
  assert.match(before, /^(?:\r\n)*$/);
  assert.ok(before.length <= 1024, `${before.length} octets`);
  // What the provider sends is the engine's to handle: it does not go straight to the phone.
  let handled = 0;
  const { packet } = handler;
  handler.packet = (flow, bytes) => {
    handled += flow.side === 'external' ? 1 : 0;
    packet(flow, bytes);
  };
  there.write(message('back'));
  while (!heard.endsWith(message('back'))) await once(here, 'data');
  handler.packet = packet;
  assert.equal(handled, 1);
  connections.stop();
});

test('who reads nothing holds up only who writes to him, and loses nothing', async () => {
  start();
  const here = await phone();
  here.write(message('x'));
  const there = await arrived();
  await once(there, 'data');
  there.pause();
  const block = Buffer.from(message('y'.repeat(1000)), 'latin1');
  let sent = Buffer.from(message('x'), 'latin1').length;
  // Until the kernel takes no more for a while: whoever reads has stopped.
  let stuck = 0;
  let before = -1;
  while (stuck < 20) {
    while (here.writableLength < 1024 * 1024) {
      here.write(block);
      sent += block.length;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    const flushed = sent - here.writableLength;
    stuck = flushed === before ? stuck + 1 : 0;
    before = flushed;
  }
  assert.ok(here.writableLength > 0, 'it was taken in without end');
  const other = await phone();
  other.write(message('z'));
  await once(await arrived(), 'data');
  const rest = whole(there);
  there.resume();
  here.end();
  assert.equal((await rest).length, sent - message('x').length);
  connections.stop();
});
