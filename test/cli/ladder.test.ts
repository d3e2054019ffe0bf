import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ladder } from '../../src/cli/ladder.ts';
import { ratesBetween, scrollLimit, topScreen } from '../../src/cli/top-screen.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { at, request, respond, sdp } from '../engine/bench.ts';
import { Recorded } from '../observe/recorded.ts';

const paint = (_style: string, text: string): string => text;
/** What a terminal obeys, or what begins a line or turns it round. */
const STEERING = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

function ladderOf(bench: Recorded, full = false): string[] {
  const ladder = new Ladder({ paint, colour: false, full });
  return bench.recorder.exchanges().flatMap((exchange) => ladder.lines(exchange));
}

function call(): Recorded {
  const bench = new Recorded();
  bench.phone(request('REGISTER', { callId: 'r' }));
  const [sent] = bench.phone(request('INVITE', { callId: 'c' }, sdp('192.168.1.50', 4000)));
  bench.provider(respond(200, sent!.text, { to: 'b' }, sdp('198.51.100.9', 6000)), '203.0.113.1:5060');
  return bench;
}

test('a rung a message, from left to right and back, with every edit, its rule and RFC', () => {
  const lines = ladderOf(call());
  const invite = lines.find((line) => line.includes('─ INVITE ─'));
  assert.match(invite!, /#2\s+192\.168\.1\.50:5060\s+─ INVITE ─+▶ ┃ ─+▶ 198\.51\.100\.5:5060\s+\d+ edits/);
  assert.ok(
    lines.some((line) => /192\.168\.1\.50:5060\s+◀─+ ┃ ◀─ 200 INVITE ─+ 198\.51\.100\.5:5060/.test(line)),
  );
  assert.ok(
    lines.some((line) =>
      /via\.sent-by +192\.168\.1\.50:5060 → 203\.0\.113\.1:5060 +RFC 3261 §18\.1\.1/.test(line),
    ),
  );
  assert.ok(lines.some((line) => line.endsWith('· call begins  from the internal side')));
  assert.equal(lines.filter((line) => line.includes('Call-ID')).length, 2);
});

test('whole messages have their changed lines before and after', () => {
  const lines = ladderOf(call(), true).map((line) => line.trim());
  assert.ok(lines.includes('- c=IN IP4 192.168.1.50') && lines.includes('+ c=IN IP4 203.0.113.1'));
});

test('what is dropped goes nowhere, what is for nobody else says so', () => {
  const bench = call();
  bench.provider(request('INVITE', { callId: 'stranger' }), '203.0.113.1:5060', '192.0.2.66:5060');
  const line = ladderOf(bench).find((one) => one.includes('✕'));
  assert.match(line!, /✕ ◀─ INVITE ─+ 192\.0\.2\.66:5060\s+dropped: the sender is no provider/);
});

const evil = fc
  .array(
    fc.constantFrom(
      '\u001b[2J',
      '\u001b]0;x\u0007',
      '\u009b31m',
      '\r',
      'a',
      '<script>',
      '=cmd()',
      '\u0000',
      'é',
    ),
    {
      maxLength: 8,
    },
  )
  .map((parts) => parts.join(''));

test('whatever stands in a message, a line is a line and a terminal is not steered', () => {
  fc.assert(
    fc.property(evil, evil, fc.boolean(), (text, other, full) => {
      const bench = new Recorded();
      bench.phone(
        request('REGISTER', { callId: `c${text}`, contact: `"${other}" <sip:a@192.168.1.50:5060>` }),
      );
      bench.phone(request(`X${text}`, { extra: [`Subject: ${other}`] }));
      bench.phone(`${other} sip:b SIP/2.0\r\nX: ${text}\r\n\r\n${text}`);
      for (const line of ladderOf(bench, full)) assert.doesNotMatch(line, STEERING);
    }),
  );
});

function report(more: Partial<StatusReport> = {}): StatusReport {
  return {
    status: 1,
    version: '1.2.3',
    pid: 1,
    mode: 'transparent',
    switch: 'on',
    at: 100_000,
    startedAt: 0,
    since: 0,
    interception: { active: true, where: 'br0 → eth0, port 5060' },
    phoneCount: 1,
    phones: [
      {
        aor: 'sip:alice@example.net',
        transport: 'udp',
        internal: at('192.168.1.50:5060'),
        external: at('203.0.113.1:5060'),
        peer: at('198.51.100.5:5060'),
        expiresAt: 160_000,
      },
    ],
    callCount: 1,
    calls: [
      {
        callId: 'c',
        state: 'confirmed',
        initiator: 'internal',
        from: 'sip:alice@example.net',
        to: 'sip:bob@example.net',
        phone: '192.168.1.50',
        peer: at('198.51.100.5:5060'),
        answeredAt: 50_000,
        media: [
          {
            internal: at('192.168.1.50:4000'),
            external: at('203.0.113.1:24000'),
            ports: 2,
            fromPhone: 2500,
            toPhone: 0,
          },
        ],
      },
    ],
    limits: [{ limit: 'media', used: 1, of: 4096, reached: 0 }],
    messages: { translated: 30, passed: 10, dropped: 0 },
    dropped: {},
    notices: [],
    ...more,
  };
}

const screen = { columns: 120, rows: 24, view: 'all', offset: 0, paint } as const;

test('rates are of the time between two answers; one-way audio is said in words', () => {
  const before = report({ at: 98_000, messages: { translated: 10, passed: 10, dropped: 0 } });
  const rates = ratesBetween(before, report());
  assert.equal(rates.translated, 10);
  const lines = topScreen(report(), rates, screen);
  assert.match(lines[1]!, /10\/s translated, 0\/s as they came/);
  assert.ok(lines.some((line) => /192\.168\.1\.50:5060 +sip:alice@example\.net +1 min/.test(line)));
  assert.ok(lines.some((line) => line.includes('out 2500 (0/s)  in 0 (0/s)  one way, nothing comes back')));
  // A gateway that was started anew counts from the beginning.
  assert.equal(
    ratesBetween(report({ messages: { translated: 99, passed: 0, dropped: 0 } }), report({ at: 101_000 }))
      .translated,
    0,
  );
});

test('a screen is never higher or wider than the terminal, however small, and nothing in it steers', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 150 }),
      fc.integer({ min: 1, max: 40 }),
      fc.nat(200),
      evil,
      fc.constantFrom('all', 'phones', 'calls'),
      (columns, rows, offset, text, view) => {
        const [phone] = report().phones;
        const many = report({
          phones: Array.from({ length: 30 }, () => ({ ...phone!, aor: `sip:${text}` })),
          phoneCount: 5_000,
          notices: [{ at: 99_000, code: 'x', text }],
        });
        const lines = topScreen(many, ratesBetween(undefined, many), { columns, rows, offset, view, paint });
        assert.ok(lines.length <= rows);
        for (const line of lines) {
          assert.ok(line.length <= columns);
          assert.doesNotMatch(line, STEERING);
        }
        assert.ok(scrollLimit(many, view, rows) >= 0);
      },
    ),
  );
});
