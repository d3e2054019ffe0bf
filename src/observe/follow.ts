/**
 * Follows what the gateway handles, for a ladder, a capture or a stream of events: first what is remembered, then what comes.
 *
 * Whoever follows fetches: nothing is queued for him. One that is slow misses what has gone from the memory meanwhile, and is told
 * how many messages that were; nothing that he does costs the message path more than a flag.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Exchange } from './exchange.ts';
import { maskExchange } from './masking.ts';
import type { Recorder } from './recorder.ts';

export interface FollowOptions {
  /** Only what has this Call-ID. */
  readonly callId?: string | undefined;
  /** Begin after this id; 0: with the oldest that is remembered. Default: with what comes next. */
  readonly since?: number | undefined;
  /** End where nothing more is remembered, instead of waiting for more. */
  readonly ends?: boolean;
  /** Users, credentials and bodies in the clear. */
  readonly reveal?: boolean;
  readonly signal?: AbortSignal;
}

export interface Followed {
  readonly exchanges: readonly Exchange[];
  /** Messages that had gone from the memory before they were fetched, of whatever call. */
  readonly missed: number;
}

/** Exchanges that are looked at in one go. */
const BATCH = 64;
/** What comes within this time is handed over together. */
const GATHER_MS = 20;

/** From this call on, however late it is fetched. */
export function follow(recorder: Recorder, options: FollowOptions = {}): AsyncGenerator<Followed> {
  return fetch(recorder, options.since ?? recorder.lastId, options);
}

async function* fetch(recorder: Recorder, start: number, options: FollowOptions): AsyncGenerator<Followed> {
  const { callId, signal, reveal = false, ends = false } = options;
  let since = start;
  // Whoever asked for the oldest that there is has missed nothing before it.
  let isOldest = options.since === 0;
  let wake: () => void = () => {};
  const end = recorder.wake(() => wake());
  const onAbort = (): void => wake();
  signal?.addEventListener('abort', onAbort);
  try {
    // `signal` is looked at again after each wait; to the compiler it never changes.
    const isOver = (): boolean => signal?.aborted === true;
    while (!isOver()) {
      const found = recorder.next(since, BATCH);
      if (found.length > 0) {
        const missed = isOldest ? 0 : found[0]!.id - since - 1;
        isOldest = false;
        since = found.at(-1)!.id;
        const wanted = callId === undefined ? found : found.filter((one) => one.callId === callId);
        if (wanted.length > 0 || missed > 0)
          yield { exchanges: reveal ? wanted : wanted.map(maskExchange), missed };
        // Thousands that nobody wants must not hold up a message.
        await turn();
        continue;
      }
      if (ends) return;
      await new Promise<void>((resolve) => {
        let timer: NodeJS.Timeout | undefined;
        wake = () => {
          if (isOver()) {
            clearTimeout(timer);
            resolve();
          } else timer ??= setTimeout(resolve, GATHER_MS);
        };
        if (isOver() || recorder.lastId > since) wake();
      });
      wake = () => {};
    }
  } finally {
    end();
    signal?.removeEventListener('abort', onAbort);
  }
}
