import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlgEvent } from '../core/alg/event.ts';
import { createLog, type LogOptions } from './log.ts';
import { redactText } from './redaction.ts';

const now = (): number => Date.UTC(2026, 0, 2, 3, 4, 5, 6);
const internal = { address: '192.168.1.50', port: 5060 };
const external = { address: '203.0.113.7', port: 5060 };
const granted: AlgEvent = {
  kind: 'registration.granted',
  aor: 'sip:alice@example.com',
  internal,
  external,
  lifetimeMs: 3_600_000,
  renewed: false,
};

function collect(options: Omit<LogOptions, 'write' | 'now'>): {
  lines: string[];
  log: ReturnType<typeof createLog>;
} {
  const lines: string[] = [];
  return { lines, log: createLog({ ...options, now, write: (line) => lines.push(line) }) };
}

test('JSON: level, time, msg, and the event as it is, without the user', () => {
  const { lines, log } = collect({ json: true });
  log.event(granted);
  assert.equal(lines.length, 1);
  assert.deepEqual(JSON.parse(lines[0]!), {
    level: 'info',
    time: now(),
    msg: 'registration.granted',
    kind: 'registration.granted',
    aor: 'sip:…@example.com',
    internal,
    external,
    lifetimeMs: 3_600_000,
    renewed: false,
  });
});

test('text: one line with the time in UTC', () => {
  const { lines, log } = collect({ json: false });
  log.event(granted);
  assert.deepEqual(lines, [
    '2026-01-02T03:04:05.006Z info  registered  sip:…@example.com  192.168.1.50:5060 ⇄ 203.0.113.7:5060  for 3600 s\n',
  ]);
});

test('ready is a line of its own kind', () => {
  const { lines, log } = collect({ json: true });
  log.ready({ mode: 'explicit' }, 'ready');
  assert.deepEqual(JSON.parse(lines[0]!), { level: 'info', time: now(), mode: 'explicit', msg: 'ready' });
});

test('a message that was translated is told at debug; where a part of it was left alone, at info', () => {
  const translated: AlgEvent = {
    kind: 'message.translated',
    flow: { transport: 'udp', side: 'internal', local: external, remote: internal },
    summary: 'INVITE sip:bob@example.com',
    callId: 'a',
    edits: [],
  };
  const { lines, log } = collect({ json: false });
  log.event(translated);
  assert.deepEqual(lines, []);
  log.event({ ...translated, left: 'its description cannot be read' });
  assert.match(lines[0] ?? '', /left alone: its description cannot be read/);
  const detailed = collect({ json: false, level: 'debug' });
  detailed.log.event(translated);
  assert.equal(detailed.lines.length, 1);
});

test('a message that passed is told at debug only', () => {
  const passed: AlgEvent = {
    kind: 'message.passed',
    flow: { transport: 'udp', side: 'internal', local: external, remote: internal },
    summary: 'OPTIONS',
    why: 'nothing to do',
    defects: [],
  };
  for (const json of [true, false]) {
    const quiet = collect({ json });
    quiet.log.event(passed);
    assert.deepEqual(quiet.lines, []);
    const verbose = collect({ json, level: 'debug' });
    verbose.log.event(passed);
    assert.equal(verbose.lines.length, 1);
  }
});

test('what a peer sends cannot forge a line', () => {
  const { lines, log } = collect({ json: false });
  log.notice('gateway/example', 'a\r\n2026 info all is well\u001b[2J', 'error');
  assert.equal(lines.length, 1);
  assert.equal(lines[0]!.split('\n').length, 2);
  assert.ok(!lines[0]!.includes('\u001b'));
});

test('in JSON, what a terminal would obey is said with an escape, and read as it was', () => {
  const { lines, log } = collect({ json: true });
  const text = 'a\u001b[2J\u009b31m\u202eb';
  log.notice('gateway/example', text, 'error');
  assert.doesNotMatch(lines[0]!.trimEnd(), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
  assert.equal((JSON.parse(lines[0]!) as { text: string }).text, text);
});

test('redaction: users and credentials go, addresses stay', () => {
  const cases: readonly [string, string][] = [
    ['<sip:alice@192.0.2.1:5060;transport=udp>', '<sip:…@192.0.2.1:5060;transport=udp>'],
    ['sip:alice:secret@example.com', 'sip:…@example.com'],
    ['"Alice \\"A\\" B" <sip:alice@example.com>', '"…" <sip:…@example.com>'],
    ['tel:+49301234;phone-context=x', 'tel:…;phone-context=x'],
    [
      'Digest username="bob", realm="r", response="0123", uri="sip:r"',
      'Digest username="…", realm="…", response="…", uri="sip:r"',
    ],
    ['INVITE sip:198.51.100.5 SIP/2.0', 'INVITE sip:198.51.100.5 SIP/2.0'],
  ];
  for (const [text, expected] of cases) assert.equal(redactText(text), expected);
});

test('reveal shows everything', () => {
  const { lines, log } = collect({ json: true, reveal: true });
  log.event(granted);
  assert.match(lines[0]!, /alice/);
});
