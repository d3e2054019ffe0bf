/** `sipalg gateway` as the demo and the lab run it: in the router, or on loopback. Its log is a journal of events. */
import type { ChildProcess } from 'node:child_process';
import { chownSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Journal } from './journal.ts';
import type { Network } from './network.ts';
import { Program } from './program.ts';
import { newDirectory, noteProcess } from './run.ts';

export const SIPALG = fileURLToPath(new URL('../bin/sipalg', import.meta.url));
const READY_MS = 15_000;

export interface LogLine {
  readonly msg: string;
  readonly [key: string]: unknown;
}

export interface GatewayOptions {
  readonly args?: readonly string[];
  /** The text of its configuration file. */
  readonly config?: string;
  /** A state directory to share between two runs; otherwise one of its own, removed at `close`. */
  readonly stateDir?: string;
  /** Runs as nobody with these capabilities (as setpriv(1) calls them) and no others. Default: as we do. */
  readonly capabilities?: readonly string[];
}

export class Gateway {
  readonly log = new Journal<LogLine>((line) => JSON.stringify(line));
  readonly program: Program;
  readonly stateDir: string;
  /** Where its console is: a Unix socket is in no network namespace, so that it is reached from any. */
  readonly consoleSocket: string;

  private constructor(child: ChildProcess, stateDir: string) {
    this.stateDir = stateDir;
    this.consoleSocket = consoleSocket(stateDir);
    noteProcess(stateDir, child.pid);
    this.program = new Program('sipalg gateway', child);
    const add = this.program.lines.add.bind(this.program.lines);
    this.program.lines.add = (text) => {
      add(text);
      try {
        this.log.add(JSON.parse(text) as LogLine);
      } catch {
        // Not every line is a log line: a crash speaks plainly.
      }
    };
  }

  /** On the kernel data plane, in the router of the network. */
  static async inRouter(network: Network, options: GatewayOptions = {}): Promise<Gateway> {
    const stateDir = options.stateDir ?? newDirectory('state');
    const args = [
      ...['gateway', '--internal', 'br0', '--external', 'eth0', '--state-dir', stateDir, '--json'],
      ...['--log-level', 'debug', '--console', consoleSocket(stateDir)],
    ];
    const config = [options.config, threads()].filter((text) => text !== undefined);
    if (config.length > 0) {
      const file = join(stateDir, 'sipalg.toml');
      writeFileSync(file, config.join('\n'));
      args.push('--config', file);
    }
    const [program, ...first] =
      options.capabilities === undefined ? [SIPALG] : unprivileged(stateDir, options.capabilities);
    const child = network.spawn('router', program, [...first, ...args, ...(options.args ?? [])], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return Gateway.#ready(new Gateway(child, stateDir));
  }

  /** Any other way of starting it; `start` gets the program and the arguments that are always needed. */
  static started(start: (program: string, args: readonly string[]) => ChildProcess): Promise<Gateway> {
    const stateDir = newDirectory('state');
    return Gateway.#ready(
      new Gateway(
        start(SIPALG, [
          ...['gateway', '--state-dir', stateDir, '--json', '--log-level', 'debug'],
          ...['--console', consoleSocket(stateDir)],
        ]),
        stateDir,
      ),
    );
  }

  static async #ready(gateway: Gateway): Promise<Gateway> {
    try {
      await gateway.program.says(/"msg":"ready"/, READY_MS);
      return gateway;
    } catch (error) {
      await gateway.close();
      throw error;
    }
  }

  /** Stops it; the state stays. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    return this.program.stop(signal);
  }

  async close(): Promise<void> {
    this.program.signal('SIGCONT');
    await this.program.stop();
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}

/** The whole lab can be run with several engines: ENGINE_THREADS=2. Where a configuration speaks of Linux itself, it stays as it is. */
function threads(): string | undefined {
  const count = process.env.ENGINE_THREADS;
  return count === undefined ? undefined : `[linux]\nengine-threads = ${Number(count)}\n`;
}

function consoleSocket(stateDir: string): string {
  return join(stateDir, 'console.sock');
}

const NOBODY = 65_534;

/**
 * What runs sipalg as a service's user does: no other rights, no way to any, and a state directory of its own. The checkout
 * is bound to /mnt, in the mount namespace that `ip netns exec` makes: it may stand in a home that is closed to others.
 */
function unprivileged(stateDir: string, capabilities: readonly string[]): [string, ...string[]] {
  chownSync(stateDir, NOBODY, NOBODY);
  const only = ['-all', ...capabilities.map((one) => `+${one}`)].join(',');
  const setpriv = [
    ...['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs'],
    ...[`--inh-caps=${only}`, `--ambient-caps=${only}`, `--bounding-set=${only}`],
  ];
  const root = fileURLToPath(new URL('..', import.meta.url));
  return [
    'sh',
    '-ec',
    `mount --bind '${root}' /mnt; exec ${setpriv.join(' ')} /mnt/bin/sipalg "$@"`,
    'sipalg',
  ];
}
