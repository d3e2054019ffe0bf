/** The gateway as it is installed: the bundle, run by Node in the router's namespace, its log in a file. */
import type { ChildProcess } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newDirectory, noteProcess } from '../../demo/run.ts';
import { type Endpoint, formatEndpoint } from '../../src/core/net/address.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { askStatus } from '../../src/gateway/status-socket.ts';
import { LIVE_HEAP_FILE, type LiveHeap } from './live-heap.ts';
import { type Memory, memory, processTime, sleep } from './machine.ts';
import type { BenchNetwork } from './network.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const READY_MS = 15_000;
const LIVE_HEAP = fileURLToPath(new URL('live-heap.ts', import.meta.url));
const COLLECT_MS = 5_000;

let copied: string | undefined;

/** A copy of the bundle, so that a run measures one and the same program even where somebody builds meanwhile. */
function bundle(): string {
  if (copied !== undefined) return copied;
  const directory = newDirectory('bundle');
  mkdirSync(join(directory, 'dist'));
  const file = join(directory, 'dist', 'sipalg.js');
  for (const name of readdirSync(join(ROOT, 'dist')))
    if (name.endsWith('.js')) copyFileSync(join(ROOT, 'dist', name), join(directory, 'dist', name));
  copyFileSync(join(ROOT, 'package.json'), join(directory, 'package.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  copied = file;
  return file;
}

export interface DaemonOptions {
  /** The text of its configuration file. */
  readonly config?: string;
  /** It can be asked for its live heap (`liveMb`), which costs it 30 MB of resident size. */
  readonly liveHeap?: boolean;
  /** Of Node, besides those that it is installed with. */
  readonly flags?: readonly string[];
  /** In explicit mode: where phones reach it. */
  readonly listen?: Endpoint | undefined;
  /** In explicit mode: `node:dgram`, as where there is no Linux. */
  readonly portableSockets?: boolean;
}

export class Daemon {
  #child: ChildProcess;
  readonly #network: BenchNetwork;
  readonly #nodeArguments: readonly string[];
  readonly #arguments: readonly string[];
  readonly #environment: NodeJS.ProcessEnv;
  readonly #stateDir: string;
  readonly #logFile: string;
  readonly #heapFile: string;

  private constructor(
    network: BenchNetwork,
    logLevel: 'info' | 'warn',
    { config, listen, liveHeap = false, flags = [], portableSockets = false }: DaemonOptions,
  ) {
    this.#network = network;
    this.#stateDir = newDirectory('state');
    this.#environment = portableSockets ? { SIPALG_SOCKETS: 'portable' } : {};
    this.#nodeArguments = [...flags, ...(liveHeap ? ['--import', LIVE_HEAP] : [])];
    this.#arguments = [
      ...(listen === undefined
        ? ['--internal', 'lan', '--external', 'eth0']
        : ['--listen', formatEndpoint(listen)]),
      ...['--json', '--state-dir', this.#stateDir, '--log-level', logLevel],
      ...(config === undefined ? [] : ['--config', join(this.#stateDir, 'sipalg.toml')]),
    ];
    if (config !== undefined) writeFileSync(join(this.#stateDir, 'sipalg.toml'), config);
    this.#logFile = join(this.#stateDir, 'log.json');
    writeFileSync(this.#logFile, '');
    this.#heapFile = join(this.#stateDir, 'live-heap.json');
    this.#child = this.#spawn();
  }

  static async start(
    network: BenchNetwork,
    logLevel: 'info' | 'warn',
    options: DaemonOptions = {},
  ): Promise<Daemon> {
    const daemon = new Daemon(network, logLevel, options);
    if (options.listen === undefined) await daemon.#ready(network);
    else await daemon.#answers();
    return daemon;
  }

  /** `kill -9`; the state stays. */
  async kill(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exited;
  }

  /** Starts it again on the state that is there; until it answers. */
  async startAgain(): Promise<void> {
    this.#child = this.#spawn();
    await this.#answers();
  }

  /** Until it says what it does. */
  async #answers(): Promise<void> {
    const deadline = performance.now() + READY_MS;
    while ((await this.status()) === undefined) {
      if (performance.now() > deadline || this.#child.exitCode !== null)
        throw new Error(`the gateway did not come back: ${this.#tail()}`);
      await sleep(20);
    }
  }

  /** What it says of itself; undefined while it does not answer. */
  async status(): Promise<StatusReport | undefined> {
    const answer = await askStatus(this.#stateDir);
    return answer.kind === 'answer' ? (JSON.parse(answer.text) as StatusReport) : undefined;
  }

  #spawn(): ChildProcess {
    const log = openSync(this.#logFile, 'a');
    const child = this.#network.router.spawn(
      process.execPath,
      [
        // As bin/sipalg calls it.
        ...['--max-semi-space-size=4', '--v8-pool-size=1', '--heap-growing-percent=50'],
        ...[...this.#nodeArguments, bundle(), 'gateway', ...this.#arguments],
      ],
      {
        stdio: ['ignore', log, log],
        env: { ...process.env, ...this.#environment, [LIVE_HEAP_FILE]: this.#heapFile },
      },
    );
    closeSync(log);
    noteProcess(this.#stateDir, child.pid);
    return child;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  cpuS(): number {
    const time = processTime(this.pid);
    if (time === undefined) throw new Error(`the gateway has ended: ${this.#tail()}`);
    return time.userS + time.systemS;
  }

  userS(): number {
    return processTime(this.pid)?.userS ?? Number.NaN;
  }

  memory(): Memory {
    return memory(this.pid);
  }

  /** MB that are reachable: everything is collected first, so that what comes after begins with a small heap. */
  async liveMb(): Promise<number> {
    rmSync(this.#heapFile, { force: true });
    this.#child.kill('SIGUSR2');
    for (const deadline = performance.now() + COLLECT_MS; performance.now() < deadline; await sleep(20)) {
      try {
        const { heapUsed, arrayBuffers } = JSON.parse(readFileSync(this.#heapFile, 'utf8')) as LiveHeap;
        return Math.round((heapUsed + arrayBuffers) / 1e4) / 100;
      } catch {
        // Not written yet, or not to its end.
      }
    }
    throw new Error(`the gateway did not say what it keeps: ${this.#tail()}`);
  }

  /** How often the log says what, message by message; without what is said of every message and call. */
  notices(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const line of readFileSync(this.#logFile, 'utf8').split('\n')) {
      const level = /"level":"?(\w+)/.exec(line)?.[1];
      const what = /"(?:msg|code|event)":"([^"]+)"/.exec(line)?.[1];
      if (what !== undefined && level !== '30' && level !== 'info') counts[what] = (counts[what] ?? 0) + 1;
    }
    return counts;
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
      await exited;
      clearTimeout(timer);
    }
    rmSync(this.#stateDir, { recursive: true, force: true });
  }

  /** Ready is when the rules are in force: the log of a quiet level does not say so. */
  async #ready(network: BenchNetwork): Promise<void> {
    const deadline = performance.now() + READY_MS;
    while (performance.now() < deadline) {
      if (this.#child.exitCode !== null) break;
      try {
        if (network.router.run('nft', ['list', 'set', 'inet', 'sipalg', 'heartbeat']).includes('elements')) {
          await sleep(300);
          return;
        }
      } catch {
        // The table is not there yet.
      }
      await sleep(50);
    }
    const tail = this.#tail();
    await this.stop();
    throw new Error(`the gateway did not become ready: ${tail}`);
  }

  #tail(): string {
    return readFileSync(this.#logFile, 'utf8').slice(-1000);
  }
}
