/** Tells a change to somebody's web server: one POST of JSON, bounded in time, tried three times. */
import { setTimeout as sleep } from 'node:timers/promises';

const TRIES = 3;
const ANSWER_MS = 10_000;
const PAUSE_MS = 1_000;

/** https, or http to this machine itself: what is told is about somebody's line. With `force`, any http as well. */
export function parseWebhook(text: string, force: boolean): URL | undefined {
  const url = URL.parse(text);
  if (url === null) return undefined;
  const isLocal = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  return url.protocol === 'https:' || (url.protocol === 'http:' && (isLocal || force)) ? url : undefined;
}

/** Undefined where it was taken, else why not. Redirects are not followed: they may lead elsewhere. */
export async function tellWebhook(url: URL, body: string, pauseMs = PAUSE_MS): Promise<string | undefined> {
  let why = '';
  for (let i = 0; i < TRIES; i++) {
    if (i > 0) await sleep(pauseMs * i);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      await response.body?.cancel();
      if (response.ok) return undefined;
      why = `it answers ${response.status}`;
    } catch (error) {
      const { cause } = error as Error;
      why = cause instanceof Error ? cause.message : (error as Error).message;
    }
  }
  return `${why} (${TRIES} tries)`;
}
