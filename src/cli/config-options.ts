/** The options that make up a configuration, shared by every command that needs one. */
import { type Command, InvalidArgumentError } from 'commander';
import type { GatewayConfig } from '../config/gateway-config.ts';
import { type ConfigOverrides, type LoadedConfig, loadConfig, runnableProblems } from '../config/load.ts';
import { formatProblem, type Problem } from '../config/problem.ts';

export interface ConfigOptions {
  readonly internal?: readonly string[];
  readonly external?: readonly string[];
  readonly listen?: readonly string[];
  readonly config?: string;
  readonly stateDir?: string;
  readonly acceptChain?: readonly string[];
  readonly sipPort?: readonly number[];
  readonly logLevel?: string;
}

export function addConfigOptions(command: Command): Command {
  return command
    .option('-i, --internal <if>', 'interface on which the phones are (repeatable)', collect)
    .option('-e, --external <if>', 'interface that leads to the provider (repeatable)', collect)
    .option('-c, --config <file>', 'TOML file for everything else; options win over it')
    .option(
      '--listen <addr:port>',
      'explicit mode: no interception, phones name this as outbound proxy (repeatable)',
      collect,
    )
    .option('--state-dir <dir>', 'what has to survive a restart (default: /var/lib/sipalg)')
    .option(
      '--accept-chain <chain>',
      "chain of your firewall that may accept providers, as 'inet TABLE CHAIN' (repeatable)",
      collect,
    )
    .option(
      '--sip-port <port>',
      'port of the providers that is taken for SIP (repeatable; default: 5060)',
      collectPort,
    )
    .option('--log-level <level>', 'error, warn, info or debug (default: info)');
}

/** The configuration, or its problems on standard error and undefined. */
export function configFrom(options: ConfigOptions): GatewayConfig | undefined {
  const { config, problems } = readConfig(options);
  if (problems !== undefined) printProblems(problems);
  return config;
}

/** File and command line together; what cannot run is a problem as well. */
export function readConfig(options: ConfigOptions): LoadedConfig {
  const overrides: ConfigOverrides = {
    internal: options.internal,
    external: options.external,
    listen: options.listen,
    stateDir: options.stateDir,
    acceptChains: options.acceptChain,
    sipPorts: options.sipPort,
    logLevel: options.logLevel,
  };
  const loaded = loadConfig(options.config, overrides);
  if (loaded.config === undefined) return loaded;
  const problems = runnableProblems(loaded.config, options.config);
  return problems.length === 0 ? loaded : { problems };
}

export function printProblems(problems: readonly Problem[]): void {
  for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`);
}

export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

function collectPort(value: string, previous: readonly number[] = []): number[] {
  if (!/^\d{1,5}$/.test(value)) throw new InvalidArgumentError('It is a number from 1 to 65535.');
  return [...previous, Number(value)];
}
