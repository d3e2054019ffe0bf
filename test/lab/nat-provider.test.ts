/** A provider that does its own NAT handling: it goes by where packets come from, and relays all media itself. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { addresses } from '../../demo/network.ts';
import { Baresip } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, eventually, flowsOf, type Lab, labFile, scenario, talk } from './lab.ts';
import { Rtpengine } from './rtpengine.ts';

const passwords = { alice: 'wonderland', carol: 'chess' };
const ALICE_HERTZ = 440;
const BOB_HERTZ = 1000;

async function natProvider(lab: Lab): Promise<void> {
  await lab.own(Rtpengine.start(lab.network));
  await lab.own(Kamailio.start(lab.network, { passwords, handlesNat: true }));
}

async function connect(from: Agent, to: Agent): Promise<{ calling: Call; called: Call }> {
  const seen = to.calls.entries.length;
  const calling = await from.call(to.aor);
  const called = await to.incoming(3000, seen);
  called.answer();
  await calling.reached('confirmed');
  await called.reached('confirmed');
  await talk(called, calling);
  return { calling, called };
}

/** What a call hears comes from rtpengine, whoever it talks to. */
function byRelay(...calls: Call[]): void {
  for (const { media } of calls)
    assert.deepEqual([...new Set(media.sources().map((one) => one.split(':')[0]))], [addresses.media]);
}

labFile('a provider with its own NAT handling', ['conntrack', 'kamailio', 'rtpengine', 'baresip'], () => {
  scenario('baresip calls out and is called, by rtpengine, both record the other', {}, async (lab) => {
    await natProvider(lab);
    const shared = { answers: true };
    const bob = await lab.own(
      Baresip.start(lab.network, {
        ...shared,
        host: 'provider',
        address: addresses.farEnd,
        user: 'bob',
        hertz: BOB_HERTZ,
        firstMediaPort: 20_000,
      }),
    );
    const alice = await lab.own(
      Baresip.start(lab.network, {
        ...shared,
        host: 'phone1',
        address: addresses.phone1,
        user: 'alice',
        password: passwords.alice,
        hertz: ALICE_HERTZ,
        firstMediaPort: 10_000,
      }),
    );
    for (const [caller, called, user] of [
      [alice, bob, 'bob'],
      [bob, alice, 'alice'],
    ] as const) {
      const from = [caller.events.entries.length, called.events.entries.length] as const;
      caller.dial(`sip:${user}@${addresses.provider}`);
      await caller.event('CALL_ESTABLISHED', 5000, from[0]);
      await called.event('CALL_ESTABLISHED', 5000, from[1]);
      await alice.hears(BOB_HERTZ);
      await bob.hears(ALICE_HERTZ);
      caller.hangup();
      await called.event('CALL_CLOSED', 5000, from[1]);
    }
  });

  scenario('two phones behind the router call each other, either way, by rtpengine', {}, async (lab) => {
    await natProvider(lab);
    const alice = await lab.phone({ rport: true, password: passwords.alice });
    const carol = await lab.phone({ rport: true, password: passwords.carol, host: 'phone2', hertz: 620 });
    // A provider that puts another host into the Contact is understood by most phones, if not by strict ones.
    if (lab.gateway === undefined) for (const phone of [alice, carol]) phone.takes = () => true;
    await Promise.all([alice.register(), carol.register()]);
    for (const [from, to] of [
      [alice, carol],
      [carol, alice],
    ] as const) {
      const { calling, called } = await connect(from, to);
      byRelay(calling, called);
      await calling.offerAgain('inactive');
      const sdp = await calling.offerAgain('sendrecv');
      calling.media.start(sdp!, calling.hertz);
      await talk(called, calling);
      await called.hangup();
      await calling.reached('ended');
    }
    if (lab.gateway !== undefined) {
      const { entries } = lab.gateway.log;
      assert.ok(
        entries.some(({ msg, summary }) => msg === 'message.translated' && /^INVITE/.test(String(summary))),
        'all of it in assist, which is the default',
      );
    }
    assertContent(alice, carol);
  });

  scenario(
    'a phone is called after it was idle for longer than the router keeps a flow',
    { network: { udpTimeoutSeconds: 2 }, without: /an incoming call/, only: 'nat' },
    async (lab) => {
      await natProvider(lab);
      const alice = await lab.phone({ rport: true, password: passwords.alice });
      const bob = await lab.outsider('bob', addresses.farEnd, {
        domain: addresses.provider,
        outbound: { address: addresses.provider, port: 5060 },
        rport: true,
      });
      await Promise.all([alice.register(), bob.register()]);
      // With the gateway its own flow to the provider stays: the registration holds it.
      if (lab.gateway === undefined)
        await eventually(() => flowsOf(lab, alice.wire.port) === 0, 8_000, 'the router forgets the phone');
      else
        await eventually(
          () =>
            !lab.network.run('router', 'conntrack', '-L', '-p', 'udp').includes(`src=${addresses.phone1} `),
          8_000,
          'the router forgets the phone',
        );
      const { calling, called } = await connect(bob, alice);
      byRelay(called);
      await called.hangup();
      await calling.reached('ended');
      assertContent(alice, bob);
    },
  );
});
