/**
 * The client's end of the control channel: what the reflector saw comes in as sightings, what it is to send goes out.
 *
 * The reflector is not trusted either: every line is read by a schema, every queue has a bound, and whatever is wrong ends
 * the check with an error that says what.
 */

import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type Endpoint, parseAddress } from '../../core/net/address.ts';
import { type Invitation, pinOf } from '../control/invitation.ts';
import { LineReader } from '../control/line.ts';
import {
  type Command,
  type Place,
  PROTOCOL,
  type Report,
  readAnswer,
  readReport,
  toBase64,
  type Welcome,
  writeLine,
} from '../control/protocol.ts';
import { CheckError } from './failure.ts';

/** How a command ended. */
export type Outcome =
  | { readonly ok: true; readonly at: number }
  | { readonly ok: false; readonly code: string; readonly why: string };

export type Arrival = Extract<
  Report,
  { kind: 'datagram' | 'answered' | 'connected' | 'chunk' | 'closed' | 'limit' }
>;

const OPEN_MS = 10_000;
/** So often something is said, or the reflector takes the client for gone. */
const PING_EVERY_MS = 10_000;
/** A reflector that leaves a command without an answer for so long is gone, or never meant to answer. */
const ANSWER_MS = 20_000;

/** What commands need beside their number. */
type Order =
  | { readonly kind: 'ping' }
  | { readonly kind: 'send'; readonly place: number; readonly to: Endpoint; readonly bytes: string }
  | { readonly kind: 'write'; readonly connection: number; readonly bytes: string; readonly end: boolean }
  | { readonly kind: 'prove'; readonly place: number; readonly to: Endpoint }
  | { readonly kind: 'proof'; readonly secret: string };

export class Control {
  readonly welcome: Welcome;
  /** This end of the channel: the address by which the machine reaches the reflector. */
  readonly local: Endpoint;
  /** The address that was dialled, as it was resolved. */
  readonly remote: Endpoint;
  readonly #socket: TLSSocket;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  readonly #listeners = new Set<(arrival: Arrival) => void>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #answerMs: number;
  readonly lost: Promise<CheckError>;
  /** In a sentence, where the channel does not go over the port of the invitation. */
  detour: string | undefined;
  #tellLost!: (error: CheckError) => void;
  #next = 1;
  #error: CheckError | undefined;

  private constructor(
    socket: TLSSocket,
    welcome: Welcome,
    lines: LineReader,
    rest: readonly string[],
    answerMs: number,
  ) {
    this.#socket = socket;
    this.#answerMs = answerMs;
    this.welcome = welcome;
    this.local = endpointOf(socket.localAddress, socket.localPort);
    this.remote = endpointOf(socket.remoteAddress, socket.remotePort);
    this.lost = new Promise((resolve) => {
      this.#tellLost = resolve;
    });
    socket.on('data', (chunk: Buffer) => this.#read(lines.feed(chunk)));
    socket.once('close', () =>
      this.#lose(
        'detector/lost',
        'the reflector closed the control channel',
        'run it again; its log says why',
      ),
    );
    this.#heartbeat = setInterval(() => void this.ask({ kind: 'ping' }), PING_EVERY_MS);
    this.#heartbeat.unref();
    this.#read([...rest]);
  }

  /**
   * Where the invitation's port cannot be reached, the reflector's other TCP ports are tried: it takes the same channel on each of them.
   * What was found out by that is told with the failure, or as `detour`.
   */
  static async open(invitation: Invitation, answerMs = ANSWER_MS): Promise<Control> {
    try {
      return await Control.#openAt(invitation, answerMs);
    } catch (error) {
      if (!(error instanceof CheckError) || error.code !== 'detector/unreachable') throw error;
      const others = OTHER_PORTS.filter((port) => port !== invitation.port);
      const answering = await portsThatAnswer(invitation.host, [invitation.port, ...others]);
      for (const port of answering.filter((one) => one !== invitation.port)) {
        try {
          const control = await Control.#openAt({ ...invitation, port }, answerMs);
          control.detour = `The control channel could not be had on port ${invitation.port} (${error.message}); it goes over port ${port}.`;
          return control;
        } catch {
          // The next one: what stands there may be something else.
        }
      }
      throw new CheckError(error.code, error.message, whatWasFound(invitation, answering));
    }
  }

  static async #openAt(invitation: Invitation, answerMs: number): Promise<Control> {
    const { host, port, pin } = invitation;
    const name = `${host}:${port}`;
    const socket = connectTls({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      // With a pin the key is compared below, and that is stricter than any chain.
      rejectUnauthorized: pin === undefined,
    });
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(new Error('no answer within 10 s')), OPEN_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('the connection was closed')));
      });
      if (pin !== undefined && pinOf(socket.getPeerCertificate(true).raw) !== pin)
        throw new CheckError(
          'detector/wrong-key',
          `${name} shows another key than the one in the invitation`,
          'either the reflector has a new key (ask for a new invitation), or something on the way breaks TLS open: a proxy, a security suite, a firewall with TLS inspection',
        );
      const lines = new LineReader();
      const first = new Promise<string[]>((resolve, reject) => {
        const read = (chunk: Buffer): void => {
          const whole = lines.feed(chunk);
          if (whole === undefined) reject(new Error('a line without end'));
          else if (whole.length > 0) {
            socket.removeListener('data', read);
            resolve(whole);
          }
        };
        socket.on('data', read);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error(NO_ANSWER)));
      });
      socket.write(writeLine({ kind: 'hello', protocol: PROTOCOL, token: invitation.token }));
      const [line, ...rest] = await first;
      const answer = readAnswer(line!);
      if (answer === undefined) throw new Error('its answer is not that of a reflector');
      if (answer.kind === 'refused')
        throw new CheckError(
          'detector/refused',
          `${name}: ${answer.why}`,
          `the reflector says: ${answer.code}`,
        );
      if (answer.protocol !== PROTOCOL || answer.places.length === 0)
        throw new Error('its answer is not that of a reflector of this version');
      socket.removeAllListeners('close');
      socket.removeAllListeners('error');
      socket.on('error', () => {});
      return new Control(socket, answer, lines, rest, answerMs);
    } catch (error) {
      socket.on('error', () => {});
      socket.destroy();
      throw asCheckError(error as Error, name);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The places that fit, in the reflector's order. */
  places(fits: (place: Place) => boolean): Place[] {
    return this.welcome.places.filter(fits);
  }

  listen(listener: (arrival: Arrival) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  send(place: number, to: Endpoint, bytes: Uint8Array): Promise<Outcome> {
    return this.ask({ kind: 'send', place, to, bytes: toBase64(bytes) });
  }

  write(connection: number, bytes: Uint8Array, end = false): Promise<Outcome> {
    return this.ask({ kind: 'write', connection, bytes: toBase64(bytes), end });
  }

  ask(order: Order): Promise<Outcome> {
    if (this.#error !== undefined)
      return Promise.resolve({ ok: false, code: 'lost', why: this.#error.message });
    const id = this.#next++;
    return new Promise((resolve) => {
      const late = setTimeout(() => this.#tooLate(), this.#answerMs);
      this.#waiting.set(id, (outcome) => {
        clearTimeout(late);
        resolve(outcome);
      });
      this.#socket.write(writeLine({ ...order, id } as Command));
    });
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#socket.removeAllListeners('close');
    if (this.#error === undefined) this.#socket.end(writeLine({ kind: 'end' }));
    this.#socket.destroySoon();
    this.#settleAll('the channel is closed');
  }

  #read(lines: string[] | undefined): void {
    if (lines === undefined) return this.#confused('a line without end');
    for (const line of lines) {
      const report = readReport(line);
      if (report === undefined) return this.#confused('a line that is no report');
      switch (report.kind) {
        case 'pong':
        case 'done':
          this.#settle(report.id, { ok: true, at: report.at });
          break;
        case 'failed':
          this.#settle(report.id, { ok: false, code: report.code, why: report.why });
          break;
        default:
          for (const listener of this.#listeners) listener(report);
      }
    }
  }

  #settle(id: number, outcome: Outcome): void {
    this.#waiting.get(id)?.(outcome);
    this.#waiting.delete(id);
  }

  #settleAll(why: string): void {
    for (const settle of this.#waiting.values()) settle({ ok: false, code: 'lost', why });
    this.#waiting.clear();
  }

  #tooLate(): void {
    this.#lose(
      'detector/lost',
      `the reflector has left a command without an answer for ${this.#answerMs / 1000} s`,
      'run it again; is the reflector overloaded, or is it something else that only looks like one?',
    );
    this.#socket.destroy();
  }

  #confused(what: string): void {
    this.#lose('detector/not-a-reflector', `the reflector sent ${what}`, 'is it of the same version?');
    this.#socket.destroy();
  }

  #lose(code: CheckError['code'], message: string, hint: string): void {
    if (this.#error !== undefined) return;
    this.#error = new CheckError(code, message, hint);
    clearInterval(this.#heartbeat);
    this.#settleAll(message);
    this.#tellLost(this.#error);
  }
}

/** On which a reflector takes a control channel beside the port of its invitation, the likeliest first. */
const OTHER_PORTS = [443, 8443, 5061, 32_060, 6060, 5070, 5060];
const PROBE_MS = 3_000;

/** Which of the TCP ports take a connection, in their order. */
async function portsThatAnswer(host: string, ports: readonly number[]): Promise<number[]> {
  const answers = await Promise.all(
    ports.map(
      (port) =>
        new Promise<boolean>((resolve) => {
          const socket = connectTcp({ host, port });
          const end = (answered: boolean): void => {
            socket.destroy();
            resolve(answered);
          };
          socket.setTimeout(PROBE_MS, () => end(false));
          socket.once('connect', () => end(true));
          socket.once('error', () => end(false));
        }),
    ),
  );
  return ports.filter((_, i) => answers[i] === true);
}

/** Without the channel nothing can be proved. What can be said, and what to do. */
function whatWasFound({ host, port }: Invitation, answering: readonly number[]): string {
  const server = `\`sipalg check --server sip:HOST\` asks a provider’s own server meanwhile, and proves less`;
  if (answering.length === 0)
    return `none of its TCP ports answers (${[port, ...OTHER_PORTS.filter((one) => one !== port)].join(', ')}): does it run, and does the firewall in front of it let them in? \`nc -vz ${host} ${port}\` tells; ${server}`;
  return `TCP passes to port ${answering.join(', ')}, and the channel does not come about there either: something on the way stops TLS, or another program answers there. Start the reflector with --control-port on a port that TLS passes to, or check from another network; ${server}`;
}

const NO_ANSWER = 'it closed the connection without an answer';

function asCheckError(error: Error, name: string): CheckError {
  if (error instanceof CheckError) return error;
  if (error.message === NO_ANSWER)
    return new CheckError(
      'detector/refused',
      `${name}: ${error.message}`,
      'a reflector does so where the token is not its own: ask for its present invitation (it prints it at its start)',
    );
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (/^(?:ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_)/.test(code))
    return new CheckError(
      'detector/wrong-key',
      `${name}: ${error.message}`,
      'the invitation has no pin, so that the certificate has to be one that this machine trusts; use the whole line that the reflector printed',
    );
  if (
    /^(?:EPROTO|ERR_SSL)/.test(code) ||
    error.message.startsWith('its answer') ||
    error.message.startsWith('a line')
  )
    return new CheckError(
      'detector/not-a-reflector',
      `${name}: ${error.message}`,
      'something else listens there; is the port that of the invitation?',
    );
  return new CheckError(
    'detector/unreachable',
    `${name}: ${error.message}`,
    'does the reflector run, and does its firewall let this port in? `nc -vz HOST PORT` tells',
  );
}

function endpointOf(address: string | undefined, port: number | undefined): Endpoint {
  return { address: parseAddress(address ?? '') ?? '0.0.0.0', port: port ?? 0 };
}
