/** `sipalg diff` as a user runs it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { invite, register, translated, withLength } from '../detect/pairs.ts';
import { TwoSides } from '../detector/two-sides.ts';
import { root, sipalg } from './program.ts';

interface Answer {
  readonly verdict: string;
  readonly findings: readonly {
    fault: string;
    severity: number;
    where: string;
    sent: string;
    received: string;
    explanation: string;
    spans: { sent: { start: number; end: number }; received: { start: number; end: number } };
  }[];
  readonly unpaired: readonly unknown[];
  readonly confidence: string;
}

const folder = mkdtempSync(join(tmpdir(), 'sipalg-diff-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? Buffer.from(content, 'latin1') : content);
  return path;
}

const sample = ['samples/diff/sent.sip', 'samples/diff/received.sip'];

test('the sample: faulty, each fault with its symptom, its lines and what to do', () => {
  const { code, out, err } = sipalg(['diff', ...sample]);
  assert.equal(code, 1, err);
  assert.match(out, /^faulty: SIP is altered on the way\. .+\n/);
  for (const id of ['SYN-SEMI', 'ADDR-CALLID', 'LEN-WRONG']) assert.match(out, new RegExp(`^${id}  `, 'm'));
  assert.match(out, /What a caller notices: /);
  assert.match(out, /^ {4}- Call-ID: .*@192\.168\.1\.50\n {4}\+ Call-ID: .*@203\.0\.113\.7$/m);
  assert.match(out, /What to do, most promising first:\n {2}1\. Switch the SIP ALG/);
});

test('--json: verdict, findings and unpaired; what a span names is what stands there', () => {
  const { code, out } = sipalg(['diff', ...sample, '--json']);
  assert.equal(code, 1);
  const answer = JSON.parse(out) as Answer;
  assert.equal(answer.verdict, 'faulty');
  assert.deepEqual(answer.unpaired, []);
  const [sent, received] = sample.map((path) => readFileSync(`${root}${path}`, 'latin1'));
  for (const { spans, ...one } of answer.findings) {
    assert.equal(sent!.slice(spans.sent.start, spans.sent.end), one.sent);
    assert.equal(received!.slice(spans.received.start, spans.received.end), one.received);
    for (const key of ['fault', 'where', 'explanation'] as const) assert.ok(one[key].length > 0);
  }
});

test('exit codes: 0 unaltered, 0 correct-alg, 1 faulty', () => {
  assert.equal(sipalg(['diff', sample[0]!, sample[0]!]).code, 0);
  const correct = sipalg(['diff', file('a.sip', invite), file('b.sip', translated(invite)), '--json']);
  assert.deepEqual([correct.code, (JSON.parse(correct.out) as Answer).verdict], [0, 'correct-alg']);
  const told = sipalg([
    'diff',
    file('a.sip', invite),
    file('b.sip', translated(invite)),
    '--outside',
    '203.0.113.8',
  ]);
  assert.equal(told.code, 0, told.out);
  const wrong = translated(invite).replace('c=IN IP4 203.0.113.7', 'c=IN IP4 203.0.113.9');
  assert.equal(sipalg(['diff', file('a.sip', invite), file('c.sip', withLength(wrong))]).code, 1);
});

test('two captures, and one alone', () => {
  const { inside, outside } = new TwoSides()
    .out(register, translated)
    .out(invite, () => undefined)
    .files();
  const [lan, wan] = [file('lan.pcap', inside), file('wan.pcap', outside)];
  const { code, out } = sipalg(['diff', lan, wan, '--inside', '192.168.1.0/24']);
  assert.equal(code, 1);
  assert.match(out, /NAT: 192\.168\.1\.50:5060 = 203\.0\.113\.7:61002\. That alone is no fault\./);
  assert.match(out, /DROP-/);
  const { unpaired } = JSON.parse(sipalg(['diff', lan, wan, '--json']).out) as Answer;
  assert.equal(unpaired.length, 1);
  const single = sipalg(['diff', '--single', lan, '--json']);
  assert.equal((JSON.parse(single.out) as Answer).confidence, 'C');
  assert.match(sipalg(['diff', '--single', lan]).out, /^nothing found: one side alone cannot prove/);
});

test('--redact hides people, and shows what was done to addresses', () => {
  for (const json of [[], ['--json']]) {
    const { out } = sipalg(['diff', ...sample, '--redact', ...json]);
    assert.ok(!/4930123456|4940987654|Reception/.test(out), out);
    assert.match(out, /203\.0\.113\.7/);
  }
  const secret = register.replace(
    'CSeq',
    'Authorization: Digest username="alice",response="0123456789abcdef"\r\nCSeq',
  );
  const spoiled = secret
    .replace('0123456789abcdef', '0123456789abcdee')
    .replace('"Alice; the <first>"', '"Alice"');
  const { out } = sipalg(['diff', file('s.sip', secret), file('t.sip', spoiled), '--redact', '--json']);
  assert.ok(!/alice@|0123456789|Alice; the/i.test(out), out);
});

test('what cannot be read is said in one line, with exit code 2', () => {
  const message = file('m.sip', invite);
  const { inside } = new TwoSides().out(register).files();
  const capture = file('c.pcap', inside);
  const empty = new TwoSides().files().inside;
  mkdirSync(join(folder, 'folder'), { recursive: true });
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['diff'], /two files are needed/],
    [['diff', message], /two files are needed/],
    [['diff', message, join(folder, 'nothing')], /there is no such file/],
    [['diff', message, join(folder, 'folder')], /it is a directory/],
    [['diff', message, file('empty', '')], /the file is empty/],
    [
      ['diff', file('noise', '\0\xff\x01'.repeat(50)), message],
      /neither like a SIP message nor like a capture/,
    ],
    [['diff', message, file('noise', '\0\xff\x01'.repeat(50))], /neither a SIP message, nor/],
    [['diff', message, file('long', 'a'.repeat(100_000))], /too long for one SIP message/],
    [['diff', message, capture], /is a capture, and .* is not/],
    [['diff', file('e.pcap', empty), file('f.pcap', empty)], /no SIP message in 0 packets/],
    [['diff', file('cut.pcap', inside.subarray(0, 40)), capture], /ends in the middle of a packet/],
    [['diff', '--single', message], /it is no capture/],
    [['diff', '--single', capture, message], /--single takes one capture/],
    [['diff', message, message, '--inside', 'x'], /--inside x: it is no address/],
    [['diff', message, message, '--outside', '1.2.3'], /--outside 1\.2\.3: it is no address/],
    [['diff', message, message, '--direction', 'up'], /--direction up: it is out or in/],
    [['diff', message, message, '--port', '0'], /--port 0/],
  ];
  for (const [args, text] of cases) {
    const { code, out, err } = sipalg(args);
    assert.equal(code, 2, `${args.join(' ')}: ${out}${err}`);
    assert.match(err, text);
    assert.ok(!/\n\s+at /.test(err), err);
  }
});

test('captures cut at any octet: a clear answer, and never a bug', () => {
  const { inside, outside } = new TwoSides().out(register, translated).out(invite, translated).files();
  const wan = file('whole.pcap', outside);
  for (let at = 1; at < inside.length; at += 401) {
    const { code, err } = sipalg(['diff', file('part.pcap', inside.subarray(0, at)), wan]);
    assert.ok(code === 0 || code === 1 || code === 2, `${at}: ${code} ${err}`);
  }
});
