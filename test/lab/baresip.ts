/**
 * baresip, a real softphone: it plays a tone, records what it hears to a file, and is driven by its control socket.
 * The recording is made by its sndfile module: a pair of files a call, of which `…-dec.wav` is what came in.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Journal } from '../../demo/journal.ts';
import { toneShare } from '../../demo/media.ts';
import { hostOf } from '../../demo/message.ts';
import { addresses, addresses6, type Host, type Network } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import { RATE, toneFile, wavSamples } from './wav.ts';

export interface BaresipOptions {
  readonly host: Host;
  readonly address: string;
  readonly user: string;
  readonly password?: string;
  readonly hertz: number;
  readonly answers?: boolean;
  readonly firstMediaPort: number;
  readonly registers?: boolean;
  /** The lifetime that it asks for; it registers again after nine tenths of it. Default 120. */
  readonly registersForS?: number;
  readonly transport?: 'tcp';
  /** The outbound proxy that it names. Default: it goes to the provider itself. */
  readonly outbound?: string;
}

/** An event of baresip's control socket. */
export interface BaresipEvent {
  readonly type: string;
  readonly [key: string]: unknown;
}

export class Baresip {
  readonly events = new Journal<BaresipEvent>((event) => `${event.type} ${event.param ?? ''}`);
  readonly #program: Program;
  readonly #directory: string;
  #socket: Socket | undefined;

  private constructor(program: Program, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  /** Starts it and waits until it has registered (where it is to register). */
  static async start(network: Network, options: BaresipOptions, withinMs = 8000): Promise<Baresip> {
    const directory = newDirectory('baresip');
    mkdirSync(join(directory, 'recording'));
    writeFileSync(join(directory, 'tone.wav'), toneFile(options.hertz));
    writeFileSync(join(directory, 'config'), configuration(options, directory));
    writeFileSync(join(directory, 'accounts'), account(options));
    writeFileSync(join(directory, 'contacts'), '');
    const child = network.spawn(
      options.host,
      'baresip',
      [isSix(options) ? '-6' : '-4', '-v', '-f', directory],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    const baresip = new Baresip(new Program(`baresip ${options.user}`, child), directory);
    try {
      await baresip.#program.says(/baresip is ready/, 8000);
      await baresip.#connect(network, options);
      if (options.registers ?? true) await baresip.#program.says(/200 OK|registered successfully/, withinMs);
      return baresip;
    } catch (error) {
      await baresip.close();
      throw error;
    }
  }

  dial(uri: string): void {
    this.#command('dial', uri);
  }

  accept(): void {
    this.#command('accept');
  }

  hold(): void {
    this.#command('hold');
  }

  resume(): void {
    this.#command('resume');
  }

  /** Blind: whoever it talks to is asked to call that URI. */
  transfer(uri: string): void {
    this.#command('transfer', uri);
  }

  hangup(): void {
    this.#command('hangup');
  }

  /** Waits until it has registered once more (`registersForS`). */
  async registered(withinMs: number): Promise<void> {
    await this.event('REGISTER_OK', withinMs, this.events.entries.length);
  }

  /** Waits for an event of the call: CALL_INCOMING, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED. */
  event(type: string, withinMs = 5000, from = 0): Promise<BaresipEvent> {
    return this.events.until(
      (event) => event.type === type,
      withinMs,
      `${this.#program.name}: ${type}`,
      from,
    );
  }

  /** The share of a tone in what it has recorded last (half a second of it); 0 where there is no recording. */
  heard(hertz: number): number {
    const directory = join(this.#directory, 'recording');
    const file = readdirSync(directory)
      .filter((name) => name.endsWith('-dec.wav'))
      .sort()
      .at(-1);
    if (file === undefined) return 0;
    const samples = wavSamples(readFileSync(join(directory, file)));
    return samples.length < RATE / 2 ? 0 : toneShare(samples.slice(-RATE / 2), hertz, RATE);
  }

  /** Waits until the end of the recording is that tone. */
  async hears(hertz: number, withinMs = 4000): Promise<void> {
    const end = performance.now() + withinMs;
    while (this.heard(hertz) < 0.5) {
      if (performance.now() > end)
        throw new Error(`${this.#program.name}: records ${hertz} Hz: not within ${withinMs} ms`);
      await delay(100);
    }
  }

  /** Waits until it records nothing any more: the file does not grow. */
  async silent(withinMs = 4000): Promise<void> {
    const end = performance.now() + withinMs;
    for (let before = -1; ; ) {
      const size = this.#recorded();
      if (size === before) return;
      before = size;
      if (performance.now() > end)
        throw new Error(`${this.#program.name}: still records after ${withinMs} ms`);
      await delay(500);
    }
  }

  #recorded(): number {
    const directory = join(this.#directory, 'recording');
    return readdirSync(directory)
      .filter((name) => name.endsWith('-dec.wav'))
      .reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  }

  lines(): readonly string[] {
    return this.#program.lines.entries;
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    await this.#program.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #command(command: string, params = ''): void {
    const json = JSON.stringify({ command, params, token: 'lab' });
    this.#socket?.write(`${Buffer.byteLength(json)}:${json},`);
  }

  /** The host name makes node look it up, with our function, and so create the socket before `connect` returns. */
  async #connect(network: Network, options: BaresipOptions): Promise<void> {
    const lookup = (
      _host: string,
      _options: unknown,
      done: (e: null, address: string, family: number) => void,
    ): void => done(null, options.address, isSix(options) ? 6 : 4);
    const socket = network
      .space(options.host)
      .enter(() =>
        connect({ host: 'baresip', port: 4444, lookup: lookup as never, autoSelectFamily: false }),
      );
    this.#socket = socket;
    let pending = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      pending += chunk;
      for (;;) {
        const colon = pending.indexOf(':');
        const length = Number(pending.slice(0, colon));
        if (colon < 0 || pending.length < colon + length + 2) return;
        this.events.add(JSON.parse(pending.slice(colon + 1, colon + 1 + length)) as BaresipEvent);
        pending = pending.slice(colon + length + 2);
      }
    });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.on('error', () => {});
  }
}

/** It is at an IPv6 address, and so is its provider. */
function isSix({ address }: BaresipOptions): boolean {
  return address.includes(':');
}

function account(options: BaresipOptions): string {
  const { user, password, answers = false, registers = true, registersForS = 120 } = options;
  const parameters = [
    `auth_user=${user}`,
    `auth_pass=${password ?? 'none'}`,
    `answermode=${answers ? 'auto' : 'manual'}`,
    `regint=${registers ? registersForS : 0}`,
    'audio_codecs=pcmu',
    'ptime=20',
    ...(options.outbound === undefined ? [] : [`outbound="${options.outbound}"`]),
  ];
  const by = options.transport === undefined ? '' : `;transport=${options.transport}`;
  const provider = isSix(options) ? addresses6.provider : addresses.provider;
  return `<sip:${user}@${hostOf(provider)}${by}>;${parameters.join(';')}\n`;
}

function configuration(options: BaresipOptions, directory: string): string {
  const { address, firstMediaPort } = options;
  return `
sip_listen ${hostOf(address)}:5060
net_af ${isSix(options) ? 'ipv6' : 'ipv4'}
audio_source aufile,${directory}/tone.wav
audio_player aubridge,nobody
audio_srate ${RATE}
audio_channels 1
ausrc_srate ${RATE}
auplay_srate ${RATE}
ausrc_channels 1
auplay_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports ${firstMediaPort}-${firstMediaPort + 100}
rtcp_mux no
jitter_buffer_delay 1-5
snd_path ${directory}/recording
ctrl_tcp_listen ${hostOf(address)}:4444
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
`;
}
