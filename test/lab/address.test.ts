/** The router's external address changes, goes and comes back: registrations, calls, and what is left in the kernel. */
import assert from 'node:assert/strict';
import { statusOf } from '../../demo/message.ts';
import { addresses, type Network } from '../../demo/network.ts';
import { Baresip } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, type Lab, labFile, scenario, talk } from './lab.ts';

const OLD = '203.0.113.1';
const NEW = '203.0.113.77';

function setAddress(network: Network, address: string): void {
  network.run('router', 'ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
  network.run('router', 'ip', 'route', 'replace', 'default', 'via', '203.0.113.254');
}

function takeAddress(network: Network, address: string): void {
  network.run('router', 'ip', 'addr', 'del', `${address}/24`, 'dev', 'eth0');
}

/** As a line that is dialled again: the old address goes, a new one comes. */
async function renumber(lab: Lab): Promise<void> {
  takeAddress(lab.network, OLD);
  setAddress(lab.network, NEW);
  await lab.gateway?.log.until((line) => line.msg === 'address.gone', 2000, 'the gateway sees it');
}

labFile('the external address changes', ['conntrack', 'kamailio', 'baresip'], () => {
  scenario(
    'renumbered while idle: the phone re-registers from the same port and is called at the new address',
    { only: 'nat', without: /an incoming call/ },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      await renumber(lab);
      await alice.register();
      if (lab.gateway !== undefined)
        assert.equal(provider.contactOf('alice'), `sip:alice@${NEW}:5060`, 'the port is the same');
      const call = await provider.call('alice');
      const inside = await alice.incoming();
      await call.reached('confirmed');
      await talk(inside, call);
      assertContent(alice);
    },
  );

  scenario(
    'renumbered while idle: baresip registers again at Kamailio, and is called at the new address, both record the other',
    { only: 'nat', without: /CALL_ESTABLISHED/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network));
      const common = { answers: true, password: 'none' } as const;
      const bob = await lab.own(
        Baresip.start(lab.network, {
          ...common,
          host: 'provider',
          address: addresses.farEnd,
          user: 'bob',
          hertz: 1000,
          firstMediaPort: 20_000,
        }),
      );
      const alice = await lab.own(
        Baresip.start(lab.network, {
          ...common,
          host: 'phone1',
          address: addresses.phone1,
          user: 'alice',
          hertz: 440,
          firstMediaPort: 10_000,
          registersForS: 5,
        }),
      );
      await renumber(lab);
      await alice.registered(8000);
      bob.dial('sip:alice@198.51.100.5');
      await Promise.all([alice.event('CALL_ESTABLISHED'), bob.event('CALL_ESTABLISHED')]);
      await Promise.all([alice.hears(1000), bob.hears(440)]);
      const external = new RegExp(`src=198\\.51\\.100\\.\\d+ dst=${NEW.replaceAll('.', '\\.')} `);
      if (lab.gateway !== undefined) assert.match(flows(lab.network), external, 'the audio comes in there');
      bob.hangup();
      await alice.event('CALL_CLOSED');
    },
  );

  scenario(
    'renumbered during a call: its flows leave the kernel, and a re-INVITE brings the audio back',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true });
      await alice.register();
      const inside = await alice.call('sip:bob@198.51.100.5');
      const outside = await provider.agent.incoming();
      outside.answer();
      await inside.reached('confirmed');
      await talk(inside, outside);
      await renumber(lab);
      const { log } = lab.gateway!;
      assert.equal((await log.until((l) => l.msg === 'address.gone', 100, 'gone')).calls, 1);
      await until(() => !flows(lab.network).includes(OLD), 'the old address leaves the connection table');
      await inside.offerAgain('sendrecv');
      await talk(inside, outside);
      assert.equal(outside.remoteSdp?.address, NEW);
      assert.match(outside.media.received.entries.at(-1)!.source, /^203\.0\.113\.77:/);
      assert.equal(statusOf(await inside.hangup()), 200);
      assertContent(alice, provider.agent);
    },
  );

  scenario(
    'an address that goes and comes back leaves registration and call as they were',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      const { log } = lab.gateway!;
      for (let i = 1; i <= 2; i++) {
        const seen = log.entries.length;
        takeAddress(lab.network, OLD);
        await log.until((line) => line.msg === 'address.gone', 2000, 'it is gone', seen);
        setAddress(lab.network, OLD);
        await log.until((line) => line.msg === 'address.back', 2000, 'it is back', seen);
        await talk(inside, outside);
      }
      assert.equal(statusOf(await outside.hangup()), 200);
      await inside.reached('ended');
      // Nobody has sent anything from inside since: the provider still finds the way in.
      const again = await provider.call('alice');
      await alice.incoming(3000, 1);
      await again.reached('confirmed');
      assert.ok(!log.entries.some((line) => line.msg === 'mapping.closed'));
      assertContent(alice, provider.agent);
    },
  );

  scenario(
    'the external interface is deleted and made again: calls and registrations go on',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      const { log } = lab.gateway!;
      lab.network.run('router', 'ip', 'link', 'del', 'eth0');
      await log.until((line) => line.msg === 'address.gone', 2000, 'it is gone');
      remakeExternalLink(lab.network);
      await log.until((line) => line.msg === 'address.back', 2000, 'it is back');
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      assert.equal(await alice.register(), 300);
      assertContent(alice, provider.agent);
    },
  );

  scenario(
    'the external interface goes down and up: nothing is told, and nothing is lost',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      lab.network.run('router', 'ip', 'link', 'set', 'eth0', 'down');
      lab.network.run('router', 'ip', 'link', 'set', 'eth0', 'up');
      lab.network.run('router', 'ip', 'route', 'replace', 'default', 'via', '203.0.113.254');
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
      assert.ok(!lab.gateway!.log.entries.some((line) => line.msg.startsWith('address.')));
      assertContent(alice, provider.agent);
    },
  );

  scenario(
    'a line that comes up after the gateway is taken as soon as it is there',
    { only: 'gateway', gateway: { args: ['--external', 'ppp0'] } },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      const router = (...args: string[]): string => lab.network.run('router', 'ip', ...args);
      router('link', 'set', 'eth0', 'down');
      router('link', 'set', 'eth0', 'name', 'ppp0');
      router('link', 'set', 'ppp0', 'up');
      router('route', 'replace', 'default', 'via', '203.0.113.254');
      await alice.register();
      assert.equal(provider.contactOf('alice'), `sip:alice@${OLD}:5060`);
      const call = await provider.call('alice');
      await alice.incoming();
      await call.reached('confirmed');
      assertContent(alice);
    },
  );

  scenario(
    'renumbered while the gateway is away: the phone has the same port at the new address',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const other = await lab.phone();
      const alice = await lab.phone({ host: 'phone2' });
      await other.register();
      await alice.register();
      const before = provider.contactOf('carol') ?? '';
      assert.doesNotMatch(before, /:5060$/);
      const { stateDir } = lab.gateway!;
      await lab.gateway!.stop();
      takeAddress(lab.network, OLD);
      setAddress(lab.network, NEW);
      const gateway = await lab.startGateway({ stateDir });
      const gone = await gateway.log.until((l) => l.msg === 'address.gone', 1000, 'it is told');
      assert.equal(gone.mappings, 2);
      await alice.register();
      assert.equal(provider.contactOf('carol'), before.replace(OLD, NEW));
      assertContent(alice);
    },
  );
});

function flows(network: Network): string {
  return network.run('router', 'sh', '-c', 'conntrack -L -p udp 2>/dev/null || true');
}

async function until(holds: () => boolean, what: string, withinMs = 2000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!holds()) {
    assert.ok(performance.now() < end, what);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The line comes up anew: another interface of the same name, the same addresses at both ends. */
function remakeExternalLink(network: Network): void {
  const provider = network.space('provider');
  network.run(
    'router',
    'ip',
    'link',
    'add',
    'eth0',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    provider.name,
  );
  const addresses = ['203.0.113.254/24', ...['5', '6', '7', '66'].map((host) => `198.51.100.${host}/32`)];
  for (const address of addresses) network.run('provider', 'ip', 'addr', 'add', address, 'dev', 'eth0');
  network.run('provider', 'ip', 'link', 'set', 'eth0', 'up');
  network.run('router', 'ip', 'link', 'set', 'eth0', 'up');
  setAddress(network, OLD);
}
