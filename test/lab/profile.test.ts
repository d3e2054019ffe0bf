/** A phone that is observed, at a provider that handles NAT itself; and a phone behind two NATs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { SIPALG } from '../../demo/gateway.ts';
import { addresses } from '../../demo/network.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, inLab, type Lab, labFile, PROVIDER_HERTZ, scenario } from './lab.ts';

const OBSERVED = `
[[provider]]
name = "kamailio"
addresses = ["${addresses.provider}"]
mode = "observe"
[log]
level = "debug"
`;

/** What operators of mobile networks are known to give a UDP flow. */
const UPSTREAM_S = 30;
const IDLE_MS = 41_000;

labFile('observe, and keepalives', ['conntrack', 'kamailio'], () => {
  scenario(
    'a phone that is observed is called by a provider that handles NAT, long after the router would have forgotten it',
    {
      network: { udpTimeoutSeconds: 2 },
      gateway: { config: OBSERVED },
      without: /an incoming call/,
      only: 'nat',
    },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { remembersSource: true }));
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      const bob = await lab.outsider('bob', addresses.farEnd, {
        domain: addresses.provider,
        outbound: { address: addresses.provider, port: 5060 },
        rport: true,
        hertz: PROVIDER_HERTZ,
      });
      await alice.register();
      await delay(4_500);
      if (lab.gateway !== undefined)
        assert.deepEqual(profileOf(lab), ['observe', 'configuration', 'rport', 'contact-received']);
      const call = await bob.call(`sip:alice@${addresses.provider}`);
      const incoming = await alice.incoming(1_500);
      await call.reached('confirmed');
      // Its media crosses on plain NAT: the far end hears it from there, and latches (RFC 7362 §4).
      await call.media.hear(alice.hertz);
      const [source = ''] = call.media.sources();
      assert.match(source, /^203\.0\.113\.1:/);
      call.media.start({ address: addresses.routerExternal, port: Number(source.split(':')[1]) }, bob.hertz);
      await incoming.media.hear(bob.hertz);
      await call.hangup();
      assertContent(alice);
      assertUntouched(lab);
    },
  );

  scenario(
    'a phone is observed of itself once Kamailio has confirmed outbound, and called as before',
    { gateway: { config: '[log]\nlevel = "debug"\n' }, only: 'gateway' },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network, { remembersSource: true }));
      const instance = 'urn:uuid:00000000-0000-1000-8000-000A95A0E128';
      const alice = await lab.phone({ rport: true, onCall: 'answer', instance });
      const bob = await lab.outsider('bob', addresses.farEnd, {
        domain: addresses.provider,
        outbound: { address: addresses.provider, port: 5060 },
        rport: true,
      });
      await alice.register();
      assert.deepEqual(profileOf(lab), ['assist', 'default', 'rport', 'outbound']);
      await alice.register();
      const { mode, chosen } = await lab.gateway!.log.until(
        ({ msg }) => msg === 'profile.changed',
        1_500,
        'the gateway tells that it observes',
      );
      assert.deepEqual([mode, chosen], ['observe', 'evidence']);
      const call = await bob.call(`sip:alice@${addresses.provider}`);
      await alice.incoming(1_500);
      await call.reached('confirmed');
      // One binding, so one call: instance and reg-id are its key (RFC 5626 §6).
      await call.hangup();
      assert.equal(alice.calls.entries.length, 1);
      assertContent(alice);
    },
  );

  test('behind a NAT upstream a phone is called after a while, thanks to keepalives and to nothing else', {
    timeout: 90_000,
  }, async () => {
    const [kept, forgotten] = await Promise.allSettled([
      inLab({ upstreamUdpTimeoutSeconds: UPSTREAM_S }, (lab) => calledAfterAWhile(lab, 'auto')),
      inLab({ upstreamUdpTimeoutSeconds: UPSTREAM_S }, (lab) => calledAfterAWhile(lab, 'no')),
    ]);
    if (kept.status === 'rejected') throw kept.reason;
    assert.match(String(forgotten.status === 'rejected' && forgotten.reason), /an incoming call/);
  });
});

async function calledAfterAWhile(lab: Lab, upstreamNat: 'auto' | 'no'): Promise<void> {
  const gateway = await lab.startGateway({
    config: `upstream-nat = "${upstreamNat}"\n[log]\nlevel = "debug"\n`,
  });
  const provider = await lab.provider();
  const alice = await lab.phone({ rport: true, onCall: 'answer' });
  await alice.register();
  const { source } = provider.bindings.entries[0]!;
  assert.equal(source.address, addresses.routerExternal, 'the provider sees the NAT upstream');
  await delay(IDLE_MS);
  const sent = gateway.log.entries.filter(({ msg }) => msg === 'keepalive.sent');
  assert.equal(sent.length, upstreamNat === 'auto' ? 1 : 0);
  // A provider that handles NAT calls at the address that the REGISTER came from.
  const call = await provider.call('alice', { to: source });
  await alice.incoming(1_500);
  await call.reached('confirmed');
  assertContent(alice);
}

/** As `sipalg status --json` shows it. */
function profileOf(lab: Lab): string[] {
  const args = ['status', '--json', '--state-dir', lab.gateway?.stateDir ?? ''];
  const { phones } = JSON.parse(lab.network.run('router', SIPALG, ...args)) as StatusReport;
  const { mode, chosen, evidence } = phones[0]!.profile!;
  return [mode, chosen, ...evidence.map(({ what }) => what)];
}

function assertUntouched(lab: Lab): void {
  const { gateway } = lab;
  if (gateway === undefined) return;
  const verdicts = gateway.log.entries.filter(({ msg }) => msg.startsWith('message.'));
  assert.ok(verdicts.length >= 5);
  for (const line of verdicts)
    assert.equal(line.why, 'observed: the configuration says so', JSON.stringify(line));
}
