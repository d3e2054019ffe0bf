/**
 * Would the operator's firewall let a packet of ours through? Read from what `nft -j list ruleset` prints.
 *
 * Three answers: a rule may hold matches that cannot be judged from here (sets, marks, iptables extensions). Only a
 * certain `drop` is worth troubling anybody with.
 *
 * Facts relied on:
 * - `accept` ends only its own base chain; a packet passes a hook when no base chain of any table drops it.
 * - What iptables-nft writes appears as `xt` expressions without their content.
 */
import type { Transport } from '../core/net/flow.ts';
import { type Family, IPV4 } from './family.ts';
import { containsPort } from './forwarded.ts';
import { field, type Json, list } from './json.ts';
import { ACCEPT_MARK, TABLE } from './ruleset.ts';

export type Fate = 'accept' | 'drop' | 'maybe';
type Match = 'yes' | 'no' | 'maybe';

/** A first packet of a flow: what is known of it. */
export interface Probe {
  readonly hook: 'input' | 'forward';
  readonly iif: string;
  readonly oif?: string;
  readonly port: number;
  readonly dnat: boolean;
  /** Default UDP. */
  readonly transport?: Transport;
  /** Default IPv4. */
  readonly family?: Family;
}

export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
}

interface Chain extends BaseChain {
  readonly hook: string | undefined;
  readonly policy: string;
  readonly rules: Json[];
}

function readChains(ruleset: Json): Map<string, Chain> {
  const chains = new Map<string, Chain>();
  const id = (item: Json, name: Json): string => `${field(item, 'family')} ${field(item, 'table')} ${name}`;
  for (const item of list(field(ruleset, 'nftables'))) {
    const chain = field(item, 'chain');
    if (chain !== undefined)
      chains.set(id(chain, field(chain, 'name')), {
        family: String(field(chain, 'family')),
        table: String(field(chain, 'table')),
        chain: String(field(chain, 'name')),
        hook:
          field(chain, 'type') === 'filter' && typeof field(chain, 'hook') === 'string'
            ? String(field(chain, 'hook'))
            : undefined,
        policy: String(field(chain, 'policy') ?? 'accept'),
        rules: [],
      });
    const rule = field(item, 'rule');
    if (rule !== undefined) chains.get(id(rule, field(rule, 'chain')))?.rules.push(rule);
  }
  return chains;
}

/** Base chains (of the probe's family, or inet) that would surely drop it. */
export function droppingChains(ruleset: Json, probe: Probe): BaseChain[] {
  const chains = readChains(ruleset);
  return [...chains.values()]
    .filter((chain) => chain.hook === probe.hook && chain.table !== TABLE)
    .filter((chain) => chain.family === 'inet' || chain.family === (probe.family ?? IPV4).nft)
    .filter((chain) => {
      const fate = walk(chain, chains, probe, 0) ?? (chain.policy === 'drop' ? 'drop' : 'accept');
      return fate === 'drop';
    })
    .map(({ family, table, chain }) => ({ family, table, chain }));
}

/** Undefined where the packet leaves the chain at its end (or by `return`). */
function walk(
  chain: Chain,
  chains: ReadonlyMap<string, Chain>,
  probe: Probe,
  depth: number,
): Fate | undefined {
  if (depth > 16) return 'maybe';
  let mayPass = false;
  for (const rule of chain.rules) {
    const verdict = judge(rule, chain, chains, probe, depth);
    if (verdict.match === 'no' || verdict.fate === undefined) continue;
    if (verdict.fate === 'return') {
      if (verdict.match === 'yes') break;
      continue;
    }
    if (verdict.match === 'yes' && verdict.fate !== 'maybe')
      return verdict.fate === 'drop' && mayPass ? 'maybe' : verdict.fate;
    if (verdict.fate !== 'drop') mayPass = true;
  }
  return mayPass ? 'maybe' : undefined;
}

function judge(
  rule: Json,
  chain: Chain,
  chains: ReadonlyMap<string, Chain>,
  probe: Probe,
  depth: number,
): Verdict {
  let match: Match = 'yes';
  for (const expression of list(field(rule, 'expr'))) {
    const one = field(expression, 'match');
    if (one !== undefined) {
      const result = judgeMatch(one, probe);
      if (result === 'no') return { match: 'no', fate: undefined };
      if (result === 'maybe') match = 'maybe';
      continue;
    }
    if (typeof expression !== 'object' || expression === null) continue;
    const map = field(expression, 'vmap');
    if (map !== undefined) {
      const found = lookUp(map, probe);
      if (found === 'maybe') return { match: 'maybe', fate: 'maybe' };
      if (found === undefined) return { match: 'no', fate: undefined };
      return decided(found, match, chain, chains, probe, depth) ?? { match, fate: undefined };
    }
    const verdict = decided(expression, match, chain, chains, probe, depth);
    if (verdict !== undefined) return verdict;
    if ('xt' in expression || 'queue' in expression) return { match: 'maybe', fate: 'maybe' };
  }
  return { match, fate: undefined };
}

interface Verdict {
  readonly match: Match;
  readonly fate: Fate | 'return' | undefined;
}

/** What a verdict statement does with the packet; undefined where the statement is none. */
function decided(
  statement: Json,
  match: Match,
  chain: Chain,
  chains: ReadonlyMap<string, Chain>,
  probe: Probe,
  depth: number,
): Verdict | undefined {
  if (typeof statement !== 'object' || statement === null) return undefined;
  if ('accept' in statement) return { match, fate: 'accept' };
  if ('drop' in statement || 'reject' in statement) return { match, fate: 'drop' };
  if ('return' in statement) return { match, fate: 'return' };
  const target = field(statement, 'jump', 'target') ?? field(statement, 'goto', 'target');
  if (target === undefined) return undefined;
  const next = chains.get(`${chain.family} ${chain.table} ${String(target)}`);
  const fate = next === undefined ? 'maybe' : walk(next, chains, probe, depth + 1);
  return { match, fate: fate ?? ('goto' in statement ? 'return' : undefined) };
}

/** The verdict of a verdict map for the probe: undefined where it has none, `maybe` where that cannot be told. */
function lookUp(map: Json, probe: Probe): Json | 'maybe' {
  const pairs = list(field(map, 'data', 'set'));
  if (pairs.length === 0) return 'maybe';
  let unsure = false;
  for (const pair of pairs) {
    const [key, verdict] = list(pair);
    const match = judgeMatch({ op: '==', left: field(map, 'key'), right: key }, probe);
    if (match === 'yes') return verdict;
    if (match === 'maybe') unsure = true;
  }
  return unsure ? 'maybe' : undefined;
}

function judgeMatch(match: Json, probe: Probe): Match {
  const left = field(match, 'left');
  const right = field(match, 'right');
  const negated = field(match, 'op') === '!=';
  const decide = (value: boolean | undefined): Match =>
    value === undefined ? 'maybe' : value !== negated ? 'yes' : 'no';
  const among = (wanted: string): boolean | undefined => names(right)?.some((name) => fits(name, wanted));
  const { transport = 'udp' } = probe;
  switch (field(left, 'meta', 'key')) {
    case 'iifname':
    case 'iif':
      return decide(among(probe.iif));
    case 'oifname':
    case 'oif':
      return probe.oif === undefined ? decide(false) : decide(among(probe.oif));
    case 'l4proto':
      return decide(among(transport) === true || among(transport === 'udp' ? '17' : '6') === true);
    case 'nfproto':
      return decide(among((probe.family ?? IPV4).nfproto));
  }
  switch (field(left, 'ct', 'key')) {
    case 'state':
      return decide(among('new'));
    case 'status':
      return decide(among('dnat') === true ? probe.dnat : names(right) === undefined ? undefined : false);
  }
  const protocol = field(left, 'payload', 'protocol');
  const other = (probe.family ?? IPV4) === IPV4 ? 'ip6' : 'ip';
  if (
    protocol === (transport === 'udp' ? 'tcp' : 'udp') ||
    protocol === 'icmp' ||
    protocol === 'icmpv6' ||
    protocol === other
  )
    return 'no';
  if ((protocol === transport || protocol === 'th') && field(left, 'payload', 'field') === 'dport')
    return typeof right === 'string' ? 'maybe' : decide(containsPort(right, probe.port));
  if (protocol === 'ip' && field(left, 'payload', 'field') === 'protocol') return decide(among(transport));
  // Our own accept rule: what it is for carries the mark.
  if (field(left, '&') !== undefined && right === ACCEPT_MARK) return 'yes';
  return 'maybe';
}

/** The names that stand right of a match; undefined where it is a named set. */
function names(right: Json): string[] | undefined {
  if (typeof right === 'number') return [String(right)];
  if (typeof right === 'string') return right.startsWith('@') ? undefined : [right];
  const items = Array.isArray(right) ? right : field(right, 'set');
  return Array.isArray(items) ? items.flatMap((item) => names(item) ?? []) : undefined;
}

function fits(name: string, wanted: string): boolean {
  return name.endsWith('*') ? wanted.startsWith(name.slice(0, -1)) : name === wanted;
}

/** Whether rules hand flows to the kernel's own SIP helper: names of the tables that do. */
export function sipHelpers(ruleset: Json): string[] {
  const items = list(field(ruleset, 'nftables'));
  const helpers = new Set(
    items
      .map((item) => field(item, 'ct helper'))
      .filter((helper) => field(helper, 'type') === 'sip')
      .map((helper) => `${field(helper, 'family')} ${field(helper, 'table')} ${field(helper, 'name')}`),
  );
  const users = new Set<string>();
  for (const item of items) {
    const rule = field(item, 'rule');
    for (const expression of list(field(rule, 'expr'))) {
      const name = field(expression, 'ct helper');
      const table = `${field(rule, 'family')} ${field(rule, 'table')}`;
      if (typeof name === 'string' && helpers.has(`${table} ${name}`)) users.add(table);
    }
  }
  return [...users];
}

/** Names of flowtables: what they carry passes by every rule, and by the connection table. */
export function flowtables(ruleset: Json): string[] {
  return list(field(ruleset, 'nftables'))
    .map((item) => field(item, 'flowtable'))
    .filter((table) => table !== undefined)
    .map((table) => `${field(table, 'family')} ${field(table, 'table')} ${field(table, 'name')}`);
}
