/** A program that runs for a while: its lines of output in a journal, and a bounded end. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Journal } from './journal.ts';

export class Program {
  readonly lines = new Journal<string>((line) => line);
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => this.lines.add(line));
    }
    this.#exited = new Promise((resolve) => {
      const done = (text: string): void => {
        this.lines.add(`[${name} ${text}]`);
        resolve();
      };
      child.once('exit', (code, signal) => done(`ended: ${signal ?? code}`));
      child.once('error', (error) => done(`could not be started: ${error.message}`));
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Waits for a line of output; the program's end before it is an error. */
  async says(pattern: RegExp, withinMs: number, from = 0): Promise<string> {
    const end = `[${this.name} `;
    const line = await this.lines.until(
      (text) => text.startsWith(end) || pattern.test(text),
      withinMs,
      `${this.name} says ${pattern}`,
      from,
    );
    if (line.startsWith(end)) {
      throw new Error(
        `${this.name} did not say ${pattern}; its last words:\n${this.lines.entries.slice(-12).join('\n')}`,
      );
    }
    return line;
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it: `signal` first, SIGKILL where that is not enough. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', withinMs = 5000): Promise<void> {
    if (!this.running) return;
    this.signal(signal);
    const timer = setTimeout(() => this.signal('SIGKILL'), withinMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** The end of it, however it comes. */
  exited(): Promise<void> {
    return this.#exited;
  }
}
