import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineOptions } from '../../src/core/alg/policy.ts';
import { octetsOf } from '../../src/core/sip/octets.ts';
import { at, request, respond, sdp, Workbench } from './bench.ts';

const EXTERNAL = '203.0.113.1:5060';
const BEHIND: EngineOptions = { upstreamNat: 'yes' };
const CRLF = new Uint8Array([13, 10]);

function registered(options: EngineOptions = BEHIND, via = '', extra: readonly string[] = []): Workbench {
  const bench = new Workbench(options);
  grant(bench, 1, via, extra);
  return bench;
}

function grant(
  bench: Workbench,
  cseq: number,
  via = '',
  extra: readonly string[] = [],
  expires = 3600,
): void {
  const [sent] = bench.phone(request('REGISTER', { cseq }));
  const contact = /^Contact: (.*)$/m.exec(sent?.text ?? '')?.[1]?.trim();
  bench.provider(
    respond(200, (sent?.text ?? '').replace(';rport', `;rport=5060;received=203.0.113.1${via}`), {
      to: 'r',
      extra: [`Contact: ${contact};expires=${expires}`, ...extra],
    }),
    EXTERNAL,
  );
}

/** What was sent in this time without a packet of anybody's. */
function quiet(bench: Workbench, ms: number): Workbench['sent'] {
  const before = bench.sent.length;
  bench.pass(ms);
  return bench.sent.slice(before);
}

function times(bench: Workbench, ms: number): number[] {
  const start = bench.now;
  const found: number[] = [];
  while (bench.now < start + ms) {
    const step = Math.min(
      (bench.engine.nextTimeoutMs ?? Number.POSITIVE_INFINITY) - bench.now,
      start + ms - bench.now,
    );
    const sent = quiet(bench, Math.max(step, 0));
    for (const _one of sent) found.push(bench.now);
    if (step <= 0) break;
  }
  return found;
}

test('through a NAT upstream, CRLF goes to the registrar every 24 to 29 s, from the mapping', () => {
  const bench = registered();
  const sent = quiet(bench, 120_000);
  assert.ok(sent.length >= 4 && sent.length <= 5, `${sent.length} in two minutes`);
  for (const { flow, bytes } of sent) {
    assert.deepEqual(flow, {
      transport: 'udp',
      side: 'external',
      local: at(EXTERNAL),
      remote: at('198.51.100.5:5060'),
    });
    assert.deepEqual([...bytes], [...CRLF], 'no ping, so nobody answers');
  }
  const gaps = times(bench, 600_000)
    .map((time, index, all) => time - (all[index - 1] ?? time))
    .slice(1);
  for (const gap of gaps) assert.ok(gap >= 24_000 && gap < 29_001, `${gap} ms`);
  assert.ok(new Set(gaps).size > 5, 'spread, not all the same');
});

test('without a NAT upstream the way in is held in the kernel, without a packet', () => {
  assert.equal(quiet(registered({}), 3_000_000).length, 0, 'a public external address');
  assert.equal(quiet(registered({ upstreamNat: 'no' }), 3_000_000).length, 0);
});

test('a phone that keeps the NAT open itself is left to it', () => {
  const bench = registered();
  for (let i = 0; i < 10; i++) {
    assert.equal(quiet(bench, 20_000).length, 0);
    bench.phone('\r\n\r\n');
  }
  assert.equal(quiet(bench, 30_000).length, 1, 'until it stops');
});

test('it ends with the registration, and with its removal', () => {
  const bench = registered();
  grant(bench, 2, '', [], 60);
  quiet(bench, 100_000);
  assert.equal(quiet(bench, 600_000).length, 0, 'expired');
  const other = registered();
  const [sent] = other.phone(request('REGISTER', { cseq: 2, contact: '*', extra: ['Expires: 0'] }));
  other.provider(respond(200, sent?.text ?? '', { to: 'r' }), EXTERNAL);
  assert.equal(quiet(other, 600_000).length, 0, 'unregistered');
});

test('nobody who granted nothing gets one: no stranger, no refusal, no other peer of the phone', () => {
  const bench = new Workbench(BEHIND);
  const [sent] = bench.phone(request('REGISTER'));
  bench.provider(respond(403, sent?.text ?? '', { to: 'r' }), EXTERNAL);
  bench.phone(request('OPTIONS'), '192.168.1.50:5060', '198.51.100.6:5060');
  bench.provider('\r\n', EXTERNAL, '192.0.2.66:5060');
  assert.equal(quiet(bench, 200_000).length, 0);
  grant(bench, 2);
  bench.phone(request('OPTIONS', { cseq: 2 }), '192.168.1.50:5060', '198.51.100.6:5060');
  for (const { flow } of quiet(bench, 200_000)) assert.deepEqual(flow.remote, at('198.51.100.5:5060'));
});

test('a confirmed dialog without a registration is kept, as long as it lasts', () => {
  const bench = new Workbench(BEHIND);
  const names = { callId: 'call', from: 'a9' };
  const [invite] = bench.phone(request('INVITE', names, sdp('192.168.1.50', 4000)));
  assert.equal(quiet(bench, 100_000).length, 0, 'not while it rings');
  bench.provider(
    respond(
      200,
      invite?.text ?? '',
      { to: 'b9', extra: ['Contact: <sip:bob@198.51.100.5>'] },
      sdp('198.51.100.9', 7000),
    ),
    EXTERNAL,
  );
  assert.ok(quiet(bench, 100_000).length >= 3);
  const [bye] = bench.phone(request('BYE', { ...names, to: 'b9', cseq: 2 }));
  bench.provider(respond(200, bye?.text ?? ''), EXTERNAL);
  assert.equal(quiet(bench, 100_000).length, 0);
});

test('a server that agreed to keep gets STUN, and its answer is not the phone’s', () => {
  const bench = registered(BEHIND, ';keep=30');
  const [ping] = quiet(bench, 30_000);
  assert.ok(ping);
  assert.deepEqual([...ping.bytes.subarray(0, 8)], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  assert.equal(ping.bytes.length, 20);
  const answer = new Uint8Array(ping.bytes);
  answer[0] = 1;
  answer[1] = 1;
  const strange = new Uint8Array(answer);
  strange[19] = 0xff;
  assert.equal(bench.provider(strange, EXTERNAL).length, 1, 'an answer to the phone reaches the phone');
  assert.equal(bench.provider(answer, EXTERNAL).length, 0);
  assert.equal(bench.provider(answer, EXTERNAL).length, 1, 'one answer to one request');
  const [next] = quiet(bench, 30_000);
  assert.notDeepEqual(next?.bytes, ping.bytes, 'another transaction');
  assert.equal(bench.provider(CRLF, EXTERNAL).length, 1, 'a keepalive of the provider’s reaches the phone');
});

test('a provider that keeps the NAT open of itself is seen to', () => {
  const bench = registered();
  bench.pass(15_000);
  bench.provider(CRLF, EXTERNAL);
  const evidence = (): string[] => (bench.engine.profiles()[0]?.evidence ?? []).map(({ what }) => what);
  assert.ok(evidence().includes('provider-keepalive'));
  const other = registered();
  other.phone('\r\n\r\n');
  other.provider(CRLF, EXTERNAL);
  assert.ok(
    !other.engine.profiles()[0]?.evidence.some(({ what }) => what === 'provider-keepalive'),
    'a pong is none',
  );
});

test('it goes on after a restart', () => {
  const bench = registered();
  bench.pass(100_000);
  const next = new Workbench(BEHIND);
  next.now = bench.now;
  next.take(next.engine.restore(bench.now, [...bench.records.values()]));
  assert.ok(quiet(next, 100_000).length >= 3);
});

test('many phones are not kept in one instant, and never more in a second than the limit', () => {
  const bench = new Workbench({ ...BEHIND, limits: { keepalivesPerSecond: 5 } });
  for (let i = 0; i < 100; i++) {
    const phone = `192.168.2.${i + 1}`;
    const [sent] = bench.phone(
      request('REGISTER', { sentBy: `${phone}:5060`, contact: `<sip:p${i}@${phone}:5060>`, callId: `r${i}` }),
      `${phone}:5060`,
    );
    const external = `${sent?.flow.local.address}:${sent?.flow.local.port}`;
    bench.provider(
      respond(200, sent?.text ?? '', { to: 'r', extra: [`Contact: <sip:p${i}@${external}>;expires=3600`] }),
      external,
    );
  }
  const seconds = new Map<number, number>();
  for (const time of times(bench, 90_000)) {
    const second = Math.floor(time / 1000);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  assert.ok([...seconds.values()].reduce((a, b) => a + b, 0) > 150);
  assert.ok(Math.max(...seconds.values()) <= 10, 'five in any second is ten at most in one of the clock');
  assert.ok(bench.eventsOf('limit.reached').some(({ limit }) => limit === 'keepalives-per-second'));
});

test('over TCP it is a ping, every 95 to 120 s', () => {
  const bench = new Workbench(BEHIND);
  const flow = (side: 'internal' | 'external') => ({ transport: 'tcp' as const, side, connection: 1 });
  const text = request('REGISTER', { contact: '<sip:alice@192.168.1.50:5060;transport=tcp>' });
  bench.feed({
    kind: 'packet',
    flow: { ...flow('internal'), local: at('198.51.100.5:5060'), remote: at('192.168.1.50:40000') },
    bytes: octetsOf(text),
    externalAddress: '203.0.113.1',
  });
  const [sent] = bench.sent;
  assert.ok(sent);
  const contact = /^Contact: (.*)$/m.exec(sent.text)?.[1]?.trim();
  bench.feed({
    kind: 'packet',
    flow: { ...flow('external'), local: sent.flow.local, remote: sent.flow.remote },
    bytes: octetsOf(respond(200, sent.text, { to: 'r', extra: [`Contact: ${contact};expires=3600`] })),
  });
  const before = bench.sent.length;
  const gaps = times(bench, 1_000_000)
    .map((time, index, all) => time - (all[index - 1] ?? time))
    .slice(1);
  assert.ok(gaps.length >= 7);
  for (const gap of gaps) assert.ok(gap >= 95_000 && gap < 120_001, `${gap} ms`);
  for (const { flow: out, text: ping } of bench.sent.slice(before)) {
    assert.equal(ping, '\r\n\r\n');
    assert.deepEqual(
      [out.transport, out.remote, out.connection],
      ['tcp', at('198.51.100.5:5060'), undefined],
    );
  }
});
