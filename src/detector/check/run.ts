/**
 * A whole check, step by step. A step that cannot be done says so, with the reason; none of them can keep the others from
 * being done, and the loss of the control channel ends all of them.
 */
import { assess } from '../../core/detect/assessment.ts';
import type {
  BehaviourObservation,
  CheckedStep,
  CheckReport,
  Fact,
  NatBehaviour,
  Workaround,
} from '../../core/detect/check-report.ts';
import { foreignAnswers } from '../../core/detect/foreign-answers.ts';
import type { Location } from '../../core/detect/location.ts';
import { NOT_SIP } from '../../core/detect/losses.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { isUnaltered } from '../../core/detect/passage.ts';
import type { Answer } from '../../core/detect/verdict.ts';
import { formatEndpoint } from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Invitation } from '../control/invitation.ts';
import type { Place } from '../control/protocol.ts';
import { measureBaseline } from './baseline.ts';
import { checkBursts, checkNames } from './bursts.ts';
import { makeCall } from './call.ts';
import { findCarrier } from './carrier.ts';
import { Control } from './control.ts';
import { checkDns } from './dns.ts';
import { holdCalls } from './hold.ts';
import { measureIdle } from './idle.ts';
import { receiveCalls } from './incoming.ts';
import { checkInterception, whoAnswers } from './intercept.ts';
import { climbLadder, ladderSizes } from './ladder.ts';
import { type Lane, namedMatrix, quickMatrix, runLane, wholeMatrix } from './matrix.ts';
import { measureNat } from './nat.ts';
import type { Phone } from './phone.ts';
import { checkPhones } from './phones.ts';
import { findPlace } from './place.ts';
import { type Pace, Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';
import { checkStreams } from './streams.ts';
import { checkStun } from './stun.ts';
import { measureTcpIdle } from './tcp-idle.ts';
import { tryWorkarounds } from './workaround.ts';

export interface CheckOptions {
  readonly mode: 'quick' | 'standard' | 'long';
  readonly pace: Pace;
  /** For how long mappings are left alone before a call comes in. */
  readonly idleTimesMs: readonly number[];
  /** The steps to be made; undefined for all. The baseline always is. */
  readonly only?: ReadonlySet<string> | undefined;
  /** Told as the check goes on, for people who wait. */
  readonly tell: (step: CheckedStep) => void;
}

/** What routers and ALGs like to count in: a quarter, half and whole of an hour, and the timeouts of firewalls. */
const USUAL_CLOCKS_MS = [180_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000];

/**
 * Within the time that each kind of check has. All are waited for at the same time, so that steps of four seconds cost no
 * more time than a search would, and tell a lifetime to two.
 */
export const idleTimes: Readonly<Record<CheckOptions['mode'], readonly number[]>> = {
  quick: [8_000],
  standard: timesUpTo(64_000),
  long: [...timesUpTo(128_000), ...growingTimes(128_000, 3_300_000), ...USUAL_CLOCKS_MS.flatMap(justAround)]
    .filter((ms) => ms <= 3_660_000)
    .sort((a, b) => a - b),
};

function timesUpTo(mostMs: number): number[] {
  const times: number[] = [];
  for (let ms = 12_000; ms <= mostMs; ms += 4_000) times.push(ms);
  return times;
}

/** Each a tenth longer than the one before: what lies between is searched afterwards, where there is time. */
function growingTimes(fromMs: number, mostMs: number): number[] {
  const times: number[] = [];
  for (let ms = fromMs * 1.1; ms <= mostMs; ms *= 1.1) times.push(Math.round(ms / 1000) * 1000);
  return times;
}

function justAround(clockMs: number): number[] {
  return [clockMs - 3_000, clockMs + 3_000];
}

/** What a check can be confined to. */
export const checkSteps = [
  'matrix',
  'call',
  'size',
  'tcp',
  'workaround',
  'nat',
  'stun',
  'dns',
  'phones',
  'incoming',
  'intercept',
  'place',
  'carrier',
  'idle',
  'hold',
  'tcp-idle',
  'burst',
  'names',
] as const;

/** From which phones send, unless they are told otherwise. */
const USUAL_PORT = 5060;
/** For how long a phone rests before it is called and answers. */
const pauses: Readonly<Record<CheckOptions['mode'], number>> = {
  quick: 2_000,
  standard: 20_000,
  long: 60_000,
};

/** For how long a call is silent, apart from the pauses of `idleTimes`; none longer than they are. */
const silences: Readonly<Record<CheckOptions['mode'], readonly number[]>> = {
  quick: [],
  standard: [35_000],
  long: [35_000, 305_000, 965_000],
};
/** Of the longest pause: for how long TCP connections are silent in a long check. */
const TCP_SHARES = [1 / 12, 1 / 4, 1 / 2, 1];
/** A session ends at the reflector after its time; what is left is for the steps behind. */
const LEFT_FOR_THE_REST_MS = 5 * 60_000;

export const defaultPace: Pace = { patienceMs: 1_000, tries: 3, gapMs: 5 };

export interface CheckResult {
  readonly report: CheckReport;
  /** Every message of the check, as both ends saw it. */
  readonly passages: readonly Passage[];
  /** Of routers on the way: what a report names beside the two ends. */
  readonly addresses: readonly string[];
}

export class Check {
  readonly stand: Stand;
  readonly options: CheckOptions;
  readonly #steps: CheckedStep[] = [];
  readonly #observations: BehaviourObservation[] = [];
  readonly #facts: Fact[] = [];
  readonly #workarounds: Workaround[] = [];
  readonly #addresses: string[] = [];
  #location: Location | undefined;
  #natBehaviour: NatBehaviour | undefined;
  #carrier: Answer | undefined;

  readonly #pin: string | undefined;

  private constructor(stand: Stand, options: CheckOptions, pin: string | undefined) {
    this.stand = stand;
    this.#pin = pin;
    this.options = options;
  }

  static async run(invitation: Invitation, options: CheckOptions): Promise<CheckResult> {
    const control = await Control.open(invitation);
    const stand = new Stand(control, options.pace);
    const check = new Check(stand, options, invitation.pin);
    try {
      const lost = control.lost.then((error) => {
        throw error;
      });
      await Promise.race([check.#sequence(), lost]);
      const { passages } = stand;
      const foreign = foreignAnswers([...stand.sights()], passages, stand.serverIds);
      const report = assess({
        passages,
        observations: check.#observations,
        steps: check.#steps,
        facts: check.#facts,
        workarounds: check.#workarounds,
        location: check.#location,
        relays: [...stand.relays],
        answered: new Set(foreign.map(({ request }) => request.id)),
        natBehaviour: check.#nat,
      });
      const routers = check.#location?.routers.map(({ address }) => address) ?? [];
      return { report, passages, addresses: [...routers, ...check.#addresses] };
    } finally {
      stand.close();
      control.close();
    }
  }

  /** What the router says of its address is worth more than signs of another NAT. */
  get #nat(): NatBehaviour | undefined {
    return this.#natBehaviour === undefined || this.#carrier === undefined
      ? this.#natBehaviour
      : { ...this.#natBehaviour, carrier: this.#carrier };
  }

  async #sequence(): Promise<void> {
    const { stand } = this;
    const { mode, idleTimesMs } = this.options;
    const startedAt = performance.now();
    const phone = await stand.phone();
    const [control] = stand.udp('control');
    await this.#step('baseline', 'The path, with nothing on it that looks like SIP', async () => {
      const { clock, sent, lost } = await measureBaseline(stand, phone);
      if (mode === 'quick' && clock !== undefined) stand.hasten(clock.roundTripMs);
      const outside = control === undefined ? undefined : stand.outsideOf(phone, control);
      const facts: Fact[] = [
        ...(stand.control.detour === undefined ? [] : [{ id: 'detour', text: stand.control.detour }]),
        { id: 'inside', text: `This machine is ${stand.control.local.address}.` },
        ...(outside === undefined
          ? []
          : [{ id: 'outside', text: `The reflector sees it as ${formatEndpoint(outside)}.` }]),
      ];
      const delay = clock === undefined ? '' : `, ${clock.roundTripMs.toFixed(1)} ms there and back`;
      return { result: `${lost} of ${sent} datagrams lost${delay}`, facts };
    });
    // Waiting takes the longest, so it begins first and goes on beside the rest.
    const longestMs = Math.max(0, ...idleTimesMs);
    const { promise: opened, resolve: tellOpened } = Promise.withResolvers<void>();
    const tcpIdle = this.#step('tcp-idle', 'Silent TCP connections', () => {
      if (mode !== 'long' || longestMs === 0) throw new NotChecked('it takes an hour: --long does it');
      return measureTcpIdle(stand, sharesOf(idleTimesMs), tellOpened);
    });
    await Promise.race([opened, tcpIdle]);
    const idle = this.#step('idle', 'A call that comes in after a pause', () =>
      measureIdle(
        stand,
        idleTimesMs,
        mode === 'long' ? startedAt + stand.control.welcome.lifetimeMs - LEFT_FOR_THE_REST_MS : undefined,
      ),
    );
    const incoming = this.#step('incoming', 'A call that is answered after a pause', () =>
      receiveCalls(stand, Math.min(pauses[mode], longestMs)),
    );
    const carrier = this.#step('carrier', 'Whether there is a second NAT', () =>
      findCarrier(
        stand.control.local.address,
        control === undefined ? undefined : stand.outsideOf(phone, control)?.address,
      ),
    );
    await this.#step('matrix', 'Messages of every kind, both ways', () => this.#matrix(mode));
    await this.#step('call', 'A whole call with audio', () => makeCall(stand));
    await this.#step('size', 'Large messages', () =>
      climbLadder(stand, mode === 'quick' ? [500, 1400, 2000] : ladderSizes),
    );
    await this.#step('tcp', 'SIP over TCP', () => checkStreams(stand, mode === 'quick'));
    await this.#step('workaround', 'Ways round', async () => {
      const { workarounds, ...rest } = await tryWorkarounds(stand, this.#pin);
      this.#workarounds.push(...workarounds);
      return rest;
    });
    // Each with sockets of its own; most of their time goes into waiting for what a NAT keeps out.
    await Promise.all([
      this.#step('nat', 'How the NAT behaves', () => measureNat(stand)),
      this.#step('stun', 'What STUN says', () => checkStun(stand)),
      this.#step('dns', 'Names (DNS)', () => checkDns(stand)),
    ]);
    await this.#step('phones', 'Two phones at once', () => checkPhones(stand));
    // Behind what an ALG may get wrong about several calls at a time.
    const hold = this.#step('hold', 'Calls that last, and are silent', () => {
      const silencesMs = [...new Set(silences[mode].map((ms) => Math.min(ms, longestMs)))];
      if (silencesMs.length === 0 || longestMs === 0)
        throw new NotChecked('it takes longer than a quick check');
      return holdCalls(stand, silencesMs, mode === 'long' ? longestMs : 0);
    });
    await incoming;
    await carrier;
    await this.#step('place', 'Where on the way it sits', () => findPlace(stand));
    await this.#step('intercept', 'Who answers', () => checkInterception(stand));
    await Promise.all([idle, hold, tcpIdle]);
    // Last, and when nothing waits any more: a box may lock out who does this.
    await this.#step('burst', 'Many messages at once', () => {
      if (mode === 'quick') throw new NotChecked('it takes longer than a quick check');
      return checkBursts(stand);
    });
    await this.#step('names', 'Names of phones', () => {
      if (mode === 'quick') throw new NotChecked('it takes longer than a quick check');
      return checkNames(stand);
    });
    // What is not looked into stands in the report as well: silence would read as "fine".
  }

  async #matrix(mode: CheckOptions['mode']): Promise<StepResult> {
    const { stand } = this;
    const plan = mode === 'quick' ? quickMatrix : wholeMatrix;
    const [sip] = stand.udp('sip');
    const [control] = stand.udp('control');
    if (sip === undefined) throw new NotChecked('the reflector has no UDP port 5060');
    const facts: Fact[] = [];
    const lanes: Lane[] = [];
    const add = (phone: Phone, place: Place | undefined, more: Partial<Lane> = {}): void => {
      if (place !== undefined) lanes.push({ phone, place, media: 16_384 + 4 * lanes.length, ...more });
    };
    const high = await stand.phone();
    for (const place of [sip, control]) add(high, place);
    try {
      const usual = await stand.phone(USUAL_PORT);
      for (const place of [sip, control]) add(usual, place);
      // Who leaves the port out means 5060, and has to send from there.
      if (mode !== 'quick') add(usual, sip, { namedPort: 'absent' });
    } catch (error) {
      facts.push({
        id: 'source-5060',
        text: `Nothing was sent from port 5060, because it is taken on this machine (${(error as Error).message}).`,
      });
    }
    if (mode !== 'quick')
      add(await stand.phone(), sip, { namedPort: 'other', listener: await stand.phone() });
    const before = stand.passages.length;
    await Promise.all(
      lanes
        .filter((lane) => lane.namedPort !== 'absent')
        .map((lane) => runLane(stand, lane, lane.namedPort === undefined ? plan : namedMatrix)),
    );
    for (const lane of lanes) if (lane.namedPort === 'absent') await runLane(stand, lane, namedMatrix);
    // The port is free for the phones of another step.
    for (const { phone } of lanes) if (phone.local.port === USUAL_PORT) phone.close();
    // Nothing of SIP has arrived there: is it the port, or is it SIP?
    const onSip = stand.passages.slice(before).filter(({ portKind }) => portKind === 'sip');
    if (onSip.every(({ received }) => received === undefined))
      await stand.sendOut(high, sip, { step: 'matrix', what: NOT_SIP }, (id) => octetsOf(id));
    const answer = await whoAnswers(stand, sip);
    return {
      result: summaryOf(stand.passages.slice(before)),
      facts,
      observations: answer === undefined ? [] : [answer],
    };
  }

  async #step(id: string, title: string, work: () => Promise<StepResult>): Promise<void> {
    let step: CheckedStep;
    const { only } = this.options;
    try {
      if (only !== undefined && !only.has(id) && id !== 'baseline')
        throw new NotChecked('left out, as was asked for');
      const {
        result,
        observations = [],
        facts = [],
        addresses = [],
        location,
        natBehaviour,
        carrier,
      } = await work();
      this.#natBehaviour ??= natBehaviour;
      this.#carrier ??= carrier;
      this.#observations.push(...observations);
      this.#facts.push(...facts);
      this.#addresses.push(...addresses);
      this.#location ??= location;
      step = { id, title, state: 'done', result };
    } catch (error) {
      if (!(error instanceof NotChecked)) throw error;
      step = { id, title, state: 'not-checked', result: error.message };
    }
    this.#steps.push(step);
    this.options.tell(step);
  }
}

/** The pauses that are nearest to so much of the longest. */
function sharesOf(timesMs: readonly number[]): number[] {
  const longestMs = Math.max(...timesMs);
  const found = TCP_SHARES.map((share) => Math.min(...timesMs.filter((ms) => ms >= share * longestMs)));
  return [...new Set(found)];
}

export function summaryOf(passages: readonly Passage[]): string {
  const lost = passages.filter(({ received }) => received === undefined).length;
  const altered = passages.filter((passage) => isUnaltered(passage) === false).length;
  return `${passages.length} messages, ${altered} altered, ${lost} lost`;
}
