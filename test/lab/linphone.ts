/**
 * linphonec, another real softphone, without a sound card: it plays a file and records to one, and is told what to do on
 * its standard input.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { toneShare } from '../../demo/media.ts';
import { addresses, type Host, type Network } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import { HEADER_BYTES, RATE, samplesOf, toneFile } from './wav.ts';

export interface LinphoneOptions {
  readonly host: Host;
  readonly address: string;
  readonly user: string;
  readonly password: string;
  readonly hertz: number;
}

export class Linphone {
  readonly #program: Program;
  readonly #directory: string;

  private constructor(program: Program, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  /** Starts it and waits until it has registered. */
  static async start(network: Network, options: LinphoneOptions, withinMs = 10_000): Promise<Linphone> {
    const directory = newDirectory('linphone');
    mkdirSync(join(directory, '.local/share/linphone'), { recursive: true });
    writeFileSync(join(directory, 'tone.wav'), toneFile(options.hertz));
    const file = join(directory, 'linphonerc');
    writeFileSync(file, configuration(options));
    const child = network.spawn(options.host, 'linphonec', ['-c', file, '-a'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, HOME: directory, TERM: 'dumb' },
    });
    const linphone = new Linphone(new Program(`linphonec ${options.user}`, child), directory);
    try {
      linphone.command('soundcard use files');
      linphone.command(`play ${join(directory, 'tone.wav')}`);
      linphone.command(`record ${join(directory, 'heard.wav')}`);
      linphone.command(
        `register sip:${options.user}@${addresses.provider} sip:${addresses.provider} ${options.password}`,
      );
      await linphone.#registered(withinMs);
      return linphone;
    } catch (error) {
      await linphone.close();
      throw error;
    }
  }

  /** It does not say that it has registered unless it is asked. */
  async #registered(withinMs: number): Promise<void> {
    const asking = setInterval(() => this.command('status register'), 250);
    try {
      await this.#program.says(/registered, identity=/, withinMs);
    } finally {
      clearInterval(asking);
    }
  }

  command(line: string): void {
    this.#program.write(`${line}\n`);
  }

  says(pattern: RegExp, withinMs = 5000, from = 0): Promise<string> {
    return this.#program.says(pattern, withinMs, from);
  }

  get lines(): readonly string[] {
    return this.#program.lines.entries;
  }

  heard(hertz: number): number {
    let file: Buffer;
    try {
      file = readFileSync(join(this.#directory, 'heard.wav'));
    } catch {
      return 0;
    }
    // Its header is written when the recording ends, and until then it is zeros.
    const samples = samplesOf(file.subarray(HEADER_BYTES));
    return samples.length < RATE / 2 ? 0 : toneShare(samples.slice(-RATE / 2), hertz, RATE);
  }

  /** Waits until the end of the recording is that tone. */
  async hears(hertz: number, withinMs = 6000): Promise<void> {
    const end = performance.now() + withinMs;
    while (this.heard(hertz) < 0.5) {
      if (performance.now() > end)
        throw new Error(`${this.#program.name}: records ${hertz} Hz: not within ${withinMs} ms`);
      await delay(100);
    }
  }

  async close(): Promise<void> {
    this.command('quit');
    await this.#program.stop('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function configuration({ address, user }: LinphoneOptions): string {
  return `[sip]
sip_port=5060
sip_tcp_port=0
sip_tls_port=0
default_proxy=0
guess_hostname=0
contact="${user}" <sip:${user}@${address}>
media_encryption=none
[net]
firewall_policy=0
stun_server=
[rtp]
audio_rtp_port=7078
[video]
capture=0
display=0
[sound]
echocancellation=0
`;
}
