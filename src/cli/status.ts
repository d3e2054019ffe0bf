/** `sipalg status`: asks the running gateway, and says so where there is none. Changes nothing. */
import { setTimeout as wait } from 'node:timers/promises';
import { styleText } from 'node:util';
import type { GatewayConfig } from '../config/gateway-config.ts';
import { loadConfig } from '../config/load.ts';
import { STATUS_VERSION, type StatusReport } from '../gateway/status-report.ts';
import { askStatus, type StatusAnswer } from '../gateway/status-socket.ts';
import { readSwitch } from '../state/switch.ts';
import { printProblems } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError } from './failure.ts';
import { type Paint, statusText } from './status-text.ts';

export interface StatusOptions {
  readonly stateDir?: string;
  readonly config?: string;
  readonly json?: boolean;
  readonly watch?: boolean;
}

const WATCH_MS = 2_000;
const STYLES = { good: 'green', bad: 'red', dim: 'dim', strong: 'bold' } as const;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

export async function status(options: StatusOptions): Promise<number> {
  const { config, problems } = loadConfig(options.config, { stateDir: options.stateDir });
  if (config === undefined) {
    printProblems(problems);
    return exitCode.usage;
  }
  const look = async (): Promise<Shown> => show(await askStatus(config.stateDir), config, options);
  if (options.watch !== true) {
    const { text, code } = await look();
    process.stdout.write(text);
    return code;
  }
  // Whoever has seen enough closes the pipe.
  process.stdout.on('error', () => process.exit(exitCode.ok));
  const screen = options.json !== true && process.stdout.isTTY;
  for (;;) {
    const { text } = await look();
    const gap = options.json === true ? '' : '\n';
    if (!process.stdout.write(screen ? `${CLEAR_SCREEN}${text}` : `${text}${gap}`))
      await new Promise((drained) => process.stdout.once('drain', drained));
    await wait(WATCH_MS);
  }
}

interface Shown {
  readonly text: string;
  readonly code: number;
}

function show(answer: StatusAnswer, config: GatewayConfig, options: StatusOptions): Shown {
  const explicit = config.mode === 'explicit';
  switch (answer.kind) {
    case 'forbidden':
      throw new EnvironmentError(
        'cli/not-permitted',
        `the gateway of ${config.stateDir} may be asked by its own user and by root only`,
        'run it with sudo',
      );
    case 'nobody':
      return without(
        'not running',
        explicit
          ? 'phones that name it as outbound proxy reach nobody'
          : 'plain NAT: SIP goes by as if there were no sipalg',
        config.stateDir,
        options,
      );
    case 'silent':
      return without(
        'running, and does not answer',
        'as long as it stands still there is plain NAT; look at its log, or restart it',
        config.stateDir,
        options,
      );
    case 'answer':
      return answered(answer.text, options);
  }
}

function answered(text: string, options: StatusOptions): Shown {
  const report = parse(text);
  if (report === undefined)
    throw new EnvironmentError(
      'cli/other-version',
      `the gateway answers in another form: ${text.slice(0, 200).trim()}`,
      'it is another version of sipalg than this command: restart it, or use its own',
    );
  const code = report.interception.active ? exitCode.ok : exitCode.negative;
  return { text: options.json === true ? text : statusText(report, paint), code };
}

function parse(text: string): StatusReport | undefined {
  try {
    const report = JSON.parse(text) as StatusReport;
    return report.status === STATUS_VERSION ? report : undefined;
  } catch {
    return undefined;
  }
}

/** Nobody has answered: what that means, and what to do. */
function without(state: string, meaning: string, dir: string, options: StatusOptions): Shown {
  const position = switchIn(dir);
  if (options.json === true)
    return {
      text: `${JSON.stringify({ status: STATUS_VERSION, running: false, state, switch: position })}\n`,
      code: exitCode.negative,
    };
  const lines = [
    `sipalg is ${paint('bad', state)} (${dir})`,
    `  ${meaning}`,
    state === 'not running' ? '  start it: systemctl start sipalg, or sipalg gateway -i IF -e IF' : undefined,
    position === 'off' ? '  it is switched off as well: `sipalg on`' : undefined,
  ];
  return {
    text: lines.flatMap((line) => (line === undefined ? [] : [`${line}\n`])).join(''),
    code: exitCode.negative,
  };
}

function switchIn(dir: string): 'on' | 'off' | undefined {
  try {
    return readSwitch(dir);
  } catch {
    // No right to read it: then it is not known.
    return undefined;
  }
}

const paint: Paint = (style, text) => styleText(STYLES[style], text, { stream: process.stdout });
