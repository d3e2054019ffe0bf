/** Pings of our own over connections that cross, on loopback: the provider gets them, the phone none of the pongs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import type { Endpoint } from '../../src/core/net/address.ts';
import type { Flow } from '../../src/core/net/flow.ts';
import { Connections } from '../../src/stream/connections.ts';

const PING = '\r\n\r\n';
const open: (Socket | Server | { destroy(): void })[] = [];

after(() => {
  for (const one of open) {
    if ('destroy' in one) one.destroy();
    else one.close();
  }
});

class End {
  readonly socket: Socket;
  #text = '';
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    open.push(socket);
    socket.setEncoding('latin1').on('data', (chunk) => {
      this.#text += String(chunk);
      this.#wake();
    });
    socket.on('error', () => {});
  }

  /** Takes what has arrived up to and with `text`. */
  async gets(text: string): Promise<string> {
    while (!this.#text.includes(text))
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const end = this.#text.indexOf(text) + text.length;
    const taken = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    return taken;
  }
}

async function listening(): Promise<{ server: Server; endpoint: Endpoint }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(server);
  return { server, endpoint: { address: '127.0.0.1', port: (server.address() as AddressInfo).port } };
}

/** A phone that has sent one message to its provider, through us. */
async function crossing(first = message('first')) {
  const gate = await listening();
  const far = await listening();
  const spare = await listening();
  const external = spare.endpoint;
  spare.server.close();
  await once(spare.server, 'close');
  const connections: Connections = new Connections({
    handler: {
      packet: (flow: Flow, bytes: Uint8Array) => void connections.send(inside(flow), bytes),
      opened() {},
      failed() {},
      closed() {},
      admits: () => true,
      limit: () => {},
      notice() {},
    } as never,
    connect: (_side, local, remote) =>
      connect({
        host: remote.address,
        port: remote.port,
        localAddress: local.address,
        localPort: local.port,
      }),
    fromPhone: ({ id }, bytes) => {
      connections.send(outside(id), bytes);
      return undefined;
    },
    externalAddress: () => '127.0.0.1',
    notice() {},
  });
  open.push({ destroy: () => connections.stop() });
  const outside = (connection?: number): Flow => ({
    transport: 'tcp',
    side: 'external',
    local: external,
    remote: far.endpoint,
    ...(connection === undefined ? {} : { connection }),
  });
  const inside = ({ connection }: Flow): Flow => ({
    transport: 'tcp',
    side: 'internal',
    local: far.endpoint,
    remote: { address: '127.0.0.1', port: 1 },
    ...(connection === undefined ? {} : { connection }),
  });
  gate.server.on('connection', (socket) =>
    connections.acceptPhone(socket, far.endpoint, { address: '127.0.0.1', port: socket.remotePort ?? 0 }),
  );
  const arrived = once(far.server, 'connection') as Promise<[Socket]>;
  const phone = new End(connect(gate.endpoint.port, '127.0.0.1'));
  phone.socket.write(first);
  const [socket] = await arrived;
  const provider = new End(socket);
  await provider.gets(first);
  const ping = (): boolean => connections.send(outside(), Buffer.from(PING));
  return { phone, provider, ping, connections };
}

function message(callId: string): string {
  return [
    'OPTIONS sip:x SIP/2.0',
    'Via: SIP/2.0/TCP h;branch=z9hG4bK1',
    'From: <sip:a@x>;tag=1',
    'To: <sip:b@x>',
    `Call-ID: ${callId}`,
    'CSeq: 1 OPTIONS',
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

test('a ping goes out between messages, and its pong does not reach the phone', {
  timeout: 10_000,
}, async () => {
  const { phone, provider, ping } = await crossing();
  assert.equal(ping(), true);
  assert.equal(await provider.gets(PING), PING);
  provider.socket.write('\r\n');
  provider.socket.write(message('after'));
  assert.equal(
    await phone.gets('Content-Length: 0\r\n\r\n'),
    message('after'),
    'the pong is not in front of it',
  );
  // One answer to one ping: what comes now is for the phone.
  provider.socket.write('\r\n');
  provider.socket.write(message('later'));
  assert.equal(await phone.gets('Content-Length: 0\r\n\r\n'), `\r\n${message('later')}`);
});

test('a ping of the provider’s reaches the phone whole, also right behind ours', {
  timeout: 10_000,
}, async () => {
  const { phone, provider, ping } = await crossing();
  ping();
  await provider.gets(PING);
  provider.socket.write(PING);
  provider.socket.write(message('after'));
  assert.equal(await phone.gets('Content-Length: 0\r\n\r\n'), `${PING}${message('after')}`);
});

test('a phone that pings is left to it: its pongs are its own', { timeout: 10_000 }, async () => {
  const { phone, provider, ping } = await crossing();
  phone.socket.write(PING);
  assert.equal(await provider.gets(PING), PING);
  ping();
  phone.socket.write(message('next'));
  assert.equal(await provider.gets('Content-Length: 0\r\n\r\n'), message('next'), 'no second ping');
  provider.socket.write('\r\n');
  assert.equal(await phone.gets('\r\n'), '\r\n');
});

test('nothing is put into a stream that is not SIP', { timeout: 10_000 }, async () => {
  const { phone, provider, ping } = await crossing('\x16\x03\x01 no SIP');
  assert.equal(ping(), true);
  phone.socket.write('more of it');
  assert.equal(await provider.gets('more of it'), 'more of it');
});

test('a phone whose connection goes on from an address that is lost sees it break; others do not', async () => {
  const { phone, connections } = await crossing();
  connections.leave('127.0.0.9');
  assert.equal(connections.size, 1);
  const broken = assert.rejects(once(phone.socket, 'end'), /ECONNRESET/);
  connections.leave('127.0.0.1');
  await broken;
});
