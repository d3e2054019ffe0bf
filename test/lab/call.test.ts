/** Calls between a phone behind the router and a provider that believes what messages say. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { statusOf } from '../../demo/message.ts';
import type { NetworkOptions } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import {
  assertContent,
  type Lab,
  labFile,
  type PhoneOptions,
  PROVIDER_HERTZ,
  scenario,
  talk,
} from './lab.ts';

const BOB = 'sip:bob@198.51.100.5';
/** Without the gateway a phone with rport registers and calls, but hears nothing and is never called. */
const SILENCE = /RTP packets at 192\.168\.1\.1\d:/;
const NOT_CALLED = /an incoming call/;

async function ends(lab: Lab, options: PhoneOptions = {}): Promise<{ alice: Agent; provider: Provider }> {
  const provider = await lab.provider();
  const alice = await lab.phone({ rport: true, ...options });
  await alice.register();
  return { alice, provider };
}

/** A call from the phone, answered, with audio both ways. */
async function outgoing(
  phone: Agent,
  provider: Provider,
  size?: number,
): Promise<{ inside: Call; outside: Call }> {
  const seen = provider.agent.calls.entries.length;
  const inside = await phone.call(BOB, size === undefined ? {} : { size });
  const outside = await provider.agent.incoming(3000, seen);
  await inside.reached('ringing');
  outside.answer();
  await outside.reached('confirmed');
  await talk(inside, outside);
  return { inside, outside };
}

/** A call to the phone, answered, with audio both ways. */
async function incoming(
  phone: Agent,
  provider: Provider,
  size?: number,
): Promise<{ inside: Call; outside: Call }> {
  const seen = phone.calls.entries.length;
  const outside = await provider.call('alice', size === undefined ? {} : { size });
  const inside = await phone.incoming(3000, seen);
  await outside.reached('ringing');
  inside.answer();
  await inside.reached('confirmed');
  await talk(inside, outside);
  return { inside, outside };
}

function calls(title: string, network: NetworkOptions, phone: PhoneOptions): void {
  scenario(
    `an outgoing call has audio both ways, and the phone hangs up (${title})`,
    { network, without: SILENCE },
    async (lab) => {
      const { alice, provider } = await ends(lab, phone);
      const { inside, outside } = await outgoing(alice, provider);
      assert.equal(statusOf(await inside.hangup()), 200);
      await outside.reached('ended');
      assertContent(alice, provider.agent);
    },
  );

  scenario(
    `an incoming call has audio both ways, and the far end hangs up (${title})`,
    { network, without: NOT_CALLED },
    async (lab) => {
      const { alice, provider } = await ends(lab, phone);
      const { inside, outside } = await incoming(alice, provider);
      assert.equal(statusOf(await outside.hangup()), 200);
      await inside.reached('ended');
      assertContent(alice, provider.agent);
    },
  );
}

labFile('calls', ['conntrack'], () => {
  calls('masquerade', { nat: 'masquerade' }, {});
  calls('masquerade fully-random', { nat: 'masquerade fully-random' }, {});
  calls('a phone on port 5071', {}, { port: 5071 });

  scenario(
    'without rport, an outgoing call has audio both ways',
    { without: /final response to REGISTER/ },
    async (lab) => {
      const { alice, provider } = await ends(lab, { rport: false });
      const { inside, outside } = await outgoing(alice, provider);
      await inside.hangup();
      await outside.reached('ended');
      assertContent(alice, provider.agent);
    },
  );

  scenario('the far end hangs up an outgoing call', { without: /final response to BYE/ }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const inside = await alice.call(BOB);
    const outside = await provider.agent.incoming();
    outside.answer();
    await inside.reached('confirmed');
    await outside.reached('confirmed');
    assert.equal(statusOf(await outside.hangup()), 200);
    await inside.reached('ended');
    assertContent(alice, provider.agent);
  });

  scenario('the phone hangs up an incoming call', { without: NOT_CALLED }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const { inside, outside } = await incoming(alice, provider);
    assert.equal(statusOf(await inside.hangup()), 200);
    await outside.reached('ended');
    assertContent(alice, provider.agent);
  });

  scenario('a phone that never registered makes a call', { without: SILENCE }, async (lab) => {
    const provider = await lab.provider();
    const alice = await lab.phone({ rport: true });
    const { inside, outside } = await outgoing(alice, provider);
    assert.equal(statusOf(await outside.hangup()), 200);
    await inside.reached('ended');
    assertContent(alice, provider.agent);
  });

  scenario('the phone cancels its call', { without: /final response to REGISTER/ }, async (lab) => {
    const { alice, provider } = await ends(lab, { rport: false });
    const inside = await alice.call(BOB);
    const outside = await provider.agent.incoming();
    await inside.reached('ringing');
    assert.equal(statusOf(await inside.cancel()), 200);
    await inside.reached('rejected');
    await outside.reached('ended');
    assert.equal(inside.status, 487);
    assertContent(alice, provider.agent);
  });

  scenario('the far end cancels its call', { without: NOT_CALLED }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const outside = await provider.call('alice');
    const inside = await alice.incoming();
    await outside.reached('ringing');
    assert.equal(statusOf(await outside.cancel()), 200);
    await inside.reached('ended');
    await outside.reached('rejected');
    assert.equal(outside.status, 487);
    assertContent(alice, provider.agent);
  });

  scenario('the far end rejects, and the next call has audio', { without: SILENCE }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const refused = await alice.call(BOB);
    (await provider.agent.incoming()).reject('603 Decline');
    await refused.reached('rejected');
    assert.equal(refused.status, 603);
    await outgoing(alice, provider);
    assertContent(alice, provider.agent);
  });

  scenario('the phone rejects, and the next call has audio', { without: NOT_CALLED }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const refused = await provider.call('alice');
    (await alice.incoming()).reject();
    await refused.reached('rejected');
    assert.equal(refused.status, 486);
    await incoming(alice, provider);
    assertContent(alice, provider.agent);
  });

  scenario('a call is held and taken back', { without: SILENCE }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const { inside, outside } = await outgoing(alice, provider);
    inside.media.stop();
    assert.equal((await inside.offerAgain('sendonly'))?.direction, 'recvonly');
    assert.equal(outside.media.sending, false);
    const sdp = await inside.offerAgain('sendrecv');
    inside.media.start(sdp!, inside.hertz);
    await talk(inside, outside);
    assert.equal(statusOf(await outside.hangup()), 200);
    assertContent(alice, provider.agent);
  });

  scenario('the far end holds a call and takes it back', { without: NOT_CALLED }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const { inside, outside } = await incoming(alice, provider);
    outside.media.stop();
    assert.equal((await outside.offerAgain('sendonly'))?.direction, 'recvonly');
    assert.equal(inside.media.sending, false);
    const sdp = await outside.offerAgain('sendrecv');
    outside.media.start(sdp!, outside.hertz);
    await talk(inside, outside);
    assert.equal(statusOf(await inside.hangup()), 200);
    assertContent(alice, provider.agent);
  });

  scenario('requests inside a call go both ways', { without: /final response to INFO/ }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const inside = await alice.call(BOB);
    const outside = await provider.agent.incoming();
    outside.answer();
    await outside.reached('confirmed');
    await inside.reached('confirmed');
    for (const method of ['INFO', 'UPDATE', 'NOTIFY', 'X-UNKNOWN'.replace('-', '')]) {
      assert.equal(statusOf(await inside.request(method).final(2000)), 200);
      assert.equal(statusOf(await outside.request(method).final(2000)), 200);
    }
    assertContent(alice, provider.agent);
  });

  scenario('a phone that sends nothing hears early media', { without: SILENCE }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const inside = await alice.call(BOB, { talk: false });
    (await provider.agent.incoming()).earlyMedia();
    await inside.reached('early media');
    await inside.media.hear(PROVIDER_HERTZ);
    assert.deepEqual(
      inside.media.sources().map((source) => source.split(':')[0]),
      ['198.51.100.6'],
    );
    assertContent(alice, provider.agent);
  });

  for (const nat of ['masquerade', 'masquerade fully-random'] as const) {
    scenario(
      `two phones offer the same RTP port at once (${nat})`,
      { network: { nat }, without: SILENCE },
      async (lab) => {
        const provider = await lab.provider();
        const phones = [
          await lab.phone({ rport: true, mediaPort: 40_000 }),
          await lab.phone({ rport: true, mediaPort: 40_000, host: 'phone2', hertz: 620 }),
        ];
        const tones = [1200, 1500];
        const pairs: [Call, Call][] = [];
        for (const [i, phone] of phones.entries()) {
          const inside = await phone.call(BOB);
          const outside = await provider.agent.incoming(3000, i);
          outside.hertz = tones[i]!;
          outside.answer();
          await inside.reached('confirmed');
          pairs.push([inside, outside]);
        }
        await Promise.all(pairs.map(([inside, outside]) => talk(inside, outside)));
        assertContent(...phones, provider.agent);
      },
    );
  }

  scenario('an INVITE of 4000 bytes goes out in fragments', { without: SILENCE }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const { inside } = await outgoing(alice, provider, 4000);
    const largest = Math.max(...provider.agent.wire.journal.entries.map((e) => e.bytes.length));
    assert.ok(largest > 4000, `${largest} bytes`);
    await inside.hangup();
    assertContent(alice, provider.agent);
  });

  scenario('an INVITE of 4000 bytes comes in in fragments', { without: NOT_CALLED }, async (lab) => {
    const { alice, provider } = await ends(lab);
    const { outside } = await incoming(alice, provider, 4000);
    const largest = Math.max(...alice.wire.journal.entries.map((e) => e.bytes.length));
    assert.ok(largest > 4000, `${largest} bytes`);
    await outside.hangup();
    assertContent(alice, provider.agent);
  });

  scenario(
    'under strict rp_filter and a firewall that drops what it does not know, calls go both ways',
    { without: SILENCE, only: 'nat' },
    async (lab) => {
      for (const key of ['all', 'br0', 'eth0']) {
        assert.equal(lab.network.run('router', 'sysctl', '-n', `net.ipv4.conf.${key}.rp_filter`).trim(), '1');
      }
      const firewall = lab.network.run('router', 'nft', 'list', 'table', 'inet', 'firewall');
      assert.deepEqual(firewall.match(/policy \w+/g), ['policy drop', 'policy drop']);
      const { alice, provider } = await ends(lab);
      const first = await outgoing(alice, provider);
      await first.outside.hangup();
      const second = await incoming(alice, provider);
      await second.outside.hangup();
      assertContent(alice, provider.agent);
    },
  );
});
