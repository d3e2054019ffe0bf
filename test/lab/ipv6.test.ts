/**
 * IPv6 through a router that does not translate it, behind a firewall that drops what it does not know: nothing is changed,
 * phones stay reachable, and media comes in before the phone has sent any. And IPv6 that is translated (NAT66).
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { hostPortOf } from '../../demo/message.ts';
import { addresses6, ula } from '../../demo/network.ts';
import type { SipSocket } from '../../demo/transport.ts';
import { Baresip, type BaresipOptions } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, inLab, type Lab, labFile, PROVIDER_HERTZ, scenario, talk } from './lab.ts';

const CHAIN = 'inet firewall forward';
const BOB = `sip:bob@[${addresses6.provider}]`;
const gateway = { args: ['--accept-chain', CHAIN] };

/** All that one side sent arrives at the other as it was sent. */
async function untouched(a: SipSocket, b: SipSocket): Promise<void> {
  const texts = (socket: SipSocket, direction: 'in' | 'out'): string[] =>
    socket.journal.entries.filter((e) => e.direction === direction).map((e) => e.bytes.toString('latin1'));
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const sent = texts(from, 'out');
    assert.ok(sent.length > 0);
    await to.journal.until(() => texts(to, 'in').length >= sent.length, 2000, 'all that was sent');
    assert.deepEqual(texts(to, 'in'), sent);
  }
}

function configFile(lab: Lab, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'sipalg-lab-'));
  lab.defer(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'gateway.toml');
  writeFileSync(file, text);
  return file;
}

labFile('IPv6', ['conntrack', 'kamailio', 'baresip'], () => {
  scenario(
    'routed: a phone is called after it was idle for longer than the router keeps a flow, and not a byte is changed',
    { network: { ipv6: 'routed', udpTimeoutSeconds: 2 }, gateway, without: /an incoming call/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider6();
      const alice = await lab.phone6({ onCall: 'answer' });
      await alice.register();
      await delay(4500);
      const call = await provider.call('alice');
      const inside = await alice.incoming(1500);
      await call.reached('confirmed');
      await talk(inside, call);
      await call.hangup();
      assertContent(alice);
      await untouched(alice.wire, provider.agent.wire);
    },
  );

  scenario(
    'routed: a phone that sends nothing hears early media, and after BYE nobody gets in',
    { network: { ipv6: 'routed' }, gateway, without: /RTP packets/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider6({ onCall: 'nothing', keepsTalking: true });
      const alice = await lab.phone6({ talk: false });
      await alice.register();
      const inside = await alice.call(BOB, { talk: false });
      const outside = await provider.agent.incoming();
      outside.earlyMedia();
      await inside.media.hear(PROVIDER_HERTZ);
      outside.answer();
      await inside.reached('confirmed');
      await inside.media.hear(PROVIDER_HERTZ);
      await inside.hangup();
      // Both ends go on sending; the firewall has forgotten them, and knows of nobody whom it should let in.
      const { log } = lab.gateway!;
      await log.until((line) => line.msg === 'media.closed', 2000, 'the media is closed');
      const stops = inside.media.received.entries.length;
      const sent = outside.media.sent;
      while (outside.media.sent < sent + 50) await delay(20);
      assert.ok(inside.media.received.entries.length - stops < 15, 'it has ended within 300 ms');
      assertContent(alice);
    },
  );

  scenario(
    'routed: signalled over TCP, a phone that sends nothing hears early media, and after BYE nobody gets in',
    { network: { ipv6: 'routed' }, gateway, without: /RTP packets/, only: 'nat' },
    async (lab) => {
      const there = await lab.wire('provider', addresses6.provider);
      const provider = await lab.provider6({ onCall: 'nothing', keepsTalking: true }, there);
      const here = await lab.wire('phone1', addresses6.phone1, 5060, false);
      const alice = await lab.phone6({ talk: false }, here);
      await alice.register();
      const inside = await alice.call(BOB, { talk: false });
      const outside = await provider.agent.incoming();
      outside.earlyMedia();
      await inside.media.hear(PROVIDER_HERTZ);
      outside.answer();
      await inside.reached('confirmed');
      await inside.media.hear(PROVIDER_HERTZ);
      await inside.hangup();
      const { log } = lab.gateway!;
      await log.until((line) => line.msg === 'media.closed', 2000, 'the media is closed');
      const stops = inside.media.received.entries.length;
      const sent = outside.media.sent;
      while (outside.media.sent < sent + 50) await delay(20);
      assert.ok(inside.media.received.entries.length - stops < 15, 'it has ended within 300 ms');
      assertContent(alice);
      await untouched(alice.wire, provider.agent.wire);
    },
  );

  test('routed: a TCP connection that is older than the gateway is not followed; one that the phone makes anew is', () =>
    inLab({ ipv6: 'routed' }, async (lab) => {
      const there = await lab.wire('provider', addresses6.provider);
      const provider = await lab.provider6({ onCall: 'nothing', keepsTalking: true }, there);
      const here = await lab.wire('phone1', addresses6.phone1, 5060, false);
      const alice = await lab.phone6({ talk: false }, here);
      await alice.register();
      await lab.startGateway(gateway);
      const earlyMedia = async (): Promise<void> => {
        const seen = provider.agent.calls.entries.length;
        const inside = await alice.call(BOB, { talk: false });
        const outside = await provider.agent.incoming(2000, seen);
        outside.earlyMedia();
        await inside.media.hear(PROVIDER_HERTZ, 1500);
      };
      // A gap: nobody knows what has gone over it before, so that what goes over it now may be no message.
      await assert.rejects(earlyMedia(), /RTP packets/);
      for (const socket of here.connections.values()) socket.destroy();
      here.connections.clear();
      await alice.register();
      await earlyMedia();
    }));

  scenario(
    'routed: a stranger behind the same firewall is not let in, and his INVITE opens nothing',
    { network: { ipv6: 'routed' }, gateway, only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider6();
      const alice = await lab.phone6({ onCall: 'answer' });
      await alice.register();
      const mallory = await lab.outsider('mallory', addresses6.stranger);
      const contact = provider.contactOf('alice') ?? '';
      await mallory.call(contact, { to: hostPortOf(contact) });
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      const media = await mallory.openMedia();
      lab.defer(() => media.close());
      for (let i = 0; i < 20; i++) media.sendPacket(outside.remoteSdp!, 2100);
      await inside.media.hear(PROVIDER_HERTZ);
      assert.equal(alice.calls.entries.length, 1);
      assert.deepEqual(
        new Set(inside.media.sources()),
        new Set([`${addresses6.media}:${outside.media.port}`]),
      );
      assertContent(alice);
    },
  );

  scenario(
    'routed: a phone registers at Kamailio with digest, idles, and is called through it; its own call goes out through it',
    { network: { ipv6: 'routed', udpTimeoutSeconds: 2 }, gateway, without: /an incoming call/, only: 'nat' },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { ipv6: true, passwords: { alice: 'wonderland' } }));
      const options = { domain: `[${addresses6.provider}]`, onCall: 'answer' } as const;
      const proxy = { address: addresses6.provider, port: 5060 };
      const bob = await lab.outsider('bob', addresses6.farEnd, { ...options, outbound: proxy });
      const alice = await lab.phone6({ password: 'wonderland', rport: true, onCall: 'answer' });
      await Promise.all([alice.register(), bob.register()]);
      await delay(4500);
      const outside = await bob.call(`sip:alice@[${addresses6.provider}]`);
      const inside = await alice.incoming(1500);
      await outside.reached('confirmed');
      await talk(inside, outside);
      await outside.hangup();
      const call = await alice.call(BOB);
      const rung = await bob.incoming();
      await call.reached('confirmed');
      await talk(call, rung);
      await call.hangup();
      assertContent(alice, bob);
    },
  );

  for (const how of ['routed', 'masquerade'] as const)
    scenario(
      `two baresips call each other through Kamailio, both record the other (${how})`,
      { network: { ipv6: how }, gateway, only: 'gateway' },
      async (lab) => {
        await lab.own(Kamailio.start(lab.network, { ipv6: true }));
        const start = (
          options: Pick<BaresipOptions, 'host' | 'address' | 'user' | 'hertz'>,
        ): Promise<Baresip> =>
          lab.own(
            Baresip.start(lab.network, {
              password: 'none',
              firstMediaPort: 10_000,
              answers: true,
              ...options,
            }),
          );
        const bob = await start({ host: 'provider', address: addresses6.farEnd, user: 'bob', hertz: 1000 });
        const inside = how === 'routed' ? addresses6 : ula;
        const alice = await start({ host: 'phone1', address: inside.phone1, user: 'alice', hertz: 440 });
        bob.dial(`sip:alice@[${addresses6.provider}]`);
        await Promise.all([alice.event('CALL_ESTABLISHED'), bob.event('CALL_ESTABLISHED')]);
        await Promise.all([alice.hears(1000), bob.hears(440)]);
        alice.hangup();
        await Promise.all([alice.event('CALL_CLOSED'), bob.event('CALL_CLOSED')]);
      },
    );

  for (const how of ['routed', 'masquerade'] as const)
    scenario(
      `baresip calls over TCP through Kamailio, both record the other, and it is called (${how})`,
      { network: { ipv6: how }, gateway, only: 'gateway' },
      async (lab) => {
        await lab.own(Kamailio.start(lab.network, { ipv6: true }));
        const shared = { password: 'none', firstMediaPort: 10_000, answers: true } as const;
        const farEnd = { host: 'provider', address: addresses6.farEnd, user: 'bob', hertz: 1000 } as const;
        const bob = await lab.own(Baresip.start(lab.network, { ...shared, ...farEnd }));
        const { phone1: address } = how === 'routed' ? addresses6 : ula;
        const phone = { host: 'phone1', address, user: 'alice', hertz: 440, transport: 'tcp' } as const;
        const alice = await lab.own(Baresip.start(lab.network, { ...shared, ...phone }));
        alice.dial(`sip:bob@[${addresses6.provider}];transport=tcp`);
        await Promise.all([alice.event('CALL_ESTABLISHED'), bob.event('CALL_ESTABLISHED')]);
        await Promise.all([alice.hears(1000), bob.hears(440)]);
        alice.hangup();
        await Promise.all([alice.event('CALL_CLOSED'), bob.event('CALL_CLOSED')]);
        const from = alice.events.entries.length;
        const later = bob.events.entries.length;
        bob.dial(`sip:alice@[${addresses6.provider}]`);
        // Routed, the Contact names 5060, where no connection comes from: the INVITE takes a new one, and the firewall lets that in.
        // Translated, Alice's 200 names the port of her connection, to which nobody can connect: the ACK comes by the mapping.
        await alice.event('CALL_ESTABLISHED', 3000, from);
        bob.hangup();
        await Promise.all([alice.event('CALL_CLOSED', 3000, from), bob.event('CALL_CLOSED', 3000, later)]);
      },
    );

  for (const how of ['routed', 'masquerade'] as const)
    scenario(
      `an INVITE of three kilobytes, which is fragmented, is followed like any (${how})`,
      { network: { ipv6: how }, gateway, only: 'gateway' },
      async (lab) => {
        const provider = await lab.provider6({ onCall: 'nothing' });
        const alice = await lab.phone6({ talk: false });
        await alice.register();
        const inside = await alice.call(BOB, { size: 3000, talk: false });
        const outside = await provider.agent.incoming();
        outside.earlyMedia();
        await inside.media.hear(PROVIDER_HERTZ);
        const back = await provider.call('alice', { size: 3000 });
        (await alice.incoming(3000)).answer();
        await back.reached('confirmed');
        assertContent(alice);
        if (how === 'routed') await untouched(alice.wire, provider.agent.wire);
      },
    );

  for (const [about, table] of [
    ['phone', `[[phone]]\naddress = "${addresses6.phone1}"\nmode = "off"\n`],
    ['provider', `[[provider]]\nname = "p"\naddresses = ["2001:db8:5::/64"]\nmode = "off"\n`],
    ['family', '[linux]\nipv6 = "off"\n'],
  ] as const)
    test(`routed: a ${about} that is off is not followed`, () =>
      inLab({ ipv6: 'routed', udpTimeoutSeconds: 2 }, async (lab) => {
        await lab.startGateway({ args: [...gateway.args, '--config', configFile(lab, table)] });
        const provider = await lab.provider6();
        const alice = await lab.phone6({ onCall: 'answer' });
        const carol = await lab.phone({ host: 'phone2', onCall: 'answer', rport: true });
        const provider4 = await lab.provider();
        await Promise.all([alice.register(), carol.register()]);
        await delay(4500);
        await provider.call('alice');
        const call = await provider4.call('carol');
        await call.reached('confirmed');
        assert.equal(alice.calls.entries.length, 0, 'the firewall has forgotten it, as without us');
      }));

  test('routed: above its rate a phone is not followed any more, and told of; nothing of it is dropped', () =>
    inLab({ ipv6: 'routed' }, async (lab) => {
      const limits = '[limits]\nmessages-per-second-per-phone = 5\n';
      const running = await lab.startGateway({
        args: [...gateway.args, '--config', configFile(lab, limits)],
      });
      const provider = await lab.provider6();
      const alice = await lab.phone6();
      await alice.register();
      const before = provider.agent.wire.journal.entries.length;
      for (let i = 0; i < 60; i++)
        alice.wire.send(Buffer.from(`flood ${i}`), { address: addresses6.provider, port: 5060 });
      const { journal } = provider.agent.wire;
      await journal.until(() => journal.entries.length >= before + 60, 2000, 'all sixty arrive');
      const told = await running.log.until(
        (line) => line.code === 'linux.too-fast',
        8000,
        'the limit is told',
      );
      assert.match(String(told.text), /2001:db8:1::10/);
      assert.match(
        JSON.stringify(running.log.entries.find((line) => line.msg === 'ready')),
        /does not translate IPv6/,
      );
    }));

  test('routed: a provider that is configured may call from an address that the phone never spoke to', () =>
    inLab({ ipv6: 'routed' }, async (lab) => {
      const table = `[[provider]]\nname = "trunk"\naddresses = ["${addresses6.stranger}"]\n`;
      await lab.startGateway({ args: [...gateway.args, '--config', configFile(lab, table)] });
      const provider = await lab.provider6();
      const alice = await lab.phone6({ onCall: 'answer' });
      await alice.register();
      const trunk = await lab.outsider('trunk', addresses6.stranger, { domain: `[${addresses6.stranger}]` });
      const contact = provider.contactOf('alice') ?? '';
      const outside = await trunk.call(contact, { to: hostPortOf(contact) });
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
    }));

  for (const [how, signal] of [
    ['killed (-9)', 'SIGKILL'],
    ['stopped', 'SIGTERM'],
  ] as const)
    scenario(
      `routed: the gateway is ${how} mid-call: audio goes on, the phone is still called, and nothing is changed`,
      { network: { ipv6: 'routed', udpTimeoutSeconds: 3 }, gateway, only: 'gateway' },
      async (lab) => {
        const provider = await lab.provider6();
        const alice = await lab.phone6({ onCall: 'answer' });
        await alice.register();
        const outside = await provider.call('alice');
        const inside = await alice.incoming();
        await outside.reached('confirmed');
        await talk(inside, outside);
        await lab.gateway!.stop(signal);
        await talk(inside, outside);
        await outside.hangup();
        // Longer than the router keeps a flow by itself: what the registrar granted still counts.
        await delay(5000);
        const again = await provider.call('alice');
        const last = await alice.incoming(1500, 1);
        await Promise.all([again.reached('confirmed'), last.reached('confirmed')]);
        assertContent(alice);
        await untouched(alice.wire, provider.agent.wire);
      },
    );

  scenario(
    'routed: the gateway is killed and started again mid-call: the BYE still ends what the call had opened',
    { network: { ipv6: 'routed' }, gateway, only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider6({ keepsTalking: true });
      const alice = await lab.phone6({ onCall: 'answer' });
      await alice.register();
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      const old = lab.gateway!;
      await old.stop('SIGKILL');
      const { log } = await lab.startGateway({ ...gateway, stateDir: old.stateDir });
      await talk(inside, outside);
      const elements = (): string =>
        lab.network.run('router', 'nft', 'list', 'set', 'inet', 'sipalg', 'routed_media6');
      assert.match(elements(), /2001:db8:1::10/);
      await inside.hangup();
      await log.until((line) => line.msg === 'media.closed', 2000, 'the media is closed');
      assert.doesNotMatch(elements(), /2001:db8:1::10/);
    },
  );

  scenario(
    'both families at once: a phone that registers over IPv4 and over IPv6 is called on either',
    { network: { ipv6: 'routed' }, gateway, only: 'gateway' },
    async (lab) => {
      const [provider, provider6] = [await lab.provider(), await lab.provider6()];
      const alice = await lab.phone({ onCall: 'answer' });
      const alice6 = await lab.phone6({ onCall: 'answer' });
      await Promise.all([alice.register(), alice6.register()]);
      assert.match(provider.contactOf('alice') ?? '', /@203\.0\.113\.1:/);
      assert.match(provider6.contactOf('alice') ?? '', /@\[2001:db8:1::10\]:5060/);
      const calls = [await provider.call('alice'), await provider6.call('alice')] as const;
      const ends = [await alice.incoming(), await alice6.incoming()] as const;
      for (const call of calls) await call.reached('confirmed');
      await Promise.all([talk(ends[0], calls[0]), talk(ends[1], calls[1])]);
      assertContent(alice, alice6);
    },
  );

  scenario(
    'translated: a call from either side, with audio both ways',
    { network: { ipv6: 'masquerade' }, gateway, without: /final response to REGISTER/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider6();
      const alice = await lab.phone6();
      await alice.register();
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      inside.answer();
      await outside.reached('confirmed');
      await talk(inside, outside);
      await inside.hangup();
      const second = await alice.call(BOB);
      const far = await provider.agent.incoming();
      far.answer();
      await second.reached('confirmed');
      await talk(second, far);
      await far.hangup();
      assertContent(alice);
    },
  );
});
