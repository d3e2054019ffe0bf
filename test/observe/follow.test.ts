import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureOf } from '../../src/observe/capture/live.ts';
import { type Followed, follow } from '../../src/observe/follow.ts';
import { request } from '../engine/bench.ts';
import { Recorded } from './recorded.ts';

function say(bench: Recorded, ...callIds: readonly string[]): void {
  for (const callId of callIds) bench.phone(request('OPTIONS', { callId }));
}

async function next(followed: AsyncGenerator<Followed>): Promise<[calls: unknown[], missed: number]> {
  const { value, done } = await followed.next();
  assert.notEqual(done, true);
  const { exchanges, missed } = value as Followed;
  return [exchanges.map(({ callId }) => callId), missed];
}

test('what is remembered, then what comes; from now on where nothing else is asked for', async () => {
  const bench = new Recorded();
  say(bench, 'a', 'b');
  const all = follow(bench.recorder, { since: 0 });
  const fresh = follow(bench.recorder);
  say(bench, 'c');
  assert.deepEqual(await next(all), [['a', 'b', 'c'], 0]);
  assert.deepEqual(await next(fresh), [['c'], 0]);
  const waiting = next(all);
  say(bench, 'd');
  assert.deepEqual(await waiting, [['d'], 0]);
  await fresh.return(undefined);
});

test('a slow one misses the oldest, is told how many, and a capture says so where they are missing', async () => {
  const bench = new Recorded({}, { messages: 3, octets: 1_000_000 });
  say(bench, 'a');
  const slow = follow(bench.recorder, { since: 0 });
  await next(slow);
  say(bench, 'b', 'c', 'd', 'e', 'f');
  assert.deepEqual(await next(slow), [['d', 'e', 'f'], 2]);
  const other = follow(bench.recorder, { reveal: true });
  say(bench, 'g', 'h', 'i', 'j', 'k');
  const parts: string[] = [];
  for await (const part of captureOf(other, { application: 'test', reveal: true })) {
    parts.push(Buffer.from(part).toString());
    if (parts.length === 4) break;
  }
  assert.match(parts[1]!, /2 messages before this one are missing/);
  assert.doesNotMatch(parts[2]!, /missing/);
});

test('one call; an end where nothing more is remembered; an end by signal, also while it waits', {
  timeout: 5_000,
}, async () => {
  const bench = new Recorded();
  say(bench, ...Array.from({ length: 200 }, (_, i) => (i % 50 === 0 ? 'wanted' : `c${i}`)));
  let found = 0;
  for await (const { exchanges } of follow(bench.recorder, { since: 0, ends: true, callId: 'wanted' }))
    found += exchanges.length;
  assert.equal(found, 4);
  const end = new AbortController();
  const endless = follow(bench.recorder, { signal: end.signal });
  const waiting = endless.next();
  end.abort();
  assert.equal((await waiting).done, true);
});

test('masked unless it is asked for in the clear', async () => {
  const bench = new Recorded();
  say(bench, 'a');
  const [hidden, clear] = [false, true].map((reveal) =>
    follow(bench.recorder, { since: 0, ends: true, reveal }),
  );
  const textOf = async (one: AsyncGenerator<Followed>): Promise<string> =>
    Buffer.from(((await one.next()).value as Followed).exchanges[0]!.received!).toString('latin1');
  assert.ok(!(await textOf(hidden!)).includes('alice'));
  assert.ok((await textOf(clear!)).includes('alice'));
});
