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

export function addPolicyRoute(options: PolicyRouteOptions): void {
  const table = String(options.table ?? ROUTE_TABLE);
  removePolicyRoute(options.table);
  for (const { option, all } of options.families ?? [IPV4]) {
    const route = [option, 'route', 'replace', 'local', all, 'dev', 'lo', 'table', table];
    // Where IPv6 is switched off (disable_ipv6) there is no such route, and no packet that would need it.
    if (option === '-6' && tryRun('ip', route).status !== 0) continue;
    if (option === '-4') run('ip', route);
    for (const iif of options.internal)
      run('ip', [
        ...[option, 'rule', 'add', 'iif', iif, 'fwmark', mark],
        ...['lookup', table, 'priority', String(options.priority ?? RULE_PRIORITY)],
      ]);
  }
}

/** Idempotent; whether anything was there. */
export function removePolicyRoute(table = ROUTE_TABLE): boolean {
  let removed = false;
  for (const family of FAMILIES) {
    const { option, all } = family;
    for (const rule of readRules(family)) {
      if (!isOurs(rule, table)) continue;
      tryRun('ip', [
        ...[
          option,
          'rule',
          'del',
          'fwmark',
          mark,
          'lookup',
          String(table),
          'priority',
          String(rule.priority),
        ],
        ...(rule.iif === undefined ? [] : ['iif', rule.iif]),
      ]);
      removed = true;
    }
    const route = tryRun('ip', [option, 'route', 'del', 'local', all, 'dev', 'lo', 'table', String(table)]);
    removed ||= route.status === 0;
  }
  return removed;
}
