/** What the gateway does not understand, or what is not its business, passes byte for byte, as it would without it. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import { statusOf } from '../../demo/message.ts';
import { addresses, type Host } from '../../demo/network.ts';
import { type Exchange, SipSocket } from '../../demo/transport.ts';
import { assertContent, type Lab, labFile, scenario } from './lab.ts';

const TRUNCATED = [
  'INVITE sip:bob@198.51.100.5 SIP/2.0',
  'Via: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bKtrunc',
  'From: <sip:alice@198.51.100.5>;tag=1',
  'To: <sip:bob@198.51.100.5>',
  'Call-ID: truncated',
  'CSeq: 1 INVITE',
  'Contact: <sip:alice@192.168.1.10:50',
].join('\r\n');

/** Datagrams that are not SIP, or not quite. */
const oddities: Readonly<Record<string, Buffer>> = {
  empty: Buffer.alloc(0),
  'a keepalive (CRLF CRLF)': Buffer.from('\r\n\r\n'),
  'one zero byte': Buffer.alloc(1),
  'a STUN binding request': Buffer.from('000100002112a442000102030405060708090a0b', 'hex'),
  'all byte values': Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  'an RTP packet': Buffer.concat([Buffer.from('800000010000000a0000000b', 'hex'), Buffer.alloc(160, 0xd5)]),
  'a truncated INVITE': Buffer.from(TRUNCATED),
  'header fields without an end': Buffer.from(
    'OPTIONS sip:a@192.168.1.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.10:5060\r\n',
  ),
  'a request line alone': Buffer.from('REGISTER sip:198.51.100.5 SIP/2.0\r\n\r\n'),
  'bare line feeds': Buffer.from(`${TRUNCATED.replaceAll('\r\n', '\n')}60>\n\n`),
  'a broken Via': Buffer.from(
    'OPTIONS sip:a@192.168.1.10 SIP/2.0\r\nVia: SIP/2.0/UDP [192.168.1.10:;;branch\r\nCall-ID: x\r\n\r\n',
  ),
  'another protocol': Buffer.from('GET / HTTP/1.1\r\nHost: 192.168.1.10:5060\r\n\r\n'),
  'ISO 8859-1 and quotes without an end': Buffer.from(
    'OPTIONS sip:\xe4@h SIP/2.0\r\nFrom: "\xfc <sip:x@192.168.1.10>\r\n\r\n',
    'latin1',
  ),
};

const received = (socket: SipSocket): Exchange[] =>
  socket.journal.entries.filter((e) => e.direction === 'in');

async function bare(lab: Lab, host: Host, address: string, port: number): Promise<SipSocket> {
  const socket = new SipSocket(await lab.network.socket(host, address, port), false);
  lab.defer(() => socket.close());
  return socket;
}

/** The next thing that arrives (`sent` is how many did before) is these bytes. */
async function arrives(socket: SipSocket, bytes: Buffer, sent: number, what: string): Promise<Exchange> {
  const where = `${what} at ${socket.address}:${socket.port}`;
  await socket.journal.until(() => received(socket).length > sent, 2000, where);
  const entry = received(socket)[sent]!;
  assert.equal(entry.bytes.toString('latin1'), bytes.toString('latin1'), where);
  return entry;
}

/** All that one agent sent to the other has arrived there as it was sent. */
function assertUntouched(a: SipSocket, b: SipSocket): void {
  const texts = (socket: SipSocket, direction: 'in' | 'out'): string[] =>
    socket.journal.entries.filter((e) => e.direction === direction).map((e) => e.bytes.toString('latin1'));
  assert.deepEqual(texts(b, 'in'), texts(a, 'out'));
  assert.deepEqual(texts(a, 'in'), texts(b, 'out'));
}

labFile('untouched', ['conntrack'], () => {
  scenario(
    'malformed, truncated, empty and non-SIP datagrams on port 5060 pass byte for byte, both ways',
    {},
    async (lab) => {
      const phone = await bare(lab, 'phone1', addresses.phone1, 5060);
      const provider = await bare(lab, 'provider', addresses.provider, 5060);
      for (const [i, [what, bytes]] of Object.entries(oddities).entries()) {
        phone.send(bytes, { address: addresses.provider, port: 5060 });
        const { remote } = await arrives(provider, bytes, i, what);
        provider.send(bytes, remote);
        await arrives(phone, bytes, i, `${what}, on its way back,`);
      }
    },
  );

  scenario(
    'a PBX behind a port forward of 5060 works as before, untouched',
    { network: { forwardToPbx: true }, only: 'nat' },
    async (lab) => {
      const provider = await lab.outsider('trunk', addresses.provider, { onCall: 'answer' });
      const pbx = await pbxAgent(lab);
      const call = await provider.call(pbx.contactUri);
      const inside = await pbx.incoming();
      inside.answer();
      await call.reached('confirmed');
      await inside.reached('confirmed');
      assert.equal(statusOf(await inside.request('INFO').final(2000)), 200);
      assert.equal(statusOf(await call.hangup()), 200);
      assertUntouched(provider.wire, pbx.wire);
      assertContent(provider, pbx);
    },
  );

  scenario(
    'a PBX behind a port forward registers and calls from its own side as before',
    { network: { forwardToPbx: true }, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider({ onCall: 'answer' });
      const pbx = await pbxAgent(lab);
      await pbx.register();
      assert.equal(provider.contactOf('pbx'), pbx.contactUri);
      const call = await provider.call('pbx');
      await pbx.incoming();
      await call.reached('ringing');
      const out = await pbx.call('sip:bob@198.51.100.5');
      await out.reached('confirmed');
      await (await provider.agent.incoming()).reached('confirmed');
      assertUntouched(provider.agent.wire, pbx.wire);
      assertContent(provider.agent, pbx);
    },
  );

  scenario("the router's own SIP client is left alone", {}, async (lab) => {
    const provider = await lab.outsider('trunk', addresses.provider);
    const own = await bare(lab, 'router', addresses.routerExternal, 5060);
    await options(own, `sip:${addresses.provider}`, { address: addresses.provider, port: 5060 });
    assertUntouched(own, provider.wire);
    const source = received(provider.wire)[0]!.remote;
    assert.deepEqual(source, { address: addresses.routerExternal, port: 5060 });
  });

  scenario("a SIP server of the router's own answers the phones itself", {}, async (lab) => {
    const server = await bare(lab, 'router', addresses.routerInternal, 5060);
    server.onRequest = (request, remote) => server.respond(request, remote, '200 OK');
    const phone = await bare(lab, 'phone1', addresses.phone1, 5060);
    await options(phone, `sip:${addresses.routerInternal}`, {
      address: addresses.routerInternal,
      port: 5060,
    });
    assertUntouched(phone, server);
    assert.deepEqual(phone.violations, []);
  });
});

/** A PBX that knows about its port forward: it names the router's address in all that it writes. */
async function pbxAgent(lab: Lab): Promise<Agent> {
  return lab.phone({
    host: 'pbx',
    user: 'pbx',
    publicEndpoint: { address: addresses.routerExternal, port: 5060 },
  });
}

async function options(from: SipSocket, uri: string, to: { address: string; port: number }): Promise<void> {
  const fields = [
    ['From', `<sip:x@${from.address}>;tag=1`],
    ['To', `<${uri}>`],
    ['Call-ID', `options@${from.address}`],
    ['CSeq', '1 OPTIONS'],
  ] as const;
  const response = await from.request(`OPTIONS ${uri} SIP/2.0`, fields, '', to).final(2000);
  assert.equal(statusOf(response), 200);
}
