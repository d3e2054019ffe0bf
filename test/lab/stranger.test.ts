/** What does not belong to a call does not reach the phone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { hostPortOf, statusOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import { inLab, type Lab, labFile, PROVIDER_HERTZ, scenario, talk } from './lab.ts';

/** A packet sent now is there, or will never be, after this long: a round trip in the lab takes less than 2 ms. */
const SETTLED_MS = 300;

async function ends(lab: Lab): Promise<{ alice: Agent; provider: Provider }> {
  const provider = await lab.provider({ keepsTalking: true });
  const alice = await lab.phone({ rport: true, onCall: 'answer' });
  await alice.register();
  return { alice, provider };
}

async function talking(alice: Agent, provider: Provider): Promise<{ inside: Call; outside: Call }> {
  const seen = alice.calls.entries.length;
  const outside = await provider.call('alice');
  const inside = await alice.incoming(3000, seen);
  await outside.reached('confirmed');
  await talk(inside, outside);
  return { inside, outside };
}

/** The stranger calls; then the provider does. Gives how often the phone was called by then. */
async function strangerCalls(lab: Lab): Promise<number> {
  const { alice, provider } = await ends(lab);
  const stranger = await lab.outsider('mallory', addresses.stranger);
  const contact = provider.contactOf('alice') ?? '';
  await stranger.call(contact, { to: hostPortOf(contact) });
  await delay(SETTLED_MS);
  await talking(alice, provider);
  return alice.calls.entries.length;
}

/** The stranger sends RTP into the call. Gives the addresses that the phone got RTP from. */
async function strangerTalks(lab: Lab): Promise<Set<string>> {
  const { alice, provider } = await ends(lab);
  const { inside, outside } = await talking(alice, provider);
  const stranger = await lab.outsider('mallory', addresses.stranger);
  const media = await stranger.openMedia();
  lab.defer(() => media.close());
  for (let i = 0; i < 20; i++) media.sendPacket(outside.remoteSdp!, 2100);
  await delay(SETTLED_MS);
  await inside.media.hear(PROVIDER_HERTZ);
  return new Set(inside.media.sources().map((source) => source.split(':')[0]!));
}

/** One side hangs up, the provider goes on sending. Gives how many packets arrive later than one second after it. */
async function talksOn(lab: Lab, who: 'phone' | 'provider'): Promise<number> {
  const { alice, provider } = await ends(lab);
  const { inside, outside } = await talking(alice, provider);
  if (who === 'phone') {
    assert.equal(statusOf(await inside.hangup()), 200);
    await outside.reached('ended');
  } else {
    assert.equal(statusOf(await outside.hangup()), 200);
    await inside.reached('ended');
    outside.media.start(outside.remoteSdp!, PROVIDER_HERTZ);
  }
  assert.equal(outside.media.sending, true);
  await delay(1000);
  const arrived = inside.media.received.entries.length;
  const sent = outside.media.sent;
  await delay(SETTLED_MS);
  assert.ok(outside.media.sent - sent > 5, 'the far end goes on sending');
  return inside.media.received.entries.length - arrived;
}

labFile('strangers', ['conntrack'], () => {
  scenario("a stranger's INVITE does not reach the phone", { only: 'gateway' }, async (lab) => {
    assert.equal(await strangerCalls(lab), 1);
  });

  scenario("a stranger's RTP does not reach the phone", { only: 'gateway' }, async (lab) => {
    assert.deepEqual([...(await strangerTalks(lab))], [addresses.media]);
  });

  for (const who of ['phone', 'provider'] as const) {
    scenario(
      `the hole is shut within 1 s after the ${who} hangs up, while the far end goes on sending`,
      { only: 'gateway' },
      async (lab) => {
        assert.equal(await talksOn(lab, who), 0);
      },
    );
  }

  test('without NAT all of that reaches the phone: these scenarios can fail', async () => {
    const routed = { nat: 'routed' } as const;
    await inLab(routed, async (lab) => assert.equal(await strangerCalls(lab), 2));
    await inLab(routed, async (lab) => assert.ok((await strangerTalks(lab)).has(addresses.stranger)));
    await inLab(routed, async (lab) => assert.ok((await talksOn(lab, 'phone')) > 5));
    await inLab(routed, async (lab) => assert.ok((await talksOn(lab, 'provider')) > 5));
  });
});
