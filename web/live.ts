/** Live events, read with fetch so that the token goes along; begun anew whenever they end, and quiet while nobody looks. */
import { signal } from '@preact/signals';
import type { Overview } from '../src/console/api.ts';
import type { Rung } from '../src/console/calls.ts';
import type { CheckView } from '../src/console/checks.ts';
import { ask, headers, token } from './api.ts';

export const overview = signal<Overview | undefined>(undefined);
export const check = signal<CheckView | undefined>(undefined);
/** The last message that was told. */
export const lastMessage = signal<(Rung & { readonly callId?: string }) | undefined>(undefined);
export const connection = signal<'connecting' | 'live' | 'asking' | 'gone'>('connecting');

const RETRY_MS = 2_000;
const HIDDEN_MS = 30_000;

let abort: AbortController | undefined;
let hidden: number | undefined;

export function beginLive(): void {
  document.addEventListener('visibilitychange', () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(() => abort?.abort(), HIDDEN_MS) as unknown as number;
    else if (connection.value !== 'live') wake();
  });
  void keepReading();
}

let wake = (): void => {};

async function keepReading(): Promise<never> {
  for (;;) {
    if (token.value !== undefined && !document.hidden) await readStream();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RETRY_MS);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function readStream(): Promise<void> {
  abort = new AbortController();
  try {
    const response = await fetch('/api/v1/live', { headers: headers(), signal: abort.signal });
    if (response.status === 401) {
      token.value = undefined;
      return;
    }
    if (!response.ok || response.body === null) {
      // Too many look on: then the page asks now and then.
      overview.value = await ask<Overview>('GET', '/overview');
      connection.value = 'asking';
      return;
    }
    connection.value = 'live';
    let text = '';
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
    connection.value = 'gone';
  } catch {
    connection.value = 'gone';
  }
}

function take(block: string): void {
  const event = /^event: (.*)$/m.exec(block)?.[1];
  const data = /^data: (.*)$/m.exec(block)?.[1];
  if (event === undefined || data === undefined) return;
  const value: unknown = JSON.parse(data);
  if (event === 'overview') overview.value = withOlder(value as Overview);
  else if (event === 'check') check.value = value as CheckView;
  else if (event === 'message') lastMessage.value = value as Rung & { readonly callId?: string };
}

export function wakeLive(): void {
  wake();
}

/** An hour at one in five seconds. */
const MOST_SAMPLES = 720;

/** Live events carry the newest samples only. */
function withOlder(fresh: Overview): Overview {
  const first = fresh.samples[0]?.at ?? Number.POSITIVE_INFINITY;
  const older = (overview.value?.samples ?? []).filter(({ at }) => at < first);
  return { ...fresh, samples: [...older, ...fresh.samples].slice(-MOST_SAMPLES) };
}
