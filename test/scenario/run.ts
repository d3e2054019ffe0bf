/**
 * Plays one scenario with a driver and compares. Everything that arrives has to be foretold, octet by octet; what a
 * `{name}` stands for is learned where it first appears, and holds from there on.
 */
import assert from 'node:assert/strict';
import { type Endpoint, formatEndpoint } from '../../src/core/net/address.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { at } from '../engine/bench.ts';
import type { Arrival, Driver, Outcome, StartDriver } from './driver.ts';
import {
  type Arrives,
  bodyLength,
  type Check,
  type Event,
  type Media,
  type Scenario,
  type Step,
} from './scenario.ts';

/** A check that did not hold, with what was there instead. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
  readonly check: Check | undefined;

  constructor(scenario: Scenario, line: number, cause: unknown, check?: Check) {
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`${scenario.path}:${line}: ${text}`, { cause });
    this.check = check;
  }
}

/** What `UPDATE=1` needs to know about an arrival that was checked. */
export interface Seen {
  readonly check: Check & Arrives;
  readonly arrival: Arrival;
  readonly input: string;
}

export interface Played {
  /** Reasons of the gaps that are still there. */
  readonly gaps: readonly string[];
}

export type Watch = (seen: Seen, names: ReadonlyMap<string, string>) => void;

/** Throws Mismatch at the first check that does not hold; a gap that holds is one too. */
export async function playScenario(
  scenario: Scenario,
  start: StartDriver,
  watch: Watch = () => undefined,
): Promise<Played> {
  const driver = await start(scenario);
  try {
    const play = new Play(scenario, driver, watch);
    for (const step of scenario.steps) if (!(await play.step(step))) break;
    return play;
  } finally {
    await driver.close();
  }
}

class Play implements Played {
  readonly gaps: string[] = [];
  readonly names = new Map<string, string>();
  readonly #scenario: Scenario;
  readonly #driver: Driver;
  readonly #watch: Watch;
  readonly #lastSent = new Map<string, string>();
  readonly #lastArrived = new Map<string, string>();

  constructor(scenario: Scenario, driver: Driver, watch: Watch) {
    this.#scenario = scenario;
    this.#driver = driver;
    this.#watch = watch;
  }

  /** False where the scenario cannot go on: after a gap, without a clock, or where addresses cannot be changed. */
  async step(step: Step): Promise<boolean> {
    let input = '';
    let outcome: Outcome;
    if (step.kind === 'pass') {
      if (this.#driver.pass === undefined) return false;
      outcome = await this.#driver.pass(step.ms);
    } else if (step.kind === 'readdress') {
      if (this.#driver.readdress === undefined) return false;
      outcome = await this.#driver.readdress(step.addresses);
    } else if (step.kind === 'closed') {
      if (this.#driver.closed === undefined) return false;
      outcome = await this.#driver.closed(step.connection);
    } else {
      const content = step.content ?? this.#lastSent.get(step.from);
      if (content === undefined) throw new Mismatch(this.#scenario, step.line, 'nothing was sent before');
      this.#lastSent.set(step.from, content);
      input = this.#fill(content);
      const side = this.#scenario.places.get(step.from)?.side ?? 'external';
      const { transport, connection } = step;
      const by = { transport, connection };
      const [from, to] = [this.#place(step.from), this.#place(step.to)];
      outcome = await this.#driver.send(side, from, to, octetsOf(input), by);
      if (step.quiet) return true;
    }
    const arrivals = [...outcome.arrivals];
    for (const check of step.checks) {
      const failure = this.#failureOf(check, outcome, arrivals, input);
      if (check.gap !== undefined) {
        if (failure === undefined)
          throw new Mismatch(this.#scenario, check.line, `the gap is closed: ${check.gap}`, check);
        this.gaps.push(check.gap);
        return false;
      }
      if (failure !== undefined) throw new Mismatch(this.#scenario, check.line, failure, check);
    }
    const [more] = arrivals;
    if (more !== undefined)
      throw new Mismatch(
        this.#scenario,
        step.line,
        `${formatEndpoint(more.to)} gets what nobody foretold:\n${shown(textOf(more.bytes, 0, more.bytes.length))}`,
      );
    return true;
  }

  #failureOf(check: Check, outcome: Outcome, arrivals: Arrival[], input: string): unknown {
    const { events, rules, media } = this.#driver.tells;
    try {
      if (check.kind === 'arrives') this.#arrives(check, arrivals.shift(), input);
      else if (check.kind === 'edits') {
        if (rules) assert.deepEqual([...outcome.rules].sort(), [...new Set(check.rules)].sort());
      } else if (check.kind === 'event') {
        if (events) this.#event(check, outcome);
      } else if (media) this.#media(check);
      return undefined;
    } catch (error) {
      if (error instanceof assert.AssertionError) return error;
      throw error;
    }
  }

  #arrives(check: Check & Arrives, arrival: Arrival | undefined, input: string): void {
    if (arrival === undefined) assert.fail(`nothing arrives at ${check.at}`);
    this.#watch({ check, arrival, input }, this.names);
    this.#matches(formatEndpoint(arrival.to), this.#placeText(check.at), 'it arrives elsewhere');
    if (check.from !== undefined)
      this.#matches(formatEndpoint(arrival.from), this.#placeText(check.from), 'it comes from elsewhere');
    if (check.on !== undefined) assert.equal(arrival.on, check.on, 'it comes on another connection');
    const actual = textOf(arrival.bytes, 0, arrival.bytes.length);
    const key = formatEndpoint(arrival.to);
    const before = this.#lastArrived.get(key);
    this.#lastArrived.set(key, actual);
    if (check.form === 'unchanged') assert.equal(shown(actual), shown(input));
    else if (check.form === 'again') assert.equal(shown(actual), shown(before ?? ''));
    else
      this.#matches(
        actual,
        check.form === 'whole' ? check.content : expectedFrom(check, input, (text) => this.#fill(text)),
      );
  }

  /** `{name}` stands for digits, `{auto}` for the true length of the body; everything else for itself. */
  #matches(actual: string, expected: string, what?: string): void {
    const fresh: string[] = [];
    const pattern = expected.replace(/\{([a-z][a-z0-9-]*)\}|[^{]+|\{/g, (piece, name: string | undefined) => {
      if (name === 'auto') return String(bodyLength(actual));
      if (name === undefined) return piece.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
      const known = this.names.get(name);
      if (known !== undefined) return known;
      const already = fresh.indexOf(name);
      if (already >= 0) return `\\${already + 1}(?!\\d)`;
      fresh.push(name);
      return '(\\d+)';
    });
    const match = new RegExp(`^${pattern}$`, 's').exec(actual);
    if (match === null) {
      const filled = this.#fill(expected).replaceAll('{auto}', String(bodyLength(actual)));
      assert.equal(
        shown(actual),
        shown(filled),
        what === undefined ? undefined : `${what}: ${actual}, not ${filled}`,
      );
      assert.fail(what ?? 'the same name would stand for two numbers');
    }
    for (const [i, name] of fresh.entries()) this.names.set(name, match[i + 1] ?? '');
  }

  #event({ name, fields, expected }: Event, outcome: Outcome): void {
    const found = outcome.events.some(
      (event) =>
        event.kind === name &&
        [...fields].every(([key, value]) => this.#isField(event.fields[key], this.#fill(value))),
    );
    const list = outcome.events.map((event) => `${event.kind} ${JSON.stringify(event.fields)}`).join('\n  ');
    assert.equal(found, expected, `${expected ? 'not told' : 'told'}: ${name}. What was told:\n  ${list}`);
  }

  #isField(actual: unknown, expected: string): boolean {
    if (Array.isArray(actual)) return actual.some((one) => String(one).startsWith(expected));
    if (isEndpoint(actual)) return formatEndpoint(actual) === formatEndpoint(this.#place(expected));
    return String(actual) === expected;
  }

  #media(check: Media): void {
    const open = this.#driver.media();
    const list = open.map(
      (one) => `${formatEndpoint(one.inside)} at ${formatEndpoint(one.external)} ports=${one.ports}`,
    );
    if (check.what === 'none') return assert.deepEqual(list, []);
    if (check.what === 'closed') {
      const external = this.#fill(check.at);
      return assert.ok(!open.some((one) => formatEndpoint(one.external) === external), `${external} is open`);
    }
    const inside = this.#fill(check.inside);
    const found = open.find((one) => formatEndpoint(one.inside) === inside);
    assert.ok(found !== undefined, `no media leads to ${inside}; open: ${list.join(', ')}`);
    this.#matches(formatEndpoint(found.external), check.at, 'the media is elsewhere');
    const ports = check.fields.get('ports');
    if (ports !== undefined) assert.equal(String(found.ports), ports, 'how many ports');
    const from = check.fields.get('from');
    if (from !== undefined)
      assert.deepEqual(
        found.sources.map(formatEndpoint).sort(),
        (from === 'nobody' ? [] : from.split(',')).map((one) => this.#fill(one)).sort(),
      );
  }

  #fill(text: string): string {
    return text.replace(/\{([a-z][a-z0-9-]*)\}/g, (whole, name: string) => this.names.get(name) ?? whole);
  }

  #placeText(text: string): string {
    return this.#scenario.places.get(text)?.endpoint ?? text;
  }

  #place(text: string): Endpoint {
    return at(this.#fill(this.#placeText(text)));
  }
}

/** The input with its changes made: each line that goes has to be there, once, after the one before. */
export function expectedFrom(check: Arrives, input: string, fill: (text: string) => string): string {
  let result = '';
  let rest = input;
  for (const { before, after } of check.changes) {
    const old = fill(before.join('')).replaceAll('{auto}', String(bodyLength(input)));
    const where = rest.startsWith(old) ? 0 : rest.indexOf(`\n${old}`) + 1;
    if (where === 0 && !rest.startsWith(old)) assert.fail(`no such line in what was sent: ${shown(old)}`);
    result += rest.slice(0, where) + after.join('');
    rest = rest.slice(where + old.length);
  }
  return result + rest;
}

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === 'object' && value !== null && 'address' in value && 'port' in value;
}

/** Control characters made visible, so that a difference of line ends is seen. */
function shown(text: string): string {
  return text
    .replace(/(?<!\r)\n|\r(?!\n)/g, (c) => (c === '\n' ? '\\n\n' : '\\r'))
    .replace(/\r\n/g, '\n')
    .replace(/[\x00-\x09\x0b-\x1f\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
