/** `sipalg on` and `sipalg off`: the switch in the state directory, which a running gateway follows at once. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import { loadConfig } from '../config/load.ts';
import { readSwitch, type SwitchPosition, writeSwitch } from '../state/switch.ts';
import { printProblems } from './config-options.ts';
import { hasNetworkRights } from './environment.ts';
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
  // A running gateway follows the switch itself. One that is dead, or hangs, cannot.
  if (position === 'off' && process.platform === 'linux' && config.mode === 'transparent')
    await cleanKernel(config);
  const already = before === position ? 'already ' : '';
  process.stdout.write(`sipalg is ${already}${position} (${dir})\n`);
  return exitCode.ok;
}

async function cleanKernel(config: GatewayConfig): Promise<void> {
  if (!hasNetworkRights()) {
    process.stderr.write(
      'note: without root only the switch was set; a gateway that is running follows it at once\n',
    );
    return;
  }
  const { removeEverything } = await import('../linux/switch.ts');
  const removed = removeEverything({ sipPorts: config.signalling.ports, table: config.linux.routeTable });
  const found = [
    removed.ruleset && 'the nftables table inet sipalg',
    removed.acceptRules && 'its accept rules',
    removed.policyRoute && 'the policy route',
    removed.flows > 0 && `${removed.flows} intercepted flows`,
  ].filter((what) => what !== false);
  if (found.length > 0) process.stdout.write(`removed: ${found.join(', ')}\n`);
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
