/**
 * The status socket: a Unix stream socket in the state directory, for the user that runs the gateway and for root.
 *
 * One line of JSON in, one line out, end; or a stream of lines, where the request asks to follow (follow-stream.ts). Read-only.
 * What a client may cost is bounded: few at a time, a short line, a short time; one that writes too much, too slowly or nonsense,
 * or that does not read, is hung up on.
 */
import { unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Recorder } from '../observe/recorder.ts';
import { FollowStreams } from './follow-stream.ts';
import { STATUS_VERSION } from './status-report.ts';

export const STATUS_FILE = 'status.sock';
/** `sun_path` has 108 octets with the final zero (unix(7)). */
const PATH_LENGTH = 107;
const CLIENTS = 12;
/** A Call-ID may be long. */
const REQUEST_LENGTH = 1_024;
const CLIENT_MS = 3_000;
/** An answer of `STATUS_ROWS` phones and calls stays far below. */
const ANSWER_LENGTH = 16 * 1024 * 1024;

export interface StatusSocket {
  close(): void;
}

/**
 * Listens in `dir`, which the caller owns alone, so that a socket that is there already is a dead one. What keeps it from
 * listening is handed to `problem`: a gateway without status is a gateway still.
 */
export function openStatusSocket(
  dir: string,
  answer: () => string,
  recorder: Recorder,
  problem: (text: string) => void,
): StatusSocket {
  const path = join(dir, STATUS_FILE);
  const streams = new FollowStreams(recorder);
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, answer, streams));
  server.maxConnections = CLIENTS;
  server.on('error', (error) => problem(error.message));
  if (Buffer.byteLength(path) > PATH_LENGTH) {
    problem(
      `${path} is longer than ${PATH_LENGTH} octets, which no socket may be; choose a shorter state-dir`,
    );
    return { close: () => {} };
  }
  try {
    remove(path);
    listenPrivately(server, path);
  } catch (error) {
    problem((error as Error).message);
  }
  return {
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Those that are being served. */
const open = new Set<Socket>();

/** The socket is bound within this call, so that the mask is the process's for no longer than that. */
function listenPrivately(server: Server, path: string): void {
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
}

function serve(socket: Socket, answer: () => string, streams: FollowStreams): void {
  open.add(socket);
  // From the first to the last octet, however busy the client keeps us meanwhile.
  const timer = setTimeout(() => socket.destroy(), CLIENT_MS);
  timer.unref();
  socket.once('close', () => {
    clearTimeout(timer);
    open.delete(socket);
  });
  socket.on('error', () => socket.destroy());
  let request = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    request += chunk;
    const end = request.indexOf('\n');
    if (end < 0 && request.length <= REQUEST_LENGTH) return;
    socket.removeAllListeners('data').pause();
    const response =
      end < 0 ? refusal('the request is too long') : respond(request.slice(0, end), answer, streams, socket);
    if (response === undefined) {
      // A stream has bounds of its own; what else the client says is nothing to us, but that it goes.
      clearTimeout(timer);
      socket.resume();
      return;
    }
    // Once it is with the kernel nothing is waited for, so that a place is free for the next one.
    socket.end(response, () => socket.destroy());
  });
  socket.on('end', () => socket.end());
}

/** Undefined: a stream has begun. */
function respond(
  line: string,
  answer: () => string,
  streams: FollowStreams,
  socket: Socket,
): string | undefined {
  let request: unknown;
  try {
    request = JSON.parse(line);
  } catch {
    return refusal('the request is not JSON');
  }
  if (typeof request === 'object' && request !== null && 'follow' in request) {
    const why = streams.serve(socket, request as Readonly<Record<string, unknown>>);
    return why === undefined ? undefined : refusal(why);
  }
  const asked =
    typeof request === 'object' && request !== null ? (request as { status?: unknown }).status : 0;
  if (asked !== STATUS_VERSION)
    return refusal(`the request asks for status ${JSON.stringify(asked)}; there is ${STATUS_VERSION}`);
  try {
    return answer();
  } catch (error) {
    return refusal(`the gateway could not answer: ${(error as Error).message}`);
  }
}

function refusal(error: string): string {
  return `${JSON.stringify({ status: 0, error })}\n`;
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

export type StatusAnswer =
  | { readonly kind: 'answer'; readonly text: string }
  /** Nobody listens: the gateway does not run. */
  | { readonly kind: 'nobody' }
  | { readonly kind: 'forbidden' }
  /** It runs, and does not answer in time. */
  | { readonly kind: 'silent' };

/** Asks the gateway of a state directory. Throws what is none of the answers. */
export function askStatus(dir: string, withinMs = CLIENT_MS): Promise<StatusAnswer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(join(dir, STATUS_FILE));
    let text = '';
    const timer = setTimeout(() => finish({ kind: 'silent' }), withinMs);
    const finish = (answer: StatusAnswer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`${JSON.stringify({ status: STATUS_VERSION })}\n`));
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.endsWith('\n')) finish({ kind: 'answer', text });
      else if (text.length > ANSWER_LENGTH) finish({ kind: 'silent' });
    });
    socket.once('end', () => finish({ kind: 'silent' }));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR')
        finish({ kind: 'nobody' });
      else if (error.code === 'EACCES' || error.code === 'EPERM') finish({ kind: 'forbidden' });
      // A full queue of connections, or one that was hung up on.
      else if (error.code === 'EAGAIN' || error.code === 'ECONNRESET' || error.code === 'EPIPE')
        finish({ kind: 'silent' });
      else {
        clearTimeout(timer);
        reject(error);
      }
    });
  });
}
