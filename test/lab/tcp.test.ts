/** SIP over TCP: registered and called, however the stream is cut, and what is no SIP untouched. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { formatMessage } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import type { TcpWire } from '../../demo/tcp-wire.ts';
import { Baresip } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, type Lab, labFile, scenario, talk } from './lab.ts';
import { Sipp } from './sipp.ts';

const password = 'wonderland';
const passwords = { alice: password, bob: 'builder' };
const PROVIDER = { address: addresses.provider, port: 5060 };

async function parties(lab: Lab, listens = true) {
  const there = await lab.wire('provider', addresses.provider);
  const provider = await lab.provider({ passwords }, there);
  const here = await lab.wire('phone1', addresses.phone1, 5060, listens);
  const alice = await lab.phone({ password, onCall: 'answer' }, here);
  return { there, provider, here, alice };
}

/** A connection from the phone to the provider, and the provider's end of it once it is there. */
async function rawPair(lab: Lab): Promise<{ here: Socket; there: () => Promise<Socket>; wire: TcpWire }> {
  const wire = await lab.wire('provider', addresses.provider);
  const phone = await lab.wire('phone1', addresses.phone1, 5060, false);
  wire.halfOpen = true;
  phone.halfOpen = true;
  const accepted = once(wire, 'connection') as Promise<[Socket]>;
  const here = phone.connect(addresses.provider, 5060);
  await once(here, 'connect');
  return { here, there: async () => (await accepted)[0], wire };
}

/** Waits until a socket has brought that many octets; all that it brings, as one string. */
async function octets(socket: Socket, count: number): Promise<string> {
  let text = '';
  while (text.length < count) text += ((await once(socket, 'data')) as [string])[0];
  return text;
}

/** Waits for the end of a connection; whether it broke. */
function gone(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => socket.once('close', resolve));
}

function register(callId: string, expires = 300): Buffer {
  const contact = `${addresses.phone1}:5060`;
  return formatMessage({
    start: `REGISTER sip:${addresses.provider} SIP/2.0`,
    fields: [
      ['Via', `SIP/2.0/TCP ${contact};branch=z9hG4bK${callId}`],
      ['Max-Forwards', '70'],
      ['From', `<sip:alice@${addresses.provider}>;tag=${callId}`],
      ['To', `<sip:alice@${addresses.provider}>`],
      ['Call-ID', callId],
      ['CSeq', '1 REGISTER'],
      ['Contact', `<sip:alice@${contact};transport=tcp>`],
      ['Expires', String(expires)],
    ],
    body: '',
  });
}

labFile('tcp', ['conntrack', 'kamailio', 'baresip', 'sipp'], () => {
  scenario(
    'a phone registers over TCP and is called at its Contact over its own connection, with audio both ways',
    { without: /an incoming call/ },
    async (lab) => {
      const { there, provider, here, alice } = await parties(lab);
      await alice.register();
      const call = await provider.call('alice');
      const called = await alice.incoming(1500);
      await call.reached('confirmed');
      await talk(called, call);
      await called.hangup();
      await call.reached('ended');
      assertContent(alice, provider.agent);
      // The provider finds the Contact's endpoint as the source of a connection that it has, and needs no other.
      if (lab.gateway !== undefined)
        assert.deepEqual([there.accepted, there.made, here.accepted, here.made], [1, 0, 0, 1]);
    },
  );

  scenario(
    'baresip over TCP calls baresip through Kamailio and is called back, both record the other',
    { without: /records \d+ Hz|CALL_ESTABLISHED/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { passwords }));
      const options = { hertz: 1000, password: 'builder', firstMediaPort: 20_000, answers: true } as const;
      const bob = await lab.own(
        Baresip.start(lab.network, { host: 'provider', address: addresses.farEnd, user: 'bob', ...options }),
      );
      const alice = await lab.own(
        Baresip.start(lab.network, {
          ...options,
          host: 'phone1',
          address: addresses.phone1,
          user: 'alice',
          password,
          hertz: 440,
          transport: 'tcp',
        }),
      );
      alice.dial('sip:bob@198.51.100.5;transport=tcp');
      await Promise.all([alice.event('CALL_ESTABLISHED'), bob.event('CALL_ESTABLISHED')]);
      await alice.hears(1000);
      await bob.hears(440);
      alice.hangup();
      await bob.event('CALL_CLOSED');
      const from = bob.events.entries.length;
      bob.dial('sip:alice@198.51.100.5');
      await bob.event('CALL_ESTABLISHED', 5000, from);
      bob.hangup();
      await alice.event('CALL_CLOSED', 5000, 1);
    },
  );

  for (const by of ['t1', 'tn'] as const)
    scenario(
      `forty SIPp calls over ${by === 't1' ? 'one TCP connection' : 'a TCP connection each'} go out through Kamailio, and their BYE comes in`,
      { only: 'gateway', network: { firewall: false } },
      async (lab) => {
        await lab.own(Kamailio.start(lab.network));
        const calls = 40;
        const uas = Sipp.start(lab.network, {
          host: 'provider',
          address: addresses.farEnd,
          port: 5080,
          scenario: 'uas',
          calls,
        });
        lab.defer(() => uas.close());
        const uac = Sipp.start(lab.network, {
          host: 'phone1',
          address: addresses.phone1,
          port: 5060,
          scenario: 'uac',
          calls,
          rate: 25,
          by,
        });
        lab.defer(() => uac.close());
        await uac.done();
        await uas.done();
      },
    );

  scenario(
    'a REGISTER that comes octet by octet, and three in one segment with keepalives between them, are registered',
    { without: /the Contact names the phone/ },
    async (lab) => {
      const { provider, here, there } = await parties(lab, false);
      const socket = here.connect(PROVIDER.address, PROVIDER.port);
      await once(socket, 'connect');
      const responses: number[] = [];
      const ended = Promise.withResolvers<void>();
      here.on('message', () => {
        if (responses.push(1) === 4) ended.resolve();
      });
      for (const octet of register('octets')) {
        socket.write(Buffer.of(octet));
        // Each in a segment of its own: Nagle is off, and the kernel has taken the one before.
        await new Promise((resolve) => setImmediate(resolve));
      }
      let pings = 0;
      there.on('ping', () => pings++);
      const crlf = Buffer.from('\r\n\r\n');
      socket.write(Buffer.concat([crlf, register('a'), crlf, register('b'), register('c'), crlf]));
      await once(here, 'pong');
      await ended.promise;
      assert.ok(pings >= 1);
      // Without a password each is challenged; what the provider took in is what is looked at.
      const seen = provider.agent.wire.journal.entries.filter((e) => e.direction === 'in');
      assert.deepEqual(
        seen.map(({ message }) => message?.fields.find(([name]) => name === 'Call-ID')?.[1]),
        ['octets', 'a', 'b', 'c'],
      );
      if (lab.network.options.nat === 'routed') return;
      for (const { message } of seen) {
        const contact = message?.fields.find(([name]) => name === 'Contact')?.[1] ?? '';
        assert.match(contact, new RegExp(addresses.routerExternal), 'the Contact names the phone');
      }
    },
  );

  scenario('TLS on port 5060 passes octet for octet, both ways, and half a close does', {}, async (lab) => {
    const { here, there } = await rawPair(lab);
    const hello = Buffer.concat([
      Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]),
      Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 7) & 0xff)),
    ]);
    here.write(hello);
    const far = await there();
    assert.equal(await octets(far, hello.length), hello.toString('latin1'));
    // What looks like SIP in a stream that is none is not touched either.
    const later = register('inside');
    here.end(later);
    const text = octets(far, later.length);
    const ended = once(far, 'end');
    assert.equal(await text, later.toString('latin1'));
    await ended;
    const answer = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 13) & 0xff));
    const heard = octets(here, answer.length);
    far.end(answer);
    assert.equal(await heard, answer.toString('latin1'));
  });

  scenario('a connection that one side breaks off is broken off for the other', {}, async (lab) => {
    const { here, there } = await rawPair(lab);
    here.write(register('reset'));
    const far = await there();
    await once(far, 'data');
    const closed = gone(here);
    far.resetAndDestroy();
    assert.ok(await closed, 'it broke');
  });

  scenario('a provider that refuses connections is seen by the phone', {}, async (lab) => {
    const phone = await lab.wire('phone1', addresses.phone1, 5060, false);
    const socket = phone.connect(addresses.provider, 5060);
    const closed = gone(socket);
    socket.write(register('refused'));
    await closed;
  });

  scenario(
    'a provider that opens a connection of its own reaches the phone over the one that it has',
    { only: 'gateway', network: { firewall: false } },
    async (lab) => {
      const { there, provider, here, alice } = await parties(lab, false);
      await alice.register();
      // It forgets its connections, without closing them.
      there.connections.clear();
      const call = await provider.call('alice');
      await alice.incoming(1500);
      await call.reached('confirmed');
      await call.hangup();
      assertContent(alice);
      assert.deepEqual([there.made, here.accepted], [1, 0]);
    },
  );

  scenario(
    'a phone whose connection is gone is called over a new one, to where it listens',
    { only: 'gateway', network: { firewall: false } },
    async (lab) => {
      const { provider, here, alice } = await parties(lab);
      await alice.register();
      const [socket] = here.connections.values();
      const closed = gone(socket!);
      socket!.end();
      await closed;
      const call = await provider.call('alice');
      await alice.incoming(1500);
      await call.reached('confirmed');
      await call.hangup();
      assertContent(alice);
      assert.equal(here.accepted, 1);
    },
  );

  scenario(
    'the port stays the same when the phone connects anew, also while TCP remembers the old connection',
    { only: 'gateway' },
    async (lab) => {
      const { there, provider, here, alice } = await parties(lab, false);
      await alice.register();
      const before = provider.bindings.entries.at(-1);
      const [socket] = here.connections.values();
      const closed = gone(socket!);
      socket!.end();
      await closed;
      await alice.register();
      const after = provider.bindings.entries.at(-1);
      assert.equal(after?.contact, before?.contact);
      assert.deepEqual(after?.source, before?.source);
      assert.equal(there.accepted, 2);
    },
  );

  scenario(
    'a phone goes from UDP to TCP and back, and is called where it was last',
    { only: 'gateway' },
    async (lab) => {
      const there = await lab.wire('provider', addresses.provider);
      const tcpProvider = await lab.provider({}, there);
      const udpProvider = await lab.provider();
      const here = await lab.wire('phone1', addresses.phone1);
      const byTcp = await lab.phone({ onCall: 'answer' }, here);
      const byUdp = await lab.phone({ onCall: 'answer' });
      for (const [phone, provider] of [
        [byUdp, udpProvider],
        [byTcp, tcpProvider],
        [byUdp, udpProvider],
      ] as const) {
        const seen = phone.calls.entries.length;
        await phone.register();
        const call = await provider.call('alice');
        const called = await phone.incoming(1500, seen);
        await call.reached('confirmed');
        await called.hangup();
        await call.reached('ended');
      }
      assertContent(byTcp, byUdp);
      const [udp, tcp] = [udpProvider.contactOf('alice'), tcpProvider.contactOf('alice')];
      assert.equal(tcp, `${udp};transport=tcp`);
    },
  );

  scenario(
    'the gateway is killed: the phone connects anew, by plain NAT',
    { only: 'gateway' },
    async (lab) => {
      const { here, there, wire } = await rawPair(lab);
      here.write('OPTIONS sip:x@y SIP/2.0\r\nContent-Length: 0\r\n\r\n');
      await once(await there(), 'data');
      const closed = once(here, 'end');
      await lab.gateway?.stop('SIGKILL');
      await closed;
      const again = await lab.wire('phone1', addresses.phone1, 5070, false);
      const accepted = once(wire, 'connection') as Promise<[Socket]>;
      const socket = again.connect(addresses.provider, 5060);
      const far = await accepted;
      const message = register('plain');
      socket.write(message);
      assert.equal(await octets(far[0], message.length), message.toString('latin1'));
    },
  );

  scenario(
    'a connection that was there before the gateway stays as it is',
    { only: 'gateway' },
    async (lab) => {
      await lab.gateway?.stop();
      const { here, there } = await rawPair(lab);
      const message = register('before');
      here.write(message);
      const far = await there();
      assert.equal(await octets(far, message.length), message.toString('latin1'));
      await lab.startGateway();
      here.write(message);
      assert.equal(await octets(far, message.length), message.toString('latin1'));
    },
  );

  scenario(
    'what nobody reads is not taken in without end, and harms no other connection',
    { only: 'gateway' },
    async (lab) => {
      const { here, there, wire } = await rawPair(lab);
      here.write(register('stuck'));
      const far = await there();
      await once(far, 'data');
      far.pause();
      const message = register('flood');
      const flood = Buffer.concat(Array.from({ length: 200 }, () => message));
      // Until the kernel takes no more: the gateway has stopped reading.
      while (here.writableLength < 4 * 1024 * 1024) here.write(flood);
      const rss = Number(
        /VmRSS:\s+(\d+)/.exec(
          lab.network.run('router', 'cat', `/proc/${lab.gateway?.program.pid}/status`),
        )?.[1],
      );
      assert.ok(rss < 260_000, `${rss} kB resident`);
      const second = await lab.wire('phone2', addresses.phone2, 5060, false);
      const accepted = once(wire, 'connection');
      const other = second.connect(addresses.provider, 5060);
      await once(other, 'connect');
      other.write(register('other').toString('latin1').replaceAll(addresses.phone1, addresses.phone2));
      const [end] = (await accepted) as [Socket];
      await once(end, 'data');
      // Whoever begins to read gets everything, in its order.
      let count = 0;
      wire.on('message', () => count++);
      const wanted = Math.round((here.bytesWritten - 0) / message.length) - 1;
      far.resume();
      while (count < wanted) await once(wire, 'message');
      assert.ok(count >= wanted);
    },
  );
});
