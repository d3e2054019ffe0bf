/**
 * Which scenarios can be played on real sockets, and with which configuration. What cannot be is left out with a reason,
 * whole or from a step on: nobody waits for an hour, and only what an operator can configure is configured.
 */
import { type Address, isIPv6 } from '../../src/core/net/address.ts';
import type { Scenario, Step } from '../scenario/scenario.ts';
import { EXTERNAL, EXTERNAL_6 } from './world.ts';

/** Longer jumps in time are the engine's to make. */
const LONGEST_WAIT_MS = 3_000;

export interface Playable {
  readonly scenario: Scenario;
  /** Why it ends before its last step. */
  readonly cut: string | undefined;
  /** The router's IPv4 address outside. */
  readonly external: Address;
  /** The configuration, but interfaces and directories. */
  readonly toml: string;
}

export interface Excluded {
  readonly reason: string;
}

/** The first port is the one that scenarios without a name for it expect; the last is the last that may be configured. */
const MEDIA_PORTS = '30000-32767';

const POLICY: ReadonlySet<string> = new Set(['origin', 'received', 'ice']);

/** What the engine says of a port that nobody holds, and of a stranger; on sockets no such packet comes as far. */
const UNHEARD: readonly unknown[] = [
  'no mapping has this external endpoint',
  'the sender is no provider of this phone',
];

/**
 * Scenarios that sockets do not bear out: what the mismatch says, and why. Such a scenario has to fail in this way, so that
 * the entry goes when the reason does.
 */
export const DIFFERENT: ReadonlyMap<string, { readonly mismatch: RegExp; readonly why: string }> = new Map();

export function playable(scenario: Scenario): Playable | Excluded {
  const policy: string[] = [];
  const limits: string[] = [];
  let mediaPorts = MEDIA_PORTS;
  const signalling = [`ports = [${sipPorts(scenario).join(', ')}]`];
  const providers: string[] = [];
  const modes: string[] = [];
  const top: string[] = [];
  let external: Address = EXTERNAL;
  for (const [key, value] of scenario.gateway) {
    if (POLICY.has(key)) policy.push(`${key} = "${value}"`);
    // What shows that nothing more arrives is a phone too, with a mapping of its own.
    else if (key === 'limit.mappings') limits.push(`mappings = ${Number(value) + 1}`);
    else if (key.startsWith('limit.')) limits.push(`${kebab(key.slice(6))} = ${value}`);
    else if (key === 'external') {
      // The router has one address of IPv6, and one of IPv4, which may be another one.
      if (!isIPv6(value)) external = value;
      else if (value !== EXTERNAL_6) return { reason: `the router is ${EXTERNAL_6}` };
    } else if (key === 'media-ports') mediaPorts = value;
    else if (key === 'signalling-ports') signalling.push(`external-ports = "${value}"`);
    else if (key === 'upstream-nat') top.push(`upstream-nat = "${value}"`);
    else if (key.startsWith('mode.')) modes.push(...modeTable(key.slice(5), value));
    else if (key === 'provider')
      providers.push('[[provider]]', 'name = "named"', `addresses = ["${value.split(',').join('", "')}"]`);
    else return { reason: REASONS.get(key) ?? `the configuration has no ${key.replace(/\..*/, '')}` };
  }
  const end = scenario.steps.findIndex(
    (step) => step.kind === 'readdress' || (step.kind === 'pass' && step.ms > LONGEST_WAIT_MS),
  );
  const steps = end < 0 ? scenario.steps : scenario.steps.slice(0, end);
  if (!steps.some((step) => step.kind === 'send' && step.checks.length > 0))
    return { reason: 'all of it comes after a long time' };
  const toml = [
    ...top,
    ...['[signalling]', ...signalling],
    ...['[media]', `ports = "${mediaPorts}"`],
    ...['[policy]', ...policy],
    ...['[limits]', ...limits],
    ...['[log]', 'level = "debug"', 'reveal = true'],
    ...providers,
    ...modes,
  ].join('\n');
  return {
    scenario: { ...scenario, steps: steps.map(heard) },
    cut: end < 0 ? undefined : `from line ${scenario.steps[end]!.line} on ${cutReason(scenario.steps[end]!)}`,
    external,
    toml,
  };
}

/** Whether anything of it goes over TCP. */
export function usesTcp({ steps }: Scenario): boolean {
  return steps.some((step) => step.kind === 'send' && step.transport === 'tcp');
}

function cutReason({ kind }: Step): string {
  return kind === 'readdress' ? 'the machine has other addresses' : 'it comes after a long time';
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ['map', 'static mappings are not in the configuration'],
  ['map-media', 'static mappings are not in the configuration'],
  ['own', 'it is one of the explicit mode'],
  ['media', 'it is one of the explicit mode'],
  ['proxy', 'declared proxies are not in the configuration'],
]);

function modeTable(address: string, mode: string): string[] {
  const table = address.startsWith('192.168.')
    ? ['[[phone]]', `address = "${address}"`]
    : ['[[provider]]', `name = "${address}"`, `addresses = ["${address}"]`];
  return [...table, `mode = "${mode}"`];
}

/** The kernel drops a stranger's packets: nobody is told of them. */
function heard(step: Step): Step {
  const isStranger = step.kind === 'send' && step.transport === 'tcp' && step.from === 'stranger';
  const checks = step.checks.filter(
    (check) =>
      check.kind !== 'event' ||
      !check.expected ||
      (!isStranger && !UNHEARD.includes(check.fields.get('why'))),
  );
  return { ...step, checks };
}

/** Ports at which somebody outside is called: the gateway has to know them. */
export function sipPorts(scenario: Scenario): number[] {
  const ports = new Set([5060]);
  for (const step of scenario.steps) {
    if (step.kind !== 'send' || scenario.places.get(step.from)?.side !== 'internal') continue;
    const endpoint = scenario.places.get(step.to)?.endpoint ?? step.to;
    const port = Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
    if (port > 0) ports.add(port);
  }
  return [...ports];
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
