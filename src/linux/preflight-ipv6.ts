/** What stands in the way of phones with IPv6, where this machine carries IPv6 from an internal to an external interface. */
import { isIPv6 } from '../core/net/address.ts';
import { IPV6 } from './family.ts';
import { droppingChains } from './firewall.ts';
import { BRIDGE_REMEDY_6 } from './interfaces.ts';
import type { MachineFacts } from './machine-facts.ts';
import { findTranslated } from './nat66.ts';
import type { Obstacle, PreflightOptions } from './preflight.ts';

/** Never an error: IPv4 is served all the same. */
export function* ipv6Obstacles(options: PreflightOptions, facts: MachineFacts): Iterable<Obstacle> {
  const { internal, external, acceptChains = [] } = options;
  const hasIPv6 = (names: readonly string[]): boolean =>
    names.some((name) => facts.interfaces.get(name)?.addresses.some(isIPv6) === true);
  if (!hasIPv6(internal) || !hasIPv6(external)) return;
  const warning = (code: Obstacle['code'], what: string, remedy: string): Obstacle => ({
    code,
    severity: 'warning',
    what,
    remedy,
  });
  if (facts.sysctl('net.ipv6.conf.all.forwarding') === '0')
    yield warning(
      'linux/no-forwarding',
      'this machine does not forward IPv6 (net.ipv6.conf.all.forwarding = 0)',
      'sysctl -w net.ipv6.conf.all.forwarding=1, and put it into /etc/sysctl.d/; without it phones have IPv4 alone',
    );
  const translated = findTranslated(facts.ruleset, external).length > 0;
  if (translated && facts.sysctl('net.bridge.bridge-nf-call-ip6tables') === '1')
    for (const name of internal)
      if (facts.interfaces.get(name)?.bridge === true)
        yield warning(
          'linux/bridge-netfilter',
          `bridged IPv6 frames on ${name} go through the IP firewall (br_netfilter), so that NAT66 is left alone`,
          BRIDGE_REMEDY_6,
        );
  const port = options.mediaPorts?.first ?? 16_384;
  for (const oif of internal)
    for (const iif of external)
      for (const { family, table, chain } of droppingChains(facts.ruleset, {
        hook: 'forward',
        iif,
        oif,
        port,
        dnat: translated,
        family: IPV6,
      })) {
        const name = `${family} ${table} ${chain}`;
        if (acceptChains.some((one) => `${one.family} ${one.table} ${one.chain}` === name)) continue;
        yield warning(
          'linux/forward-drops',
          `the chain ${name} drops media for a phone with IPv6 that has not sent any yet (early media, announcements)`,
          translated
            ? `nft insert rule ${name} ct status dnat accept; or let the gateway do it: --accept-chain '${name}'`
            : `let the gateway open what each call names, and no more: --accept-chain '${name}'`,
        );
      }
}
