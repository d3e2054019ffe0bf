/** The operator's forwards of SIP on this machine, as his rules and the kernel have them now. */
import type { Address, Endpoint } from '../core/net/address.ts';
import { FAMILIES } from './family.ts';
import { findForwardedHosts, findForwards, findIptablesForwards, readLearned } from './forwarded.ts';
import { look, readRuleset } from './program.ts';
import { SETS, TABLE } from './ruleset.ts';

/** Internal endpoints to which UDP is forwarded. */
export function readForwards(sipPorts: readonly number[]): Endpoint[] {
  return [...findForwards(readRuleset(), sipPorts), ...findIptablesForwards(iptablesNat(), sipPorts)];
}

/** Internal hosts to which any transport is forwarded. */
export function readForwardedHosts(sipPorts: readonly number[]): Address[] {
  return findForwardedHosts(readRuleset(), iptablesNat(), sipPorts);
}

/** What the rules of our own table have learned. */
export function readLearnedForwards(): Endpoint[] {
  return FAMILIES.flatMap(({ suffix }) =>
    readLearned(readRuleset(['list', 'set', 'inet', TABLE, `${SETS.forwarded}${suffix}`])),
  );
}

function iptablesNat(): string {
  return ['iptables-save', 'ip6tables-save'].map((program) => look(program, ['-t', 'nat']).stdout).join('\n');
}
