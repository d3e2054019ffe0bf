/** The configuration in the words of the Linux data plane, for the commands that only show or check. */
import { enginesOf, type GatewayConfig } from '../config/gateway-config.ts';
import { formatPrefix, type Prefix } from '../config/prefix.ts';
import { isIPv6 } from '../core/net/address.ts';
import type { PreflightOptions } from '../linux/preflight.ts';
import type { RulesetOptions } from '../linux/ruleset.ts';

/** What the daemon's own socket listens on is chosen when it starts; this number stands for it. */
const SHOWN_LISTEN_PORT = 5060;

export function rulesetOptions(config: GatewayConfig): RulesetOptions {
  const off = config.providers.filter((provider) => provider.mode === 'off');
  const assisted = config.providers.filter((provider) => provider.mode === 'assist');
  return {
    internal: config.internal,
    external: config.external,
    sipPorts: config.signalling.ports,
    listenPort: SHOWN_LISTEN_PORT,
    others: Array.from({ length: enginesOf(config) - 1 }, (_, i) => ({
      listenPort: SHOWN_LISTEN_PORT + i + 1,
    })),
    excludedPhones: ipv4(config.phones.filter((phone) => phone.mode === 'off').map((phone) => phone.address)),
    excludedProviders: ipv4(off.flatMap((provider) => provider.addresses)),
    rates: {
      perPhone: config.limits.messagesPerSecondPerPhone,
      perProvider: config.limits.messagesPerSecondPerProvider,
    },
    providers: ipv4(assisted.flatMap((provider) => provider.addresses)),
  };
}

export function preflightOptions(config: GatewayConfig): PreflightOptions {
  return {
    internal: config.internal,
    external: config.external,
    sipPorts: config.signalling.ports,
    mediaPorts: { first: config.media.ports.low, last: config.media.ports.high },
    acceptChains: config.acceptChains,
    routeTable: config.linux.routeTable,
    engines: enginesOf(config),
  };
}

/** IPv6 without NAT needs no interception, so that the ruleset knows IPv4 only. */
function ipv4(prefixes: readonly Prefix[]): string[] {
  return prefixes.filter((prefix) => !isIPv6(prefix.address)).map(formatPrefix);
}
