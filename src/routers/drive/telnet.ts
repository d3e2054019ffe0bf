/**
 * Telnet as a stream of plain octets (RFC 854). Every option is refused but the two that a line of text needs, echo and
 * suppress-go-ahead by the device (RFC 857, 858). A command may be cut anywhere by TCP.
 *
 * Written here because the package that was looked at (telnet-client) sees commands only where a segment begins with one,
 * and logs in by itself on whatever looks like a question.
 */
import { createConnection, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { RouterError } from './failure.ts';

const IAC = 255;
const DONT = 254;
const DO = 253;
const WONT = 252;
const WILL = 251;
const SB = 250;
const SE = 240;
const ECHO = 1;
const SUPPRESS_GO_AHEAD = 3;
/** A device that goes on negotiating for ever is told nothing more. */
const MAX_REPLIES = 100;

/** Takes the commands out of what a device sends. */
export class TelnetDecoder {
  readonly #reply: (bytes: Buffer) => void;
  #state: 'text' | 'iac' | 'option' | 'sub' | 'sub-iac' = 'text';
  #verb = 0;
  #replies = 0;

  constructor(reply: (bytes: Buffer) => void) {
    this.#reply = reply;
  }

  decode(chunk: Uint8Array): Buffer {
    const text: number[] = [];
    for (const byte of chunk) {
      if (this.#state === 'text') {
        if (byte === IAC) this.#state = 'iac';
        else text.push(byte);
      } else if (this.#state === 'iac') {
        if (byte === IAC) text.push(IAC);
        this.#verb = byte;
        this.#state = byte === SB ? 'sub' : byte >= WILL && byte <= DONT ? 'option' : 'text';
      } else if (this.#state === 'option') {
        this.#answer(this.#verb, byte);
        this.#state = 'text';
      } else if (this.#state === 'sub') {
        if (byte === IAC) this.#state = 'sub-iac';
      } else this.#state = byte === SE ? 'text' : 'sub';
    }
    return Buffer.from(text);
  }

  #answer(verb: number, option: number): void {
    if (this.#replies++ >= MAX_REPLIES) return;
    if (verb === DO) this.#reply(Buffer.from([IAC, WONT, option]));
    if (verb === WILL) {
      const wanted = option === ECHO || option === SUPPRESS_GO_AHEAD;
      this.#reply(Buffer.from([IAC, wanted ? DO : DONT, option]));
    }
  }
}

class TelnetStream extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    const decoder = new TelnetDecoder((bytes) => socket.write(bytes));
    socket.on('data', (chunk) => {
      const text = decoder.decode(chunk);
      if (text.length > 0) this.push(text);
    });
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
    socket.on('error', (error) => this.destroy(error));
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const escaped = [...chunk].flatMap((byte) => (byte === IAC ? [IAC, IAC] : [byte]));
    this.#socket.write(Buffer.from(escaped), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

export function openTelnet(host: string, port: number, connectMs: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host, port });
    const fail = (why: string): void => {
      socket.destroy();
      reject(
        new RouterError(
          'routers/unreachable',
          `nobody answers telnet at ${host} port ${port} (${why})`,
          'switch telnet on in the web page of the device, or name another port with --port',
        ),
      );
    };
    socket.setTimeout(connectMs, () => fail('no answer in time'));
    socket.once('error', (error) => fail((error as NodeJS.ErrnoException).code ?? error.message));
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.removeAllListeners('error');
      resolve(new TelnetStream(socket));
    });
  });
}
