/**
 * One rule at the head of each chain of the operator's firewall that he has named: accept what carries our accept mark
 * (intercepted packets, what known providers send to our endpoints, media that we map). Found again by its comment.
 */

import { field, type Json, list } from './json.ts';
import { readRuleset, run, tryRun } from './program.ts';
import { ACCEPT_MARK } from './ruleset.ts';
import { SystemError } from './system-error.ts';

const COMMENT = 'sipalg';

export interface ChainName {
  readonly family: 'inet' | 'ip' | 'ip6';
  readonly table: string;
  readonly chain: string;
}

/** `inet TABLE CHAIN`, or with `ip` or `ip6` for one family alone. */
export function parseChainName(text: string): ChainName | undefined {
  const match = /^(inet|ip6?) ([A-Za-z_][\w./-]*) ([A-Za-z_][\w./-]*)$/.exec(text.trim());
  const [, family, table, chain] = match ?? [];
  if (!isFamily(family) || table === undefined || chain === undefined) return undefined;
  return { family, table, chain };
}

function isFamily(text: Json): text is ChainName['family'] {
  return text === 'inet' || text === 'ip' || text === 'ip6';
}

export interface AcceptRule extends ChainName {
  readonly handle: number;
}

/** Our rules in what `nft -j list ruleset` prints. */
export function findAcceptRules(ruleset: Json): AcceptRule[] {
  const found: AcceptRule[] = [];
  for (const item of list(field(ruleset, 'nftables'))) {
    const rule = field(item, 'rule');
    if (field(rule, 'comment') !== COMMENT) continue;
    const { family, table, chain, handle } = rule as Record<string, Json>;
    if (!isFamily(family)) continue;
    if (typeof table !== 'string' || typeof chain !== 'string' || typeof handle !== 'number') continue;
    found.push({ family, table, chain, handle });
  }
  return found;
}

/** Whether every chain has its rule still: a firewall that is loaded again has lost it. */
export function hasAcceptRules(chains: readonly ChainName[], ruleset: Json): boolean {
  const rules = findAcceptRules(ruleset);
  return chains.every(({ family, table, chain }) =>
    rules.some((rule) => rule.family === family && rule.table === table && rule.chain === chain),
  );
}

/** Puts one rule at the head of each chain, after removing those of a former life. `ruleset`: as it is, where somebody has read it. */
export function addAcceptRules(chains: readonly ChainName[], ruleset: Json = readRuleset()): void {
  removeAcceptRules(ruleset);
  for (const { family, table, chain } of chains) {
    if (tryRun('nft', ['list', 'chain', family, table, chain]).status !== 0)
      throw new SystemError(
        'linux/no-chain',
        `there is no chain ${family} ${table} ${chain}`,
        'name a chain as `nft list ruleset` shows it: --accept-chain "inet filter input"',
      );
    const mark = `0x${ACCEPT_MARK.toString(16).padStart(8, '0')}`;
    run(
      'nft',
      ['-f', '-'],
      `insert rule ${family} ${table} ${chain} meta mark and ${mark} == ${mark} counter accept comment "${COMMENT}"\n`,
    );
  }
}

/** Idempotent; whether anything was there. */
export function removeAcceptRules(ruleset: Json = readRuleset()): boolean {
  const rules = findAcceptRules(ruleset);
  for (const rule of rules)
    tryRun('nft', ['delete', 'rule', rule.family, rule.table, rule.chain, 'handle', String(rule.handle)]);
  return rules.length > 0;
}
