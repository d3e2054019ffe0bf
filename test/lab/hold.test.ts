/** Calls that are held for longer than a router keeps a flow, and calls whose BYE was lost. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import type { Again, Call } from '../../demo/call.ts';
import { statusOf } from '../../demo/message.ts';
import type { Provider } from '../../demo/provider.ts';
import {
  assertContent,
  eventually,
  flowsOf,
  type Lab,
  labFile,
  mediaElements,
  type PhoneOptions,
  scenario,
  talk,
} from './lab.ts';

const BOB = 'sip:bob@198.51.100.5';
const SILENCE = /RTP packets at 192\.168\.1\.1\d:/;
/** A router that forgets a flow soon after its last packet, so that nobody has to wait three minutes for it. */
const FORGETFUL = { udpTimeoutSeconds: 2 };
/** Both ends' flow of the media, and the look of the gateway at it. */
const FORGOTTEN_MS = 8_000;

interface Ends {
  readonly inside: Call;
  readonly outside: Call;
}

async function connect(phone: Agent, provider: Provider): Promise<Ends> {
  const seen = provider.agent.calls.entries.length;
  const inside = await phone.call(BOB);
  const outside = await provider.agent.incoming(3000, seen);
  outside.answer();
  await inside.reached('confirmed');
  await outside.reached('confirmed');
  await talk(inside, outside);
  return { inside, outside };
}

async function phoneOf(lab: Lab, options: PhoneOptions = {}): Promise<Agent> {
  const phone = await lab.phone({ rport: true, ...options });
  await phone.register();
  return phone;
}

/** Neither end sends until the router has forgotten that there ever was media. */
async function silent(lab: Lab, { inside, outside }: Ends): Promise<void> {
  inside.media.stop();
  outside.media.stop();
  await eventually(() => flowsOf(lab, inside.media.port) === 0, FORGOTTEN_MS, 'the router forgets the media');
}

async function takeBack(holder: Call, other: Call): Promise<void> {
  const sdp = await holder.offerAgain('sendrecv');
  holder.media.start(sdp!, holder.hertz);
  assert.ok(other.media.sending);
}

labFile('calls on hold, and calls that were lost', ['conntrack'], () => {
  // The longest stands first, so that the others run beside it.
  scenario(
    'a call whose BYE was lost is forgotten when its media has stopped; one that is held, and one that talks, are not',
    { network: FORGETFUL, gateway: { config: '[limits]\ncall-idle = 6\n' }, only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await phoneOf(lab);
      const carol = await phoneOf(lab, { host: 'phone2', hertz: 620 });
      const held = await connect(alice, provider);
      const lost = await connect(carol, provider);
      const talking = await connect(carol, provider);
      await held.inside.offerAgain('inactive');
      await silent(lab, held);
      const all = mediaElements(lab);
      lost.inside.media.stop();
      lost.outside.media.stop();

      const gateway = lab.gateway!;
      const ended = await gateway.log.until(({ msg }) => msg === 'dialog.ended', 25_000, 'a call that ends');
      assert.equal(ended.callId, lost.inside.callId);
      assert.equal(ended.why, 'no media');
      await eventually(() => mediaElements(lab) === (all / 3) * 2, 2_000, 'the elements of the lost call go');
      assert.equal(lost.inside.requests.entries.length, 0, 'nobody is sent a BYE');

      await takeBack(held.inside, held.outside);
      await talk(held.inside, held.outside);
      await talk(talking.inside, talking.outside);
      assert.equal(statusOf(await held.outside.hangup()), 200);
      assert.equal(statusOf(await talking.inside.hangup()), 200);
      await eventually(() => mediaElements(lab) === 0, 3_000, 'all elements go');
      assertContent(alice, carol, provider.agent);
    },
  );

  for (const how of ['inactive', '0.0.0.0'] as const satisfies readonly Again[]) {
    scenario(
      `the phone holds (${how}) for longer than the router keeps a flow; taken back, audio goes both ways`,
      { network: FORGETFUL, without: SILENCE },
      async (lab) => {
        const provider = await lab.provider();
        const ends = await connect(await phoneOf(lab), provider);
        await ends.inside.offerAgain(how);
        await silent(lab, ends);
        await takeBack(ends.inside, ends.outside);
        await talk(ends.inside, ends.outside);
        assert.equal(statusOf(await ends.outside.hangup()), 200);
      },
    );
  }

  scenario(
    'the far end holds for longer than the router keeps a flow; taken back, audio goes both ways',
    { network: FORGETFUL, without: SILENCE },
    async (lab) => {
      const provider = await lab.provider();
      const ends = await connect(await phoneOf(lab), provider);
      await ends.outside.offerAgain('inactive');
      await silent(lab, ends);
      await takeBack(ends.outside, ends.inside);
      await talk(ends.inside, ends.outside);
      assert.equal(statusOf(await ends.inside.hangup()), 200);
    },
  );
});
