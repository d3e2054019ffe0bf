/** SIPp, one run of it: a scenario file, a number of calls, and whether all of them went as the file says. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host, Network } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';

export interface SippOptions {
  readonly host: Host;
  readonly address: string;
  readonly port: number;
  readonly scenario: 'uac' | 'uas' | 'prack-uac' | 'prack-uas';
  readonly calls: number;
  /** `u1`: UDP; `t1`: one TCP connection for all calls; `tn`: one for each. Default `u1`. */
  readonly by?: 'u1' | 't1' | 'tn';
  /** Calls a second. */
  readonly rate?: number;
}

export class Sipp {
  readonly #program: Program;
  readonly #directory: string;

  private constructor(program: Program, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  static start(network: Network, options: SippOptions): Sipp {
    const directory = newDirectory('sipp');
    const file = fileURLToPath(new URL(`sipp/${options.scenario}.xml`, import.meta.url));
    const args = [
      ...(options.scenario.endsWith('uac') ? ['198.51.100.5:5060'] : []),
      ...[
        '-max_socket',
        '1000',
        '-t',
        options.by ?? 'u1',
        '-sf',
        file,
        '-i',
        options.address,
        '-p',
        String(options.port),
        '-m',
        String(options.calls),
      ],
      ...[
        '-r',
        String(options.rate ?? 10),
        '-nostdin',
        '-timeout',
        '20s',
        '-timeout_error',
        '-nd',
        '-default_behaviors',
        '-bye',
      ],
      ...['-trace_err', '-error_file', join(directory, 'errors')],
    ];
    const child = network.spawn(options.host, 'sipp', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: directory,
      env: { ...process.env, TERM: 'dumb' },
    });
    return new Sipp(new Program(`sipp ${options.scenario}`, child), directory);
  }

  /** Waits for the end; an error where a call did not go as the scenario says. */
  async done(): Promise<void> {
    await this.#program.exited();
    const status = this.#program.lines.entries.at(-1) ?? '';
    if (!status.includes('ended: 0')) {
      const file = join(this.#directory, 'errors');
      const errors = existsSync(file) ? readFileSync(file, 'utf8').slice(0, 600) : 'it says nothing more';
      throw new Error(`${status} ${errors}`);
    }
  }

  async close(): Promise<void> {
    await this.#program.stop('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
