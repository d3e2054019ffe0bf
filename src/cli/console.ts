/** `sipalg console`: where the web console of a running gateway is, with its token. */
import { DEFAULT_STATE_DIR } from '../config/schema.ts';
import { keptAddress } from '../console/access.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError } from './failure.ts';

export interface ConsoleOptions {
  readonly stateDir?: string;
}

export function consoleAddress({ stateDir = DEFAULT_STATE_DIR }: ConsoleOptions): number {
  let address: string | undefined;
  try {
    address = keptAddress(stateDir);
  } catch (error) {
    throw new EnvironmentError(
      'cli/not-permitted',
      `the address of the console in ${stateDir} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      'run it as the user that runs the gateway, usually with sudo; --state-dir names another directory',
    );
  }
  if (address === undefined) {
    process.stderr.write(
      `no gateway with a console runs on ${stateDir}\n  \`sipalg status\` tells whether one runs at all; --state-dir names another directory\n`,
    );
    return exitCode.negative;
  }
  process.stdout.write(`${address}\n`);
  return exitCode.ok;
}
