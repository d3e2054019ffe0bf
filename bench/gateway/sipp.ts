/**
 * Load by SIPp: one process as all phones (a socket for each address), one as the provider.
 *
 * A call is carried when every message came that the scenario waits for. For variants that translate, the provider also
 * checks that the offer names the router's external address, so that a call which passed untouched counts as failed.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../../demo/namespace.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import type { Endpoint } from '../../src/core/net/address.ts';
import { type CpuTime, processTime, sleep } from './machine.ts';
import { type BenchNetwork, EXTERNAL, PROVIDER, phoneAddress } from './network.ts';

export interface LoadOptions {
  readonly kind: 'register' | 'call';
  readonly calls: number;
  /** New calls a second. */
  readonly rate: number;
  /** Distinct addresses that call, one after the other. */
  readonly phones: number;
  /** How long a call is held. */
  readonly holdMs?: number;
  /** The first of them. Default: 0. */
  readonly firstPhone?: number;
  /** The provider's address. Default: the one of the network. */
  readonly server?: string;
  /** Where the phones send to, as ADDRESS:PORT. Default: the provider. */
  readonly target?: string;
  /** The external address may change while a call is up; then the offer is not looked at. */
  readonly renumbered?: boolean;
  /** Keep what `mediaStreams` reads. */
  readonly logsMedia?: boolean;
  /** Whether the offer has to be translated. */
  readonly translated: boolean;
}

export interface LoadResult {
  readonly calls: number;
  readonly succeeded: number;
  readonly failed: number;
  /** By both sides. */
  readonly retransmissions: number;
  readonly seconds: number;
  /** Both SIPp processes, with what the kernel did on their account. */
  readonly peersCpuS: number;
  /** Why calls failed, by SIPp's counters. */
  readonly reasons: Readonly<Record<string, number>>;
}

export interface MediaStream {
  readonly phone: Endpoint;
  readonly target: Endpoint;
}

/** A line of the scenario's log. */
function mediaStream(line: string): MediaStream {
  const [phone, phonePort, address, port] = line.split(' ');
  return {
    phone: { address: phone!, port: Number(phonePort) },
    target: { address: address!, port: Number(port) },
  };
}

/** Messages of one exchange, each counted once on its way. */
export const MESSAGES = { register: 2, call: 6 } as const;

/** Time for retransmissions after the last call should have ended; then what is open counts as failed. */
const GRACE_MS = 8_000;
const MEDIA_PORT = 10_000;
/** SIPp listens there for commands of one letter. */
const CONTROL_PORT = 8_890;
const MEDIA_LOG = 'media.log';
const SCENARIOS = fileURLToPath(new URL('scenarios/', import.meta.url));

export class Load {
  readonly options: LoadOptions;
  readonly #uas: Side;
  readonly #uac: Side;
  readonly #startedMs: number;
  readonly #directory: string;

  readonly #phones: Namespace;

  private constructor(options: LoadOptions, phones: Namespace, directory: string, uas: Side, uac: Side) {
    this.options = options;
    this.#phones = phones;
    this.#directory = directory;
    this.#uas = uas;
    this.#uac = uac;
    this.#startedMs = performance.now();
  }

  static async start(network: BenchNetwork, options: LoadOptions): Promise<Load> {
    const directory = newDirectory('load');
    const { calls, phones, rate, holdMs = 0, firstPhone = 0, server = PROVIDER } = options;
    const users = join(directory, 'phones.csv');
    const lines = Array.from({ length: Math.max(calls, phones) }, (_, i) => {
      const port = MEDIA_PORT + 2 * (Math.floor(i / phones) % 20_000);
      const phone = firstPhone + (i % phones);
      return `${phoneAddress(phone)};phone${phone};${port}`;
    });
    writeFileSync(users, `SEQUENTIAL\n${lines.join('\n')}\n`);
    const answers = options.renumbered === true ? 'callee-renumbered' : 'callee';
    const callee = options.kind === 'call' ? answers : 'registrar';
    const scenario = join(directory, `${callee}.xml`);
    writeFileSync(
      scenario,
      readFileSync(join(SCENARIOS, `${callee}.xml`), 'utf8').replace(
        '<!--CHECK-->',
        options.translated ? CHECK : '',
      ),
    );
    const uas = new Side(network.provider, 'uas', directory, [
      ...['-sf', scenario, '-i', server, '-p', '5060', '-m', String(calls)],
    ]);
    await sleep(300);
    const uac = new Side(network.phones, 'uac', directory, [
      options.target ?? `${server}:5060`,
      ...['-sf', join(SCENARIOS, options.kind === 'call' ? 'caller.xml' : 'register.xml')],
      ...['-t', 'ui', '-inf', users, '-ip_field', '0', '-i', phoneAddress(firstPhone), '-p', '5060'],
      ...['-m', String(calls), '-r', String(rate), '-l', String(calls), '-d', String(holdMs)],
      ...(options.kind === 'call' ? ['-cp', String(CONTROL_PORT)] : []),
      ...(options.logsMedia === true ? ['-trace_logs', '-log_file', join(directory, MEDIA_LOG)] : []),
    ]);
    return new Load(options, network.phones, directory, uas, uac);
  }

  /** How many calls are up now, as SIPp said last. */
  up(): number {
    return this.#uac.statistics().get('CurrentCall') ?? 0;
  }

  /** Waits until all calls have been answered, and gives their media: the phone's endpoint, and where it was told to send to. */
  async mediaStreams(): Promise<MediaStream[]> {
    const { calls, rate } = this.options;
    const file = join(this.#directory, MEDIA_LOG);
    for (const deadline = performance.now() + (calls / rate) * 2_000 + GRACE_MS; ; await sleep(100)) {
      const lines = existsSync(file) ? readFileSync(file, 'latin1').split('\n').slice(0, -1) : [];
      if (lines.length >= calls) return lines.map(mediaStream);
      if (performance.now() > deadline) throw new Error(`${lines.length} of ${calls} calls were answered`);
    }
  }

  /** Begins no new calls, or begins them again; those that are up go on. */
  async togglePause(): Promise<void> {
    const socket = await this.#phones.socket('127.0.0.1', 0);
    await new Promise((resolve) => socket.send('p', CONTROL_PORT, '127.0.0.1', resolve));
    socket.close();
  }

  /** Waits for the end, or for the time by which it should have come. */
  async done(): Promise<LoadResult> {
    const { calls, rate, holdMs = 0 } = this.options;
    const expectedMs = (calls / rate) * 1000 * 1.25 + holdMs + GRACE_MS;
    await this.#uac.ended(expectedMs);
    const seconds = (performance.now() - this.#startedMs) / 1000;
    await this.#uas.ended(1_500);
    const uac = this.#uac.statistics();
    const uas = this.#uas.statistics();
    const reasons: Record<string, number> = {};
    for (const [side, statistics] of [
      ['phone', uac],
      ['provider', uas],
    ] as const)
      for (const [name, count] of statistics)
        if (
          /^Failed\w+\(C\)$/.test(name) &&
          name !== 'FailedCall(C)' &&
          count > 0 &&
          !(side === 'provider' && this.options.renumbered === true)
        )
          reasons[`${side} ${name.slice(6, -3)}`] = count;
    const succeeded = uac.get('SuccessfulCall(C)') ?? 0;
    // Who waits for a BYE that may come again is always left waiting.
    const refused = this.options.renumbered === true ? 0 : (uas.get('FailedCall(C)') ?? 0);
    return {
      calls,
      succeeded: Math.max(0, Math.min(succeeded, calls - refused)),
      failed: calls - Math.max(0, Math.min(succeeded, calls - refused)),
      retransmissions: (uac.get('Retransmissions(C)') ?? 0) + (uas.get('Retransmissions(C)') ?? 0),
      seconds,
      peersCpuS: this.#uac.cpuS + this.#uas.cpuS,
      reasons,
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#uac.close(), this.#uas.close()]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Starts a load, and waits for its end. */
export async function runLoad(network: BenchNetwork, options: LoadOptions): Promise<LoadResult> {
  const load = await Load.start(network, options);
  try {
    return await load.done();
  } finally {
    await load.close();
  }
}

/** One SIPp process. Its CPU time is read until it has ended: what comes after the last reading is not counted. */
class Side {
  readonly #program: Program;
  readonly #file: string;
  readonly #timer: NodeJS.Timeout;
  #time: CpuTime = { userS: 0, systemS: 0 };

  constructor(space: Namespace, name: string, directory: string, args: readonly string[]) {
    const own = join(directory, name);
    mkdirSync(own);
    this.#file = join(own, 'statistics.csv');
    const child = space.spawn(
      'sipp',
      [
        ...args,
        ...['-nostdin', '-trace_stat', '-stf', this.#file, '-fd', '1', '-timer_resol', '1'],
        ...['-max_socket', '10000', '-buff_size', '4194304', '-rtp_threadtasks', '1'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: own, env: { ...process.env, TERM: 'dumb' } },
    );
    this.#program = new Program(`sipp ${name}`, child);
    const read = (): void => {
      this.#time = (child.pid === undefined ? undefined : processTime(child.pid)) ?? this.#time;
    };
    this.#timer = setInterval(read, 50);
  }

  get cpuS(): number {
    return this.#time.userS + this.#time.systemS;
  }

  async ended(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#program.exited(),
      new Promise((resolve) => {
        timer = setTimeout(resolve, withinMs);
      }),
    ]);
    clearTimeout(timer);
    clearInterval(this.#timer);
  }

  /** The last line of the statistics: counters by name. */
  statistics(): Map<string, number> {
    let lines: string[];
    try {
      lines = readFileSync(this.#file, 'latin1').trim().split('\n');
    } catch {
      if (this.#program.running) return new Map();
      throw new Error(`SIPp did not start: ${this.#program.lines.entries.slice(-5).join(' | ')}`);
    }
    const names = lines[0]!.split(';');
    const values = lines.at(-1)!.split(';');
    return new Map(names.map((name, i) => [name, Number(values[i])]));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#program.stop('SIGKILL');
  }
}

const CHECK = `<action><ereg regexp="c=IN IP4 ${EXTERNAL.replaceAll('.', '\\.')}" search_in="body" check_it="true" assign_to="offer"/><log message="[$offer]"/></action>`;
