/** `sipalg on` and `sipalg off`: the switch in the state directory, which a running gateway follows at once. */
import { loadConfig } from '../config/load.ts';
import { readSwitch, type SwitchPosition, writeSwitch } from '../state/switch.ts';
import { printProblems } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError } from './failure.ts';

export interface SwitchOptions {
  readonly stateDir?: string;
  readonly config?: string;
}

export async function switchTo(position: SwitchPosition, options: SwitchOptions): Promise<number> {
  const { config, problems } = loadConfig(options.config, { stateDir: options.stateDir });
  if (config === undefined) {
    printProblems(problems);
    return exitCode.usage;
  }
  const dir = config.stateDir;
  const before = setSwitch(dir, position);
  const already = before === position ? 'already ' : '';
  process.stdout.write(`sipalg is ${already}${position} (${dir})\n`);
  return exitCode.ok;
}

function setSwitch(dir: string, position: SwitchPosition): SwitchPosition {
  try {
    const before = readSwitch(dir);
    writeSwitch(dir, position);
    return before;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new EnvironmentError(
      'cli/not-permitted',
      `the switch in ${dir} cannot be set (${message})`,
      'run it as the user that runs the gateway, usually with sudo; --state-dir names another directory',
    );
  }
}
