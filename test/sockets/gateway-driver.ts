/**
 * Plays a scenario on the real thing: `sipalg gateway` in the router, phones and providers on sockets around it.
 *
 * Events are those of its log. Media is not asked for but sent: whoever may send reaches the phone at the port that a
 * mapping has, the phone's answer leaves from there, and a stranger's datagram does not arrive.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Gateway, type LogLine } from '../../demo/gateway.ts';
import { newDirectory } from '../../demo/run.ts';
import {
  type Endpoint,
  endpointKey,
  formatEndpoint,
  isIPv6,
  parseEndpoint,
} from '../../src/core/net/address.ts';
import type { Arrival, By, Driver, OpenMedia, Outcome, Told } from '../scenario/driver.ts';
import type { Scenario, Step } from '../scenario/scenario.ts';
import { type Playable, usesTcp } from './playable.ts';
import type { Message } from './streams.ts';
import type { Datagram, Fence, Side, World } from './world.ts';

const FENCE: Fence = {
  inside: { address: '192.168.1.250', port: 5090 },
  outside: { address: '198.51.100.250', port: 5060 },
};
const FENCE_LEGS = 3;
const STRANGER: Endpoint = { address: '192.0.2.250', port: 9999 };
const STRANGER_6: Endpoint = { address: '2001:db8:4::250', port: 9999 };
const TOLD_MS = 5_000;

/** Everything that gateways of one run share: what they compiled, and their configuration files. */
export class Gateways {
  readonly #directory = newDirectory('sockets');
  #files = 0;

  async start(world: World, toml: string): Promise<Gateway> {
    const config = join(this.#directory, `${++this.#files}.toml`);
    writeFileSync(config, toml);
    return Gateway.started((program, args) =>
      world.router.spawn(program, [...args, '--internal', 'lan', '--external', 'wan', '--config', config], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, NODE_COMPILE_CACHE: join(this.#directory, 'compiled') },
      }),
    );
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export async function startGateway(
  gateways: Gateways,
  world: World,
  { toml, scenario, external }: Playable,
): Promise<Driver> {
  world.reset(external);
  const gateway = await gateways.start(world, toml);
  const driver = new GatewayDriver(world, gateway, scenario);
  await driver.fence();
  return driver;
}

class GatewayDriver implements Driver {
  readonly tells = { events: true, rules: true, media: true };
  readonly #world: World;
  readonly #gateway: Gateway;
  readonly #scenario: Scenario;
  readonly #usesStreams: boolean;
  #steps = 0;
  #fences = 0;
  #told = 0;
  #probes = 0;
  /** By external endpoint. */
  readonly #open = new Map<string, OpenMedia>();
  readonly #sources = new Map<string, Endpoint[]>();
  /** External endpoints that are closed now, and who has been heard there. */
  readonly #closed = new Map<string, { readonly external: Endpoint; readonly source: Endpoint }>();

  constructor(world: World, gateway: Gateway, scenario: Scenario) {
    this.#world = world;
    this.#gateway = gateway;
    this.#scenario = scenario;
    this.#usesStreams = usesTcp(scenario);
  }

  async send(side: Side, from: Endpoint, to: Endpoint, bytes: Uint8Array, by?: By): Promise<Outcome> {
    if (by?.transport !== 'tcp') this.#world.send(side, from, to, bytes);
    else {
      // Whom the kernel drops is told nothing: by the time of a fence a connection is there, or is refused.
      const refused = side === 'internal' ? new Promise<void>(() => {}) : this.#streamsFence();
      await this.#world.streams.send(side, by.connection, from, to, bytes, refused);
      await this.#streamsFence();
    }
    return this.#outcome();
  }

  readonly readdress = undefined;
  readonly closed = async (name: string): Promise<Outcome> => {
    await this.#world.streams.end(name);
    await this.#streamsFence();
    return this.#outcome();
  };
  readonly pass = async (ms: number): Promise<Outcome> => {
    await delay(ms);
    return this.#outcome();
  };

  media(): readonly OpenMedia[] {
    return [...this.#open.entries()].map(([key, one]) => ({ ...one, sources: this.#sources.get(key) ?? [] }));
  }

  close(): Promise<void> {
    return this.#gateway.close();
  }

  /** Behind it, all that was sent before has arrived, and has been told. */
  async fence(): Promise<void> {
    await this.#world.fence(FENCE);
    const wanted = ++this.#fences * FENCE_LEGS;
    const { log } = this.#gateway;
    const passed = (): number =>
      log.entries.filter((line) => line.msg === 'message.passed' && isFence(line)).length;
    await log.until(() => passed() >= wanted, TOLD_MS, 'the log of a fence');
  }

  #streamsFence(): Promise<void> {
    return this.#world.streams.fence(FENCE);
  }

  async #outcome(): Promise<Outcome> {
    await this.fence();
    const step = this.#scenario.steps[this.#steps++];
    const lines = this.#gateway.log.entries.slice(this.#told).filter((line) => !isFence(line));
    this.#told = this.#gateway.log.entries.length;
    const datagrams = inOrderOf(step, this.#scenario, this.#world.taken());
    const arrivals = this.#usesStreams ? this.#merged(step, datagrams) : datagrams;
    for (const line of lines) this.#note(line);
    if (step !== undefined) await this.#probe(step);
    return { arrivals, events: lines.map(told), rules: rulesOf(lines) };
  }

  /** What came over TCP, in its order, where the checks name a connection; datagrams where they name none. */
  #merged(step: Step | undefined, datagrams: readonly Arrival[]): Arrival[] {
    const { streams } = this.#world;
    const messages = streams.taken();
    const rest = [...datagrams];
    const arrivals: Arrival[] = [];
    for (const check of step?.checks ?? []) {
      if (check.kind !== 'arrives') continue;
      const next = check.on === undefined ? rest.shift() : messages.shift();
      if (next === undefined) continue;
      const [at, from] = [check.at, check.from ?? ''].map((place) =>
        this.#placeOf(this.#scenario.places.get(place)?.endpoint ?? place),
      );
      const isMessage = 'side' in next && check.on !== undefined && at !== undefined;
      arrivals.push(isMessage ? streams.named(next as Message, at, from, check.on) : next);
    }
    return [...arrivals, ...messages, ...rest];
  }

  /** Port 0 stands for any. */
  #placeOf(text: string): Endpoint | undefined {
    const [, address = text] = /^(.*):0$/.exec(text) ?? [];
    return address === text ? parseEndpoint(text) : { address, port: 0 };
  }

  #note(line: LogLine): void {
    const key = isEndpoint(line.external) ? endpointKey(line.external) : '';
    if (line.msg === 'media.opened' && isEndpoint(line.internal) && isEndpoint(line.external)) {
      const { internal: inside, external } = line;
      this.#open.set(key, { inside, external, ports: Number(line.ports), sources: [] });
      this.#closed.delete(key);
    } else if (line.msg === 'media.closed') {
      const [source] = this.#sources.get(key) ?? [];
      if (source !== undefined && isEndpoint(line.external))
        this.#closed.set(key, { external: line.external, source });
      this.#open.delete(key);
      this.#sources.delete(key);
    }
  }

  /** Sends through every mapping that the step names, and through those that have closed. */
  async #probe(step: Step): Promise<void> {
    let probed = false;
    const provider = parseEndpoint(this.#scenario.places.get('provider')?.endpoint ?? '');
    for (const check of step.checks) {
      if (check.kind !== 'media') continue;
      probed = true;
      const named = check.fields.get('from')?.split(',') ?? [];
      const sources = named.map(parseEndpoint).filter((one) => one !== undefined);
      for (const [key, one] of this.#open) {
        if (check.what !== 'open' || formatEndpoint(one.inside) !== check.inside) continue;
        if (sources.length > 0) this.#sources.set(key, await this.#heard(one, sources));
        else this.#sources.delete(key);
      }
    }
    if (!probed) return;
    const strangers = [...this.#open.values()].map(({ external }) => ({
      external,
      source: isIPv6(external.address) ? STRANGER_6 : STRANGER,
    }));
    // Who has not answered yet is one of them; from a port of its own, because the kernel knows the flow for a second.
    if (step.checks.some((check) => check.kind === 'media' && check.fields.get('from') === 'nobody'))
      for (const { external } of this.#open.values())
        if (provider !== undefined) strangers.push({ external, source: { ...provider, port: 9998 } });
    for (const { external, source } of [...strangers, ...this.#closed.values()])
      this.#world.send('external', source, external, Buffer.from('what must not arrive'));
    await this.fence();
    this.#told = this.#gateway.log.entries.length;
    const [wrong] = this.#world.taken();
    if (wrong !== undefined)
      throw new Error(`media of ${formatEndpoint(wrong.from)} reaches ${formatEndpoint(wrong.to)}`);
  }

  /** Those who reach the phone on every port of a mapping, and are answered from there. */
  async #heard({ inside, external, ports }: OpenMedia, sources: readonly Endpoint[]): Promise<Endpoint[]> {
    const heard: Endpoint[] = [];
    for (const source of sources) {
      for (let k = 0; k < ports; k++) {
        const [far, ours, phone] = [source, external, inside].map((one) => ({ ...one, port: one.port + k }));
        if (far === undefined || ours === undefined || phone === undefined) continue;
        await this.#crosses('external', far, ours, (one) => same(one.to, phone) && same(one.from, far));
        await this.#crosses('internal', phone, far, (one) => same(one.to, far) && same(one.from, ours));
      }
      heard.push(source);
    }
    this.#world.taken();
    return heard;
  }

  #crosses(side: Side, from: Endpoint, to: Endpoint, fits: (one: Datagram) => boolean): Promise<Datagram> {
    const bytes = Buffer.from(`media ${++this.#probes}`);
    this.#world.send(side, from, to, bytes);
    return this.#world.arrives(
      (one) => bytes.equals(one.bytes) && fits(one),
      `media from ${formatEndpoint(from)} to ${formatEndpoint(to)}`,
    );
  }
}

/** Two places have no common order; so it is that of the checks where they name the place. */
export function inOrderOf(
  step: Step | undefined,
  scenario: Scenario,
  datagrams: readonly Datagram[],
): Arrival[] {
  const rest = [...datagrams];
  const ordered: Datagram[] = [];
  for (const check of step?.checks ?? []) {
    if (check.kind !== 'arrives') continue;
    const at = scenario.places.get(check.at)?.endpoint ?? check.at;
    const index = rest.findIndex((one) => formatEndpoint(one.to) === at);
    if (index >= 0) ordered.push(...rest.splice(index, 1));
  }
  return [...ordered, ...rest].map(({ from, to, bytes }) => ({ from, to, bytes }));
}

function told({ msg, ...fields }: LogLine): Told {
  return { kind: msg, fields };
}

function rulesOf(lines: readonly LogLine[]): string[] {
  const rules = lines
    .filter((line) => line.msg === 'message.translated')
    .flatMap((line) => (line.edits as readonly { readonly rule: string }[]).map((edit) => edit.rule));
  return [...new Set(rules)];
}

function isFence(line: LogLine): boolean {
  const text = JSON.stringify(line);
  return text.includes(FENCE.inside.address) || text.includes(FENCE.outside.address);
}

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === 'object' && value !== null && 'address' in value && 'port' in value;
}

function same(a: Endpoint, b: Endpoint): boolean {
  return endpointKey(a) === endpointKey(b);
}
