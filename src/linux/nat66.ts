/**
 * Whether IPv6 is translated on this router (NAT66), or routed as it is meant to be: read from its own rules.
 *
 * Facts: `masquerade` and `snat` stand in nat chains only; in a table of the family inet a `masquerade` without a word about
 * the family translates IPv6 as well. Which phones it is for, the rule says with `ip6 saddr`; where it names none, or names
 * them in a way that cannot be read here (a set, a negation), it is taken to be for all.
 */
import { parseAddress } from '../core/net/address.ts';
import { IPV6 } from './family.ts';
import { field, type Json, list } from './json.ts';
import { TABLE } from './ruleset.ts';

const ALL: readonly string[] = [IPV6.all];

/** Source prefixes that are translated on their way out of `external`, in what `nft -j list ruleset` prints. */
export function findTranslated(ruleset: Json, external: readonly string[]): string[] {
  const found = new Set<string>();
  for (const item of list(field(ruleset, 'nftables'))) {
    const rule = field(item, 'rule');
    const family = field(rule, 'family');
    if (rule === undefined || field(rule, 'table') === TABLE) continue;
    if (family === 'ip6' || family === 'inet')
      for (const prefix of translatedBy(rule, family, external)) found.add(prefix);
  }
  return [...found];
}

function translatedBy(rule: Json, family: 'ip6' | 'inet', external: readonly string[]): readonly string[] {
  const expressions = list(field(rule, 'expr'));
  const statement = expressions.find(
    (one) => typeof one === 'object' && one !== null && ('masquerade' in one || 'snat' in one),
  );
  if (statement === undefined) return [];
  const target = field(statement, 'snat', 'family');
  if (target === 'ip') return [];
  const address = field(statement, 'snat', 'addr');
  if (family === 'inet' && typeof address === 'string' && parseAddress(address)?.includes(':') === false)
    return [];
  let prefixes: readonly string[] = ALL;
  for (const expression of expressions) {
    const match = field(expression, 'match');
    if (match === undefined) continue;
    const left = field(match, 'left');
    const right = field(match, 'right');
    const equal = field(match, 'op') === '==';
    const protocol = field(left, 'payload', 'protocol');
    if (protocol === 'ip') return [];
    switch (field(left, 'meta', 'key')) {
      case 'nfproto':
        if ((right === 'ipv6') !== equal) return [];
        break;
      case 'oifname':
      case 'oif':
        if (!leadsOut(right, equal, external)) return [];
        break;
      case 'l4proto':
        if (equal && !values(right).some((one) => one === 'udp' || one === 17)) return [];
    }
    if (protocol === 'ip6' && field(left, 'payload', 'field') === 'saddr' && equal) {
      const read = values(right).map(readPrefix);
      prefixes = read.every((one) => one !== undefined) && read.length > 0 ? read : ALL;
    }
  }
  return prefixes;
}

/** The same in what `ip6tables-save -t nat` prints; nft shows of such rules only that they are there. */
export function findIptablesTranslated(save: string, external: readonly string[]): string[] {
  const found = new Set<string>();
  for (const line of save.split('\n')) {
    if (!/^-A .*-j (?:MASQUERADE|SNAT|NETMAP)\b/.test(line)) continue;
    const out = /(! )?-o (\S+)/.exec(line);
    if (out !== null && !leadsOut(out[2]?.replace(/\+$/, '*'), out[1] === undefined, external)) continue;
    if (/ -p (?!udp\b|17\b)/.test(line)) continue;
    const source = /(! )?-s (\S+)/.exec(line);
    const prefix = source === null || source[1] !== undefined ? undefined : readText(source[2] ?? '');
    found.add(prefix ?? IPV6.all);
  }
  return [...found];
}

function leadsOut(right: Json, equal: boolean, external: readonly string[]): boolean {
  const names = values(right);
  if (names.length === 0) return true;
  const isNamed = (name: string): boolean =>
    names.some((one) =>
      typeof one === 'string' && one.endsWith('*') ? name.startsWith(one.slice(0, -1)) : one === name,
    );
  return external.some((name) => isNamed(name) === equal);
}

/** What stands right of a match, one or several; nothing where it is a set that has a name. */
function values(right: Json): readonly Json[] {
  if (typeof right === 'string' && right.startsWith('@')) return [];
  const set = field(right, 'set');
  if (set !== undefined) return list(set);
  return Array.isArray(right) ? right : [right];
}

function readPrefix(value: Json): string | undefined {
  if (typeof value === 'string') return readText(value);
  const address = field(value, 'prefix', 'addr');
  const length = field(value, 'prefix', 'len');
  return typeof address === 'string' && typeof length === 'number'
    ? readText(`${address}/${length}`)
    : undefined;
}

function readText(text: string): string | undefined {
  const [address = '', length = '128'] = text.split('/');
  const canonical = parseAddress(address);
  if (canonical === undefined || !/^\d{1,3}$/.test(length) || Number(length) > IPV6.bits) return undefined;
  return Number(length) === IPV6.bits ? canonical : `${canonical}/${length}`;
}
