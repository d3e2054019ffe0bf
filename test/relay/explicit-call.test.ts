/** A whole call in the explicit mode: the engine, the plane and the relay, between a phone and a provider on loopback. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output, PlaneHandler } from '../../src/core/alg/io.ts';
import { type Endpoint, endpoint, formatEndpoint } from '../../src/core/net/address.ts';
import { createExplicitPlane, type ExplicitPlane } from '../../src/gateway/explicit/plane.ts';
import { openPeer, type Peer, type Received } from './peer.ts';

const PHONE = '127.0.1.1';
const PROVIDER = '127.0.2.1';

async function startGateway(): Promise<{ plane: ExplicitPlane; gateway: Endpoint }> {
  const engine = new Engine({
    media: 'relay',
    signallingPorts: { low: 22_000, high: 22_099 },
    mediaPorts: { low: 22_100, high: 22_299 },
  });
  let plane: ExplicitPlane;
  const run = (input: Input): void => {
    for (const output of engine.handle(Date.now(), input)) carryOut(output);
  };
  const carryOut = (output: Output): void => {
    if (output.kind === 'send') plane.send(output.flow, output.bytes);
    else if (output.kind === 'signalling') plane.signalling(output.command);
    else if (output.kind === 'media') plane.media(output.command);
  };
  const handler: PlaneHandler = {
    packet: (flow, bytes, externalAddress, innerAddress) =>
      run({
        kind: 'packet',
        flow,
        bytes,
        ...(externalAddress && { externalAddress }),
        ...(innerAddress && { innerAddress }),
      }),
    opened: (id) => run({ kind: 'opened', id }),
    failed: (id, reason) => run({ kind: 'failed', id, reason }),
    closed: (connection) => run({ kind: 'closed', connection }),
    admits: (local, remote) => engine.admits('tcp', local, remote),
    limit: () => {},
    notice: (code, text) => assert.fail(`${code}: ${text}`),
  };
  plane = await createExplicitPlane({ listen: [endpoint('127.0.0.1', 0)] }, handler);
  return { plane, gateway: plane.addresses[0] as Endpoint };
}

function sip(startLine: string, headers: readonly string[], media?: Endpoint): string {
  const sdp =
    media === undefined
      ? ''
      : [
          'v=0',
          `o=- 1 1 IN IP4 ${media.address}`,
          's=-',
          `c=IN IP4 ${media.address}`,
          't=0 0',
          `m=audio ${media.port} RTP/AVP 0`,
          '',
        ].join('\r\n');
  const type = media === undefined ? [] : ['Content-Type: application/sdp'];
  return [startLine, ...headers, ...type, `Content-Length: ${sdp.length}`, '', sdp].join('\r\n');
}

function header(message: Received, name: string): string {
  const line = message.text.split('\r\n').find((l) => l.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  assert.ok(line !== undefined, `${name} in ${message.text}`);
  return line.slice(name.length + 1).trim();
}

function mediaOf(message: Received): Endpoint {
  const address = /^c=IN IP4 (\S+)/m.exec(message.text)?.[1];
  const port = Number(/^m=audio (\d+)/m.exec(message.text)?.[1]);
  assert.ok(address !== undefined);
  return endpoint(address, port);
}

function answer(to: Received, startLine: string, extra: readonly string[], media?: Endpoint): string {
  const same = ['Via', 'From', 'To', 'Call-ID', 'CSeq'].map((name) => {
    const value = header(to, name);
    return `${name}: ${name === 'To' && !value.includes(';tag=') ? `${value};tag=far` : value}`;
  });
  return sip(startLine, [...same, ...extra], media);
}

test('a phone registers, calls with two-way audio, and is hung up on', { timeout: 20_000 }, async (t) => {
  const { plane, gateway } = await startGateway();
  t.after(() => plane.stop());
  const peer = async (address: string): Promise<Peer> => {
    const one = await openPeer(address);
    t.after(() => one.close());
    return one;
  };
  const phone = await peer(PHONE);
  const phoneMedia = await peer(PHONE);
  const provider = await peer(PROVIDER);
  const providerMedia = await peer('127.0.2.2');
  const registrar = formatEndpoint(provider.at);
  const contact = `<sip:alice@${formatEndpoint(phone.at)}>`;
  const headers = (method: string, cseq: number, callId: string, toTag = ''): string[] => [
    `Via: SIP/2.0/UDP ${formatEndpoint(phone.at)};branch=z9hG4bK${callId}${cseq}${method}`,
    'Max-Forwards: 70',
    'From: <sip:alice@example.com>;tag=near',
    `To: <sip:bob@example.com>${toTag}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq} ${method}`,
  ];

  phone.send(
    sip(`REGISTER sip:${registrar} SIP/2.0`, [
      ...headers('REGISTER', 1, 'reg'),
      `Contact: ${contact}`,
      'Expires: 60',
    ]),
    gateway,
  );
  const register = await provider.receive();
  const outside = formatEndpoint(register.from);
  assert.equal(header(register, 'Contact'), `<sip:alice@${outside}>`);
  assert.match(header(register, 'Via'), new RegExp(`^SIP/2.0/UDP ${outside};`));
  provider.send(
    answer(register, 'SIP/2.0 200 OK', [`Contact: ${header(register, 'Contact')};expires=60`]),
    register.from,
  );
  const registered = await phone.receive();
  assert.deepEqual(registered.from, gateway);
  assert.equal(header(registered, 'Contact'), `${contact};expires=60`);

  phone.send(
    sip(
      `INVITE sip:bob@${registrar} SIP/2.0`,
      [...headers('INVITE', 1, 'call'), `Contact: ${contact}`],
      phoneMedia.at,
    ),
    gateway,
  );
  const invite = await provider.receive();
  const external = mediaOf(invite);
  assert.notDeepEqual(external, phoneMedia.at);
  provider.send(
    answer(invite, 'SIP/2.0 200 OK', [`Contact: <sip:bob@${registrar}>`], providerMedia.at),
    invite.from,
  );
  const ok = await phone.receive();
  const inner = mediaOf(ok);
  assert.equal(inner.address, gateway.address);
  phone.send(sip(`ACK sip:bob@${registrar} SIP/2.0`, headers('ACK', 1, 'call', ';tag=far')), gateway);
  await provider.receive();

  const rtp = (text: string): Buffer => Buffer.from(`\x80\0${text.padEnd(10)}`, 'latin1');
  phoneMedia.send(rtp('hello'), inner);
  const heard = await providerMedia.receive();
  assert.deepEqual([heard.text, heard.from], [rtp('hello').toString('latin1'), external]);
  providerMedia.send(rtp('hi'), external);
  const back = await phoneMedia.receive();
  assert.deepEqual([back.text, back.from], [rtp('hi').toString('latin1'), inner]);

  // The provider hangs up: its BYE goes to the Contact that it was told, and the phone's answer finds its way back.
  const target = /<(sip:[^>]+)>/.exec(header(invite, 'Contact'))?.[1];
  provider.send(
    sip(`BYE ${target} SIP/2.0`, [
      `Via: SIP/2.0/UDP ${registrar};branch=z9hG4bKbye`,
      'Max-Forwards: 70',
      'From: <sip:bob@example.com>;tag=far',
      'To: <sip:alice@example.com>;tag=near',
      'Call-ID: call',
      'CSeq: 9 BYE',
    ]),
    invite.from,
  );
  const bye = await phone.receive();
  assert.ok(bye.text.startsWith(`BYE sip:alice@${formatEndpoint(phone.at)} SIP/2.0\r\n`));
  phone.send(answer(bye, 'SIP/2.0 200 OK', []), gateway);
  assert.match((await provider.receive()).text, /^SIP\/2\.0 200 OK\r\n/);
});
