/**
 * The policy route that sends intercepted packets to this machine's own sockets.
 *
 * Facts relied on:
 * - One rule for each internal interface, with `iif`: under strict rp_filter with src_valid_mark the kernel looks the
 *   phone's address up with the packet's mark, but from `lo`; without `iif` it would find `local default` and drop.
 * - The rule must come before those of multi-homed routers, hence a low number.
 */

import { FAMILIES, type Family, IPV4 } from './family.ts';
import { run, tryRun } from './program.ts';
import { INTERCEPT_MARK } from './ruleset.ts';

export const ROUTE_TABLE = 5060;
export const RULE_PRIORITY = 100;

export interface PolicyRouteOptions {
  readonly internal: readonly string[];
  /** Default IPv4 alone. */
  readonly families?: readonly Family[];
  readonly table?: number;
  readonly priority?: number;
}

export interface PolicyRule {
  readonly priority: number;
  readonly iif: string | undefined;
  readonly fwmark: number | undefined;
  readonly fwmask: number;
  readonly table: string;
}

/** What `ip -j rule show` prints. */
export function parseRules(json: string): PolicyRule[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return (parsed as Record<string, unknown>[]).map((rule) => ({
    priority: Number(rule.priority ?? 0),
    iif: typeof rule.iif === 'string' ? rule.iif : undefined,
    fwmark: rule.fwmark === undefined ? undefined : Number(rule.fwmark),
    fwmask: rule.fwmask === undefined ? 0xffff_ffff : Number(rule.fwmask),
    table: String(rule.table ?? ''),
  }));
}

export function readRules(family: Family): PolicyRule[] {
  return parseRules(tryRun('ip', [family.option, '-j', 'rule', 'show']).stdout);
}

const mark = `0x${INTERCEPT_MARK.toString(16)}/0x${INTERCEPT_MARK.toString(16)}`;

/** Whether a rule is one of ours: our mark and mask, alone, to our table. */
export function isOurs(rule: PolicyRule, table: number): boolean {
  return rule.fwmark === INTERCEPT_MARK && rule.fwmask === INTERCEPT_MARK && rule.table === String(table);
}

/** What is there already stays: after a restart that is all of it. */
export function addPolicyRoute(options: PolicyRouteOptions): void {
  const { table = ROUTE_TABLE, priority = RULE_PRIORITY, families = [IPV4] } = options;
  for (const family of FAMILIES) {
    const { option } = family;
    const there = readRules(family).filter((rule) => isOurs(rule, table));
    const isRight = (rule: PolicyRule, iif: string): boolean =>
      rule.iif === iif && rule.priority === priority;
    // Where IPv6 is switched off (disable_ipv6) there is no such route, and no packet that would need it.
    const wanted = families.includes(family) && replaceRoute(family, table) ? options.internal : [];
    const kept: string[] = [];
    for (const rule of there) {
      const iif = wanted.find((one) => isRight(rule, one) && !kept.includes(one));
      if (iif === undefined) removeRule(family, rule, table);
      else kept.push(iif);
    }
    for (const iif of wanted)
      if (!kept.includes(iif))
        run('ip', [
          ...[option, 'rule', 'add', 'iif', iif, 'fwmark', mark],
          ...['lookup', String(table), 'priority', String(priority)],
        ]);
    if (wanted.length === 0) removeRoute(family, table);
  }
}

function replaceRoute({ option, all }: Family, table: number): boolean {
  const route = [option, 'route', 'replace', 'local', all, 'dev', 'lo', 'table', String(table)];
  if (option === '-6') return tryRun('ip', route).status === 0;
  run('ip', route);
  return true;
}

function removeRoute({ option, all }: Family, table: number): boolean {
  const route = [option, 'route', 'del', 'local', all, 'dev', 'lo', 'table', String(table)];
  return tryRun('ip', route).status === 0;
}

function removeRule({ option }: Family, rule: PolicyRule, table: number): void {
  tryRun('ip', [
    ...[option, 'rule', 'del', 'fwmark', mark],
    ...['lookup', String(table), 'priority', String(rule.priority)],
    ...(rule.iif === undefined ? [] : ['iif', rule.iif]),
  ]);
}

/** Idempotent; whether anything was there. */
export function removePolicyRoute(table = ROUTE_TABLE): boolean {
  let removed = false;
  for (const family of FAMILIES) {
    for (const rule of readRules(family)) {
      if (!isOurs(rule, table)) continue;
      removeRule(family, rule, table);
      removed = true;
    }
    removed = removeRoute(family, table) || removed;
  }
  return removed;
}
