/** Follows a running gateway from another process, by its status socket. */
import { createConnection } from 'node:net';
import { join } from 'node:path';
import type { Exchange } from '../observe/exchange.ts';
import { readExchange } from '../observe/exchange-json.ts';
import type { Followed } from '../observe/follow.ts';
import { FOLLOW_VERSION, type FollowRequest } from './follow-stream.ts';
import { STATUS_FILE } from './status-socket.ts';

export type FollowAnswer =
  | { readonly kind: 'following'; readonly followed: AsyncGenerator<Followed> }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'forbidden' }
  /** It runs, and does not serve this. */
  | { readonly kind: 'refused'; readonly why: string };

/** A line with the largest message there is, twice, with its edits, in base64. */
const LONGEST_LINE = 1024 * 1024;

/** Asks the gateway of a state directory. Ends when the gateway does, or `signal` says so. */
export async function followGateway(
  dir: string,
  request: Omit<FollowRequest, 'follow'>,
  signal?: AbortSignal,
): Promise<FollowAnswer> {
  const lines = linesOf(dir, { ...request, follow: FOLLOW_VERSION }, signal);
  try {
    const first = await lines.next();
    if (first.done === true) return { kind: 'refused', why: 'it hung up' };
    const answer = JSON.parse(first.value) as { readonly follow?: unknown; readonly error?: unknown };
    if (answer.follow === FOLLOW_VERSION) return { kind: 'following', followed: read(lines) };
    return {
      kind: 'refused',
      why: typeof answer.error === 'string' ? answer.error : 'it is another version',
    };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') return { kind: 'nobody' };
    if (code === 'EACCES' || code === 'EPERM') return { kind: 'forbidden' };
    if (code === 'EAGAIN' || code === 'ECONNRESET' || code === 'EPIPE')
      return { kind: 'refused', why: 'it hung up' };
    throw error;
  }
}

async function* read(lines: AsyncGenerator<string>): AsyncGenerator<Followed> {
  for await (const line of lines) {
    const { exchange, missed } = JSON.parse(line) as {
      readonly exchange?: Parameters<typeof readExchange>[0];
      readonly missed?: number;
    };
    const exchanges: Exchange[] = exchange === undefined ? [] : [readExchange(exchange)];
    yield { exchanges, missed: missed ?? 0 };
  }
}

async function* linesOf(
  dir: string,
  request: FollowRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  const socket = createConnection(join(dir, STATUS_FILE));
  const onAbort = (): void => {
    socket.destroy();
  };
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted === true) onAbort();
  socket.setEncoding('utf8');
  socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
  let text = '';
  let hasBegun = false;
  try {
    for await (const chunk of socket as AsyncIterable<string>) {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        hasBegun = true;
        yield line;
      }
      if (text.length > LONGEST_LINE) return;
    }
  } catch (error) {
    // Ended by us, or by a gateway that ends in the middle: an end like any other.
    if (signal?.aborted !== true && !(hasBegun && isHangUp(error))) throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

function isHangUp(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'EPIPE';
}
