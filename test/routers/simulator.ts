/**
 * Device simulators: an SSH server, a telnet server and an HTTP server that play the router of a recipe. They are no
 * routers. What they answer is made from the recipe's own patterns, so what they show is that we and the recipe agree, over
 * real sockets and real protocols; not that a device does.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import ssh2 from 'ssh2';
import type { Procedure, Step } from '../../src/routers/schema.ts';

export const USER = 'keeper';
export const PASSWORD = 'wrong-horse-7';

/** What goes wrong. */
export type Trouble =
  | 'none'
  | 'refusal'
  | 'surprise'
  | 'wrong-password'
  | 'unknown-prompt'
  | 'hang-up'
  | 'hang-up-for-good'
  | 'does-not-stick';

export interface Reply {
  readonly text: string;
  readonly next: 'prompt' | 'hang-up' | 'silence';
}

interface Session {
  configuring: boolean;
}

/** The router itself: a switch, and the words of one procedure. */
export class Machine {
  readonly procedure: Procedure;
  readonly trouble: Trouble;
  readonly prompt: string;
  state: 'on' | 'off';
  /** Every line that came after the login. */
  readonly heard: string[] = [];
  /** Set once the trouble has happened. */
  troubled = false;

  constructor(procedure: Procedure, state: 'on' | 'off', trouble: Trouble) {
    this.procedure = procedure;
    this.state = state;
    this.trouble = trouble;
    this.prompt = procedure.prompt === undefined ? 'router> ' : sample(procedure.prompt, () => true);
  }

  /** After the hang-up, whether it lets anybody in again. */
  get gone(): boolean {
    return this.trouble === 'hang-up-for-good' && this.troubled;
  }

  /** The lines of a configuration mode are understood in it, and no others; each session has a mode of its own. */
  hearIn(session: Session, line: string): Reply {
    const [enter] = this.procedure.off;
    if (session.configuring && this.procedure.check.some((step) => sentText(step) === line))
      return { text: 'syntax error: not in this mode', next: 'prompt' };
    const reply = this.hear(line);
    if (reply.next === 'prompt' && !reply.text.startsWith('unknown command')) {
      if (line === enter?.send && /^(?:configure|system-view)/.test(line)) session.configuring = true;
      if (/^(?:end|exit|quit)$/.test(line)) session.configuring = false;
    }
    return reply;
  }

  promptIn({ configuring }: Session): string {
    return configuring ? `(configuration) ${this.prompt}` : this.prompt;
  }

  hear(line: string, body?: string): Reply {
    this.heard.push(body === undefined || body === '' ? line : `${line} ${body}`);
    const { check, off, on, persist, flush } = this.procedure;
    // The steps of `on` may repeat what is in others: what is being done decides.
    const phases = [
      ['check', check],
      ['off', off],
      ['on', on],
      ['persist', persist],
      ['flush', flush],
    ] as const;
    for (const [phase, steps] of phases) {
      const index = steps.findIndex((step) => sentText(step) === this.heard.at(-1));
      if (index < 0) continue;
      const step = steps[index]!;
      // What need not be there is not there.
      if (phase === 'check' && step.take.length > 0) return { text: '', next: 'prompt' };
      if (phase === 'check') return { text: checkAnswer(step, this.state), next: 'prompt' };
      if (phase === 'off' || phase === 'on') {
        const first = steps.findIndex((one) => sentText(one) !== undefined && one.where === undefined);
        if (
          !this.troubled &&
          this.trouble !== 'none' &&
          this.trouble !== 'does-not-stick' &&
          index === first
        ) {
          this.troubled = true;
          if (this.trouble === 'refusal') return { text: failure(step), next: 'prompt' };
          if (this.trouble === 'surprise') return { text: '%@ lamp 4711 overheated', next: 'prompt' };
          if (this.trouble === 'unknown-prompt')
            return { text: 'Reset to factory defaults? (yes/no)', next: 'silence' };
          if (this.trouble.startsWith('hang-up')) return { text: '', next: 'hang-up' };
        }
        const last = steps.findLastIndex((one) => sentText(one) !== undefined) === index;
        // One line may stand in both directions ("end", "commit"): the last of either has been heard.
        if (last && this.trouble !== 'does-not-stick')
          this.state = phaseOf(this.heard, [...off, ...persist], on) ?? this.state;
      }
      return { text: done(step), next: 'prompt' };
    }
    return { text: `unknown command: ${line}`, next: 'prompt' };
  }
}

/** Of which direction the last lines are, by the one that belongs to that direction alone. */
function phaseOf(
  heard: readonly string[],
  off: readonly Step[],
  on: readonly Step[],
): 'on' | 'off' | undefined {
  const lines = (steps: readonly Step[]): Set<string | undefined> => new Set(steps.map(sentText));
  const [offLines, onLines] = [lines(off), lines(on)];
  for (const line of heard.toReversed()) {
    const [isOff, isOn] = [offLines.has(line), onLines.has(line)];
    if (isOff !== isOn) return isOff ? 'off' : 'on';
  }
  return undefined;
}

export function sentText({ send, request }: Step): string | undefined {
  if (send !== undefined) return send;
  if (request === undefined) return undefined;
  return `${request.method} ${request.path}${request.body === undefined ? '' : ` ${request.body}`}`;
}

function meaning(step: Step, text: string): string | undefined {
  return step.answers.find(({ match }) => new RegExp(match, 'imu').test(text))?.means;
}

/** A text that the recipe takes for that; undefined where it has no such answer. */
function textFor(step: Step, means: readonly string[]): string | undefined {
  const answer = step.answers.find((one) => means.includes(one.means));
  return answer === undefined
    ? undefined
    : sample(answer.match, (text) => meaning(step, text) === answer.means);
}

function checkAnswer(step: Step, state: 'on' | 'off'): string {
  const wanted = state === 'on' ? ['on'] : ['off', 'absent'];
  const text = textFor(step, wanted);
  if (text !== undefined) return text;
  return meaning(step, '') === undefined ? '' : 'nothing of the kind';
}

function done(step: Step): string {
  return textFor(step, ['done', 'on', 'off']) ?? '';
}

function failure(step: Step): string {
  return textFor(step, ['failed']) ?? 'permission denied';
}

/** Printable lines that the pattern matches; found once. */
const samples = new Map<string, readonly string[]>();

function sample(pattern: string, fits: (text: string) => boolean): string {
  const texts = samples.get(pattern) ?? textsFor(pattern);
  samples.set(pattern, texts);
  const found = texts.find(fits);
  if (found === undefined) throw new Error(`no text was found that ${pattern} matches`);
  return found;
}

function textsFor(pattern: string): string[] {
  // Word boundaries and look-ahead cannot be generated from; what fits anyway is found by trying.
  const bare = pattern.replaceAll('\\b', '').replaceAll(/\(\?[=!][^)]*\)/g, '');
  const lead = pattern.startsWith('^\\s') ? ' ' : '';
  const whole = new RegExp(pattern, 'imu');
  return fc
    .sample(fc.stringMatching(new RegExp(bare)), { seed: 1, numRuns: 200 })
    .map((text) => text.replaceAll(/[^\x20-\x7e]/g, ' ').replace(/^\s+/, lead))
    .filter((text) => text.length < 200 && whole.test(text));
}

export interface Simulator extends AsyncDisposable {
  readonly port: number;
}

export async function telnetSimulator(machine: Machine): Promise<Simulator> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (machine.gone) {
      socket.destroy();
      return;
    }
    // Echo and suppress-go-ahead by us, terminal type by the client; a command in the middle of a text as well.
    socket.write(Buffer.from([255, 251, 1, 255, 251, 3, 255, 253, 24]));
    socket.write('\r\nModel T\r\nlogin: ');
    let stage: 'user' | 'password' | 'shell' = machine.procedure.login?.kind === 'none' ? 'shell' : 'user';
    if (stage === 'shell') socket.write(`\r\n${machine.prompt}`);
    const session: Session = { configuring: false };
    let user = '';
    let pending = '';
    socket.on('data', (chunk) => {
      pending += withoutCommands(chunk).toString('latin1');
      for (let end = pending.indexOf('\r\n'); end >= 0; end = pending.indexOf('\r\n')) {
        const line = pending.slice(0, end);
        pending = pending.slice(end + 2);
        if (stage === 'user') {
          user = line;
          stage = 'password';
          socket.write(`${line}\r\nPassword: `);
        } else if (stage === 'password') {
          const right = user === USER && line === PASSWORD && machine.trouble !== 'wrong-password';
          stage = right ? 'shell' : 'user';
          socket.write(right ? `\r\n${machine.prompt}` : '\r\nLogin incorrect\r\nlogin: ');
        } else {
          const reply = machine.hearIn(session, line);
          answer(socket, line, reply, machine.promptIn(session));
        }
      }
    });
  });
  await listen(server);
  return closing(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

function answer(
  stream: { write(text: string): unknown; end(): unknown },
  line: string,
  { text, next }: Reply,
  prompt: string,
): void {
  stream.write(`${line}\r\n`);
  if (next === 'hang-up') stream.end();
  else if (next === 'silence') stream.write(text);
  else stream.write(`${text === '' ? '' : `${text}\r\n`}${prompt}`);
}

function withoutCommands(chunk: Buffer): Buffer {
  const bytes: number[] = [];
  for (let i = 0; i < chunk.length; i++) {
    if (chunk[i] === 255) i += 2;
    else bytes.push(chunk[i]!);
  }
  return Buffer.from(bytes);
}

export interface SshOptions {
  readonly algorithms?: ssh2.ServerConfig['algorithms'];
  readonly hostKey?: string;
}

/** One for all of them: it takes a while to make. */
const usualKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs1',
  format: 'pem',
}) as string;

export async function sshSimulator(
  machine: Machine,
  { algorithms, hostKey = usualKey }: SshOptions = {},
): Promise<Simulator> {
  const clients = new Set<ssh2.Connection>();
  const server = new ssh2.Server(
    { hostKeys: [hostKey], ...(algorithms === undefined ? {} : { algorithms }) },
    (client) => {
      clients.add(client);
      client.on('error', () => {});
      if (machine.gone) {
        client.end();
        return;
      }
      client.on('authentication', (context) => {
        const right =
          context.method === 'password' &&
          context.username === USER &&
          context.password === PASSWORD &&
          machine.trouble !== 'wrong-password';
        if (right) context.accept();
        else context.reject(['password']);
      });
      client.on('session', (accept) => {
        const session = accept();
        session.on('pty', (acceptPty) => acceptPty());
        session.on('shell', (acceptShell) => {
          const stream = acceptShell();
          const mode: Session = { configuring: false };
          let pending = '';
          stream.write(`Model S\r\n${machine.prompt}`);
          stream.on('data', (chunk: Buffer) => {
            pending += chunk.toString('latin1');
            for (let end = pending.indexOf('\r'); end >= 0; end = pending.indexOf('\r')) {
              const line = pending.slice(0, end);
              pending = pending.slice(end + 1);
              const reply = machine.hearIn(mode, line);
              answer(
                { write: (text) => stream.write(text), end: () => client.end() },
                line,
                reply,
                machine.promptIn(mode),
              );
            }
          });
        });
        session.on('exec', (acceptExec, _reject, { command }) => {
          const stream = acceptExec();
          const { text, next } = machine.hear(command);
          if (next === 'hang-up') {
            client.end();
            return;
          }
          stream.write(text === '' ? '' : `${text}\n`);
          if (next === 'silence') return;
          stream.exit(0);
          stream.end();
        });
      });
    },
  );
  await listen(server as unknown as Server);
  return closing(server as unknown as Server, () => {
    for (const client of clients) client.end();
  });
}

export async function httpSimulator(machine: Machine): Promise<Simulator> {
  const expected = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
  const server = createHttpServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1');
    });
    request.on('end', () => {
      if (request.url === '/' || machine.gone) {
        if (machine.gone) request.socket.destroy();
        else response.end('<title>Model H</title>');
        return;
      }
      if (request.headers.authorization !== expected || machine.trouble === 'wrong-password') {
        response.writeHead(401).end();
        return;
      }
      const { text, next } = machine.hear(`${request.method} ${request.url}`, body);
      if (next === 'hang-up') request.socket.destroy();
      else if (next === 'prompt') response.end(text);
    });
  });
  await listen(server);
  return closing(server, () => server.closeAllConnections());
}

export function listen(server: Server | HttpServer): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}

export function closing(server: Server | HttpServer, endAll: () => void): Simulator {
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        endAll();
      }),
  };
}
