/** `sipalg reflector` on the provider's side of the demonstration network. */
import { rmSync } from 'node:fs';
import { SIPALG } from './gateway.ts';
import { addresses, type Network } from './network.ts';
import { Program } from './program.ts';
import { newDirectory, noteProcess } from './run.ts';

const READY_MS = 15_000;

export class Reflector {
  /** The one argument of a check. */
  readonly invitation: string;
  readonly #program: Program;
  readonly #directory: string;

  private constructor(invitation: string, program: Program, directory: string) {
    this.invitation = invitation;
    this.#program = program;
    this.#directory = directory;
  }

  static async open(network: Network, address: string = addresses.farEnd): Promise<Reflector> {
    const directory = newDirectory('reflector');
    const child = network.spawn(
      'provider',
      SIPALG,
      ['reflector', '--json', '--state-dir', directory, '--address', address],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    noteProcess(directory, child.pid);
    const program = new Program('sipalg reflector', child);
    const line = await program.says(/"msg":"ready"/, READY_MS);
    const { invitation } = JSON.parse(line) as { readonly invitation: string };
    return new Reflector(invitation, program, directory);
  }

  async close(): Promise<void> {
    await this.#program.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
