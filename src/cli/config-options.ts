/** The options that make up a configuration, shared by every command that needs one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { GatewayConfig } from '../config/gateway-config.ts';
import { type ConfigOverrides, type LoadedConfig, loadConfig, runnableProblems } from '../config/load.ts';
import { formatProblem, type Problem } from '../config/problem.ts';
import { DEFAULT_STATE_DIR } from '../config/schema.ts';
import type { ConfigSource } from '../config/settings.ts';

export interface ConfigOptions {
  readonly internal?: readonly string[];
  readonly external?: readonly string[];
  readonly listen?: readonly string[];
  readonly config?: string;
  readonly stateDir?: string;
  readonly acceptChain?: readonly string[];
  readonly sipPort?: readonly number[];
  readonly logLevel?: string;
  readonly console?: string;
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
    .option(
      '--console <place>',
      'where the web console is: ADDR:PORT, the path of a Unix socket, or off (default: 127.0.0.1:8060)',
    )
    .option('--log-level <level>', 'error, warn, info or debug (default: info)');
}

/** The options that find a running gateway. */
export function addStateOptions(command: Command): Command {
  return command
    .option('--state-dir <dir>', 'as given to the gateway (default: /var/lib/sipalg)')
    .option('-c, --config <file>', 'the configuration file of the gateway, which may name the directory');
}

/** The configuration, or its problems on standard error and undefined. */
export function configFrom(options: ConfigOptions): GatewayConfig | undefined {
  const { config, problems } = readConfig(options);
  if (problems !== undefined) printProblems(problems);
  return config;
}

/** In the state directory: read where no file is named, and written by the console. */
const OWN_FILE = 'gateway.toml';

/** The file, which need not exist, and what wins over it. */
export function configSource(options: ConfigOptions): ConfigSource {
  const overrides: ConfigOverrides = {
    internal: options.internal,
    external: options.external,
    listen: options.listen,
    stateDir: options.stateDir,
    acceptChains: options.acceptChain,
    sipPorts: options.sipPort,
    logLevel: options.logLevel,
    console: options.console,
  };
  return { file: options.config ?? join(options.stateDir ?? DEFAULT_STATE_DIR, OWN_FILE), overrides };
}

/** File and command line together; what cannot run is a problem as well. */
export function readConfig(options: ConfigOptions): LoadedConfig {
  const { file, overrides } = configSource(options);
  const path = options.config ?? (existsSync(file) ? file : undefined);
  const loaded = loadConfig(path, overrides);
  if (loaded.config === undefined) return loaded;
  const problems = runnableProblems(loaded.config, path);
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
