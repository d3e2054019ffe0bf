/** Real programs: baresip and SIPp behind the router, Kamailio and baresip at the provider. */
import assert from 'node:assert/strict';
import { addresses } from '../../demo/network.ts';
import type { BaresipOptions } from './baresip.ts';
import { Baresip } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, type Lab, labFile, scenario, talk } from './lab.ts';
import { Linphone } from './linphone.ts';
import { Sipp } from './sipp.ts';

const passwords = { alice: 'wonderland', carol: 'chess' };
const ALICE_HERTZ = 440;
const BOB_HERTZ = 1000;

async function softphone(lab: Lab, options: Partial<BaresipOptions> = {}): Promise<Baresip> {
  return lab.own(
    Baresip.start(lab.network, {
      host: 'phone1',
      address: addresses.phone1,
      user: 'alice',
      password: passwords.alice,
      hertz: ALICE_HERTZ,
      firstMediaPort: 10_000,
      ...options,
    }),
  );
}

/** Alice behind the router, Bob at the provider's side: his audio comes from another address than his signalling. */
async function softphones(lab: Lab): Promise<{ alice: Baresip; bob: Baresip }> {
  await lab.own(Kamailio.start(lab.network, { passwords }));
  const bob = await softphone(lab, {
    host: 'provider',
    address: addresses.farEnd,
    user: 'bob',
    hertz: BOB_HERTZ,
    firstMediaPort: 20_000,
    answers: true,
  });
  return { alice: await softphone(lab, { answers: true }), bob };
}

/** Both recordings hold the other side's tone, and not their own. */
async function talking(alice: Baresip, bob: Baresip): Promise<void> {
  await Promise.all([alice.event('CALL_ESTABLISHED'), bob.event('CALL_ESTABLISHED')]);
  await alice.hears(BOB_HERTZ);
  await bob.hears(ALICE_HERTZ);
  assert.ok(alice.heard(ALICE_HERTZ) < 0.1);
}

const SOFTPHONE = ['conntrack', 'kamailio', 'baresip'];

labFile('softphones', [...SOFTPHONE, 'sipp', 'linphonec'], () => {
  scenario(
    'linphonec calls baresip through Kamailio and is called by it, both record the other',
    { without: /records \d+ Hz/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { passwords }));
      const bob = await softphone(lab, {
        host: 'provider',
        address: addresses.farEnd,
        user: 'bob',
        hertz: BOB_HERTZ,
        firstMediaPort: 20_000,
        answers: true,
      });
      const alice = await lab.own(
        Linphone.start(lab.network, {
          host: 'phone1',
          address: addresses.phone1,
          user: 'alice',
          password: passwords.alice,
          hertz: ALICE_HERTZ,
        }),
      );
      alice.command('call sip:bob@198.51.100.5');
      await bob.event('CALL_ESTABLISHED');
      await alice.hears(BOB_HERTZ);
      await bob.hears(ALICE_HERTZ);
      alice.command('terminate');
      await bob.event('CALL_CLOSED');
      const seen = bob.events.entries.length;
      bob.dial('sip:alice@198.51.100.5');
      await bob.event('CALL_ESTABLISHED', 5000, seen);
      await alice.hears(BOB_HERTZ);
      await bob.hears(ALICE_HERTZ);
      const established = bob.events.entries.length;
      alice.command('terminate');
      await bob.event('CALL_CLOSED', 5000, established);
    },
  );

  scenario(
    'baresip calls baresip through Kamailio, both record the other, the caller hangs up',
    { without: /records \d+ Hz/ },
    async (lab) => {
      const { alice, bob } = await softphones(lab);
      alice.dial('sip:bob@198.51.100.5');
      await talking(alice, bob);
      alice.hangup();
      await bob.event('CALL_CLOSED');
    },
  );

  scenario(
    'baresip is called through Kamailio, both record the other, the caller hangs up',
    { without: /CALL_ESTABLISHED/ },
    async (lab) => {
      const { alice, bob } = await softphones(lab);
      bob.dial('sip:alice@198.51.100.5');
      await talking(alice, bob);
      bob.hangup();
      await alice.event('CALL_CLOSED');
    },
  );

  scenario(
    'phone to phone through the provider, both behind the router',
    { without: /an incoming call/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { passwords }));
      const alice = await lab.phone({ rport: true, password: passwords.alice });
      const carol = await lab.phone({ rport: true, password: passwords.carol, host: 'phone2', hertz: 620 });
      await Promise.all([alice.register(), carol.register()]);
      const calling = await alice.call('sip:carol@198.51.100.5');
      const called = await carol.incoming();
      await calling.reached('ringing');
      called.answer();
      await calling.reached('confirmed');
      await called.reached('confirmed');
      await talk(called, calling);
      await called.hangup();
      await calling.reached('ended');
      assertContent(alice, carol);
    },
  );

  scenario(
    'phone to phone, both behind the router, with audio both ways under masquerade fully-random',
    { network: { nat: 'masquerade fully-random' }, without: /an incoming call|final response to REGISTER/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network));
      const alice = await lab.phone({ rport: true });
      const carol = await lab.phone({ rport: true, host: 'phone2', hertz: 620 });
      await Promise.all([alice.register(), carol.register()]);
      const calling = await carol.call('sip:alice@198.51.100.5');
      const called = await alice.incoming();
      called.answer();
      await called.reached('confirmed');
      await talk(called, calling);
      await calling.hangup();
      await called.reached('ended');
      assertContent(alice, carol);
    },
  );

  scenario(
    'the provider is restarted in the middle of a call: audio goes on, the BYE arrives, who registers anew is called',
    { without: /an incoming call|RTP packets/ },
    async (lab) => {
      const first = await lab.own(Kamailio.start(lab.network));
      const alice = await lab.phone({ rport: true });
      const bob = await lab.outsider('bob', addresses.farEnd, {
        domain: addresses.provider,
        outbound: { address: addresses.provider, port: 5060 },
      });
      await Promise.all([alice.register(), bob.register()]);
      const calling = await alice.call(bob.aor);
      const called = await bob.incoming();
      called.answer();
      await calling.reached('confirmed');
      await talk(calling, called);
      await first.close();
      await talk(calling, called);
      await lab.own(Kamailio.start(lab.network));
      await called.hangup();
      await calling.reached('ended');
      await alice.register();
      const again = await bob.call(alice.aor);
      const incoming = await alice.incoming();
      incoming.answer();
      await again.reached('confirmed');
      await talk(incoming, again);
      await again.hangup();
      assertContent(alice, bob);
    },
  );

  scenario(
    'fifty SIPp calls go out through Kamailio, and their BYE comes in',
    { without: /receive timeout on message calls and is hung up:5/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network));
      const uas = Sipp.start(lab.network, {
        host: 'provider',
        address: addresses.farEnd,
        port: 5080,
        scenario: 'uas',
        calls: 50,
      });
      lab.defer(() => uas.close());
      const uac = Sipp.start(lab.network, {
        host: 'phone1',
        address: addresses.phone1,
        port: 5060,
        scenario: 'uac',
        calls: 50,
        rate: 25,
      });
      lab.defer(() => uac.close());
      await uac.done();
      await uas.done();
    },
  );
});
