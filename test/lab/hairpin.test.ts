/** Phones behind one gateway that talk to each other: by a hairpin, by the provider's relay, from one address-of-record. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import type { Call, CallOptions } from '../../demo/call.ts';
import { statusOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, eventually, type Lab, labFile, mediaElements, scenario, talk } from './lab.ts';

const CAROL_HERTZ = 620;
const NOT_CALLED = /an incoming call/;

async function twoPhones(lab: Lab): Promise<{ alice: Agent; carol: Agent }> {
  await lab.own(Kamailio.start(lab.network));
  const alice = await lab.phone({ rport: true });
  const carol = await lab.phone({ rport: true, host: 'phone2', hertz: CAROL_HERTZ });
  await Promise.all([alice.register(), carol.register()]);
  return { alice, carol };
}

async function connect(
  from: Agent,
  to: Agent,
  options: CallOptions = {},
): Promise<{ calling: Call; called: Call }> {
  const seen = to.calls.entries.length;
  const calling = await from.call(to.aor, options);
  const called = await to.incoming(3000, seen);
  called.answer();
  await calling.reached('confirmed');
  await called.reached('confirmed');
  await talk(called, calling);
  return { calling, called };
}

/** With the gateway: each hears the other at the endpoint that the other's SDP named, so that it may check where RTP comes from. */
function asAdvertised(...calls: Call[]): void {
  for (const { media, remoteSdp } of calls)
    assert.deepEqual(media.sources(), [`${remoteSdp?.address}:${remoteSdp?.port}`]);
}

async function cleared(lab: Lab): Promise<void> {
  if (lab.gateway !== undefined)
    await eventually(() => mediaElements(lab) === 0, 3_000, 'the media of the calls is shut');
}

labFile('hairpin', ['conntrack', 'kamailio'], () => {
  for (const [how, options] of [
    ['the offer in the INVITE', {}],
    ['the offer in the 200', { lateOffer: true }],
  ] as const)
    scenario(
      `two phones call each other, either way, by a provider that passes their SDP on; ${how}`,
      { without: NOT_CALLED },
      async (lab) => {
        const { alice, carol } = await twoPhones(lab);
        for (const [from, to] of [
          [alice, carol],
          [carol, alice],
        ] as const) {
          const { calling, called } = await connect(from, to, options);
          asAdvertised(calling, called);
          if (lab.gateway !== undefined) assert.equal(calling.remoteSdp?.address, addresses.routerExternal);
          assert.equal(statusOf(await called.hangup()), 200);
          await calling.reached('ended');
        }
        await cleared(lab);
        assertContent(alice, carol);
      },
    );

  scenario(
    'of two phones behind the router that talk, either holds and takes back, and the gateway is restarted under them',
    { without: NOT_CALLED },
    async (lab) => {
      const { alice, carol } = await twoPhones(lab);
      const { calling, called } = await connect(alice, carol);
      for (const holder of [calling, called]) {
        await holder.offerAgain('inactive');
        const sdp = await holder.offerAgain('sendrecv');
        holder.media.start(sdp!, holder.hertz);
        await talk(called, calling);
      }
      if (lab.gateway !== undefined) {
        const { stateDir } = lab.gateway;
        await lab.gateway.stop('SIGKILL');
        await lab.startGateway({ stateDir });
        // Flows that begin anew have only the rules to go by.
        for (const { media } of [calling, called])
          for (const end of ['--sport', '--dport'])
            lab.network.run('router', 'sh', '-c', `conntrack -D -p udp ${end} ${media.port} || :`);
        await talk(called, calling);
      }
      asAdvertised(calling, called);
      assert.equal(statusOf(await calling.hangup()), 200);
      await called.reached('ended');
      await cleared(lab);
      assertContent(alice, carol);
    },
  );

  scenario(
    'the provider relays the media of two phones behind the router: it goes by the relay',
    { without: /RTP packets at 192\.168\.1\.1\d:/ },
    async (lab) => {
      // A back-to-back user agent, seen from both of its sides: two calls, whose media it hears and sings itself.
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true });
      const carol = await lab.phone({ rport: true, host: 'phone2', hertz: CAROL_HERTZ });
      await Promise.all([alice.register(), carol.register()]);
      const calling = await alice.call(carol.aor);
      const first = await provider.agent.incoming();
      // Without the gateway it cannot reach the other phone; that the first hears nothing is seen before.
      first.answer();
      await calling.reached('confirmed');
      await talk(calling, first);
      const second = await provider.call('carol');
      const called = await carol.incoming();
      called.answer();
      await second.reached('confirmed');
      await talk(called, second);
      for (const { media } of [calling, called])
        assert.deepEqual([...new Set(media.sources().map((one) => one.split(':')[0]))], [addresses.media]);
      await first.hangup();
      await second.hangup();
      await cleared(lab);
      assertContent(alice, carol, provider.agent);
    },
  );

  scenario(
    'two phones behind the router have one address-of-record: both ring, one answers, the other is cancelled',
    { without: NOT_CALLED },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { forks: true }));
      const desk = await lab.phone({ rport: true });
      const kitchen = await lab.phone({ rport: true, host: 'phone2', user: 'alice', hertz: CAROL_HERTZ });
      const bob = await lab.outsider('bob', addresses.farEnd, {
        domain: addresses.provider,
        outbound: { address: addresses.provider, port: 5060 },
      });
      await Promise.all([desk.register(), kitchen.register(), bob.register()]);
      for (const [winner, loser, caller] of [
        [desk, kitchen, bob],
        [kitchen, desk, bob],
      ] as const) {
        const seen = [winner.calls.entries.length, loser.calls.entries.length] as const;
        const calling = await caller.call('sip:alice@198.51.100.5');
        const [won, lost] = [await winner.incoming(3000, seen[0]), await loser.incoming(3000, seen[1])];
        won.answer();
        await calling.reached('confirmed');
        await lost.reached('ended');
        assert.equal(lost.status, 487);
        await talk(won, calling);
        assert.equal(statusOf(await calling.hangup()), 200);
        await won.reached('ended');
      }
      await cleared(lab);
      assertContent(desk, kitchen, bob);
    },
  );

  scenario(
    'a phone calls its own address-of-record: the other phone of it answers, and they talk',
    { without: NOT_CALLED },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network));
      const desk = await lab.phone({ rport: true });
      const kitchen = await lab.phone({ rport: true, host: 'phone2', user: 'alice', hertz: CAROL_HERTZ });
      await desk.register();
      await kitchen.register();
      const calling = await desk.call('sip:alice@198.51.100.5');
      const called = await kitchen.incoming();
      called.answer();
      await calling.reached('confirmed');
      await talk(called, calling);
      assert.equal(statusOf(await called.hangup()), 200);
      await calling.reached('ended');
      assertContent(kitchen);
    },
  );
});
