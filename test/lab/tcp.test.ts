/** SIP over TCP: registered and called, however the stream is cut, and what is no SIP untouched. */
import assert from 'node:assert/strict';
import { addresses } from '../../demo/network.ts';
import { assertContent, type Lab, labFile, scenario, talk } from './lab.ts';

const password = 'wonderland';
const passwords = { alice: password };

async function parties(lab: Lab) {
  const there = await lab.wire('provider', addresses.provider);
  const provider = await lab.provider({ passwords }, there);
  const here = await lab.wire('phone1', addresses.phone1);
  const alice = await lab.phone({ password, onCall: 'answer' }, here);
  return { there, provider, here, alice };
}

labFile('tcp', ['conntrack'], () => {
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
});
