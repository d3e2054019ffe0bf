/** `sipalg top`: a screen that follows the running gateway. Where there is no terminal, the same once, as text. */
import { setTimeout as wait } from 'node:timers/promises';
import { styleText } from 'node:util';
import { loadConfig } from '../config/load.ts';
import { STATUS_VERSION, type StatusReport } from '../gateway/status-report.ts';
import { askStatus } from '../gateway/status-socket.ts';
import { plainJson } from '../observe/plain-text.ts';
import { printProblems } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError, UsageError } from './failure.ts';
import type { Paint } from './status-text.ts';
import { type Rates, ratesBetween, scrollLimit, type TopView, topScreen } from './top-screen.ts';

export interface TopOptions {
  readonly stateDir?: string;
  readonly config?: string;
  readonly json?: boolean;
  /** Seconds. */
  readonly interval?: string;
}

const STYLES = { good: 'green', bad: 'red', dim: 'dim', strong: 'bold' } as const;
const paint: Paint = (style, text) => styleText(STYLES[style], text, { stream: process.stdout });
const plain: Paint = (_style, text) => text;
const LONGEST_S = 3_600;
const WIDE = 200;

export async function top(options: TopOptions): Promise<number> {
  const intervalMs = intervalOf(options.interval);
  const { config, problems } = loadConfig(options.config, { stateDir: options.stateDir });
  if (config === undefined) {
    printProblems(problems);
    return exitCode.usage;
  }
  const dir = config.stateDir;
  if (options.json === true || !process.stdout.isTTY || !process.stdin.isTTY)
    return once(dir, intervalMs, options.json === true);
  const first = await look(dir);
  if (typeof first === 'string') throw notRunning(first, dir);
  return new Screen(dir, intervalMs, first).run();
}

/** The report, or why there is none. */
async function look(dir: string): Promise<StatusReport | string> {
  const answer = await askStatus(dir);
  switch (answer.kind) {
    case 'forbidden':
      throw new EnvironmentError(
        'cli/not-permitted',
        `the gateway of ${dir} may be asked by its own user and by root only`,
        'run it with sudo',
      );
    case 'nobody':
      return 'not running';
    case 'silent':
      return 'running, and does not answer';
    case 'answer': {
      const report = JSON.parse(answer.text) as StatusReport;
      return report.status === STATUS_VERSION ? report : 'another version of sipalg';
    }
  }
}

function notRunning(why: string, dir: string): EnvironmentError {
  return new EnvironmentError(
    'cli/not-running',
    `the gateway of ${dir} is ${why}`,
    'start it, or name its directory with --state-dir or its file with --config',
  );
}

async function once(dir: string, intervalMs: number, json: boolean): Promise<number> {
  const before = await look(dir);
  if (typeof before === 'string') throw notRunning(before, dir);
  await wait(intervalMs);
  const report = await look(dir);
  if (typeof report === 'string') throw notRunning(report, dir);
  const rates = ratesBetween(before, report);
  if (json) process.stdout.write(`${plainJson(JSON.stringify({ ...report, rates: ratesJson(rates) }))}\n`);
  else {
    const everything = {
      columns: WIDE,
      rows: Number.POSITIVE_INFINITY,
      view: 'all',
      offset: 0,
      paint: plain,
    } as const;
    process.stdout.write(`${topScreen(report, rates, everything).join('\n')}\n`);
  }
  return report.interception.active ? exitCode.ok : exitCode.negative;
}

function ratesJson({ streams, ...messages }: Rates): unknown {
  return { ...messages, streams: Object.fromEntries(streams) };
}

/** The alternate screen of a terminal, painted anew at each look, key and resize. */
class Screen {
  readonly #dir: string;
  readonly #intervalMs: number;
  #before: StatusReport | undefined;
  #report: StatusReport;
  #why: string | undefined;
  #view: TopView = 'all';
  #offset = 0;

  constructor(dir: string, intervalMs: number, first: StatusReport) {
    this.#dir = dir;
    this.#intervalMs = intervalMs;
    this.#report = first;
  }

  async run(): Promise<number> {
    const { stdin, stdout } = process;
    const ended = new AbortController();
    const end = (): void => ended.abort();
    const onKey = (keys: string): void => {
      if (this.#key(keys)) end();
      else this.#paint();
    };
    const onResize = (): void => this.#paint();
    const restore = (): void => {
      stdout.write('\u001b[?25h\u001b[?1049l');
    };
    stdin.setRawMode(true);
    stdin.setEncoding('utf8');
    stdin.on('data', onKey);
    stdout.on('resize', onResize);
    process.once('SIGTERM', end).once('SIGINT', end).once('SIGHUP', end).once('exit', restore);
    stdout.write('\u001b[?1049h\u001b[?25l');
    this.#paint();
    try {
      while (!ended.signal.aborted) {
        await wait(this.#intervalMs, undefined, { signal: ended.signal }).catch(() => {});
        if (ended.signal.aborted) break;
        const found = await look(this.#dir);
        if (typeof found === 'string') this.#why = found;
        else {
          this.#why = undefined;
          this.#before = this.#report;
          this.#report = found;
        }
        this.#paint();
      }
    } finally {
      stdin.off('data', onKey);
      stdout.off('resize', onResize);
      process.off('SIGTERM', end).off('SIGINT', end).off('SIGHUP', end).off('exit', restore);
      stdin.setRawMode(false);
      stdin.pause();
      restore();
    }
    return exitCode.ok;
  }

  /** Whether the key ends it. */
  #key(keys: string): boolean {
    const page = Math.max(1, (process.stdout.rows ?? 24) - 8);
    switch (keys) {
      case 'q':
      case 'Q':
      case '\u0003':
      case '\u0004':
        return true;
      case 'p':
        this.#show('phones');
        break;
      case 'c':
        this.#show('calls');
        break;
      case 's':
        this.#show('all');
        break;
      case '\u001b[A':
      case 'k':
        this.#offset -= 1;
        break;
      case '\u001b[B':
      case 'j':
        this.#offset += 1;
        break;
      case '\u001b[5~':
        this.#offset -= page;
        break;
      case '\u001b[6~':
      case ' ':
        this.#offset += page;
        break;
    }
    return false;
  }

  #show(view: TopView): void {
    this.#view = view;
    this.#offset = 0;
  }

  #paint(): void {
    const { columns = 80, rows = 24 } = process.stdout;
    const limit = scrollLimit(this.#report, this.#view, rows);
    this.#offset = Math.max(0, Math.min(this.#offset, limit));
    const rates = ratesBetween(this.#before, this.#report);
    const options = { columns, rows, view: this.#view, offset: this.#offset, paint };
    const lines = topScreen(this.#report, rates, options);
    // The last line stays what it is, so that nobody takes an old screen for a running gateway.
    if (this.#why !== undefined)
      lines[lines.length - 1] = paint('bad', `sipalg is ${this.#why}; q ends`.slice(0, columns));
    process.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`);
  }
}

function intervalOf(text: string | undefined): number {
  if (text === undefined) return 1_000;
  const seconds = Number(text);
  if (!(seconds >= 0.2 && seconds <= LONGEST_S))
    throw new UsageError(`--interval ${text} is not a number of seconds from 0.2 to ${LONGEST_S}`);
  return seconds * 1_000;
}
