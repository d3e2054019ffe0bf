/** `sipalg check REFLECTOR`: does anything between here and there alter SIP, what, and what helps. */
import { writeFileSync } from 'node:fs';
import type { CheckedStep, CheckReport } from '../core/detect/check-report.ts';
import { Check, type CheckOptions, defaultPace } from '../detector/check/run.ts';
import { parseInvitation } from '../detector/control/invitation.ts';
import { passagesJson, reportJson } from './check-json.ts';
import { reportText } from './check-text.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';

export interface RawCheckOptions {
  readonly json?: boolean;
  readonly quick?: boolean;
  readonly long?: boolean;
  readonly patience?: string;
  readonly trace?: string;
  readonly redact?: boolean;
}

export async function check(target: string, raw: RawCheckOptions): Promise<number> {
  const invitation = parseInvitation(target);
  if (invitation === undefined)
    throw new UsageError(
      `${target}: not what a reflector prints`,
      'run `sipalg reflector` on a host on the Internet; it prints the line HOST:PORT/TOKEN/PIN that belongs here',
    );
  const options: CheckOptions = {
    mode: raw.long === true ? 'long' : raw.quick === true ? 'quick' : 'standard',
    pace: {
      ...defaultPace,
      ...(raw.patience === undefined ? {} : { patienceMs: readMilliseconds('--patience', raw.patience) }),
    },
    tell: raw.json === true ? () => {} : tellStep,
  };
  const { report, passages } = await Check.run(invitation, options);
  if (raw.trace !== undefined) writeFileSync(raw.trace, passagesJson(passages));
  process.stdout.write(raw.json === true ? reportJson(report) : reportText(report, wantsColour()));
  return exitCodeOf(report);
}

export function exitCodeOf({ verdict }: CheckReport): number {
  if (verdict === 'faulty') return exitCode.negative;
  return verdict === 'inconclusive' ? exitCode.environment : exitCode.ok;
}

function tellStep({ title, state, result }: CheckedStep): void {
  process.stderr.write(`${state === 'done' ? 'done' : 'not checked'}: ${title}: ${result}\n`);
}

function readMilliseconds(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d{1,6}$/.test(text) || value < 50)
    throw new UsageError(`${option} ${text}: not a time`, 'milliseconds, 50 or more');
  return value;
}

function wantsColour(): boolean {
  return process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
}
