/** The options of `sipalg explain` as they are typed, and what they mean. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import { chooser, modeOf } from '../config/mode.ts';
import { prefixContains } from '../config/prefix.ts';
import { nearestWord } from '../config/suggestion.ts';
import type { ExplainOptions } from '../core/alg/explain.ts';
import { PROVIDER } from '../core/alg/explain-flow.ts';
import { defaultPolicy, type Policy, type StaticMapping } from '../core/alg/policy.ts';
import { type RuleId, rules } from '../core/alg/rules.ts';
import { type Address, isUnspecified, parseAddress, parseEndpoint } from '../core/net/address.ts';
import { UsageError } from './failure.ts';

/** As commander hands them over. */
export interface RawExplainOptions {
  readonly config?: string;
  readonly direction: string;
  readonly mapping?: readonly string[];
  readonly media?: readonly string[];
  readonly origin?: string;
  readonly received?: string;
  readonly ice?: string;
  readonly rule?: readonly string[];
  readonly datagram?: boolean;
  readonly json?: boolean;
  readonly raw?: boolean;
}

/**
 * Throws a UsageError for anything that is not exactly one of the documented forms. Options win over the configuration,
 * and `--rule` over the option that governs the same rule.
 */
export function readExplainOptions(raw: RawExplainOptions, config?: GatewayConfig): ExplainOptions {
  if (raw.json === true && raw.raw === true) {
    throw new UsageError('--json and --raw exclude each other', 'Ask for one of them.');
  }
  const base = config?.policy ?? defaultPolicy;
  const switched = readRules(raw.rule ?? []);
  return {
    direction: oneOf('--direction', raw.direction, ['out', 'in']),
    mappings: pairs('--mapping', raw.mapping ?? []),
    media: pairs('--media', raw.media ?? []),
    ...governed(
      {
        origin: oneOf('--origin', raw.origin ?? base.origin, ['keep', 'translate']),
        received: oneOf('--received', raw.received ?? base.received, ['restore', 'expose']),
        ice: oneOf('--ice', raw.ice ?? base.ice, ['leave', 'translate-all']),
        rules: { ...base.rules, ...switched },
      },
      switched,
    ),
    ...(config === undefined ? {} : fromConfig(config)),
  };
}

/** A rule that a policy governs is switched with it. */
function governed(policy: Policy, switched: Policy['rules']): Policy {
  const origin = switched['sdp.origin'];
  const candidate = switched['sdp.candidate'];
  return {
    ...policy,
    ...(origin === undefined ? {} : { origin: origin ? 'translate' : 'keep' }),
    ...(candidate === undefined ? {} : { ice: candidate ? 'translate-all' : 'leave' }),
  };
}

function fromConfig(config: GatewayConfig): Partial<ExplainOptions> {
  const listening = config.listen.find(({ address }) => !isUnspecified(address));
  return {
    engine: {
      limits: config.limits,
      signallingPorts: config.signalling.externalPorts,
      mediaPorts: config.media.ports,
      media: config.mode === 'explicit' ? 'relay' : 'kernel',
      own: config.listen,
      ...choice(config),
      isProxy: (address) => config.phones.some((one) => one.proxy && prefixContains(one.address, address)),
    },
    externalAddress: config.advertise,
    innerAddress: listening?.address,
    leftAlone: (phone, provider) => leftAlone(config, phone, provider),
  };
}

/** A text does not say who the provider is: where the configuration knows one alone, it is that one. */
function choice(config: GatewayConfig): NonNullable<Partial<ExplainOptions>['engine']> {
  const choose = chooser(config);
  if (choose === undefined) return {};
  const [only, ...others] = config.providers;
  const named = others.length === 0 ? only?.addresses[0]?.address : undefined;
  return {
    choose: (phone, provider) =>
      choose(phone, provider === PROVIDER.address ? (named ?? provider) : provider),
  };
}

function leftAlone(config: GatewayConfig, phone: Address, provider: Address | undefined): string | undefined {
  const { mode, by } = modeOf(config, phone, provider);
  if (mode !== 'off' || by === undefined) return undefined;
  return 'name' in by
    ? `the configuration leaves the provider ${by.name} alone`
    : `the configuration leaves the phone ${phone} alone`;
}

function readRules(values: readonly string[]): Policy['rules'] {
  const switched: Partial<Record<RuleId, boolean>> = {};
  for (const value of values) {
    const match = /^([^=]+)=(on|off)$/.exec(value);
    if (match === null)
      throw new UsageError(
        `--rule ${value}: it is not RULE=on or RULE=off`,
        '`sipalg rules --sip` lists the rules.',
      );
    const rule = rules.find(({ id }) => id === match[1]);
    if (rule === undefined) {
      const near = nearestWord(
        match[1]!,
        rules.map(({ id }) => id),
      );
      throw new UsageError(
        `--rule ${value}: there is no rule ${match[1]}`,
        `${near === undefined ? '' : `Did you mean ${near}? `}\`sipalg rules --sip\` lists the rules.`,
      );
    }
    if (rule.id === 'content-length' && match[2] === 'off')
      throw new UsageError(
        `--rule ${value}: Content-Length follows the body wherever a body changes`,
        'Switch off the rules that change the body: sdp.connection, sdp.media-port and the like.',
      );
    switched[rule.id] = match[2] === 'on';
  }
  return switched;
}

function oneOf<const Word extends string>(option: string, value: string, words: readonly Word[]): Word {
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) throw new UsageError(`${option} ${value}: it is ${words.join(' or ')}`);
  return word;
}

function pairs(option: string, values: readonly string[]): StaticMapping[] {
  const seen = new Set<string>();
  return values.map((value) => {
    const pair = readPair(option, value);
    const key = JSON.stringify(pair.internal);
    if (seen.has(key))
      throw new UsageError(`${option} ${value}: this internal endpoint is mapped above already`);
    seen.add(key);
    return pair;
  });
}

function readPair(option: string, value: string): StaticMapping {
  const form =
    'Write INTERNAL=EXTERNAL: 192.168.1.50:5060=203.0.113.7:61002, or 192.168.1.50=203.0.113.7 for the whole host; IPv6 in brackets.';
  const sides = value.split('=');
  if (sides.length !== 2) throw new UsageError(`${option} ${value}: it is not INTERNAL=EXTERNAL`, form);
  const [internal, external] = sides.map((side) => {
    const host = readHostPort(side);
    if (host === undefined)
      throw new UsageError(`${option} ${value}: "${side}" is not an address with or without a port`, form);
    return host;
  });
  if ((internal!.port === undefined) !== (external!.port === undefined)) {
    throw new UsageError(`${option} ${value}: a port stands on one side only`, form);
  }
  return { internal: internal!, external: external! };
}

function readHostPort(text: string): StaticMapping['internal'] | undefined {
  const endpoint = parseEndpoint(text);
  if (endpoint !== undefined) return endpoint;
  const bracketed = /^\[([^\]]+:[^\]]*)\]$/.exec(text);
  const address = parseAddress(bracketed?.[1] ?? text);
  return address === undefined ? undefined : { address };
}
