/** `sipalg check REFLECTOR`: does anything between here and there alter SIP, what, and what helps. */
import { writeFileSync } from 'node:fs';
import type { CheckedStep, CheckReport } from '../core/detect/check-report.ts';
import { redactor } from '../detector/check/redaction.ts';
import { Check, type CheckOptions, checkSteps, defaultPace, idleTimes } from '../detector/check/run.ts';
import { shareResult } from '../detector/check/share.ts';
import { type Invitation, parseInvitation } from '../detector/control/invitation.ts';
import { reportHtml } from './check-html.ts';
import { passagesJson, reportJson } from './check-json.ts';
import { askRouter, asksForRouter, withRouter } from './check-router.ts';
import { reportText } from './check-text.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';

export interface RawCheckOptions {
  readonly json?: boolean;
  readonly progress?: boolean;
  readonly quick?: boolean;
  readonly long?: boolean;
  readonly patience?: string;
  readonly trace?: string;
  readonly html?: string;
  readonly idle?: string;
  readonly only?: string;
  readonly redact?: boolean;
  readonly share?: boolean;
  readonly server?: string;
  readonly register?: boolean;
}

export async function check(target: string | undefined, raw: RawCheckOptions): Promise<number> {
  if (raw.server !== undefined) {
    if (target !== undefined)
      throw new UsageError('a reflector and --server are two checks', 'give one of them');
    const { checkServer } = await import('./check-server.ts');
    return checkServer(raw.server, raw);
  }
  if (raw.register === true) throw new UsageError('--register goes with --server');
  if (target === undefined)
    throw new UsageError(
      'nothing to check against',
      'give the line that `sipalg reflector` prints, or --server sip:PROVIDER where there is no reflector',
    );
  const invitation = invitationFrom(target);
  const options = checkOptionsFrom(
    raw,
    raw.json !== true ? tellStep : raw.progress === true ? tellStepAsJson : () => {},
  );
  const { report: found, passages, addresses } = await Check.run(invitation, options);
  const report =
    options.only === undefined && asksForRouter(found) ? await namingRecipes(found, options.tell) : found;
  if (raw.trace !== undefined) writeFileSync(raw.trace, passagesJson(passages));
  const hide = raw.redact === true ? redactor(passages, addresses) : undefined;
  const shown = hide ?? ((text: string): string => text);
  if (raw.html !== undefined) writeFileSync(raw.html, reportHtml(report, shown, new Date()));
  if (raw.share === true) await tellShared(invitation, reportHtml(report, shown, new Date()));
  process.stdout.write(
    raw.json === true ? reportJson(report, hide) : `\n${reportText(report, shown, wantsColour())}`,
  );
  return exitCodeOf(report);
}

async function namingRecipes(report: CheckReport, tell: CheckOptions['tell']): Promise<CheckReport> {
  const answer = await askRouter(report.engine?.kind);
  tell(answer.step);
  return withRouter(report, answer);
}

/** Beside the report: where it can be seen, or why not. */
async function tellShared(invitation: Invitation, html: string): Promise<void> {
  try {
    const { address, expiresAt } = await shareResult(invitation, html);
    process.stderr.write(
      `shared: ${address} shows this result to whoever has the link, until ${new Date(expiresAt).toISOString().slice(0, 10)}\n`,
    );
  } catch (error) {
    process.stderr.write(
      `not shared: ${(error as Error).message}; --html writes the same as a file, which can be sent\n`,
    );
  }
}

export function invitationFrom(target: string): Invitation {
  const invitation = parseInvitation(target);
  if (invitation !== undefined) return invitation;
  throw new UsageError(
    `${target}: not what a reflector prints`,
    'run `sipalg reflector` on a host on the Internet; it prints the line HOST:PORT/TOKEN/PIN that belongs here',
  );
}

export function checkOptionsFrom(raw: RawCheckOptions, tell: CheckOptions['tell']): CheckOptions {
  const mode = raw.long === true ? 'long' : raw.quick === true ? 'quick' : 'standard';
  return {
    mode,
    idleTimesMs: raw.idle === undefined ? idleTimes[mode] : readSeconds('--idle', raw.idle),
    pace: {
      ...defaultPace,
      ...(raw.patience === undefined ? {} : { patienceMs: readMilliseconds('--patience', raw.patience) }),
    },
    only: raw.only === undefined ? undefined : readSteps(raw.only),
    tell,
  };
}

export function exitCodeOf({ verdict }: CheckReport): number {
  if (verdict === 'faulty') return exitCode.negative;
  return verdict === 'inconclusive' ? exitCode.environment : exitCode.ok;
}

export function tellStep({ title, state, result }: CheckedStep): void {
  process.stderr.write(`${state === 'done' ? 'done' : 'not checked'}: ${title}: ${result}\n`);
}

function tellStepAsJson(step: CheckedStep): void {
  process.stderr.write(`${JSON.stringify(step)}\n`);
}

export function readMilliseconds(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d{1,6}$/.test(text) || value < 50)
    throw new UsageError(`${option} ${text}: not a time`, 'milliseconds, 50 or more');
  return value;
}

function readSteps(text: string): ReadonlySet<string> {
  const names = text.split(',');
  const unknown = names.find((name) => !checkSteps.some((step) => step === name));
  if (unknown !== undefined)
    throw new UsageError(`--only ${unknown}: no step of a check`, `the steps are ${checkSteps.join(', ')}`);
  return new Set(names);
}

/** `15,30,65`; `0` alone is none. */
function readSeconds(option: string, text: string): number[] {
  const values = text.split(',').map(Number);
  if (!/^\d{1,4}(?:\.\d)?(?:,\d{1,4}(?:\.\d)?){0,15}$/.test(text))
    throw new UsageError(`${option} ${text}: not a list of times`, 'seconds, such as 15,30,65; 0 for none');
  return values.filter((value) => value > 0).map((value) => value * 1000);
}

export function wantsColour(): boolean {
  return process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
}
