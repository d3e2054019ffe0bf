/**
 * Calls that last. Silent ones: nothing is said for some time, neither SIP nor audio, as with a call on hold or muted; then audio comes
 * in again, and the server refreshes the session (RFC 4028). And one with audio all the time, which no timer should end.
 *
 * A NAT forgets what is silent, and that is no ALG's doing: each silence has its twin on the control port, a plain mapping.
 * Only what dies while the twin lives is named.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { mediaEndpoint } from '../../core/detect/dialog.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { type Endpoint, isPrivate } from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import { Call } from './call.ts';
import { SETTLE_MS, SETTLED_MS } from './idle.ts';
import { burst, burstIn, lost, type MediaPhone, openMediaPhone } from './media.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'hold';
/** Between two exchanges of audio in the call that lasts. */
const BEAT_MS = 10_000;
/** So many of them lost on end, and the call is dead. */
const DEAD_BEATS = 3;

/** Neither needs an order: all calls are up at the same time. `lastingMs` 0: none of that kind. */
export async function holdCalls(
  stand: Stand,
  silencesMs: readonly number[],
  lastingMs: number,
): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [media] = stand.udp('media');
  const [control] = stand.udp('control');
  if (sip === undefined || media === undefined || control === undefined)
    throw new NotChecked('the reflector lacks ports for it');
  const places = { sip, media, control };
  const ways = await Promise.all([
    ...silencesMs.map((silenceMs) => beSilent(stand, places, silenceMs)),
    ...(lastingMs > 0 ? [talk(stand, places, lastingMs)] : []),
  ]);
  const done = ways.filter((way) => way !== undefined);
  if (done.length === 0) throw new NotChecked('no call came about, or it had no audio');
  return {
    result: done.map(({ text }) => text).join('; '),
    facts: done.flatMap(({ facts }) => facts),
    observations: done.flatMap(({ observations }) => observations),
  };
}

interface Places {
  readonly sip: Place;
  readonly media: Place;
  readonly control: Place;
}

interface Outcome {
  readonly text: string;
  readonly facts: readonly Fact[];
  readonly observations: readonly BehaviourObservation[];
}

/** A call that is up, with audio both ways, and a plain mapping beside it. */
interface Standing {
  readonly call: Call;
  readonly phone: Phone;
  readonly media: MediaPhone;
  /** Where audio for the phone goes to. */
  readonly aim: Endpoint | undefined;
  readonly twin: Phone;
}

/** `lastsMs`: what is to come, be it silence or talk. */
async function setUp(stand: Stand, places: Places, lastsMs: number): Promise<Standing | undefined> {
  const media = await openMediaPhone(stand);
  if (media === undefined) return undefined;
  const phone = await stand.phone();
  const call = new Call(stand, phone, places.sip, media.rtp.local.port, places.media, STEP);
  const offer = await call.setUp();
  if (offer === undefined) return undefined;
  const advertised = mediaEndpoint(offer);
  const out = await burst(stand, media.rtp, places.media, 'RTP in a call that lasts');
  const aim =
    advertised === undefined || isPrivate(advertised.address)
      ? stand.outsideOf(media.rtp, places.media)
      : advertised;
  const back = await burstIn(stand, media.rtp, places.media, 'RTP in a call that lasts', aim);
  if (lost(out) || lost(back)) return undefined;
  const twin = await stand.phone();
  await exchange(stand, twin, places.control);
  // A call that has lasted some seconds, in the eyes of connection tracking.
  if (lastsMs >= SETTLED_MS) await sleep(SETTLE_MS);
  await burst(stand, media.rtp, places.media, 'RTP in a call that lasts');
  await stand.sendOut(phone, places.sip, { step: STEP, what: 'a keepalive' }, octetsOf);
  await exchange(stand, twin, places.control);
  return { call, phone, media, aim, twin };
}

async function beSilent(stand: Stand, places: Places, silenceMs: number): Promise<Outcome | undefined> {
  const standing = await setUp(stand, places, silenceMs);
  if (standing === undefined) return undefined;
  const { call, media, aim, twin } = standing;
  await sleep(silenceMs);
  const seconds = Math.round(silenceMs / 1000);
  const what = `after ${seconds} s of silence`;
  const rtp = await burstIn(stand, media.rtp, places.media, `RTP ${what}`, aim);
  const plain = await stand.sendIn(
    twin,
    places.control,
    { step: STEP, what: `a datagram ${what}` },
    octetsOf,
  );
  const refresh = await call.refresh(`UPDATE that refreshes the session ${what}`);
  const isMappingAlive = plain?.received !== undefined;
  const isAudioAlive = !lost(rtp);
  const isDialogAlive = refresh?.received !== undefined;
  await call.end();
  const observations: BehaviourObservation[] = [];
  if (isMappingAlive && !isAudioAlive && rtp[0] !== undefined)
    observations.push(
      observe(
        'TIME-ALG-MEDIA',
        `After ${seconds} s of silence audio no longer comes in, while a mapping that has nothing to do with a call still lives after the same time.`,
        rtp[0],
      ),
    );
  if (isMappingAlive && !isDialogAlive && refresh !== undefined)
    observations.push(
      observe(
        'TIME-SESSION',
        `After ${seconds} s without signalling the server’s refresh of the session does not reach the phone, while a mapping that has nothing to do with SIP still lives after the same time.`,
        refresh,
      ),
    );
  const say = (alive: boolean): string => (alive ? 'comes in' : 'does not come in');
  const text = `after ${seconds} s of silence audio ${say(isAudioAlive)} and a refresh ${say(isDialogAlive)}`;
  const facts: Fact[] = isMappingAlive
    ? []
    : [
        {
          id: 'hold-nat',
          text: `In a call that is silent for ${seconds} s, audio ${say(isAudioAlive)} again and a refresh of the session ${say(isDialogAlive)}; a mapping of any other kind is forgotten after that time as well, so that this is the NAT’s clock and no ALG’s.`,
        },
      ];
  return { text, facts, observations };
}

async function talk(stand: Stand, places: Places, lastingMs: number): Promise<Outcome | undefined> {
  const standing = await setUp(stand, places, lastingMs);
  if (standing === undefined) return undefined;
  const { call, phone, media, aim, twin } = standing;
  const startedAt = performance.now();
  const pace = { ...stand.pace, tries: 1 };
  const beatMs = Math.min(BEAT_MS, lastingMs / 8);
  let missed = 0;
  let lastAt = startedAt;
  let silent: Passage | undefined;
  while (performance.now() - startedAt < lastingMs && missed < DEAD_BEATS) {
    await sleep(beatMs);
    const label = { step: STEP, what: 'RTP of a long call' };
    await stand.sendOut(phone, places.sip, { step: STEP, what: 'a keepalive' }, octetsOf, pace);
    await stand.sendOut(media.rtp, places.media, label, octetsOf, pace);
    const back = await stand.sendIn(media.rtp, places.media, label, octetsOf, aim, pace);
    const isTwinAlive = await exchange(stand, twin, places.control);
    if (back?.received !== undefined) {
      missed = 0;
      lastAt = performance.now();
    } else if (isTwinAlive) {
      missed++;
      silent = back;
    }
  }
  const bye = await call.end();
  const seconds = Math.round(((missed > 0 ? lastAt : performance.now()) - startedAt) / 1000);
  if (missed >= DEAD_BEATS && silent !== undefined)
    return {
      text: `a call that lasts has no audio after ${seconds} s`,
      facts: [],
      observations: [
        observe(
          'TIME-CALLMAX',
          `In a call with audio all the time, audio stops coming in after ${seconds} s, while a plain mapping that is used as often lives on.`,
          silent,
        ),
      ],
    };
  return {
    text: `a call with audio all the time lasts ${seconds} s, and its end ${bye?.received === undefined ? 'does not come in' : 'comes in'}`,
    facts: [],
    observations:
      bye !== undefined && bye.received === undefined
        ? [observe('DROP-ACKBYE', `After a call of ${seconds} s the server’s BYE does not arrive.`, bye)]
        : [],
  };
}

/** A datagram out and one back; whether the one back came. */
async function exchange(stand: Stand, phone: Phone, place: Place): Promise<boolean> {
  const label = { step: STEP, what: 'a datagram beside a call' };
  const out = await stand.sendOut(phone, place, label, octetsOf);
  if (out.received === undefined) return false;
  return (await stand.sendIn(phone, place, label, octetsOf))?.received !== undefined;
}

function observe(fault: FaultId, explanation: string, passage: Passage): BehaviourObservation {
  return {
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A',
    explanation,
    portKinds: ['sip'],
    evidence: evidenceOf(passage),
  };
}
