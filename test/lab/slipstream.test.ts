/**
 * What a web page, or whoever makes a host send something, must not get: a way to another port or another host
 * (NAT Slipstreaming). Every attack is what it would be on the wire; the attacker's server answers like an accomplice.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { addresses } from '../../demo/network.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { askStatus } from '../../src/gateway/status-socket.ts';
import { type Lab, labFile, scenario } from './lab.ts';

const { phone1, phone2, stranger } = addresses;
/** A service of the victim that the attacker wants to reach. */
const VICTIM_PORT = 7777;
const SETTLED_MS = 300;
const IPV4_FRAGMENT = 1480;

const sdp = (host: string): string =>
  `v=0\r\no=- 1 1 IN IP4 ${host}\r\ns=-\r\nc=IN IP4 ${host}\r\nt=0 0\r\nm=audio ${VICTIM_PORT} RTP/AVP 0\r\n`;

function forged(method: 'REGISTER' | 'INVITE', host: string): string {
  const body = method === 'INVITE' ? sdp(host) : '';
  return [
    `${method} sip:x@${stranger} SIP/2.0`,
    `Via: SIP/2.0/UDP ${phone1}:5060;branch=z9hG4bKforged`,
    'Max-Forwards: 70',
    `From: <sip:x@${stranger}>;tag=1`,
    `To: <sip:x@${stranger}>`,
    'Call-ID: forged',
    `CSeq: 1 ${method}`,
    `Contact: <sip:x@${host}:${VICTIM_PORT}>;expires=300`,
    ...(method === 'INVITE' ? ['Content-Type: application/sdp'] : []),
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

async function status(lab: Lab): Promise<StatusReport> {
  const answer = await askStatus(lab.gateway!.stateDir);
  assert.equal(answer.kind, 'answer');
  return JSON.parse(answer.kind === 'answer' ? answer.text : '') as StatusReport;
}

/** What a socket has received. */
async function listening(lab: Lab, host: 'phone1' | 'phone2', address: string): Promise<string[]> {
  const socket = await lab.network.socket(host, address, VICTIM_PORT);
  lab.defer(() => new Promise<void>((closed) => socket.close(() => closed())));
  const seen: string[] = [];
  socket.on('message', (bytes) => seen.push(bytes.toString('latin1')));
  return seen;
}

/** The attacker at his server: sends to every port that could lead to the victim. */
async function shoots(socket: Socket, ports: readonly number[]): Promise<void> {
  for (const port of ports)
    for (const text of ['attack', '\u0001binary attack'])
      await new Promise((sent) => socket.send(text, port, addresses.routerExternal, sent));
  await delay(SETTLED_MS);
}

async function attacker(lab: Lab): Promise<{ socket: Socket; got: { text: string; port: number }[] }> {
  const socket = await lab.network.socket('provider', stranger, 5060);
  lab.defer(() => new Promise<void>((closed) => socket.close(() => closed())));
  const got: { text: string; port: number }[] = [];
  socket.on('message', (bytes, { port }) => got.push({ text: bytes.toString('latin1'), port }));
  return { socket, got };
}

/** A name that is looked up makes the socket at once, in the namespace of the caller. */
const lookup = (_host: string, options: { all?: boolean }, done: (...answer: unknown[]) => void): void =>
  options.all === true ? done(null, [{ address: stranger, family: 4 }]) : done(null, stranger, 4);

/** One TCP connection of the victim's browser: what the attacker's server received. */
function posts(lab: Lab, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1');
        if (text.includes('the end')) {
          // The accomplice answers in SIP.
          socket.end('SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n');
          resolve(text);
        }
      });
      socket.on('error', () => {});
    });
    server.once('error', reject);
    lab.defer(() => new Promise<void>((closed) => server.close(() => closed())));
    lab.network.space('provider').enter(() => server.listen({ port: 5060, ipv6Only: false }));
    server.once('listening', () => {
      const client = lab.network
        .space('phone1')
        .enter(() => connect({ host: 'server', port: 5060, lookup: lookup as never }));
      client.on('error', reject);
      lab.defer(() => void client.destroy());
      // Each part in a segment of its own, so that one begins with the forged message.
      client.setNoDelay(true);
      client.once('connect', async () => {
        client.write(
          `POST / HTTP/1.1\r\nHost: ${stranger}:5060\r\nContent-Length: ${body.length + 7}\r\n\r\n`,
        );
        await delay(50);
        client.write(body);
        await delay(50);
        client.write('the end');
      });
    });
  });
}

labFile('NAT Slipstreaming', [], () => {
  for (const method of ['REGISTER', 'INVITE'] as const)
    scenario(`a form that carries ${method} over TCP is no SIP`, { only: 'gateway' }, async (lab) => {
      const body = forged(method, phone1).replace('SIP/2.0/UDP', 'SIP/2.0/TCP');
      assert.ok((await posts(lab, body)).includes(body), 'it arrives as it was sent');
      const { phones, calls } = await status(lab);
      assert.deepEqual(calls, []);
      assert.deepEqual(
        phones.filter(({ aor, internal }) => aor !== undefined || internal.port === VICTIM_PORT),
        [],
      );
    });

  scenario(
    'a datagram whose second fragment begins with REGISTER is no SIP',
    { only: 'gateway' },
    async (lab) => {
      const { socket, got } = await attacker(lab);
      const seen = await listening(lab, 'phone1', phone1);
      const browser = await lab.network.socket('phone1', phone1, 5060);
      lab.defer(() => new Promise<void>((closed) => browser.close(() => closed())));
      // The UDP header is 8 octets of the first fragment.
      const text = `\u0000${'x'.repeat(IPV4_FRAGMENT - 8 - 1)}${forged('REGISTER', phone1)}`;
      await new Promise((sent) => browser.send(text, 5060, stranger, sent));
      await delay(SETTLED_MS);
      assert.deepEqual(
        got.map((one) => one.text),
        [text],
        'it arrives as it was sent',
      );
      const { phones } = await status(lab);
      assert.deepEqual(
        phones.filter(({ aor, internal }) => aor !== undefined || internal.port === VICTIM_PORT),
        [],
      );
      await shoots(socket, [VICTIM_PORT]);
      assert.deepEqual(seen, []);
    },
  );

  scenario("another host's port in Contact and SDP is nobody's", { only: 'gateway' }, async (lab) => {
    const { socket, got } = await attacker(lab);
    const seen = await listening(lab, 'phone2', phone2);
    const victim = await lab.network.socket('phone1', phone1, 5060);
    lab.defer(() => new Promise<void>((closed) => victim.close(() => closed())));
    for (const method of ['REGISTER', 'INVITE'] as const)
      await new Promise((sent) => victim.send(forged(method, phone2), 5060, stranger, sent));
    await delay(SETTLED_MS);
    assert.equal(got.length, 2);
    for (const { text } of got) assert.match(text, new RegExp(`${phone2.replaceAll('.', '\\.')}`));
    const { phones, calls } = await status(lab);
    assert.ok(phones.every(({ internal }) => internal.address === phone1));
    assert.deepEqual(
      calls.flatMap(({ media }) => media),
      [],
    );
    await shoots(socket, [VICTIM_PORT, ...phones.map(({ external }) => external.port)]);
    assert.deepEqual(seen, []);
  });

  scenario(
    'forged SIP from the first octet on, answered by nobody: no other port of the host is reached',
    { only: 'gateway' },
    async (lab) => {
      const { socket, got } = await attacker(lab);
      const seen = await listening(lab, 'phone1', phone1);
      const victim = await lab.network.socket('phone1', phone1, 5060);
      lab.defer(() => new Promise<void>((closed) => victim.close(() => closed())));
      await new Promise((sent) => victim.send(forged('INVITE', phone1), 5060, stranger, sent));
      await delay(SETTLED_MS);
      assert.equal(got.length, 1);
      const media = Number(/m=audio (\d+)/.exec(got[0]!.text)?.[1]);
      const contact = Number(/Contact: <sip:x@[\d.]+:(\d+)>/.exec(got[0]!.text)?.[1]);
      await shoots(socket, [media, contact]);
      assert.deepEqual(seen, []);
      // An accomplice gets media, because he is a provider like any other; the port that Contact names still gets SIP alone.
      const answer = ['100 Trying', '180 Ringing'].map((line) =>
        got[0]!.text
          .slice(0, got[0]!.text.indexOf('\r\n\r\n'))
          .replace(/^.*\r\n/, `SIP/2.0 ${line}\r\n`)
          .replace(/Content-Type.*\r\n/, '')
          .replace(/Content-Length: \d+/, 'Content-Length: 0'),
      );
      for (const text of answer)
        await new Promise((sent) =>
          socket.send(`${text}\r\n\r\n`, got[0]!.port, addresses.routerExternal, sent),
        );
      await delay(SETTLED_MS);
      await shoots(socket, [contact]);
      assert.deepEqual(seen, []);
    },
  );
});
