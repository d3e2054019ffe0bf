/** A reflector among strangers, and a client before something that is no reflector. On loopback, with real sockets. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { bindingRequest, readStun } from '../../core/net/stun.ts';
import { Control } from '../check/control.ts';
import { pinOf } from '../control/invitation.ts';
import { MAX_LINE } from '../control/line.ts';
import { fromBase64, PROTOCOL, type Report } from '../control/protocol.ts';
import { makeIdentity } from './certificate.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { Reflector, type ReflectorEvent } from './reflector.ts';

const TOKEN = 'a-token-of-some-length';
const identity = makeIdentity('reflector', new Date());
const pin = pinOf(identity.certificate);
const HOST = '127.0.0.1';

async function started(limits: Partial<Limits> = {}) {
  const events: ReflectorEvent[] = [];
  const reflector = await Reflector.start({
    addresses: [{ local: HOST, public: HOST }],
    controlPorts: [0],
    ports: { sip: 0, sipTls: 0, other: [], control: 0, media: [], stun: [0], dns: [] },
    identity,
    token: TOKEN,
    version: 'test',
    limits: { ...defaultLimits, introductionMs: 150, ...limits },
    tell: (event) => events.push(event),
  });
  const invitation = { host: HOST, port: reflector.controlPort, token: TOKEN, pin };
  const portOf = (transport: string, role: string): number =>
    reflector.places.find((place) => place.transport === transport && place.role === role)!.port;
  return {
    reflector,
    invitation,
    events,
    portOf,
    [Symbol.asyncDispose]: () => reflector.close(),
  };
}

/** All that comes on a connection until it is closed. */
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  // Not events.once, which takes a reset for a failure: here it is an answer.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks);
}

test('strangers get no octet, over UDP, TCP and TLS, and their connections are closed', async () => {
  await using lab = await started();
  const udp = createSocket('udp4');
  let answers = 0;
  udp.on('message', () => answers++);
  const scan = 'OPTIONS sip:100@1.1.1.1 SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n';
  for (const text of [scan, 'garbage', '']) udp.send(text, lab.portOf('udp', 'sip'), HOST);
  udp.send(bindingRequest({ transaction: new Uint8Array(12) }), lab.portOf('udp', 'stun'), HOST);
  const tcp = connect(lab.portOf('tcp', 'sip'), HOST);
  tcp.write(scan);
  const silent = connect(lab.portOf('tcp', 'sip'), HOST);
  const flood = connect(lab.portOf('tcp', 'control'), HOST);
  flood.write(Buffer.alloc(100_000, 'x'));
  const tls = connectTls({ host: HOST, port: lab.reflector.controlPort, rejectUnauthorized: false });
  tls.write(scan);
  const plain = connect(lab.reflector.controlPort, HOST);
  plain.write(scan);
  const [toPlain, ...read] = await Promise.all([plain, tcp, silent, flood, tls].map(readAll));
  for (const bytes of read) assert.equal(bytes.length, 0);
  // To what is no TLS, TLS itself says so (an alert of seven octets), and nothing else.
  assert.ok(toPlain!.length <= 7);
  assert.equal(answers, 0);
  udp.close();
});

test('STUN is answered on every UDP port, to addresses of which a session has proof, and the session is told', async () => {
  await using lab = await started();
  const control = await Control.open(lab.invitation);
  const told: Report[] = [];
  control.listen((report) => told.push(report));
  const udp = createSocket('udp4');
  for (const role of ['sip', 'control', 'stun']) {
    const transaction = Uint8Array.from({ length: 12 }, (_, i) => i + role.length);
    udp.send(bindingRequest({ transaction }), lab.portOf('udp', role), HOST);
    const [bytes] = (await once(udp, 'message')) as [Buffer];
    const answer = readStun(bytes);
    assert.deepEqual(answer?.mapped, { address: HOST, port: udp.address().port });
    assert.deepEqual(answer?.transaction, transaction);
  }
  await control.ask({ kind: 'ping' });
  const answered = told.filter(({ kind }) => kind === 'answered');
  assert.equal(answered.length, 3);
  udp.close();
  control.close();
});

test('a wrong token is told nothing, and a right one that is one too many is told to come back', async () => {
  await using lab = await started({ sessionsPerAddress: 1 });
  await assert.rejects(Control.open({ ...lab.invitation, token: 'another-token-of-some-length' }), {
    code: 'detector/refused',
  });
  const control = await Control.open(lab.invitation);
  await assert.rejects(Control.open(lab.invitation), {
    code: 'detector/refused',
    message: /as many clients/,
  });
  control.close();
  assert.ok(lab.events.some((event) => event.event === 'client.refused'));
});

test('another key than the pinned one is refused before the token is said', async () => {
  await using lab = await started();
  const other = pinOf(makeIdentity('reflector', new Date()).certificate);
  await assert.rejects(Control.open({ ...lab.invitation, pin: other }), { code: 'detector/wrong-key' });
});

test('it sends to the client’s own address, and to nobody else', async () => {
  await using lab = await started();
  const control = await Control.open(lab.invitation);
  const [sip] = control.places((place) => place.transport === 'udp' && place.role === 'sip');
  const udp = createSocket('udp4');
  udp.bind(0, HOST);
  await once(udp, 'listening');
  const { port } = udp.address();
  const arrival = once(udp, 'message');
  assert.ok((await control.send(sip!.place, { address: HOST, port }, Buffer.from('octets'))).ok);
  assert.equal(String((await arrival)[0]), 'octets');
  for (const [to, code] of [
    [{ address: '127.0.0.2', port: 40_000 }, 'not-yours'],
    [{ address: HOST, port: 53 }, 'port'],
  ] as const) {
    const outcome = await control.send(sip!.place, to, Buffer.from('octets'));
    assert.equal(outcome.ok ? 'sent' : outcome.code, code);
  }
  const outcome = await control.send(sip!.place + 1, { address: HOST, port }, Buffer.from('octets'));
  assert.equal(outcome.ok ? 'sent' : outcome.code, 'place');
  udp.close();
  control.close();
});

test('what comes in is told to the session whose tag it bears, octet for octet', async () => {
  await using lab = await started();
  const one = await Control.open(lab.invitation);
  const two = await Control.open(lab.invitation);
  const told: Report[] = [];
  one.listen((report) => told.push(report));
  const arrived = new Promise<Report>((resolve) => two.listen(resolve));
  const bytes = Buffer.concat([Buffer.from([0, 255, 13, 10]), Buffer.from(two.welcome.tag)]);
  const udp = createSocket('udp4');
  // Two sessions share the address: what bears no tag is nobody's.
  udp.send('no tag', lab.portOf('udp', 'sip'), HOST);
  udp.send(bytes, lab.portOf('udp', 'sip'), HOST);
  const report = await arrived;
  assert.equal(report.kind, 'datagram');
  if (report.kind === 'datagram') assert.deepEqual(Buffer.from(fromBase64(report.bytes)), bytes);
  assert.deepEqual(told, []);
  for (const control of [one, two]) control.close();
  udp.close();
});

test('the control channel is taken over TLS on every TCP port, and without TLS on none', async () => {
  await using lab = await started();
  for (const port of [lab.portOf('tcp', 'sip'), lab.portOf('tcp', 'control'), lab.portOf('tls', 'sip')]) {
    const control = await Control.open({ ...lab.invitation, port });
    assert.deepEqual([(await control.ask({ kind: 'ping' })).ok, control.detour], [true, undefined]);
    control.close();
  }
  const plain = connect(lab.portOf('tcp', 'sip'), HOST);
  plain.write(`${JSON.stringify({ kind: 'hello', protocol: PROTOCOL, token: TOKEN })}\n`);
  assert.equal((await readAll(plain)).length, 0);
});

test('what is no command ends the session', async () => {
  await using lab = await started();
  for (const line of ['nonsense\n', `${'x'.repeat(MAX_LINE + 1)}\n`, '{"kind":"send"}\n']) {
    const socket = connectTls({ host: HOST, port: lab.reflector.controlPort, rejectUnauthorized: false });
    socket.write(`${JSON.stringify({ kind: 'hello', protocol: PROTOCOL, token: TOKEN })}\n${line}`);
    const said = (await readAll(socket)).toString();
    assert.match(said, /^\{"kind":"welcome"[^\n]*\n$/);
  }
  assert.equal(lab.reflector.sessions, 0);
});

/** A TLS server with the pinned key that behaves as it is told. */
async function pretender(behave: (socket: TLSSocket) => void) {
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer({ key: identity.key, cert: identity.certificate }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    behave(socket);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    invitation: { host: HOST, port, token: TOKEN, pin },
    [Symbol.asyncDispose]: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

test('before something that is no reflector a client ends with an error that says so', async () => {
  for (const [say, code] of [
    ['HTTP/1.1 400 Bad Request\r\n\r\n', 'detector/not-a-reflector'],
    ['{"kind":"welcome"}\n', 'detector/not-a-reflector'],
    ['x'.repeat(MAX_LINE + 1), 'detector/not-a-reflector'],
    ['{"kind":"refused","code":"busy","why":"later"}\n', 'detector/refused'],
  ] as const) {
    await using other = await pretender((socket) => socket.write(say));
    await assert.rejects(Control.open(other.invitation), { code });
  }
  await using gone = await pretender((socket) => socket.destroy());
  await assert.rejects(Control.open(gone.invitation), { code: 'detector/refused' });
  const closed = createServer().listen(0, HOST);
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await assert.rejects(Control.open({ host: HOST, port, token: TOKEN, pin }), {
    code: 'detector/unreachable',
  });
});

test('a reflector that turns hostile in the middle ends the check, and every command with it', async () => {
  const welcome = JSON.stringify({
    ...{
      kind: 'welcome',
      protocol: PROTOCOL,
      version: 'x',
      names: [],
      tag: 'g'.repeat(30),
      lifetimeMs: 1000,
    },
    you: { address: HOST, port: 1 },
    places: [{ place: 0, transport: 'udp', role: 'sip', address: HOST, port: 5060 }],
  });
  await using other = await pretender((socket) => {
    socket.once('data', () => {
      socket.write(`${welcome}\n`);
      socket.once('data', () => socket.write('{"kind":"datagram","place":-1}\n'));
    });
  });
  const control = await Control.open(other.invitation);
  const outcome = await control.ask({ kind: 'ping' });
  assert.equal(outcome.ok ? '' : outcome.code, 'lost');
  assert.equal((await control.lost).code, 'detector/not-a-reflector');
  control.close();
});
