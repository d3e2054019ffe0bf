/**
 * The status socket's streams: what the gateway handles, message by message, one line of JSON each, until the client goes.
 *
 * What a client may cost is bounded: few at a time, nothing is queued for one beyond what its socket takes, and one that does
 * not read for a while is hung up on. A slow one is told how many messages it has missed.
 */
import type { Socket } from 'node:net';
import { writeExchange } from '../observe/exchange-json.ts';
import { follow } from '../observe/follow.ts';
import type { Recorder } from '../observe/recorder.ts';

export const FOLLOW_VERSION = 1;

/** What a client asks for, beside the version. */
export interface FollowRequest {
  readonly follow: typeof FOLLOW_VERSION;
  readonly call?: string;
  readonly since?: number;
  readonly ends?: boolean;
  readonly reveal?: boolean;
}

const STREAMS = 4;
/** A client that takes nothing for this long has stopped reading. */
const STALL_MS = 10_000;

export class FollowStreams {
  readonly #recorder: Recorder;
  #open = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  /** Serves one client to its end, or says why it is not served. */
  serve(socket: Socket, request: Readonly<Record<string, unknown>>): string | undefined {
    const { follow: version, call, since, ends, reveal } = request;
    if (version !== FOLLOW_VERSION)
      return `the request asks for follow ${JSON.stringify(version)}; there is ${FOLLOW_VERSION}`;
    if (call !== undefined && typeof call !== 'string') return 'call is a Call-ID';
    if (since !== undefined && typeof since !== 'number') return 'since is the id of a message';
    if (this.#open >= STREAMS) return `${STREAMS} clients follow the messages already; end one of them`;
    this.#open++;
    void this.#pump(socket, call, since, ends === true, reveal === true).finally(() => {
      this.#open--;
      socket.end(() => socket.destroy());
    });
    return undefined;
  }

  async #pump(
    socket: Socket,
    callId: string | undefined,
    since: number | undefined,
    ends: boolean,
    reveal: boolean,
  ): Promise<void> {
    const gone = new AbortController();
    const onGone = (): void => gone.abort();
    socket.once('close', onGone).once('end', onGone);
    try {
      socket.write(`${JSON.stringify({ follow: FOLLOW_VERSION })}\n`);
      const options = { callId, since, ends, reveal, signal: gone.signal };
      for await (const { exchanges, missed } of follow(this.#recorder, options)) {
        const lines = exchanges.map((one) => `{"exchange":${writeExchange(one)}}\n`);
        if (missed > 0) lines.unshift(`${JSON.stringify({ missed })}\n`);
        if (socket.destroyed) return;
        if (!socket.write(lines.join('')) && !(await drained(socket))) return;
      }
    } catch (error) {
      if (!socket.destroyed) socket.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
    }
  }
}

/** False where it has stopped reading, or gone. */
function drained(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      socket.destroy();
      end(false);
    }, STALL_MS);
    const onDrain = (): void => end(true);
    const onClose = (): void => end(false);
    const end = (isDrained: boolean): void => {
      clearTimeout(timer);
      socket.off('drain', onDrain).off('close', onClose);
      resolve(isDrained);
    };
    socket.once('drain', onDrain).once('close', onClose);
  });
}
