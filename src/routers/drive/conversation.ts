/**
 * A conversation with a command line, whatever carries it: send a line, read until the prompt is there again. SSH shells
 * and telnet share it.
 *
 * The wire tells nothing about where an answer ends. The prompt that was seen after the login, word for word, ends one at
 * once; another text that the recipe's pattern calls a prompt ends one only after a pause, because it may be the beginning
 * of a longer line. Everything is bounded: the time for an answer, its length, the pages that are turned.
 */

import type { Duplex } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { printable, RouterError } from './failure.ts';

export interface ConversationOptions {
  /** What ends a line for the device: CR for a terminal, CR LF for telnet (RFC 854). */
  readonly enter: string;
  /** A pattern for the last line; without one, a line that ends in one of `$ # > %`, or in `]:` or `>:`. */
  readonly prompt: string | undefined;
  /** Longest wait for an answer. Default: 30 s. */
  readonly answerMs?: number;
  /** What must never be shown: replaced wherever the device repeats it. */
  readonly secrets?: readonly string[];
}

/** An answer longer than this is not one to a question of ours. */
const MAX_ANSWER = 256 * 1024;
const MAX_PAGES = 50;
const ANSWER_MS = 30_000;
/** How long nothing may come before a text that looks like a prompt is one. */
const QUIET_MS = 250;
const ANY_PROMPT = String.raw`[$#>%]\s*$|[\]>]:?\s*$`;
const PAGER = /(?:-+\s*\(?more\)?\b.*-*|<-+ ?more ?-+>|press (?:any key|space|<space>)[^\n]*)\s*$/i;

export class Conversation {
  readonly #stream: Duplex;
  readonly #options: ConversationOptions;
  readonly #prompt: RegExp;
  readonly #decoder = new StringDecoder('utf8');
  #text = '';
  #learned: string | undefined;
  #ended: string | undefined;
  #changed: () => void = () => {};

  constructor(stream: Duplex, options: ConversationOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#prompt = new RegExp(options.prompt ?? ANY_PROMPT, 'imu');
    stream.on('data', (chunk: Buffer) => {
      this.#text += this.#decoder.write(chunk);
      if (this.#text.length > MAX_ANSWER) this.#end('it says more than 256 KiB at once');
      this.#changed();
    });
    for (const event of ['end', 'close'] as const)
      stream.on(event, () => this.#end('it closed the connection'));
    stream.on('error', (error: Error) => this.#end(error.message));
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#changed();
  }

  /** Answers the login's questions, where the transport itself has not logged in. Each is answered once. */
  async logIn(user: string, password: string): Promise<void> {
    let asked = 0;
    const questions = /(?:log ?in|user ?name|user|account|name)\s*:\s*$/i;
    for (let steps = 0; steps < 4; steps++) {
      const seen = await this.#until('its login prompt', (text, quiet) => {
        const last = lastLine(text);
        if (/pass(?:word|code)?[^\n]*:\s*$/i.test(last)) return 'password';
        if (questions.test(last)) return 'user';
        return quiet && this.#prompt.test(last) ? 'prompt' : undefined;
      });
      if (seen === 'prompt') {
        this.#learn();
        return;
      }
      if (asked > 0 && (seen === 'user' || asked > 1)) throw wrongPassword(user);
      this.#text = '';
      if (seen === 'password') asked += 2;
      this.#stream.write(`${seen === 'user' ? user : password}${this.#options.enter}`);
      if (seen === 'password') await this.#afterPassword(user);
      if (this.#learned !== undefined) return;
    }
    throw wrongPassword(user);
  }

  async #afterPassword(user: string): Promise<void> {
    await this.#until('its prompt after the login', (text, quiet) => {
      const last = lastLine(text);
      if (/incorrect|invalid|denied|fail(?:ed|ure)|wrong|bad password|not correct/i.test(text))
        throw wrongPassword(user);
      if (/(?:log ?in|user ?name|user|password)\s*:\s*$/i.test(last)) throw wrongPassword(user);
      return quiet && this.#prompt.test(last) ? true : undefined;
    });
    this.#learn();
  }

  /** Waits for the first prompt, where the transport has logged in. */
  async begin(): Promise<void> {
    await this.#until('its prompt', (text, quiet) =>
      quiet && this.#prompt.test(lastLine(text)) ? true : undefined,
    );
    this.#learn();
  }

  #learn(): void {
    this.#learned = lastLine(clean(this.#text));
    this.#text = '';
  }

  /** Sends one line, and gives what the device answers, without the echo, and the prompt. */
  async ask(line: string): Promise<{ readonly text: string; readonly prompt: string }> {
    this.#text = '';
    this.#stream.write(`${line}${this.#options.enter}`);
    let pages = 0;
    await this.#until(`an answer to "${line}"`, (text, quiet) => {
      const last = lastLine(text);
      if (PAGER.test(last)) {
        if (++pages > MAX_PAGES)
          throw new RouterError('routers/surprise', `more than ${MAX_PAGES} pages came`, STOPPED);
        this.#text = this.#text.slice(0, this.#text.lastIndexOf('\n') + 1);
        this.#stream.write(' ');
        return undefined;
      }
      // The echo is the first line; before it has come, nothing is an answer.
      if (!text.includes('\n') && text.trim() !== this.#learned?.trim()) return undefined;
      return last.trimEnd() === this.#learned?.trimEnd() || (quiet && this.#prompt.test(last))
        ? true
        : undefined;
    });
    const text = clean(this.#text);
    this.#learned = lastLine(text);
    this.#text = '';
    return { text: this.#hide(withoutEcho(text, line)), prompt: this.#learned };
  }

  #hide(text: string): string {
    return (this.#options.secrets ?? []).reduce(
      (left, secret) => (secret === '' ? left : left.replaceAll(secret, '********')),
      text,
    );
  }

  async #until<T>(what: string, match: (text: string, quiet: boolean) => T | undefined): Promise<T> {
    const deadline = performance.now() + (this.#options.answerMs ?? ANSWER_MS);
    let quiet = false;
    for (;;) {
      const result = match(clean(this.#text), quiet);
      if (result !== undefined) return result;
      if (this.#ended !== undefined)
        throw new RouterError(
          'routers/hung-up',
          `the device ended the connection before ${what} came (${this.#ended})`,
          'look whether it still answers; `sipalg router check` reads its state anew',
        );
      const left = deadline - performance.now();
      if (left <= 0)
        throw new RouterError(
          'routers/unknown-prompt',
          `${what} did not come; the device's last words were: "${printable(this.#hide(clean(this.#text)).trim())}"`,
          'nothing was sent after it. If this is how it asks, the `prompt` of the recipe has to know it',
        );
      const length = this.#text.length;
      await this.#change(Math.min(left, quiet ? left : QUIET_MS));
      quiet = this.#text.length === length;
    }
  }

  #change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const self = this;
      function done(): void {
        clearTimeout(timer);
        self.#changed = () => {};
        resolve();
      }
      this.#changed = done;
    });
  }
}

const STOPPED = 'nothing was sent after it';

function wrongPassword(user: string): RouterError {
  return new RouterError(
    'routers/wrong-password',
    `the device does not accept this password for "${user}"`,
    'it was sent once and is not tried again, so that nobody is locked out; --user names another user',
  );
}

function lastLine(text: string): string {
  return text.slice(text.lastIndexOf('\n') + 1);
}

/** Without terminal control (ECMA-48 sequences), with LF as the only line end, and with what was overwritten gone. */
export function clean(text: string): string {
  return text
    .replaceAll(CONTROL_SEQUENCES, '')
    .replaceAll(/\r+\n/g, '\n')
    .replaceAll('\0', '')
    .split('\n')
    .map((line) => {
      let shown = line.replace(/\r+$/, '');
      shown = shown.slice(shown.lastIndexOf('\r') + 1);
      while (/[^\x08]\x08/.test(shown)) shown = shown.replaceAll(/[^\x08]\x08/g, '');
      return shown.replaceAll(/[\x07\x08]/g, '');
    })
    .join('\n');
}

const ESC = '\x1b';
const CONTROL_SEQUENCES = new RegExp(`${ESC}(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\x07]*\\x07|[ -/]*[0-~])`, 'g');

function withoutEcho(text: string, sent: string): string {
  const lines = text.split('\n');
  lines.pop();
  if (lines[0]?.includes(sent.trim()) === true) lines.shift();
  return lines.join('\n').trim();
}
