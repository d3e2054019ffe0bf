/** `sipalg gateway`: reads the configuration, looks at the machine, and hands over to the gateway itself. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import { DEFAULT_CONSOLE } from '../config/schema.ts';
import { formatEndpoint } from '../core/net/address.ts';
import type { RunOptions } from '../gateway/gateway.ts';
import { type ConfigOptions, configFrom, configSource, readConfig } from './config-options.ts';
import { requireInterfaces, requireNetworkRights } from './environment.ts';
import { exitCode } from './exit-code.ts';

export interface GatewayOptions extends ConfigOptions {
  readonly json?: boolean;
}

const WITHOUT_ROOT =
  'Without root there is the explicit mode, in which phones name the gateway as outbound proxy: --listen ADDR:PORT';

export async function gateway(options: GatewayOptions, version: string): Promise<number> {
  const config = configFrom(options);
  if (config === undefined) return exitCode.usage;
  let told: Promise<void> | undefined;
  if (config.mode === 'transparent') {
    requireNetworkRights('intercepting SIP on a router', WITHOUT_ROOT);
    requireInterfaces(config.internal, '--internal');
    requireInterfaces(config.external, '--external', true);
    // A dozen programs are asked, and no phone waits for what they say.
    told = tellObstacles(config);
    told.catch(() => {});
  }
  const { runGateway } = await import('../gateway/gateway.ts');
  try {
    return await runGateway(config, {
      json: options.json === true,
      version,
      reload: () => readConfig(options),
      ...consoleOf(config, options, version),
    });
  } finally {
    // Before what it is that has failed: the one may be why of the other.
    await told;
  }
}

/** Loaded where it is wanted, so that a gateway without console does not carry it. */
function consoleOf(
  config: GatewayConfig,
  options: GatewayOptions,
  version: string,
): Pick<RunOptions, 'console'> {
  const { listen, names } = config.console;
  if (listen.kind === 'off') return {};
  return {
    console: async (view, notice) => {
      const { openConsole } = await import('../console/server.ts');
      return openConsole(view, {
        listen,
        names,
        anyPort:
          options.console === undefined &&
          listen.kind === 'tcp' &&
          formatEndpoint(listen.endpoint) === DEFAULT_CONSOLE,
        stateDir: config.stateDir,
        source: configSource(options),
        version,
        notice,
      });
    },
  };
}

/**
 * Obstacles are told and do not stop the start: what is impossible fails by itself, and what only looks impossible from
 * here (a firewall that reads otherwise than we think) must not keep phones from working.
 */
async function tellObstacles(config: GatewayConfig): Promise<void> {
  const [{ preflight }, { preflightOptions }] = await Promise.all([
    import('../linux/preflight.ts'),
    import('./linux-options.ts'),
  ]);
  for (const { code, severity, what, remedy } of await preflight(preflightOptions(config))) {
    process.stderr.write(`${severity}: ${code}: ${what} — ${remedy}\n`);
  }
}
