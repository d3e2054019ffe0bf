/** `sipalg monitor REFLECTOR`: the check again and again, and what has changed since. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Check } from '../detector/check/run.ts';
import { type Change, changeBetween, History, type Run, since } from '../detector/monitor/history.ts';
import { parseWebhook, tellWebhook } from '../detector/monitor/webhook.ts';
import { checkOptionsFrom, invitationFrom, type RawCheckOptions } from './check.ts';
import { exitCode } from './exit-code.ts';
import { failureFrom, UsageError } from './failure.ts';
import { detectorStateDir } from './reflector.ts';

export interface MonitorOptions extends Pick<RawCheckOptions, 'json' | 'idle' | 'patience' | 'only'> {
  readonly every?: string;
  readonly once?: boolean;
  readonly history?: boolean;
  readonly stateDir?: string;
  readonly webhook?: string;
  readonly forceHttp?: boolean;
}

const DEFAULT_EVERY = '6h';
const LEAST_MS = 5 * 60_000;
const MOST_MS = 14 * 24 * 3_600_000;
/** Of the interval, so that many lines do not ask one reflector at the same moment. */
const JITTER = 0.1;

export async function monitor(target: string | undefined, options: MonitorOptions): Promise<number> {
  const say = sayer(options.json === true);
  const open = (): History =>
    History.open(options.stateDir ?? detectorStateDir(), (text) => say('history', { level: 'warn', text }));
  if (options.history === true) return printHistory(open(), options.json === true);
  if (target === undefined)
    throw new UsageError('nothing to check against', 'give the line that `sipalg reflector` prints');
  const invitation = invitationFrom(target);
  const everyMs = readInterval(options.every ?? DEFAULT_EVERY);
  const webhook =
    options.webhook === undefined ? undefined : parseWebhook(options.webhook, options.forceHttp === true);
  if (options.webhook !== undefined && webhook === undefined)
    throw new UsageError(
      '--webhook: not an https URL',
      'http goes to this machine only, or with --force-http',
    );
  const check = checkOptionsFrom({ ...options, quick: true }, () => {});
  const name = `${invitation.host.includes(':') ? `[${invitation.host}]` : invitation.host}:${invitation.port}`;
  const history = open();
  // What is under way is worth nothing half done, and the file is written in one transaction.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(exitCode.ok));
  for (;;) {
    const code = await runOnce();
    await tellNotices();
    if (options.once === true) {
      history.close();
      return code;
    }
    const waitMs = everyMs * (1 - JITTER + 2 * JITTER * Math.random());
    say('next', { at: new Date(Date.now() + waitMs).toISOString() });
    await sleep(waitMs);
  }

  async function runOnce(): Promise<number> {
    try {
      const { report } = await Check.run(invitation, check);
      const { verdict, headline } = report;
      if (verdict === 'inconclusive') {
        say('no-verdict', { level: 'warn', text: headline });
        return exitCode.environment;
      }
      const run: Run = {
        at: Date.now(),
        verdict,
        faults: [...new Set(report.findings.map(({ fault }) => fault))].sort(),
      };
      const before = history.runs(name);
      history.add(name, run);
      const last = before.at(-1);
      const change = last === undefined ? undefined : changeBetween(last, run);
      const sinceAt = new Date(since([...before, run])!).toISOString();
      say('checked', {
        verdict,
        faults: run.faults,
        since: sinceAt,
        changed: change !== undefined,
        text: headline,
      });
      if (change !== undefined) tellChange(change, headline);
      if (change !== undefined) return exitCode.changed;
      return verdict === 'faulty' ? exitCode.negative : exitCode.ok;
    } catch (error) {
      const failure = failureFrom(error);
      if (failure.exitCode !== exitCode.environment) throw error;
      // A network that fails says nothing about what the router does to SIP.
      say('no-verdict', { level: 'warn', text: failure.text });
      return failure.exitCode;
    }
  }

  function tellChange({ from, to, appeared, gone, isBack }: Change, headline: string): void {
    const facts = {
      reflector: name,
      at: new Date(to.at).toISOString(),
      verdict: to.verdict,
      before: from.verdict,
      lastSeenBefore: new Date(from.at).toISOString(),
      appeared,
      gone,
      ...(isBack ? { fault: 'STATE-REENABLE' } : {}),
      headline,
    };
    say('changed', { level: 'warn', ...facts });
    if (webhook === undefined) return;
    const lost = history.addNotice(
      JSON.stringify({ schema: 'sipalg-monitor/1', event: 'changed', ...facts }),
    );
    if (lost > 0)
      say('webhook-given-up', {
        level: 'warn',
        text: `${lost} older changes were never taken by the webhook`,
      });
  }

  /** What has changed now, and what no earlier run could tell. In order, so that the last that is told is the newest. */
  async function tellNotices(): Promise<void> {
    if (webhook === undefined) return;
    for (const notice of history.notices()) {
      const why = await tellWebhook(webhook, notice.body);
      if (why === undefined) {
        history.noticeTold(notice);
        say('webhook-told', {});
        continue;
      }
      const isOver = history.noticeFailed(notice);
      say(isOver ? 'webhook-given-up' : 'webhook-failed', {
        level: 'warn',
        text: isOver ? why : `${why}; it is kept, and sent again after the next check`,
      });
      // What does not take this one is not there for the next either.
      return;
    }
  }
}

function printHistory(history: History, json: boolean): number {
  const all = history.reflectors().map((reflector) => ({ reflector, runs: history.runs(reflector) }));
  history.close();
  if (json)
    process.stdout.write(`${JSON.stringify({ schema: 'sipalg-monitor/1', reflectors: all }, null, 2)}\n`);
  else if (all.length === 0) process.stdout.write('No check has been made yet.\n');
  else
    for (const { reflector, runs } of all) {
      process.stdout.write(`${reflector}\n`);
      for (const [i, run] of runs.entries()) {
        const mark = i > 0 && changeBetween(runs[i - 1]!, run) !== undefined ? 'changed' : '';
        process.stdout.write(
          `  ${new Date(run.at).toISOString()}  ${run.verdict.padEnd(11)} ${mark.padEnd(7)} ${run.faults.join(' ')}`.trimEnd() +
            '\n',
        );
      }
    }
  return exitCode.ok;
}

type Say = (event: string, facts: Readonly<Record<string, unknown>>) => void;

function sayer(json: boolean): Say {
  if (json)
    return (msg, facts) =>
      process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), msg, ...facts })}\n`);
  return (event, { level: _, ...facts }) => {
    const words = Object.entries(facts).map(([key, value]) =>
      key === 'text' || key === 'headline'
        ? String(value)
        : `${key}=${Array.isArray(value) ? value.join(',') : value}`,
    );
    process.stdout.write(`${new Date().toISOString()} ${event} ${words.join(' ')}\n`);
  };
}

/** `30m`, `6h`, `1d`. */
function readInterval(text: string): number {
  const match = /^(\d{1,4})([mhd])$/.exec(text);
  const ms =
    match === null
      ? 0
      : Number(match[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 'm' | 'h' | 'd'];
  if (ms < LEAST_MS || ms > MOST_MS)
    throw new UsageError(`--every ${text}: not an interval`, 'from 5m to 14d, such as 30m, 6h or 1d');
  return ms;
}
