/** What happens inside a dialog: forks, early media, offers that change, move and are refused, messages that cross. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import { first, formatSdp, parseSdp, statusOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import { FarEnd, newTag, type Received, sdpOf } from './far-end.ts';
import {
  assertContent,
  eventually,
  type Lab,
  labFile,
  mediaElements,
  type PhoneOptions,
  PROVIDER_HERTZ,
  scenario,
  talk,
} from './lab.ts';
import { Sipp } from './sipp.ts';

const BOB = 'sip:bob@198.51.100.5';
const SILENCE = /RTP packets at 192\.168\.1\.1\d:/;
const OTHER_HERTZ = 1500;

interface World {
  readonly alice: Agent;
  readonly provider: Provider;
  readonly far: FarEnd;
}

async function world(lab: Lab, options: PhoneOptions = {}): Promise<World> {
  const provider = await lab.provider();
  const alice = await lab.phone({ rport: true, ...options });
  await alice.register();
  return { alice, provider, far: new FarEnd(lab, provider) };
}

/** With the gateway: what the call was given is given back. */
async function cleared(lab: Lab): Promise<void> {
  if (lab.gateway !== undefined)
    await eventually(() => mediaElements(lab) === 0, 3_000, 'the media of the call is shut');
}

/** A call of the phone that the far end has answered, with audio both ways. */
async function answered({ alice, far }: World, media: Awaited<ReturnType<FarEnd['media']>>) {
  const inside = await alice.call(BOB);
  const invite = await far.request('INVITE');
  const tag = newTag();
  invite.reply('200 OK', { tag, body: sdpOf(media) });
  media.start(invite.sdp, PROVIDER_HERTZ);
  await inside.reached('confirmed');
  await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(inside.hertz)]);
  return { inside, invite, tag, media };
}

labFile('dialogs that change', ['conntrack', 'sipp'], () => {
  scenario(
    'the provider forks: two early dialogs play on one port, one answers, the other is gone',
    { without: SILENCE },
    async (lab) => {
      const { alice, far } = await world(lab);
      const inside = await alice.call(BOB);
      const invite = await far.request('INVITE');
      const first = { tag: newTag(), media: await far.media(addresses.media) };
      const second = { tag: newTag(), media: await far.media(addresses.farEnd) };
      for (const { tag, media } of [first, second]) {
        invite.reply('183 Session Progress', { tag, body: sdpOf(media) });
        await inside.reached('early media');
        media.start(invite.sdp, media === first.media ? PROVIDER_HERTZ : OTHER_HERTZ);
      }
      const sources = (): string[] => inside.media.sources().map((one) => one.split(':')[0]!);
      await eventually(
        () => sources().length === 2,
        3_000,
        `RTP packets at ${inside.media.address}: both forks`,
      );
      invite.reply('200 OK', { tag: second.tag, body: sdpOf(second.media) });
      await inside.reached('confirmed');
      await second.media.hear(inside.hertz);
      if (lab.gateway !== undefined) {
        // The fork that lost goes on playing, as it does until its CANCEL has reached it.
        const from = inside.media.received.entries.length;
        await inside.media.hear(OTHER_HERTZ);
        const heard = inside.media.received.entries.slice(from + 10).map((one) => one.source.split(':')[0]);
        assert.deepEqual([...new Set(heard)], [addresses.farEnd]);
      }
      const bye = far.send('BYE', invite, second.tag);
      assert.equal(statusOf(await bye.final()), 200);
      await cleared(lab);
      assertContent(alice);
    },
  );

  scenario(
    'two forks answer: the phone ends the one that it does not want, and talks to the other',
    { without: SILENCE },
    async (lab) => {
      const { alice, far } = await world(lab);
      const media = await far.media(addresses.media);
      const { inside, invite, tag } = await answered({ alice, far } as World, media);
      const late = newTag();
      invite.reply('200 OK', { tag: late, body: sdpOf(await far.media(addresses.farEnd)) });
      await far.request('ACK', far.requests.entries.length);
      const bye = alice.wire.request(
        'BYE sip:far@198.51.100.5:5060 SIP/2.0',
        [
          ['From', first(invite.message, 'from')],
          ['To', `${first(invite.message, 'to')};tag=${late}`],
          ['Call-ID', first(invite.message, 'call-id')],
          ['CSeq', '900 BYE'],
        ],
        '',
        { address: addresses.provider, port: 5060 },
      );
      (await far.request('BYE')).reply('200 OK');
      assert.equal(statusOf(await bye.final()), 200);
      await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(inside.hertz)]);
      assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
      await cleared(lab);
    },
  );

  scenario(
    'early media comes from one address, the answer names another: audio follows',
    { without: SILENCE },
    async (lab) => {
      const { alice, far } = await world(lab);
      const inside = await alice.call(BOB);
      const invite = await far.request('INVITE');
      const tag = newTag();
      const early = await far.media(addresses.media);
      invite.reply('183 Session Progress', { tag, body: sdpOf(early) });
      early.start(invite.sdp, PROVIDER_HERTZ);
      await inside.media.hear(PROVIDER_HERTZ);
      const final = await far.media(addresses.farEnd);
      invite.reply('200 OK', { tag, body: sdpOf(final) });
      early.stop();
      final.start(invite.sdp, OTHER_HERTZ);
      await inside.reached('confirmed');
      await Promise.all([inside.media.hear(OTHER_HERTZ), final.hear(inside.hertz)]);
      assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
      await cleared(lab);
      assertContent(alice);
    },
  );

  scenario(
    'a session is refreshed by re-INVITE and by UPDATE from either side, and audio goes on',
    { without: SILENCE },
    async (lab) => {
      const all = await world(lab);
      const { alice, far } = all;
      const { inside, invite, tag, media } = await answered(all, await far.media(addresses.media));
      const timer = ['Session-Expires', '90;refresher=uac'] as const;
      let seen = far.requests.entries.length;
      const update = inside.request('UPDATE', '', [timer]);
      (await far.request('UPDATE', seen)).reply('200 OK', { fields: [timer] });
      assert.equal(statusOf(await update.final()), 200);
      assert.equal(statusOf(await far.send('UPDATE', invite, tag, '', [timer]).final()), 200);
      seen = far.requests.entries.length;
      const again = inside.offerAgain('sendrecv');
      const offer = await far.request('INVITE', seen);
      offer.reply('200 OK', { body: sdpOf(media), fields: [timer] });
      await again;
      assert.equal(offer.sdp.port, invite.sdp.port, 'the same port as before');
      const advertised = `${invite.sdp.address}:${invite.sdp.port}`;
      assert.deepEqual(media.sources(), [advertised], 'a relay that latches finds what the SDP says');
      const reInvite = far.send('INVITE', invite, tag, sdpOf(media), [timer]);
      const ok = await reInvite.final();
      assert.equal(statusOf(ok), 200);
      far.send('ACK', invite, tag).stop();
      await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(inside.hertz)]);
      assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
      await cleared(lab);
      assertContent(alice);
    },
  );

  scenario(
    'the phone moves its media by UPDATE, the 200 moves the other end: audio follows both ways',
    { without: SILENCE },
    async (lab) => {
      const all = await world(lab);
      const { alice, far } = all;
      const { inside, invite, tag, media } = await answered(all, await far.media(addresses.media));
      const moved = await alice.openMedia();
      lab.defer(() => moved.close());
      const seen = far.requests.entries.length;
      const update = inside.request('UPDATE', formatSdp(alice.sdpAddress, moved.port, 9));
      const request = await far.request('UPDATE', seen);
      assert.notEqual(request.sdp.port, invite.sdp.port);
      const elsewhere = await far.media(addresses.farEnd);
      request.reply('200 OK', { body: sdpOf(elsewhere) });
      const sdp = parseSdp((await update.final()).body)!;
      media.stop();
      inside.media.stop();
      elsewhere.start(request.sdp, OTHER_HERTZ);
      moved.start(sdp, 620);
      await Promise.all([moved.hear(OTHER_HERTZ), elsewhere.hear(620)]);
      assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
      await cleared(lab);
      assertContent(alice);
    },
  );

  scenario('a re-INVITE adds video, and the next takes it away again', { without: SILENCE }, async (lab) => {
    const all = await world(lab);
    const { alice, far } = all;
    const { inside, invite, tag, media } = await answered(all, await far.media(addresses.media));
    const video = await alice.openMedia();
    lab.defer(() => video.close());
    const farVideo = await far.media(addresses.farEnd);
    const withVideo = (address: string, audio: number, port: number, where: string): string =>
      `${formatSdp(address, audio, 5)}m=video ${port} RTP/AVP 96\r\nc=IN IP4 ${where}\r\na=rtpmap:96 H264/90000\r\n`;
    const elements = lab.gateway === undefined ? 0 : mediaElements(lab);

    const offer = async (port: number): Promise<Received> => {
      const seen = far.requests.entries.length;
      const body = withVideo(alice.sdpAddress, inside.media.port, port, alice.sdpAddress);
      const transaction = inside.request('INVITE', body);
      const request = await far.request('INVITE', seen);
      const answer = withVideo(media.address, media.port, port === 0 ? 0 : farVideo.port, farVideo.address);
      request.reply('200 OK', { body: answer });
      assert.equal(statusOf(await transaction.final()), 200);
      inside.request('ACK').stop();
      await far.request('ACK', seen);
      return request;
    };
    const added = await offer(video.port);
    const [, at] = /m=video (\d+)/.exec(added.message.body) ?? [];
    const [, where] = /m=video[\s\S]*c=IN IP4 (\S+)/.exec(added.message.body) ?? [];
    farVideo.start({ address: where!, port: Number(at) }, OTHER_HERTZ);
    video.start({ address: farVideo.address, port: farVideo.port }, 620);
    await Promise.all([video.hear(OTHER_HERTZ), farVideo.hear(620), inside.media.hear(PROVIDER_HERTZ)]);
    assert.equal(added.sdp.port, invite.sdp.port, 'audio stays where it was');

    const removed = await offer(0);
    assert.match(removed.message.body, /m=video 0 /);
    await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(inside.hertz)]);
    if (lab.gateway !== undefined)
      await eventually(() => mediaElements(lab) === elements, 3_000, 'the way of the video is shut');
    assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
    await cleared(lab);
  });

  scenario(
    'a re-INVITE gets 491 and the call goes on; a later one gets 481 and the call is over',
    { without: SILENCE },
    async (lab) => {
      const all = await world(lab);
      const { alice, far } = all;
      const { inside, media } = await answered(all, await far.media(addresses.media));
      const moved = await alice.openMedia();
      lab.defer(() => moved.close());
      for (const [status, over] of [
        ['491 Request Pending', false],
        ['481 Call/Transaction Does Not Exist', true],
      ] as const) {
        const seen = far.requests.entries.length;
        const transaction = inside.request('INVITE', formatSdp(alice.sdpAddress, moved.port, 9));
        (await far.request('INVITE', seen)).reply(status);
        assert.equal(statusOf(await transaction.final()), Number(status.slice(0, 3)));
        if (over) await cleared(lab);
        else await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(inside.hertz)]);
      }
      assertContent(alice);
    },
  );

  scenario(
    'both ends re-INVITE at once, each gets 491, and the second try goes through',
    { without: SILENCE },
    async (lab) => {
      const all = await world(lab);
      const { far } = all;
      const { inside, invite, tag, media } = await answered(all, await far.media(addresses.media));
      const seen = far.requests.entries.length;
      // The scripted phone answers what it is offered; so the 491 of this side is the far end's.
      const ours = inside.offerAgain('inactive').catch((error: Error) => error.message);
      const theirs = far.send('INVITE', invite, tag, sdpOf(media));
      (await far.request('INVITE', seen)).reply('491 Request Pending');
      assert.match(String(await ours), /491/);
      assert.equal(statusOf(await theirs.final()), 200);
      far.send('ACK', invite, tag).stop();
      await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(inside.hertz)]);
      assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
      await cleared(lab);
    },
  );

  scenario(
    'CANCEL and 200 cross: the phone gets a call that it does not want, and ends it by BYE',
    { without: SILENCE },
    async (lab) => {
      const { alice, far } = await world(lab);
      const inside = await alice.call(BOB);
      const invite = await far.request('INVITE');
      const tag = newTag();
      invite.reply('180 Ringing', { tag });
      await inside.reached('ringing');
      const media = await far.media(addresses.media);
      const cancelled = inside.cancel();
      const cancel = await far.request('CANCEL');
      invite.reply('200 OK', { tag, body: sdpOf(media) });
      cancel.reply('200 OK', { tag });
      assert.equal(statusOf(await cancelled), 200);
      await inside.reached('confirmed');
      media.start(invite.sdp, PROVIDER_HERTZ);
      await inside.media.hear(PROVIDER_HERTZ);
      const over = inside.hangup();
      (await far.request('BYE')).reply('200 OK');
      assert.equal(statusOf(await over), 200);
      await cleared(lab);
      assertContent(alice);
    },
  );

  scenario('the phone registers anew in the middle of a call', { without: SILENCE }, async (lab) => {
    const provider = await lab.provider();
    const alice = await lab.phone({ rport: true });
    await alice.register();
    const inside = await alice.call(BOB);
    const outside = await provider.agent.incoming();
    outside.answer();
    await inside.reached('confirmed');
    await talk(inside, outside);
    await alice.register(60);
    await talk(inside, outside);
    await alice.register(0);
    await talk(inside, outside);
    assert.equal(statusOf(await outside.hangup()), 200);
    await cleared(lab);
    assertContent(alice, provider.agent);
  });

  scenario(
    'the phone sends its audio from another port than the one that it named',
    { without: SILENCE },
    async (lab) => {
      const { alice, far } = await world(lab);
      const inside = await alice.call(BOB, { talk: false });
      const invite = await far.request('INVITE');
      const tag = newTag();
      const media = await far.media(addresses.media);
      invite.reply('200 OK', { tag, body: sdpOf(media) });
      await inside.reached('confirmed');
      inside.media.stop();
      const other = await alice.openMedia();
      lab.defer(() => other.close());
      media.start(invite.sdp, PROVIDER_HERTZ);
      other.start({ address: media.address, port: media.port }, 620);
      await Promise.all([inside.media.hear(PROVIDER_HERTZ), media.hear(620)]);
      assert.equal(statusOf(await far.send('BYE', invite, tag).final()), 200);
      await cleared(lab);
    },
  );

  scenario(
    'SIPp: reliable provisional responses, PRACK, and UPDATE before the answer',
    // SIPp answers and asks where messages come from, so that it needs nobody: nothing of it must be spoilt.
    {},
    async (lab) => {
      const uas = Sipp.start(lab.network, {
        host: 'provider',
        address: addresses.provider,
        port: 5060,
        scenario: 'prack-uas',
        calls: 5,
      });
      lab.defer(() => uas.close());
      const uac = Sipp.start(lab.network, {
        host: 'phone1',
        address: addresses.phone1,
        port: 5060,
        scenario: 'prack-uac',
        calls: 5,
      });
      lab.defer(() => uac.close());
      await Promise.all([uac.done(), uas.done()]);
      await cleared(lab);
    },
  );
});
