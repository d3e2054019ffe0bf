/** rtpengine, the media relay of many providers, in user space on the provider's side: it latches onto where media comes from. */
import { addresses, type Network } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import { RTPENGINE_CONTROL } from './kamailio.ts';

export class Rtpengine {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(network: Network): Promise<Rtpengine> {
    const args = [
      ...['--foreground', '--log-stderr', '--log-level=6', '--table=-1', '--num-threads=1'],
      ...['--config-file=none', `--interface=${addresses.media}`, `--listen-ng=${RTPENGINE_CONTROL}`],
      ...['--port-min=30000', '--port-max=30999'],
    ];
    const child = network.spawn('provider', 'rtpengine', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const rtpengine = new Rtpengine(new Program('rtpengine', child));
    try {
      await rtpengine.#program.says(/Startup complete/, 8000);
      return rtpengine;
    } catch (error) {
      await rtpengine.close();
      throw error;
    }
  }

  lines(): readonly string[] {
    return this.#program.lines.entries;
  }

  async close(): Promise<void> {
    await this.#program.stop();
  }
}
