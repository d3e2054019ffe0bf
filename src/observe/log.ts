/**
 * The log: readable lines, or one JSON object a line (pino's form) for programs.
 *
 * User names and credentials are hidden unless `reveal` is set. Matching on the text of a line is not supported; in
 * JSON, `msg` is the kind of the event and stable.
 */
import pino, { type DestinationStream, type Logger } from 'pino';
import type { AlgEvent } from '../core/alg/event.ts';
import { plainJson, plainText } from './plain-text.ts';
import { redact } from './redaction.ts';
import { eventSentence } from './sentence.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface LogOptions {
  readonly json: boolean;
  /** Default: info. */
  readonly level?: LogLevel;
  /** Show user names and credentials. Default: false. */
  readonly reveal?: boolean;
  /** Default: standard output. */
  readonly write?: (line: string) => void;
  /** Milliseconds since the epoch; for tests. */
  readonly now?: () => number;
}

/** A value of a log record: plain data. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  event(event: AlgEvent): void;
  /** Something an operator should know that is not about one message. `code` is `area/kebab-case`. */
  notice(code: string, text: string, level?: LogLevel): void;
  /** The gateway takes traffic from now on: `"msg":"ready"`, the line that scripts wait for. */
  ready(fields: LogFields, text: string): void;
  /** Anything else, such as the start and the end. */
  info(message: string, fields?: LogFields): void;
  /** Cheap question for callers that would have to build something first. */
  enabled(level: LogLevel): boolean;
}

const severity: Readonly<Record<LogLevel, number>> = { error: 50, warn: 40, info: 30, debug: 20 };

/** What is not named here is info. What happens to every message is for who looks for something: calls and registrations tell the story. */
const eventLevels: Readonly<Partial<Record<AlgEvent['kind'], LogLevel>>> = {
  'message.translated': 'debug',
  'message.passed': 'debug',
  'keepalive.sent': 'debug',
  'keepalive.answered': 'debug',
  'mapping.failed': 'warn',
  'limit.reached': 'warn',
  'state.skipped': 'warn',
  'address.gone': 'warn',
  'address.lost': 'warn',
  'dialog.stranded': 'warn',
  'engine.fault': 'error',
};

function levelOf(event: AlgEvent): LogLevel {
  // A part that had to be left alone costs somebody something.
  if (event.kind === 'message.translated' && event.left !== undefined) return 'info';
  // Most phones register each minute or two: a line for each would be the whole log, and half of what such a message costs.
  if (event.kind === 'registration.granted' && event.renewed) return 'debug';
  return eventLevels[event.kind] ?? 'info';
}

export function createLog(options: LogOptions): Log {
  const level = options.level ?? 'info';
  const write = options.write ?? writeStandardOutput;
  const now = options.now ?? Date.now;
  const hide = options.reveal === true ? <T>(value: T): T => value : redact;
  const record = options.json ? jsonRecord(level, write, now) : textRecord(level, write, now);
  return {
    event(event) {
      const at = levelOf(event);
      if (severity[at] < severity[level]) return;
      const shown = hide(event);
      record(at, shown.kind, shown as unknown as LogFields, () => eventSentence(shown));
    },
    notice(code, text, at = 'warn') {
      const shown = hide(text);
      record(at, 'notice', { code, text: shown }, () => `${code}: ${shown}`);
    },
    ready(fields, text) {
      record('info', 'ready', fields, () => text);
    },
    info(message, fields = {}) {
      const shown = hide(fields);
      record('info', message, shown, () =>
        [message, ...Object.entries(shown).map(([name, value]) => `${name}=${plain(value)}`)].join('  '),
      );
    },
    enabled: (at) => severity[at] >= severity[level],
  };
}

type WriteRecord = (level: LogLevel, message: string, fields: LogFields, sentence: () => string) => void;

function jsonRecord(level: LogLevel, write: (line: string) => void, now: () => number): WriteRecord {
  const destination: DestinationStream = { write: (line) => write(plainJson(line)) };
  const logger: Logger = pino(
    {
      level,
      // No pid and host: the journal knows them, and they make lines longer.
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":${now()}`,
    },
    destination,
  );
  return (at, message, fields) => logger[at](fields, message);
}

function textRecord(level: LogLevel, write: (line: string) => void, now: () => number): WriteRecord {
  return (at, _message, _fields, sentence) => {
    if (severity[at] < severity[level]) return;
    // Control characters come from messages, and a log line is one line.
    write(`${new Date(now()).toISOString()} ${at.padEnd(5)} ${plainText(sentence())}\n`);
  };
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Lines that wait for a slow reader; what comes on top of them is lost. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Lines of so short a time are written together: a write for each costs more than to make the line. */
const TOGETHER_MS = 10;
const TOGETHER_LENGTH = 65_536;

let standardOutput: ReturnType<typeof pino.destination> | undefined;
let together = '';
let timer: NodeJS.Timeout | undefined;

/**
 * Off the main loop: a reader that has stopped reading, or gone away, costs lines and never a packet. What is waiting
 * when the process ends is written then.
 */
export function writeStandardOutput(line: string): void {
  if (standardOutput === undefined) {
    const output = pino.destination({ dest: 1, sync: false, maxLength: MAX_WAITING_BYTES });
    output.on('error', () => {
      // EPIPE: there is nobody left to tell.
    });
    process.once('exit', () => {
      try {
        handOver(output);
        output.flushSync();
      } catch {
        // As above; or the process ends before the destination was ready.
      }
    });
    standardOutput = output;
  }
  const output = standardOutput;
  together += line;
  if (together.length >= TOGETHER_LENGTH) handOver(output);
  else timer ??= setTimeout(() => handOver(output), TOGETHER_MS);
}

function handOver(output: NonNullable<typeof standardOutput>): void {
  clearTimeout(timer);
  timer = undefined;
  if (together === '') return;
  const lines = together;
  together = '';
  output.write(lines);
}
