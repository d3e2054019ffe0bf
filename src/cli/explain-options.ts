/** The options of `sipalg explain` as they are typed, and what they mean. */
import type { ExplainOptions } from '../core/alg/explain.ts';
import type { StaticMapping } from '../core/alg/policy.ts';
import { parseAddress, parseEndpoint } from '../core/net/address.ts';
import { UsageError } from './failure.ts';

/** As commander hands them over. */
export interface RawExplainOptions {
  readonly direction: string;
  readonly mapping?: readonly string[];
  readonly media?: readonly string[];
  readonly origin: string;
  readonly received: string;
  readonly ice: string;
  readonly json?: boolean;
  readonly raw?: boolean;
}

/** Throws a UsageError for anything that is not exactly one of the documented forms. */
export function readExplainOptions(raw: RawExplainOptions): ExplainOptions {
  if (raw.json === true && raw.raw === true) {
    throw new UsageError('--json and --raw exclude each other', 'Ask for one of them.');
  }
  return {
    direction: oneOf('--direction', raw.direction, ['out', 'in']),
    mappings: pairs('--mapping', raw.mapping ?? []),
    media: pairs('--media', raw.media ?? []),
    origin: oneOf('--origin', raw.origin, ['keep', 'translate']),
    received: oneOf('--received', raw.received, ['restore', 'expose']),
    ice: oneOf('--ice', raw.ice, ['leave', 'translate-all']),
  };
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
