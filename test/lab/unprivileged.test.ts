/** The gateway as a user without rights but CAP_NET_ADMIN and CAP_NET_BIND_SERVICE: all of it works. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { SIPALG } from '../../demo/gateway.ts';
import { statusOf } from '../../demo/message.ts';
import { assertContent, labFile, scenario, talk } from './lab.ts';

const capabilities = ['net_admin', 'net_bind_service'];

labFile('without root', ['conntrack', 'setpriv'], () => {
  scenario(
    'nobody, with two capabilities, carries registrations, calls and media, survives a flush, and is switched by root',
    { only: 'gateway', gateway: { capabilities, args: ['--accept-chain', 'inet firewall sip'] } },
    async (lab) => {
      const gateway = lab.gateway!;
      const proc = readFileSync(`/proc/${gateway.program.pid}/status`, 'utf8');
      assert.match(proc, /^Uid:\s+65534\s+65534\s+65534\s+65534$/m);
      assert.match(proc, /^CapBnd:\s+0000000000001400$/m);
      assert.match(proc, /^CapEff:\s+0000000000001400$/m);

      const provider = await lab.provider();
      const alice = await lab.phone({ onCall: 'answer' });
      const carol = await lab.phone({ host: 'phone2', onCall: 'answer' });
      await Promise.all([alice.register(), carol.register()]);
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      assert.equal(statusOf(await inside.hangup()), 200);
      await outside.reached('ended');

      // It writes its rules anew, which takes the program nft, netlink and the policy route.
      lab.network.run('router', 'nft', 'delete', 'table', 'inet', 'sipalg');
      await gateway.log.until(({ code }) => code === 'linux.ruleset-lost', 5000, 'the rules are back');
      const again = await provider.call('carol');
      await again.reached('confirmed');
      await talk(await carol.incoming(), again);

      // What root writes, the user has to be able to read.
      lab.network.run('router', SIPALG, 'off', '--state-dir', gateway.stateDir);
      await gateway.log.until(({ msg }) => msg === 'off', 5000, 'it is off');
      const tables = lab.network.run('router', 'nft', 'list', 'tables');
      assert.doesNotMatch(tables, /sipalg/);
      const seen = gateway.log.entries.length;
      lab.network.run('router', SIPALG, 'on', '--state-dir', gateway.stateDir);
      await gateway.log.until(({ msg }) => msg === 'ready', 5000, 'it is on', seen);
      assertContent(alice, carol);
    },
  );

  scenario('the right that is missing is named', { only: 'gateway' }, async (lab) => {
    await lab.gateway!.stop();
    await assert.rejects(
      lab.startGateway({ capabilities: ['net_bind_service'] }),
      /this process lacks CAP_NET_ADMIN$/m,
    );
  });
});
