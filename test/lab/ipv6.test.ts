/**
 * IPv6 through a router that does not translate it, behind a firewall that drops what it does not know: nothing is changed,
 * phones stay reachable, and media comes in before the phone has sent any. And IPv6 that is translated (NAT66).
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { SipSocket } from '../../demo/transport.ts';
import { assertContent, labFile, PROVIDER_HERTZ, scenario, talk } from './lab.ts';

const CHAIN = 'inet firewall forward';
const gateway = { args: ['--accept-chain', CHAIN] };

/** All that one side sent has arrived at the other as it was sent. */
function assertUntouched(a: SipSocket, b: SipSocket): void {
  const texts = (socket: SipSocket, direction: 'in' | 'out'): string[] =>
    socket.journal.entries.filter((e) => e.direction === direction).map((e) => e.bytes.toString('latin1'));
  assert.ok(texts(a, 'out').length > 0 && texts(b, 'out').length > 0);
  assert.deepEqual(texts(b, 'in'), texts(a, 'out'));
  assert.deepEqual(texts(a, 'in'), texts(b, 'out'));
}

labFile('IPv6', ['conntrack'], () => {
  scenario(
    'routed: a phone is called after it was idle for longer than the router keeps a flow, and not a byte is changed',
    { network: { ipv6: 'routed', udpTimeoutSeconds: 2 }, gateway, without: /an incoming call/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider6();
      const alice = await lab.phone6({ onCall: 'answer' });
      await alice.register();
      await delay(4500);
      const call = await provider.call('alice');
      const inside = await alice.incoming(1500);
      await call.reached('confirmed');
      await talk(inside, call);
      await call.hangup();
      assertContent(alice);
      assertUntouched(alice.wire, provider.agent.wire);
    },
  );

  scenario(
    'routed: a phone that sends nothing hears early media, and after BYE nobody gets in',
    { network: { ipv6: 'routed' }, gateway, without: /RTP packets/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider6({ onCall: 'nothing', keepsTalking: true });
      const alice = await lab.phone6({ talk: false });
      await alice.register();
      const inside = await alice.call(`sip:bob@[${'2001:db8:5::5'}]`, { talk: false });
      const outside = await provider.agent.incoming();
      outside.earlyMedia();
      await inside.media.hear(PROVIDER_HERTZ);
      outside.answer();
      await inside.reached('confirmed');
      await inside.media.hear(PROVIDER_HERTZ);
      await inside.hangup();
      assertContent(alice);
    },
  );

  scenario(
    'translated: a call from either side, with audio both ways',
    { network: { ipv6: 'masquerade' }, gateway, without: /final response to REGISTER/, only: 'nat' },
    async (lab) => {
      const provider = await lab.provider6();
      const alice = await lab.phone6();
      await alice.register();
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      inside.answer();
      await outside.reached('confirmed');
      await talk(inside, outside);
      await inside.hangup();
      const second = await alice.call('sip:bob@[2001:db8:5::5]');
      const far = await provider.agent.incoming();
      far.answer();
      await second.reached('confirmed');
      await talk(second, far);
      await far.hangup();
      assertContent(alice);
    },
  );
});
