/** tshark judges what is captured: it reads every packet, finds nothing wrong with one, and shows the comments. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { octetsOf } from '../../src/core/sip/octets.ts';
import { captureOf } from '../../src/observe/capture/live.ts';
import { follow } from '../../src/observe/follow.ts';
import { at, request, respond, sdp } from '../engine/bench.ts';
import { Recorded } from './recorded.ts';

const missing = 'tshark is missing: nothing judges captures (Debian: apt-get install tshark)';
const isHere = spawnSync('tshark', ['--version']).status === 0;
if (!isHere) process.stderr.write(`\n*** ${missing} ***\n\n`);
const skip = !isHere && missing;
const folder = mkdtempSync(join(tmpdir(), 'sipalg-captured-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function captured(
  bench: Recorded,
  options: { reveal?: boolean; callId?: string; octets?: number } = {},
) {
  const { reveal = false, octets, ...rest } = options;
  const followed = follow(bench.recorder, { since: 0, ends: true, reveal, ...rest });
  const parts: Uint8Array[] = [];
  for await (const part of captureOf(followed, {
    application: 'sipalg test',
    reveal,
    ...(octets === undefined ? {} : { octets }),
  }))
    parts.push(part);
  return Buffer.concat(parts);
}

/** A row a packet; a field with several values has them separated by a bar. */
function tshark(bytes: Uint8Array, fields: readonly string[], ...args: readonly string[]): string[][] {
  const path = join(folder, 'capture.pcapng');
  writeFileSync(path, bytes);
  const { status, stdout, stderr } = spawnSync(
    'tshark',
    [
      ...['-r', path, '-T', 'fields', '-E', 'separator=/t', '-E', 'aggregator=|'],
      ...['-o', 'udp.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'],
      ...fields.flatMap((field) => ['-e', field]),
      ...args,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

function call(): Recorded {
  const bench = new Recorded();
  bench.now = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  bench.phone(request('REGISTER', { callId: 'r' }));
  const [sent] = bench.phone(
    request('INVITE', { callId: 'c', extra: ['Authorization: Digest username="alice", response="beef"'] }, [
      ...sdp('192.168.1.50', 4000),
    ]),
  );
  bench.provider(respond(200, sent!.text, { to: 'b' }, sdp('198.51.100.9', 6000)), '203.0.113.1:5060');
  bench.phone(request('BYE', { callId: 'c', cseq: 2, to: 'b' }));
  return bench;
}

test('both sides of every message, dissected, checksums right, each edit a comment', { skip }, async () => {
  const rows = tshark(await captured(call()), [
    'frame.interface_name',
    'ip.src',
    'ip.dst',
    'sip.Method',
    'sip.Status-Code',
    'frame.comment',
    'ip.checksum.status',
    'udp.checksum.status',
    '_ws.malformed',
    'frame.time_epoch',
  ]);
  assert.deepEqual(
    rows.map((row) => row.slice(0, 5)),
    [
      ['internal', '192.168.1.50', '198.51.100.5', 'REGISTER', ''],
      ['external', '203.0.113.1', '198.51.100.5', 'REGISTER', ''],
      ['internal', '192.168.1.50', '198.51.100.5', 'INVITE', ''],
      ['external', '203.0.113.1', '198.51.100.5', 'INVITE', ''],
      ['external', '198.51.100.5', '203.0.113.1', '', '200'],
      ['internal', '198.51.100.5', '192.168.1.50', '', '200'],
      ['internal', '192.168.1.50', '198.51.100.5', 'BYE', ''],
      ['external', '203.0.113.1', '198.51.100.5', 'BYE', ''],
    ],
  );
  for (const row of rows) {
    assert.deepEqual(row.slice(6, 9), ['1', '1', '']);
    assert.equal(Number(row[9]), Date.UTC(2026, 0, 2, 3, 4, 5, 678) / 1000);
  }
  const comments = rows[3]![5]!;
  for (const part of [
    'via.sent-by (RFC 3261 §18.1.1): 192.168.1.50:5060 → 203.0.113.1:5060',
    'sdp.connection (RFC 8866 §5.7): 192.168.1.50 → 203.0.113.1',
    'media open',
    'call begins  c',
  ])
    assert.ok(comments.includes(part), comments);
  assert.match(rows[2]![5]!, /^translated: \d+ edits/);
});

test('what is hidden is hidden, and the description still leads Wireshark to the media', {
  skip,
}, async () => {
  const bench = call();
  const hidden = await captured(bench);
  assert.ok(!hidden.includes('alice') && !hidden.includes('beef'));
  const [row] = tshark(
    hidden,
    ['sdp.connection_info.address', 'sdp.media.port'],
    '-Y',
    'sdp && frame.interface_id == 1',
  );
  assert.equal(row![0], '203.0.113.1');
  assert.ok((await captured(bench, { reveal: true })).includes('username="alice"'));
});

test('one call only; and no more octets than allowed', { skip }, async () => {
  const bench = call();
  const methods = tshark(await captured(bench, { callId: 'c' }), ['sip.Call-ID']);
  assert.deepEqual(methods, Array(6).fill(['c']));
  const small = await captured(bench, { octets: 3_000 });
  assert.ok(small.length <= 3_000 && tshark(small, ['frame.number']).length > 0);
});

test('over TCP the messages of a connection are segments that follow one another', { skip }, async () => {
  const bench = new Recorded();
  const flow = {
    transport: 'tcp',
    side: 'internal',
    local: at('198.51.100.5:5060'),
    remote: at('192.168.1.50:40000'),
    connection: 7,
  } as const;
  for (let cseq = 1; cseq <= 3; cseq++) {
    const text = request('OPTIONS', { cseq, sentBy: '192.168.1.50:40000' }).replace('/UDP', '/TCP');
    bench.feed({ kind: 'packet', flow, bytes: octetsOf(text), externalAddress: '203.0.113.1' });
  }
  const rows = tshark(
    await captured(bench),
    ['frame.interface_name', 'sip.Method', 'tcp.checksum.status', 'tcp.seq_raw', 'tcp.len', '_ws.expert'],
    '-o',
    'tcp.relative_sequence_numbers:FALSE',
  );
  assert.equal(rows.length, 6);
  for (const row of rows) assert.deepEqual(row.slice(1, 3), ['OPTIONS', '1']);
  const inside = rows.filter(([name]) => name === 'internal').map((row) => [Number(row[3]), Number(row[4])]);
  for (const [i, [sequence]] of inside.entries())
    if (i > 0) assert.equal(sequence, inside[i - 1]![0]! + inside[i - 1]![1]!);
  assert.deepEqual(
    rows.map((row) => /retransmission|lost|out-of-order/i.exec(row[5] ?? '')),
    Array(6).fill(null),
  );
});

test('header fields with markup and escape codes are octets of a message, and harmless in a comment', {
  skip,
}, async () => {
  const bench = new Recorded();
  const evil = '<sip:\u001b[2J<script>alert(1)</script>@192.168.1.50:5060>';
  bench.phone(request('REGISTER'));
  bench.phone(request('OPTIONS', { cseq: 2, contact: evil }));
  const rows = tshark(await captured(bench, { reveal: true }), ['frame.comment']);
  assert.equal(rows.length, 4);
  assert.ok(!JSON.stringify(rows).includes('\\u001b'));
});
