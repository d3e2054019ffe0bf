/** Transfers between phones inside and outside: by REFER, and by REFER with Replaces; the media goes with the call. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { first, uriOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import { Baresip } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, eventually, type Lab, labFile, mediaElements, scenario, talk } from './lab.ts';

const CAROL_HERTZ = 620;
const BOB_HERTZ = 1000;

interface People {
  readonly alice: Agent;
  readonly carol: Agent;
  readonly bob: Agent;
}

/** Alice and Carol behind the router, Bob outside. */
async function people(lab: Lab): Promise<People> {
  await lab.own(Kamailio.start(lab.network));
  const alice = await lab.phone({ rport: true });
  const carol = await lab.phone({ rport: true, host: 'phone2', hertz: CAROL_HERTZ });
  const bob = await lab.outsider('bob', addresses.farEnd, {
    domain: addresses.provider,
    outbound: { address: addresses.provider, port: 5060 },
    hertz: BOB_HERTZ,
  });
  await Promise.all([alice.register(), carol.register(), bob.register()]);
  return { alice, carol, bob };
}

async function connect(from: Agent, to: Agent, fields: [string, string][] = []) {
  const seen = to.calls.entries.length;
  const calling = await from.call(to.aor, { fields });
  const called = await to.incoming(3000, seen);
  called.answer();
  await calling.reached('confirmed');
  await called.reached('confirmed');
  await talk(called, calling);
  return { calling, called };
}

/** The one who is transferred does what the REFER asks for, and tells how it went (RFC 3515 §2.4.4). */
async function obey(transferee: Call, agent: Agent, target: Agent) {
  const refer = await transferee.requests.until(({ start }) => start.startsWith('REFER '), 3000, 'a REFER');
  const [uri = '', escaped = ''] = uriOf(first(refer, 'refer-to')).split('?');
  assert.equal(uri, target.aor, 'an address-of-record is nobody’s endpoint, and stays');
  const replaces = decodeURIComponent(/Replaces=([^&]*)/.exec(escaped)?.[1] ?? '');
  const pair = await connect(agent, target, replaces === '' ? [] : [['Replaces', replaces]]);
  const notify = transferee.request('NOTIFY', 'SIP/2.0 200 OK\r\n', [
    ['Event', 'refer'],
    ['Subscription-State', 'terminated;reason=noresource'],
    ['Contact', agent.contact],
    ['Content-Type', 'message/sipfrag;version=2.0'],
  ]);
  await notify.final();
  return { ...pair, replaces };
}

/** Blind: whoever was called by `from` is sent on to `target`. */
async function blind(lab: Lab, from: Agent, to: Agent, target: Agent): Promise<void> {
  const { calling, called } = await connect(from, to);
  await calling.offerAgain('inactive');
  const refer = calling.request('REFER', '', [
    ['Refer-To', `<${target.aor}>`],
    ['Contact', from.contact],
  ]);
  const [after] = await Promise.all([obey(called, to, target), refer.final()]);
  await calling.requests.until(({ start }) => start.startsWith('NOTIFY '), 3000, 'a NOTIFY');
  await calling.hangup();
  await called.reached('ended');
  await talk(after.called, after.calling);
  await after.called.hangup();
  await after.calling.reached('ended');
  if (lab.gateway !== undefined)
    await eventually(() => mediaElements(lab) === 0, 3_000, 'the media of all calls is shut');
}

/** Attended: `by` has `first` on hold, speaks with `second`, and joins the two. */
async function attended(lab: Lab, by: Agent, one: Agent, other: Agent): Promise<void> {
  const held = await connect(by, one);
  await held.calling.offerAgain('sendonly');
  const asked = await connect(by, other);
  await asked.calling.offerAgain('sendonly');
  const { toTag, fromTag } = asked.calling.tags;
  const replaces = encodeURIComponent(`${asked.calling.callId};to-tag=${toTag};from-tag=${fromTag}`);
  const refer = held.calling.request('REFER', '', [
    ['Refer-To', `<${other.aor}?Replaces=${replaces}>`],
    ['Referred-By', `<${by.aor}>`],
    ['Contact', by.contact],
  ]);
  const [after] = await Promise.all([obey(held.called, one, other), refer.final()]);
  // The call that is replaced is the one that the other end knows (RFC 3891 §3).
  assert.equal(after.replaces.split(';')[0], asked.called.callId);
  await asked.called.hangup();
  await asked.calling.reached('ended');
  await held.calling.requests.until(({ start }) => start.startsWith('NOTIFY '), 3000, 'a NOTIFY');
  await held.calling.hangup();
  await talk(after.called, after.calling);
  await after.calling.hangup();
  await after.called.reached('ended');
  if (lab.gateway !== undefined)
    await eventually(() => mediaElements(lab) === 0, 3_000, 'the media of all calls is shut');
}

labFile('transfers', ['conntrack', 'kamailio', 'baresip'], () => {
  scenario(
    'a phone sends a caller outside on to the other phone inside',
    { without: /RTP packets|an incoming call|confirmed/ },
    async (lab) => {
      const { alice, carol, bob } = await people(lab);
      await blind(lab, alice, bob, carol);
      assertContent(alice, carol, bob);
    },
  );

  scenario(
    'a phone sends the other phone inside on to somebody outside',
    { without: /an incoming call/ },
    async (lab) => {
      const { alice, carol, bob } = await people(lab);
      await blind(lab, alice, carol, bob);
      assertContent(alice, carol, bob);
    },
  );

  scenario(
    'attended: a phone joins somebody outside with the other phone inside (REFER with Replaces)',
    { without: /RTP packets|an incoming call|confirmed/ },
    async (lab) => {
      const { alice, carol, bob } = await people(lab);
      await attended(lab, alice, bob, carol);
      assertContent(alice, carol, bob);
    },
  );

  scenario(
    'attended: somebody outside joins the two phones inside, and they talk by a hairpin',
    { without: /RTP packets|an incoming call|confirmed/ },
    async (lab) => {
      const { alice, carol, bob } = await people(lab);
      await attended(lab, bob, alice, carol);
      assertContent(alice, carol, bob);
    },
  );

  scenario(
    'baresip holds, takes back, and sends a baresip outside on to a phone inside',
    { without: /records \d+ Hz/ },
    async (lab) => {
      await lab.own(Kamailio.start(lab.network));
      const carol = await lab.phone({ rport: true, host: 'phone2', hertz: CAROL_HERTZ });
      await carol.register();
      const start = (options: {
        host: 'phone1' | 'provider';
        address: string;
        user: string;
        hertz: number;
      }) => lab.own(Baresip.start(lab.network, { ...options, answers: true, firstMediaPort: 20_000 }));
      const bob = await start({ host: 'provider', address: addresses.farEnd, user: 'bob', hertz: BOB_HERTZ });
      const alice = await start({ host: 'phone1', address: addresses.phone1, user: 'alice', hertz: 440 });
      alice.dial('sip:bob@198.51.100.5');
      await alice.event('CALL_ESTABLISHED');
      await bob.hears(440);
      await alice.hears(BOB_HERTZ);
      alice.hold();
      await bob.silent();
      alice.resume();
      await bob.hears(440);
      await alice.hears(BOB_HERTZ);
      alice.transfer(carol.aor);
      const called = await carol.incoming();
      called.answer();
      await called.reached('confirmed');
      await called.media.hear(BOB_HERTZ);
      await bob.hears(CAROL_HERTZ, 6000);
      await called.hangup();
      assertContent(carol);
    },
  );
});
