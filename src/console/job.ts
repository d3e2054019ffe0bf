/**
 * Runs another command of sipalg in a process of its own, so that a check never keeps a phone's message waiting. Bounded in
 * time and output.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface JobOptions {
  readonly args: readonly string[];
  readonly withinMs: number;
  /** Lines of standard error that are JSON objects. */
  readonly told?: (line: Readonly<Record<string, unknown>>) => void;
}

export type JobResult =
  | { readonly kind: 'answer'; readonly answer: Readonly<Record<string, unknown>> }
  | { readonly kind: 'failed'; readonly text: string };

const MOST_OUTPUT = 8 * 1024 * 1024;
const MOST_ERRORS = 4_000;

export class Job {
  readonly result: Promise<JobResult>;
  readonly #child: ChildProcess;

  constructor({ args, withinMs, told }: JobOptions) {
    // As we were started ourselves: the bundle, or the sources.
    const child = spawn(process.execPath, [process.argv[1]!, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    this.#child = child;
    let out = '';
    let errors = '';
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, withinMs);
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (out.length > MOST_OUTPUT) child.kill('SIGKILL');
    });
    createInterface({ input: child.stderr! }).on('line', (line) => {
      const said = objectOf(line);
      if (said !== undefined) told?.(said);
      else if (errors.length < MOST_ERRORS) errors += `${line}\n`;
    });
    this.result = new Promise((resolve) => {
      child.once('error', (error) => resolve({ kind: 'failed', text: error.message }));
      child.once('close', (_code, signal) => {
        clearTimeout(timer);
        const answer = objectOf(out);
        if (answer !== undefined) resolve({ kind: 'answer', answer });
        else
          resolve({
            kind: 'failed',
            text: late
              ? `it took longer than ${Math.round(withinMs / 1000)} s and was ended`
              : signal !== null
                ? 'it was ended'
                : errors.trim() || 'it ended without an answer',
          });
      });
    });
  }

  stop(): void {
    this.#child.kill('SIGTERM');
  }
}

function objectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
