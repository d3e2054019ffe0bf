/** What the data plane needs in the kernel besides its sockets: policy route, ruleset, accept rules; in that order. */
import { addAcceptRules, type ChainName } from './accept-chain.ts';
import { addPolicyRoute, type PolicyRouteOptions } from './policy-route.ts';
import { applyRuleset, readRuleset } from './program.ts';
import { type RulesetOptions, renderRuleset } from './ruleset.ts';

/** Throws a `SystemError`. `fault`: what goes without, because this kernel lacks something. */
export function install(
  ruleset: RulesetOptions,
  route: PolicyRouteOptions,
  acceptChains: readonly ChainName[],
  fault: (code: string, error: unknown) => void,
): void {
  const before = readRuleset();
  addPolicyRoute(route);
  try {
    applyRuleset(renderRuleset(ruleset));
  } catch (error) {
    if (ruleset.listenPort6 === undefined) throw error;
    // IPv4 does not go without its rules because of those of IPv6.
    applyRuleset(renderRuleset({ ...ruleset, listenPort6: undefined }));
    fault('linux.ipv6', error);
  }
  // Ours has no such rules: those of a former life are where they were.
  addAcceptRules(acceptChains, before);
}
