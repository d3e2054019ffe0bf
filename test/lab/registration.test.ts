/** Phones register, and can be reached at what they registered. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Agent } from '../../demo/agent.ts';
import { hostPortOf, statusOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, labFile, scenario } from './lab.ts';

const passwords = { alice: 'wonderland', carol: 'chess' };

/** The provider asks the phone at its registered Contact for its options, and the phone answers. */
async function reach(provider: Provider, user: string): Promise<void> {
  const contact = provider.contactOf(user) ?? '';
  const { wire } = provider.agent;
  const tag = Math.random().toString(36).slice(2);
  const fields = [
    ['From', `<sip:gate@${addresses.provider}>;tag=${tag}`],
    ['To', `<${contact}>`],
    ['Call-ID', `${tag}@${addresses.provider}`],
    ['CSeq', '1 OPTIONS'],
  ] as const;
  const response = await wire
    .request(`OPTIONS ${contact} SIP/2.0`, fields, '', hostPortOf(contact))
    .final(2000);
  assert.equal(statusOf(response), 200);
}

labFile('registration', ['conntrack'], () => {
  scenario(
    'two phones on port 5060 register without rport, with digest, and are reached',
    { without: /final response to REGISTER/ },
    async (lab) => {
      const provider = await lab.provider({ passwords });
      const alice = await lab.phone({ password: passwords.alice });
      const carol = await lab.phone({ host: 'phone2', password: passwords.carol });
      assert.deepEqual(await Promise.all([alice.register(), carol.register()]), [300, 300]);
      assert.notEqual(provider.contactOf('alice'), provider.contactOf('carol'));
      await reach(provider, 'alice');
      await reach(provider, 'carol');
      assertContent(alice, carol);
    },
  );

  scenario(
    'two phones on port 5060 register with rport, with digest, and are reached',
    { without: /final response to OPTIONS/ },
    async (lab) => {
      const provider = await lab.provider({ passwords });
      const alice = await lab.phone({ password: passwords.alice, rport: true });
      const carol = await lab.phone({ host: 'phone2', password: passwords.carol, rport: true });
      assert.deepEqual(await Promise.all([alice.register(), carol.register()]), [300, 300]);
      await reach(provider, 'alice');
      await reach(provider, 'carol');
      assertContent(alice, carol);
      if (lab.gateway !== undefined) {
        const sees = (phone: Agent): string[] => [...phone.wire.toldSource];
        assert.deepEqual([sees(alice), sees(carol)], [[alice.wire.contactHost], [carol.wire.contactHost]]);
      }
    },
  );

  scenario(
    'two phones on port 5060 register at Kamailio without rport, with digest',
    { without: /final response to REGISTER/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { passwords }));
      const alice = await lab.phone({ password: passwords.alice });
      const carol = await lab.phone({ host: 'phone2', password: passwords.carol });
      assert.deepEqual(await Promise.all([alice.register(), carol.register()]), [300, 300]);
      assertContent(alice, carol);
    },
  );

  scenario(
    'a phone with a wrong password is refused, and one that knows it comes in after it',
    { without: /final response to REGISTER/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { passwords }));
      const carol = await lab.phone({ host: 'phone2', password: passwords.carol });
      await carol.register();
      const alice = await lab.phone({ password: 'looking-glass' });
      await assert.rejects(alice.register(), /REGISTER got SIP\/2\.0 401/);
      const again = await lab.phone({ password: passwords.alice, port: 5070 });
      await again.register();
      assertContent(alice, carol, again);
    },
  );

  scenario(
    'a phone that is rebooted and comes back on another port is called there',
    { without: /an incoming call/ },
    async (lab) => {
      const provider = await lab.provider();
      const before = await lab.phone({ rport: true });
      await before.register();
      const after = await lab.phone({ rport: true, port: 5072, onCall: 'answer' });
      await after.register();
      const call = await provider.call('alice');
      await after.incoming();
      await call.reached('confirmed');
      assert.equal(before.calls.entries.length, 0);
      assertContent(after);
    },
  );

  scenario(
    'a phone is called after it was idle for longer than the router keeps a flow',
    { network: { udpTimeoutSeconds: 2 }, without: /an incoming call/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      await delay(4500);
      // A provider that helps: without the gateway it calls at the address that the REGISTER came from.
      const { source } = provider.bindings.entries[0]!;
      const call = await provider.call('alice', lab.gateway === undefined ? { to: source } : {});
      await alice.incoming(1500);
      await call.reached('confirmed');
      assertContent(alice);
    },
  );
});
