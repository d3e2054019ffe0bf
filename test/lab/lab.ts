/**
 * One scenario's world: a network of its own, the peers in it, the gateway or none; and the ways to state a scenario.
 *
 * A scenario is one function. It is run with the gateway, where it must pass; without it, where it must fail in the way
 * that is stated; and on a router without NAT, where it must pass with no gateway: that shows that the lab itself works.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, type AgentOptions } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { Gateway, type GatewayOptions } from '../../demo/gateway.ts';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { addresses, addresses6, type Host, Network, type NetworkOptions, ula } from '../../demo/network.ts';
import { Provider, type ProviderOptions } from '../../demo/provider.ts';
import { TcpWire } from '../../demo/tcp-wire.ts';
import type { Wire } from '../../demo/transport.ts';

/** What the phone sings, and what the provider sings. */
export const PHONE_HERTZ = 440;
export const PROVIDER_HERTZ = 1000;

const TEST_TIMEOUT_MS = 90_000;

export interface PhoneOptions extends Partial<AgentOptions> {
  readonly host?: 'phone1' | 'phone2' | 'pbx';
}

export class Lab {
  readonly network: Network;
  /** Undefined in the runs without it. */
  gateway: Gateway | undefined;
  readonly #closing: (() => void | Promise<void>)[] = [];

  constructor(options: NetworkOptions) {
    this.network = new Network(options);
  }

  async startGateway(options?: GatewayOptions): Promise<Gateway> {
    const gateway = await Gateway.inRouter(this.network, options);
    this.gateway = gateway;
    this.defer(() => gateway.close());
    return gateway;
  }

  /** A TCP endpoint: it listens there, unless told otherwise, and connects from its address. */
  async wire(host: Host, address: string, port = 5060, listens = true): Promise<TcpWire> {
    const wire = await TcpWire.open((make) => this.network.space(host).enter(make), address, port, listens);
    this.defer(() => wire.close());
    return wire;
  }

  /** A scripted phone: alice at phone1 unless told otherwise, on port 5060, without rport. */
  async phone(options: PhoneOptions = {}, wire?: Wire): Promise<Agent> {
    const { host = 'phone1' } = options;
    const agent = await Agent.open(
      {
        user: host === 'phone1' ? 'alice' : 'carol',
        domain: addresses.provider,
        address: addresses[host],
        outbound: { address: addresses.provider, port: 5060 },
        hertz: PHONE_HERTZ,
        ...options,
      },
      (address, port) => this.network.socket(host, address, port),
      wire,
    );
    this.defer(() => agent.close());
    return agent;
  }

  /** The same phone on IPv6; its addresses are global where the network is routed, and ULAs where it is translated. */
  phone6(options: PhoneOptions = {}, wire?: Wire): Promise<Agent> {
    const { host = 'phone1' } = options;
    const inside = this.network.options.ipv6 === 'masquerade' ? ula : addresses6;
    return this.phone(
      {
        domain: `[${addresses6.provider}]`,
        address: inside[host as 'phone1' | 'phone2'],
        outbound: { address: addresses6.provider, port: 5060 },
        ...options,
      },
      wire,
    );
  }

  provider6(options: Partial<ProviderOptions> = {}, wire?: Wire): Promise<Provider> {
    return this.provider({ address: addresses6.provider, mediaAddress: addresses6.media, ...options }, wire);
  }

  async provider(options: Partial<ProviderOptions> = {}, wire?: Wire): Promise<Provider> {
    const provider = await Provider.open(
      { address: addresses.provider, mediaAddress: addresses.media, hertz: PROVIDER_HERTZ, ...options },
      (address, port) => this.network.socket('provider', address, port),
      wire,
    );
    this.defer(() => provider.close());
    return provider;
  }

  /** Any other agent on the provider's side. */
  async outsider(user: string, address: string, options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = await Agent.open({ user, domain: address, address, hertz: 2100, ...options }, (a, port) =>
      this.network.socket('provider', a, port),
    );
    this.defer(() => agent.close());
    return agent;
  }

  /** What is deferred is closed in reverse order at the end. */
  defer(close: () => void | Promise<void>): void {
    this.#closing.push(close);
  }

  async own<T extends { close(): void | Promise<void> }>(peer: Promise<T>): Promise<T> {
    const opened = await peer;
    this.defer(() => opened.close());
    return opened;
  }

  async close(): Promise<void> {
    try {
      for (const close of this.#closing.reverse()) await close();
    } finally {
      this.network.close();
    }
  }
}

/** Audio both ways between two ends of one call. */
export async function talk(inside: Call, outside: Call, withinMs = 3000): Promise<void> {
  await Promise.all([inside.media.hear(outside.hertz, withinMs), outside.media.hear(inside.hertz, withinMs)]);
}

/** Looks again and again until it is so: for what the kernel and other programs do not tell by themselves. */
export async function eventually(isSo: () => boolean, withinMs: number, what: string): Promise<void> {
  const end = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${withinMs} ms`);
    await delay(100);
  }
}

/** The flows of one UDP port that the router knows. */
export function flowsOf(lab: Lab, port: number): number {
  const table = lab.network.run('router', 'conntrack', '-L', '-p', 'udp');
  return table.split('\n').filter((line) => line.includes(`port=${port} `)).length;
}

/** Elements of the gateway's media maps. */
export function mediaElements(lab: Lab): number {
  const list = (name: string): string =>
    lab.network.run('router', 'nft', '-j', 'list', 'map', 'inet', 'sipalg', name);
  return ['media_in', 'media_out'].reduce(
    (sum, name) => sum + (list(name).match(/"elem":\s*\{/g)?.length ?? 0),
    0,
  );
}

/** No phone found anything that a strict phone would not stand. */
export function assertContent(...agents: Agent[]): void {
  for (const agent of agents) assert.deepEqual(agent.violations, [], agent.aor);
}

export interface Scenario {
  readonly network?: NetworkOptions;
  readonly gateway?: GatewayOptions;
  /** How it fails without the gateway. Undefined: it passes there too (what the gateway must not spoil). */
  readonly without?: RegExp;
  /** It cannot be stated without the gateway, or not without NAT. */
  readonly only?: 'gateway' | 'nat';
}

/** States a scenario in all its runs. */
export function scenario(name: string, options: Scenario, run: (lab: Lab) => Promise<void>): void {
  const timeout = TEST_TIMEOUT_MS;
  test(name, { timeout }, () =>
    inLab(options.network ?? {}, async (lab) => {
      const gateway = await lab.startGateway(options.gateway);
      try {
        await run(lab);
      } catch (error) {
        (error as Error).message += `\n  the gateway's log:\n${tail(gateway)}`;
        throw error;
      }
    }),
  );
  if (options.only === 'gateway') return;
  const { without } = options;
  if (without === undefined)
    test(`without the gateway as well: ${name}`, { timeout }, () => inLab(options.network ?? {}, run));
  else {
    test(`without the gateway it fails: ${name}`, { timeout }, () =>
      inLab(options.network ?? {}, (lab) => assert.rejects(run(lab), without)),
    );
  }
  if (options.only === 'nat') return;
  test(`without NAT there is nothing to do: ${name}`, { timeout }, () =>
    inLab({ ...options.network, nat: 'routed' }, run),
  );
}

export async function inLab(options: NetworkOptions, run: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab(options);
  try {
    await run(lab);
  } finally {
    await lab.close();
  }
}

function tail(gateway: Gateway): string {
  return gateway.program.lines.entries
    .slice(-25)
    .map((line) => `    ${line.slice(0, 400)}`)
    .join('\n');
}

/** A file of scenarios. Where the lab cannot be had it is skipped, loudly. */
export function labFile(title: string, programs: readonly string[], body: () => void, concurrency = 4): void {
  const missing = programs.filter((program) => !hasProgram(program));
  const obstacle =
    namespaceObstacle() ?? (missing.length > 0 ? `missing programs: ${missing.join(', ')}` : undefined);
  if (obstacle !== undefined) {
    process.stderr.write(`\n*** SKIPPED: ${title}: ${obstacle}. Nothing of it is tested here. ***\n\n`);
    test(`${title} (SKIPPED: ${obstacle})`, { skip: obstacle }, () => {});
    return;
  }
  describe(title, { concurrency }, body);
}

function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
