import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { applyEdits } from '../../src/core/sip/edit.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { callIdOf, methodOf, startLineOf } from '../../src/observe/call-id.ts';
import type { Exchange } from '../../src/observe/exchange.ts';
import { Recorder } from '../../src/observe/recorder.ts';
import { message, request, respond, sdp } from '../engine/bench.ts';
import { Recorded } from './recorded.ts';

const EXTERNAL = '203.0.113.1:5060';

function one(exchanges: readonly Exchange[]): Exchange {
  assert.equal(exchanges.length, 1);
  return exchanges[0]!;
}

function text(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : textOf(bytes, 0, bytes.length);
}

/** The received octets with the edits of the events are what was sent: nothing else has changed. */
function assertExplained({ received, sent, events }: Exchange): void {
  const translated = events.find((event) => event.kind === 'message.translated');
  assert.ok(received !== undefined && translated !== undefined && sent.length === 1);
  const edits = translated.edits.map(({ offset, length, after, rule }) => ({
    span: { start: offset, end: offset + length },
    replacement: after,
    rule,
  }));
  assert.equal(text(applyEdits(received, edits)), text(sent[0]!.bytes));
}

test('a message that waited for its mapping is one exchange, with what left and why', () => {
  const bench = new Recorded();
  bench.phone(request('REGISTER'));
  const register = one(bench.recorder.exchanges());
  assert.equal(register.id, 1);
  assert.equal(text(register.received), request('REGISTER'));
  assert.equal(text(register.sent[0]?.bytes), bench.sent[0]!.text);
  assert.equal(register.callId, 'a@192.168.1.50');
  assert.equal(register.flow?.side, 'internal');
  assert.deepEqual(
    register.events.map(({ kind }) => kind),
    ['mapping.opened', 'message.translated'],
  );
  assertExplained(register);
});

test('a call: an exchange a message, each explained, found by its Call-ID', () => {
  const bench = new Recorded();
  bench.phone(request('REGISTER', { callId: 'r' }));
  const [sent] = bench.phone(request('INVITE', { callId: 'c' }, sdp('192.168.1.50', 4000)));
  bench.provider(respond(100, sent!.text), EXTERNAL);
  bench.provider(respond(200, sent!.text, { to: 'b' }, sdp('198.51.100.9', 6000)), EXTERNAL);
  bench.phone(request('BYE', { callId: 'c', cseq: 2, to: 'b' }));
  const call = bench.recorder.exchanges({ callId: 'c' });
  assert.deepEqual(
    call.map(({ received }) => startLineOf(received!)),
    [
      'INVITE sip:bob@example.net SIP/2.0',
      'SIP/2.0 100 OK',
      'SIP/2.0 200 OK',
      'BYE sip:bob@example.net SIP/2.0',
    ],
  );
  for (const exchange of call) assertExplained(exchange);
  // What happened while it waited belongs to it.
  assert.ok(call[0]!.events.some(({ kind }) => kind === 'media.opened'));
  assert.equal(bench.recorder.exchanges({ callId: 'none' }).length, 0);
  const last = bench.recorder.lastId;
  assert.deepEqual(
    bench.recorder.exchanges({ since: last - 2 }).map(({ id }) => id),
    [last - 1, last],
  );
  assert.deepEqual(
    bench.recorder.exchanges({ limit: 1 }).map(({ id }) => id),
    [last],
  );
});

test('what passes untouched is kept once', () => {
  const bench = new Recorded();
  bench.phone(request('REGISTER'));
  bench.phone('\r\n\r\n');
  const keepalive = bench.recorder.exchanges().at(-1)!;
  assert.equal(text(keepalive.received), '\r\n\r\n');
  assert.equal(text(keepalive.sent[0]?.bytes), '\r\n\r\n');
  assert.equal(keepalive.callId, undefined);
  assert.equal(keepalive.events[0]?.kind, 'message.passed');
});

test('a keepalive of our own has no message that came; a registration that ends has only its event', () => {
  const bench = new Recorded({ upstreamNat: 'yes' });
  const [sent] = bench.phone(request('REGISTER'));
  bench.provider(
    respond(200, sent!.text, { to: 'r', extra: ['Contact: <sip:alice@203.0.113.1:5060>;expires=60'] }),
    EXTERNAL,
  );
  bench.pass(30_000);
  const keepalive = one(bench.recorder.exchanges({ since: 2 }));
  assert.equal(keepalive.received, undefined);
  assert.equal(keepalive.sent.length, 1);
  assert.equal(keepalive.flow, keepalive.sent[0]!.flow);
  bench.pass(40_000);
  const ended = bench.recorder
    .exchanges()
    .find(({ events }) => events.some(({ kind }) => kind === 'registration.removed'));
  assert.equal(ended?.received, undefined);
});

test('from one phone to another behind the same gateway: one message, one exchange', () => {
  const bench = new Recorded();
  bench.phone(request('REGISTER'));
  bench.phone(request('REGISTER', { sentBy: '192.168.1.51:5070' }), '192.168.1.51:5070');
  const before = bench.recorder.lastId;
  bench.phone(request('OPTIONS'), '192.168.1.50:5060', '203.0.113.1:5070');
  const crossing = one(bench.recorder.exchanges({ since: before }));
  assert.equal(crossing.sent.length, 1);
  assert.equal(crossing.sent[0]!.flow.remote.address, '192.168.1.51');
  assert.equal(text(crossing.received), request('OPTIONS'));
});

test('two messages that wait for one mapping keep their own', () => {
  const bench = new Recorded();
  bench.answer = () => undefined;
  bench.phone(request('REGISTER', { callId: 'one' }));
  bench.phone(request('OPTIONS', { callId: 'two' }));
  assert.equal(bench.recorder.exchanges().length, 0);
  const [open] = bench.signalling;
  bench.answer = () => true;
  bench.feed({ kind: 'opened', id: open!.id });
  assert.deepEqual(
    bench.recorder.exchanges().map(({ callId, received }) => [callId, callIdOf(received!)]),
    [
      ['one', 'one'],
      ['two', 'two'],
    ],
  );
});

test('bounded by count and by octets; the oldest go first', () => {
  const bench = new Recorded({}, { messages: 5, octets: 1_000_000 });
  for (let i = 0; i < 20; i++) bench.phone(request('OPTIONS', { callId: `c${i}`, cseq: i + 1 }));
  assert.deepEqual(
    bench.recorder.exchanges().map(({ callId }) => callId),
    ['c15', 'c16', 'c17', 'c18', 'c19'],
  );
  bench.recorder.limit({ messages: 2, octets: 1_000_000 });
  assert.deepEqual(
    bench.recorder.exchanges().map(({ callId }) => callId),
    ['c18', 'c19'],
  );
  bench.recorder.limit({ messages: 1_000, octets: 20_000 });
  for (let i = 0; i < 200; i++) bench.phone(request('OPTIONS', { callId: `d${i}`, cseq: i + 1 }));
  const { messages, octets } = bench.recorder.size;
  assert.ok(octets <= 20_000 && messages >= 5 && messages < 60, `${messages} messages, ${octets} octets`);
  bench.recorder.limit({ messages: 0, octets: 1 });
  bench.phone(request('OPTIONS', { callId: 'e' }));
  assert.equal(bench.recorder.size.messages, 0);
});

test('one that throws while it listens is told nothing more, and costs nobody anything', () => {
  const bench = new Recorded();
  const heard: number[] = [];
  bench.recorder.subscribe(() => {
    throw new Error('a mistake of a listener');
  });
  const end = bench.recorder.subscribe(({ id }) => heard.push(id));
  bench.phone(request('REGISTER'));
  bench.phone(request('OPTIONS'));
  end();
  bench.phone(request('OPTIONS', { cseq: 2 }));
  assert.deepEqual(heard, [1, 2]);
  assert.equal(bench.sent.length, 3);
});

test('every message that comes is told exactly once, in whatever order endpoints open', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          port: fc.integer({ min: 5060, max: 5063 }),
          method: fc.constantFrom('REGISTER', 'INVITE', 'OPTIONS', 'BYE'),
          // Answered at once, never, refused, or later.
          answer: fc.constantFrom('yes', 'later', 'no'),
          junk: fc.boolean(),
        }),
        { maxLength: 30 },
      ),
      (steps) => {
        const bench = new Recorded();
        const open: number[] = [];
        let fed = 0;
        for (const [i, { port, method, answer, junk }] of steps.entries()) {
          bench.answer = (command) => {
            if (answer === 'later') open.push(command.id as number);
            return answer === 'later' ? undefined : answer === 'yes';
          };
          const body = method === 'INVITE' ? sdp('192.168.1.50', 4000 + 2 * i) : undefined;
          const names = { callId: `c${i}`, cseq: i + 1, sentBy: `192.168.1.50:${port}` };
          bench.phone(junk ? `\u0000junk ${i}` : request(method, names, body), `192.168.1.50:${port}`);
          fed++;
        }
        bench.answer = () => true;
        for (const id of open) bench.feed({ kind: 'opened', id });
        const told = bench.recorder.exchanges().filter(({ received }) => received !== undefined);
        assert.equal(told.length, fed);
        assert.equal(new Set(told.map(({ received }) => text(received))).size, fed);
        // Unpacked, it is what the engine has said and sent.
        const all = bench.recorder.exchanges();
        const sorted = (list: readonly unknown[]): string[] => list.map((one) => JSON.stringify(one)).sort();
        assert.deepEqual(sorted(all.flatMap(({ events }) => events)), sorted(bench.events));
        assert.deepEqual(
          sorted(all.flatMap(({ sent }) => sent.map(({ flow, bytes }) => [flow, text(bytes)]))),
          sorted(bench.sent.map(({ flow, text: was }) => [flow, was])),
        );
        const ids = bench.recorder.exchanges().map(({ id }) => id);
        assert.deepEqual(
          ids,
          ids.map((_, i) => i + 1),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test('Call-ID, method and start line are read from what is there, and of anything', () => {
  assert.equal(callIdOf(octetsOf('OPTIONS sip:a SIP/2.0\r\ni : x@y \r\n\r\n')), 'x@y');
  assert.equal(callIdOf(octetsOf('OPTIONS sip:a SIP/2.0\r\nCALL-id:\tx\r\n\r\n')), 'x');
  assert.equal(callIdOf(octetsOf('OPTIONS sip:a SIP/2.0\r\n\r\nCall-ID: in the body\r\n')), undefined);
  assert.equal(callIdOf(octetsOf('OPTIONS sip:a SIP/2.0\r\nCall-IDs: x\r\n\r\n')), undefined);
  assert.equal(methodOf(octetsOf(message(['SIP/2.0 200 OK', 'CSeq: 3 INVITE']))), 'INVITE');
  assert.equal(methodOf(octetsOf(request('NOTIFY'))), 'NOTIFY');
  assert.equal(startLineOf(octetsOf('GET / HTTP/1.1\r\n\r\n')), undefined);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      callIdOf(bytes);
      methodOf(bytes);
      startLineOf(bytes);
    }),
  );
});

test('what is recorded elsewhere is fetched when somebody looks, and while somebody listens; no longer', async () => {
  const bench = new Recorded();
  bench.phone(request('REGISTER'));
  const [there] = bench.recorder.exchanges();
  const here = new Recorder();
  let asked = 0;
  here.fetchWith(() => {
    asked++;
    here.add([there!]);
  });
  assert.equal(asked, 0);
  const [found] = here.exchanges();
  assert.deepEqual(
    [asked, found?.id, found?.callId, found?.verdict],
    [1, 1, there!.callId, 'message.translated'],
  );
  assert.equal(text(found?.received), text(there!.received));
  assert.equal(here.size.messages, 1, 'what was asked just now is not asked again');
  const heard: Exchange[] = [];
  const end = here.subscribe((exchange) => heard.push(exchange));
  let woken: () => void = () => {};
  const wake = here.wake(() => woken());
  await new Promise<void>((resolve) => {
    woken = resolve;
  });
  assert.ok(heard.length > 0);
  end();
  wake();
  const before = asked;
  await delay(80);
  assert.equal(asked, before, 'nobody listens');
  here.fetchWith(undefined);
  here.exchanges();
  assert.equal(asked, before);
});
