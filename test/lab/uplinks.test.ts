/** Two uplinks with policy routing by source address, as routers with two providers have it. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import { statusOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import { assertContent, type Lab, labFile, scenario, talk } from './lab.ts';

const FIRST = '203.0.113.1';
const SECOND = '192.0.2.1';

/** Another line from the router to the world outside: eth1, with a table of its own for what comes from its address. */
function addUplink({ network }: Lab): void {
  const router = (...args: string[]): string => network.run('router', 'ip', ...args);
  const provider = network.space('provider').name;
  router('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', provider);
  router('addr', 'add', `${SECOND}/24`, 'dev', 'eth1');
  router('link', 'set', 'eth1', 'up');
  network.run('provider', 'ip', 'addr', 'add', '192.0.2.254/24', 'dev', 'eth1');
  network.run('provider', 'ip', 'link', 'set', 'eth1', 'up');
  for (const [table, address, device, via] of [
    ['1001', FIRST, 'eth0', '203.0.113.254'],
    ['1002', SECOND, 'eth1', '192.0.2.254'],
  ] as const) {
    router('route', 'add', 'default', 'via', via, 'dev', device, 'table', table);
    router('rule', 'add', 'from', address, 'lookup', table);
  }
  // What the operator's rules say of eth0, they say of eth1.
  network.run(
    'router',
    'nft',
    'add rule ip nat postrouting oifname eth1 masquerade; add rule inet firewall forward iifname br0 oifname eth1 accept',
  );
  network.run('router', 'sysctl', '-qw', 'net.ipv4.conf.eth1.rp_filter=1');
}

function prefer({ network }: Lab, uplink: 'first' | 'second'): void {
  const via = uplink === 'first' ? '203.0.113.254' : '192.0.2.254';
  network.run('router', 'ip', 'route', 'replace', 'default', 'via', via);
}

labFile('two uplinks', ['conntrack'], () => {
  scenario(
    'a registration over TCP stays with its uplink when the phone connects anew',
    { only: 'gateway' },
    async (lab) => {
      const { stateDir } = lab.gateway!;
      await lab.gateway!.stop();
      addUplink(lab);
      await lab.startGateway({ args: ['--external', 'eth1'], stateDir });
      const provider = await lab.provider({}, await lab.wire('provider', addresses.provider));
      const wire = await lab.wire('phone1', addresses.phone1);
      const alice = await lab.phone({ onCall: 'answer' }, wire);
      await alice.register();
      const source = (): string => provider.bindings.entries.at(-1)!.source.address;
      assert.equal(source(), FIRST);
      prefer(lab, 'second');
      // Longer than the gateway keeps what it knows of routes.
      await new Promise((resolve) => setTimeout(resolve, 2100));
      for (const socket of wire.connections.values()) socket.destroy();
      wire.connections.clear();
      await alice.register();
      assert.equal(source(), FIRST);
      assert.match(provider.contactOf('alice') ?? '', new RegExp(`@${FIRST.replaceAll('.', '\\.')}:5060`));
      const inside = await alice.call('sip:bob@198.51.100.5');
      const outside = await provider.agent.incoming();
      outside.answer();
      await inside.reached('confirmed');
      await talk(inside, outside);
      // A phone that was never there goes where the route leads.
      const dave = await lab.phone({ host: 'pbx', user: 'dave' }, await lab.wire('pbx', addresses.pbx));
      await dave.register();
      assert.equal(source(), SECOND);
    },
  );

  scenario(
    'registrations stay with their uplink, and move when it goes',
    { only: 'gateway' },
    async (lab) => {
      const { stateDir } = lab.gateway!;
      await lab.gateway!.stop();
      addUplink(lab);
      await lab.startGateway({ args: ['--external', 'eth1'], stateDir });
      const provider = await lab.provider();
      const alice: Agent = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      const source = (): string => provider.bindings.entries.at(-1)!.source.address;
      assert.equal(source(), FIRST);
      prefer(lab, 'second');
      // Longer than the gateway keeps what it knows of routes.
      await new Promise((resolve) => setTimeout(resolve, 2100));
      await alice.register();
      assert.equal(source(), FIRST, 'the registration stays');
      assert.equal(provider.contactOf('alice'), `sip:alice@${FIRST}:5060`);

      // A call by the first uplink, whose media goes where the route leads.
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      assert.equal(outside.remoteSdp?.address, SECOND);
      const calling = await alice.call('sip:bob@198.51.100.5');
      const called = await provider.agent.incoming();
      called.answer();
      await calling.reached('confirmed');
      await talk(calling, called);

      // The first uplink goes.
      lab.network.run('router', 'ip', 'link', 'set', 'eth0', 'down');
      lab.network.run('router', 'ip', 'addr', 'flush', 'dev', 'eth0');
      await lab.gateway!.log.until((line) => line.msg === 'address.gone', 2000, 'it is seen');
      lab.network.run('provider', 'ip', 'route', 'replace', `${FIRST}/32`, 'dev', 'void');
      await alice.register();
      assert.equal(source(), SECOND);
      assert.equal(provider.contactOf('alice'), `sip:alice@${SECOND}:5060`);
      await talk(inside, outside);
      assert.equal(statusOf(await calling.hangup()), 200);
      const again = await provider.call('alice');
      await alice.incoming(3000, 2);
      await again.reached('confirmed');
      assertContent(alice);
    },
  );
});
