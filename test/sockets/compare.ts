/**
 * Plays a scenario through whatever is in the router, and notes what becomes of each message, without judging: the same
 * as the scenario says, unchanged, different in these lines, or gone.
 *
 * Ports are compared as names: where the scenario has `{rtp}`, or a port of our own pool, any port is as good. Messages
 * that answer one which never arrived are not sent.
 */
import { type Endpoint, formatEndpoint, parseEndpoint } from '../../src/core/net/address.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { expectedFrom } from '../scenario/run.ts';
import { bodyLength, type Check, type Scenario, type Send } from '../scenario/scenario.ts';
import { inOrderOf } from './gateway-driver.ts';
import type { Fence, World } from './world.ts';

/** One line that is not what the scenario says. Random ports are written as names, so that two runs give the same. */
export interface Deviation {
  readonly sent: string;
  readonly sipalg: string;
  readonly other: string;
}

export interface Fate {
  readonly line: number;
  /** The start of the message, for people. */
  readonly what: string;
  readonly outward: boolean;
  readonly fate: 'same' | 'unchanged' | 'different' | 'dropped' | 'delivered';
  readonly deviations: readonly Deviation[];
  /** Lines that the scenario has changed. */
  readonly changed: readonly string[];
}

export interface MediaFate {
  readonly line: number;
  readonly what: string;
  readonly sipalg: string;
  readonly other: string;
}

export interface Course {
  readonly fates: readonly Fate[];
  readonly media: readonly MediaFate[];
  /** Why it was not played to its end. */
  readonly ended: string | undefined;
}

type Arrives = Extract<Check, { kind: 'arrives' }>;
type Media = Extract<Check, { kind: 'media' }>;

const STRANGER: Endpoint = { address: '192.0.2.250', port: 9999 };
const STAYS_OUT = 'does not arrive';
const LOST = 'is lost';
const WRONG = 'goes another way';
/** Ports of our own pool, where a scenario writes one down. */
const OURS = /(?<!\d)30\d{3}(?!\d)/g;

/** A datagram as it was sent, and one that came of it. */
export interface Crossed {
  readonly path: string;
  readonly side: 'internal' | 'external';
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly sent: Uint8Array;
  readonly arrived: { readonly from: Endpoint; readonly to: Endpoint; readonly bytes: Uint8Array };
}

export type WatchCrossed = (crossed: Crossed) => void;

export async function course(
  world: World,
  fence: Fence,
  scenario: Scenario,
  watch: WatchCrossed = () => undefined,
): Promise<Course> {
  const play = new Play(world, fence, scenario, watch);
  let ended: string | undefined;
  for (const step of scenario.steps) {
    if (step.kind !== 'send') continue;
    ended = await play.step(step);
    if (ended !== undefined) break;
  }
  return { fates: play.fates, media: play.media, ended };
}

class Play {
  readonly fates: Fate[] = [];
  readonly media: MediaFate[] = [];
  readonly #world: World;
  readonly #fence: Fence;
  readonly #watch: WatchCrossed;
  readonly #scenario: Scenario;
  /** Every number of the scenario. */
  readonly #numbers: readonly string[];
  readonly #names = new Map<string, string>();
  readonly #lastSent = new Map<string, string>();
  readonly #lastRight = new Map<string, string>();
  /** Our own endpoints that the outside has seen. */
  readonly #given = new Set<string>();
  /** Ports of media: inside, and as the outside has last seen it. */
  readonly #mediaPorts = new Map<string, string>();
  /** Endpoints that a message has not reached. */
  readonly #deprived = new Set<string>();
  #heard: { readonly source: Endpoint; readonly external: Endpoint } | undefined;
  #probes = 0;
  /** Whether anybody outside has sent anything. */
  #answered = false;

  constructor(world: World, fence: Fence, scenario: Scenario, watch: WatchCrossed) {
    this.#watch = watch;
    this.#world = world;
    this.#fence = fence;
    this.#scenario = scenario;
    this.#numbers = JSON.stringify([scenario.steps, [...scenario.places]]).match(/\d+/g) ?? [];
  }

  /** Why it cannot go on, or undefined. */
  async step(step: Send): Promise<string | undefined> {
    const from = this.#endpoint(step.from);
    const to = this.#endpoint(step.to);
    if (from === undefined || to === undefined) return `line ${step.line}: a port is not known`;
    const side = this.#scenario.places.get(step.from)?.side ?? 'external';
    if (this.#deprived.has(formatEndpoint(from))) return `line ${step.line}: it answers what did not arrive`;
    const addressed = side === 'internal' || this.#given.has(formatEndpoint(to));
    if (!addressed && (step.quiet || step.checks.some((check) => check.kind === 'arrives')))
      return `line ${step.line}: it goes to a port that nobody has named to its sender`;
    const content = step.content ?? this.#lastSent.get(step.from) ?? '';
    this.#lastSent.set(step.from, content);
    if (side === 'external') this.#answered = true;
    const input = this.#fill(content);
    this.#world.send(side, from, to, octetsOf(input));
    await this.#world.fence(this.#fence);
    const arrived = inOrderOf(step, this.#scenario, this.#world.taken()).map((one) => ({
      ...one,
      text: textOf(one.bytes, 0, one.bytes.length),
    }));
    for (const one of arrived)
      this.#watch({ path: this.#scenario.path, side, from, to, sent: octetsOf(input), arrived: one });
    for (const one of arrived) if (side === 'internal') this.#learn(input, one.from, one.text);
    const expected = step.checks.filter(
      (check): check is Check & Arrives => check.kind === 'arrives' && check.gap === undefined,
    );
    const about = { line: step.line, what: startOf(input), outward: side === 'internal', changed: [] };
    if (step.quiet) {
      if (arrived.length === 0) this.#gone(step, about);
      return undefined;
    }
    for (const check of expected) {
      const one = arrived.shift();
      const right = this.#right(check, input);
      const changed = linesOf(right).filter((line, i) => line !== linesOf(input)[i]);
      if (one === undefined) this.#gone(step, { ...about, changed }, check.at);
      else {
        const deviations = this.#deviations(check, one, right, input);
        const fate = deviations.length === 0 ? 'same' : one.text === input ? 'unchanged' : 'different';
        this.fates.push({ ...about, fate, deviations, changed });
      }
    }
    for (const one of arrived)
      this.fates.push({
        ...about,
        fate: 'delivered',
        what: `${about.what} → ${formatEndpoint(one.to)}`,
        deviations: [],
      });
    if (expected.length === 0 && arrived.length === 0)
      this.fates.push({ ...about, fate: 'same', deviations: [] });
    for (const check of step.checks) if (check.kind === 'media') await this.#probe(check);
    return undefined;
  }

  /** What the outside has now seen of us: endpoints, and the ports of media. */
  #learn(input: string, from: Endpoint, text: string): void {
    this.#given.add(formatEndpoint(from));
    for (const [address] of text.matchAll(/203\.0\.113\.1:\d+/g)) this.#given.add(address);
    if (/203\.0\.113\.1(?![\d:])/.test(text)) this.#given.add('203.0.113.1:5060');
    const [before, after] = [input, text].map(linesOf) as [string[], string[]];
    for (const [i, line] of before.entries()) {
      const [, inside] = /^m=\S+ (\d+)/.exec(line) ?? [];
      const [, outside] = /^m=\S+ (\d+)/.exec(after[i] ?? '') ?? [];
      if (inside !== undefined && outside !== undefined) this.#mediaPorts.set(inside, outside);
    }
  }

  #gone(step: Send, about: Omit<Fate, 'fate' | 'deviations'>, at = step.to): void {
    this.fates.push({ ...about, fate: 'dropped', deviations: [] });
    this.#deprived.add(this.#fill(this.#placeText(at)));
  }

  /** What has to arrive; names stay names. */
  #right(check: Arrives, input: string): string {
    const text =
      check.form === 'unchanged'
        ? input
        : check.form === 'again'
          ? (this.#lastRight.get(check.at) ?? input)
          : check.form === 'whole'
            ? check.content
            : expectedFrom(check, input, (one) => this.#fill(one));
    const right = text.replace('{auto}', String(lengthOf(text.replace('{auto}', ''))));
    this.#lastRight.set(check.at, right);
    return right;
  }

  #deviations(
    check: Arrives,
    one: { readonly from: Endpoint; readonly to: Endpoint; readonly text: string },
    right: string,
    input: string,
  ): Deviation[] {
    const deviations: Deviation[] = [];
    const compare = (what: string, expected: string, actual: string): void => {
      if (this.#matches(expected, actual)) return;
      const [sipalg, other] = [expected, actual].map((end) => this.#named(`${what} ${end}`));
      deviations.push({ sent: '', sipalg: sipalg ?? '', other: other ?? '' });
    };
    compare('to', this.#placeText(check.at), formatEndpoint(one.to));
    if (check.from !== undefined) compare('from', this.#placeText(check.from), formatEndpoint(one.from));
    const [sent, expected, actual] = [input, right, one.text].map(linesOf) as [string[], string[], string[]];
    const trueLengths = isTrue(right) && isTrue(one.text);
    for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
      const [was = '', should = '', is = ''] = [sent[i], expected[i], actual[i]];
      if (this.#matches(should, is) || (trueLengths && sameButDigits(should, is))) continue;
      deviations.push({ sent: this.#named(was), sipalg: this.#named(should), other: this.#named(is) });
    }
    return deviations;
  }

  #matches(expected: string, actual: string): boolean {
    const fresh: string[] = [];
    const pattern = expected
      .replace(/\{([a-z][a-z0-9-]*)\}|[\\^$.*+?()[\]{}|/]/g, (piece, name: string | undefined) => {
        if (name === undefined) return `\\${piece}`;
        const known = this.#names.get(name);
        if (known !== undefined) return known;
        fresh.push(name);
        return '(\\d+)';
      })
      .replace(OURS, '\\d+');
    const match = new RegExp(`^${pattern}$`, 's').exec(actual);
    if (match === null) return false;
    for (const [i, name] of fresh.entries()) this.#names.set(name, match[i + 1] ?? '');
    return true;
  }

  async #probe(check: Check & Media): Promise<void> {
    if (check.what === 'none' || check.what === 'closed') {
      if (this.#heard === undefined) return;
      const { source, external } = this.#heard;
      const arrives = await this.#crosses('external', source, external);
      this.media.push({
        line: check.line,
        what: 'RTP after the end',
        sipalg: STAYS_OUT,
        other: arrives.length > 0 ? 'arrives' : STAYS_OUT,
      });
      return;
    }
    const inside = this.#endpoint(check.inside);
    const [, name] = /\{(.*)\}$/.exec(check.at) ?? [];
    const seen = this.#mediaPorts.get(String(inside?.port));
    if (name !== undefined && seen !== undefined && !this.#names.has(name)) this.#names.set(name, seen);
    const at = seen === undefined ? check.at : check.at.replace(OURS, seen);
    const external = this.#endpoint(at);
    if (inside === undefined || external === undefined) return;
    const ports = Number(check.fields.get('ports') ?? 1);
    if (!check.fields.has('from')) return this.#reach(check, inside, external, ports);
    for (const source of (check.fields.get('from')?.split(',') ?? []).map(parseEndpoint)) {
      // Before an answer nobody has said where media comes from; a packet from the port of SIP would only use up what waits.
      if (source === undefined || this.#signals(source)) continue;
      this.#heard = { source, external };
      for (let k = 0; k < ports; k++) {
        const [far, ours, phone] = [source, external, inside].map((one) => ({ ...one, port: one.port + k }));
        if (far === undefined || ours === undefined || phone === undefined) continue;
        const note = (what: string, right: string, seen: Endpoint | undefined, at: Endpoint): void => {
          const other =
            seen === undefined ? LOST : formatEndpoint(seen) === formatEndpoint(at) ? right : WRONG;
          this.media.push({
            line: check.line,
            what: `${k === 0 ? 'RTP' : 'RTCP'} ${what}`,
            sipalg: right,
            other,
          });
        };
        const [before] = await this.#crosses('external', far, ours);
        note('to a phone that has not sent any', 'arrives', before?.to, phone);
        const [sent] = await this.#crosses('internal', phone, far);
        note('from the phone', 'leaves from the port that the SDP names', sent?.from, ours);
        const [after] = await this.#crosses('external', far, ours);
        note('to a phone that has sent some', 'arrives', after?.to, phone);
      }
      const strange = await this.#crosses('external', STRANGER, external);
      this.media.push({
        line: check.line,
        what: 'a stranger’s RTP',
        sipalg: STAYS_OUT,
        other: strange.length > 0 ? 'arrives' : STAYS_OUT,
      });
    }
  }

  /** Before an answer media comes from where the signalling is, or from nobody knows where: the former is tried. */
  async #reach(check: Check & Media, inside: Endpoint, external: Endpoint, ports: number): Promise<void> {
    const provider = this.#endpoint('provider');
    if (provider === undefined || this.#answered) return;
    for (let k = 0; k < ports; k++) {
      const phone = { ...inside, port: inside.port + k };
      const far = { ...provider, port: 9000 + k };
      const [came] = await this.#crosses('external', far, { ...external, port: external.port + k });
      const right = came !== undefined && formatEndpoint(came.to) === formatEndpoint(phone);
      const what = `media for port ${phone.port} of the phone`;
      this.media.push({ line: check.line, what, sipalg: 'arrives', other: right ? 'arrives' : LOST });
    }
  }

  async #crosses(side: 'internal' | 'external', from: Endpoint, to: Endpoint) {
    const bytes = Buffer.from(`media ${++this.#probes}`);
    this.#world.send(side, from, to, bytes);
    await this.#world.fence(this.#fence);
    return this.#world.taken().filter((one) => bytes.equals(one.bytes));
  }

  #fill(text: string): string {
    return text.replace(/\{([a-z][a-z0-9-]*)\}/g, (whole, name: string) => this.#names.get(name) ?? whole);
  }

  #signals(endpoint: Endpoint): boolean {
    const text = formatEndpoint(endpoint);
    return [...this.#scenario.places.values()].some((place) => place.endpoint === text);
  }

  /** Ports that differ from run to run: those that have a name, and those that nobody wrote down. */
  #named(text: string): string {
    const written = new Set(this.#numbers);
    let named = text;
    for (const [name, value] of this.#names)
      if (!written.has(value)) named = named.replace(new RegExp(`(?<!\\d)${value}(?!\\d)`, 'g'), `{${name}}`);
    return named.replace(/(203\.0\.113\.1:)(\d{4,5})(?!\d)/g, (whole, host: string, port: string) =>
      written.has(port) ? whole : `${host}{random}`,
    );
  }

  #placeText(text: string): string {
    return this.#scenario.places.get(text)?.endpoint ?? text;
  }

  #endpoint(text: string): Endpoint | undefined {
    return parseEndpoint(this.#fill(this.#placeText(text)));
  }
}

/** `INVITE`, `200 to REGISTER`, or the first octets. */
function startOf(text: string): string {
  const status = /^SIP\/2\.0 (\d{3})/.exec(text)?.[1];
  const method = /^CSeq *: *\d+ +(\w+)/im.exec(text)?.[1];
  if (status !== undefined) return `${status} to ${method ?? 'a request'}`;
  return /^([A-Z]+) \S+ SIP\/2\.0/.exec(text)?.[1] ?? 'a datagram';
}

function linesOf(text: string): string[] {
  return text.split(/(?<=\n)/);
}

/** Whether a message says how long its body is, and is right. */
function isTrue(text: string): boolean {
  const said = /^(?:Content-Length|l)[ \t]*:\s*(\d+)/im.exec(text)?.[1];
  return said !== undefined && Number(said) === lengthOf(text);
}

/** The true length of a body, in which every port that has a name has five digits. */
function lengthOf(text: string): number {
  return bodyLength(text.replace(/\{[a-z][a-z0-9-]*\}/g, '30000'));
}

/** Two lines of Content-Length that differ in the number alone. */
function sameButDigits(a: string, b: string): boolean {
  return /^(?:Content-Length|l)[ \t]*:/i.test(a) && a.replace(/\d+/, '') === b.replace(/\d+/, '');
}
