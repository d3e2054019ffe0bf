/** The differ on captures of both sides: pairs whatever was changed, mappings, messages on one side only, media, TCP. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { DiffReport } from '../../src/core/detect/diff-report.ts';
import { type DiffOptions, diffCaptures } from '../../src/detector/diff.ts';
import { type CaptureInput, DiffInputError, readDiffInput } from '../../src/detector/diff-input.ts';
import { diffSingle } from '../../src/detector/diff-single.ts';
import { fragments, pcapFile } from '../capture/files.ts';
import { invite, message, register, translated, withLength } from '../detect/pairs.ts';
import { EXTERNAL, PHONE, rtp, SERVER, SKEW_MS, TwoSides, tcpPacket } from './two-sides.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-diff-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function capture(bytes: Uint8Array): CaptureInput {
  const path = join(folder, `${++files}.pcap`);
  writeFileSync(path, bytes);
  const input = readDiffInput(path, new Set());
  assert.equal(input.kind, 'capture');
  return input as CaptureInput;
}

function diff(sides: TwoSides, options: DiffOptions = {}): DiffReport {
  const { inside, outside } = sides.files();
  return diffCaptures(capture(inside), capture(outside), options);
}

/** The response of a server to a request as it arrived, in the phone's own words on the way in. */
function answer(request: string, status = '200 OK'): string {
  return withLength(
    request
      .replace(/^.*\r\n/, `SIP/2.0 ${status}\r\n`)
      .replace(';rport', ';rport=61002;received=203.0.113.7')
      .replace(/\r\n\r\n[\s\S]*$/, '\r\n\r\n'),
  );
}

const restored = (text: string): string =>
  text
    .replace('UDP 203.0.113.7:61002', 'UDP 192.168.1.50:5060')
    .replace('rport=61002;received=203.0.113.7', 'rport=5060;received=192.168.1.50')
    .replace('alice@203.0.113.7:61002', 'alice@192.168.1.50:5060');

const named = (report: DiffReport): string[] => [
  ...new Set([
    ...report.findings.filter(({ consistent }) => !consistent).map(({ fault }) => fault),
    ...report.unpaired.flatMap(({ fault }) => (fault === undefined ? [] : [fault])),
  ]),
];

test('plain NAT is unaltered, whatever its ports', () => {
  const report = diff(
    new TwoSides().out(register).back(answer(register)).out(invite).back(answer(invite, '180 Ringing')),
  );
  assert.deepEqual([report.verdict, report.findings, report.unpaired], ['unaltered', [], []]);
  assert.deepEqual(report.mappings, [{ inside: PHONE, outside: EXTERNAL }]);
  assert.ok(Math.abs((report.clockSkewMs ?? 0) - SKEW_MS) < 1, `${report.clockSkewMs}`);
});

test('a correct ALG is one', () => {
  const report = diff(
    new TwoSides()
      .out(register, translated)
      .back(answer(translated(register)), restored)
      .out(invite, translated),
  );
  assert.equal(report.verdict, 'correct-alg', named(report).join());
  assert.equal(report.compared, 3);
});

test('messages find each other although Call-ID, branch and CSeq were changed', () => {
  const mangled = (text: string): string =>
    text
      .replace('r1@192.168.1.50', 'qqq')
      .replace('z9hG4bKr1', 'z9hG4bKother')
      .replace('1 REGISTER', '77 REGISTER');
  const report = diff(new TwoSides().out(invite).out(register, mangled).out(invite.replaceAll('i1@', 'i2@')));
  assert.equal(report.compared, 3);
  assert.deepEqual(report.unpaired, []);
  assert.deepEqual(named(report).sort(), ['ADDR-CALLID', 'HDR-BRANCH']);
});

test('retransmissions are paired in their order; one that was lost and repeated is nobody’s fault', () => {
  const report = diff(
    new TwoSides()
      .out(register)
      .out(invite, () => undefined)
      .out(invite)
      .wait(500)
      .out(invite),
  );
  assert.equal(report.verdict, 'unaltered');
  assert.equal(report.compared, 3);
  assert.deepEqual(
    report.unpaired.map(({ fault, seen }) => [fault, seen.frame]),
    [[undefined, 2]],
  );
});

const subscribe = message([
  'SUBSCRIBE sip:bob@example.net SIP/2.0',
  'Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bKs1;rport',
  'From: <sip:alice@example.net>;tag=f9',
  'To: <sip:bob@example.net>',
  'Call-ID: s1@example.net',
  'CSeq: 1 SUBSCRIBE',
]);
const options = subscribe
  .replaceAll('SUBSCRIBE', 'OPTIONS')
  .replace('s1@', 'o1@')
  .replace('z9hG4bKs1', 'z9hG4bKo1');
const bye = subscribe
  .replaceAll('SUBSCRIBE', 'BYE')
  .replace('s1@', 'i1@')
  .replace('z9hG4bKs1', 'z9hG4bKb1')
  .replace('<sip:bob@example.net>\r\n', '<sip:bob@example.net>;tag=t1\r\n');
const lost = (): undefined => undefined;

for (const [fault, sides] of [
  ['DROP-METHOD', new TwoSides().out(register).out(subscribe, lost)],
  ['DROP-INBOUND', new TwoSides().out(register).back(options, lost)],
  ['DROP-ACKBYE', new TwoSides().out(invite).out(bye, lost)],
  ['DROP-5060', new TwoSides().out(register, lost).out(options, lost)],
  [
    'DROP-MALFORMED',
    new TwoSides().out(options).out(options.replace('o1@', 'o2@').replace('z9hG4bKo1', 'z'), lost),
  ],
  ['DROP-FRAG', new TwoSides().out(register).out(withLength(`${invite}${'a=x:y\r\n'.repeat(200)}`), lost)],
] as const)
  test(`${fault}: named where a message does not arrive, and not where it does`, () => {
    const report = diff(sides);
    assert.deepEqual(named(report), [fault]);
    assert.equal(report.verdict, 'faulty');
    const passed = new TwoSides();
    for (const { source, bytes } of [
      ...sides.inside,
      ...sides.outside.filter((one) => one.source === SERVER),
    ]) {
      const text = Buffer.from(bytes).toString('latin1');
      if (source === SERVER) passed.back(text);
      else passed.out(text);
    }
    assert.deepEqual(named(diff(passed)), []);
  });

test('PROXY-ANSWER: an answer that no server has sent', () => {
  const sides = new TwoSides().out(register).back(answer(register)).out(options, lost);
  sides.inside.push({
    ...sides.inside.at(-1)!,
    source: SERVER,
    destination: PHONE,
    bytes: Buffer.from(answer(options)),
  });
  assert.ok(named(diff(sides)).includes('PROXY-ANSWER'));
});

test('the two files may be exchanged: addresses tell', () => {
  const { inside, outside } = new TwoSides().out(register, translated).files();
  const report = diffCaptures(capture(outside), capture(inside));
  assert.equal(report.verdict, 'correct-alg');
  assert.match(report.notes.join(), /exchanged/);
});

test('RTP tells the real mapping, and an SDP that names another is at fault', () => {
  const sides = (real: number): TwoSides => {
    const two = new TwoSides();
    const media = { address: PHONE.address, port: 4000 };
    two.mappings.push([media, { address: EXTERNAL.address, port: real }]);
    two.out(invite, translated);
    for (let i = 0; i < 5; i++)
      two.out(rtp(99, i), (one) => one, media, { address: '198.51.100.9', port: 9000 });
    return two;
  };
  assert.equal(diff(sides(30000)).verdict, 'correct-alg');
  const report = diff(sides(30044));
  assert.deepEqual(named(report), ['SDP-M']);
  assert.match(report.findings.find(({ fault }) => fault === 'SDP-M')!.explanation, /30044/);
});

test('SDP-REINVITE, SDP-200ONLY, ADDR-ASYM: what only several messages show', () => {
  const again = invite.replace('2 INVITE', '3 INVITE').replace('z9hG4bKi1', 'z9hG4bKi2');
  const moved = (text: string): string =>
    translated(text).replace('m=audio 30000', 'm=audio 30008').replace('rtcp:30001', 'rtcp:30009');
  assert.ok(named(diff(new TwoSides().out(invite, translated).out(again, moved))).includes('SDP-REINVITE'));
  assert.deepEqual(named(diff(new TwoSides().out(invite, translated).out(again, translated))), []);

  const own = withLength(
    invite
      .replace(/^.*\r\n/, 'SIP/2.0 200 OK\r\n')
      .replace('UDP 192.168.1.50:5060;branch=z9hG4bKi1;rport', 'UDP 198.51.100.5:5060;branch=z9hG4bKx')
      .replace('i1@', 'x1@'),
  );
  assert.ok(named(diff(new TwoSides().out(invite, translated).out(own))).includes('SDP-200ONLY'));
  assert.ok(
    named(diff(new TwoSides().out(register, translated).back(answer(translated(register))))).includes(
      'ADDR-ASYM',
    ),
  );
});

test('MULTI-SAMEPORT: two phones behind one external endpoint', () => {
  const other = { address: '192.168.1.51', port: 5060 };
  const sides = new TwoSides();
  sides.mappings.push([other, EXTERNAL]);
  sides.out(register).out(options.replaceAll('192.168.1.50', '192.168.1.51'), (one) => one, other);
  assert.ok(named(diff(sides)).includes('MULTI-SAMEPORT'));
});

test('SIP over TCP, in segments that come late, twice and cut anywhere', () => {
  const tcp = (text: string): string => text.replaceAll('SIP/2.0/UDP', 'SIP/2.0/TCP');
  const stream = (text: string, from: typeof PHONE): Uint8Array => {
    const flow = { source: from, destination: SERVER };
    const start = 0xffff_fff0;
    const pieces = [
      [start, text.slice(0, 300)],
      [start + 700, text.slice(700)],
      [start + 300, text.slice(300, 500)],
      [start + 300, text.slice(300, 500)],
      [start + 450, text.slice(450, 700)],
    ] as const;
    const packets = [
      tcpPacket(flow, start - 1, 2, ''),
      ...pieces.map(([sequence, piece]) => tcpPacket(flow, sequence >>> 0, 24, piece)),
    ];
    return pcapFile(
      101,
      packets.map((bytes, i) => ({ timeMs: 1_700_000_000_000 + i, bytes })),
    );
  };
  const both = tcp(register) + tcp(invite);
  const report = diffCaptures(capture(stream(both, PHONE)), capture(stream(both, EXTERNAL)));
  assert.deepEqual([report.verdict, report.compared], ['unaltered', 2]);
  const longer = tcp(register).replace('r1@192.168.1.50', 'r1@203.0.113.7') + tcp(invite);
  const altered = diffCaptures(capture(stream(both, PHONE)), capture(stream(longer, EXTERNAL)));
  assert.deepEqual(named(altered), ['ADDR-CALLID']);
});

test('a datagram in IP fragments is one message', () => {
  const long = withLength(`${invite}${'a=x:y\r\n'.repeat(300)}`);
  const file = (from: typeof PHONE): Uint8Array =>
    pcapFile(
      101,
      fragments(
        {
          timeMs: 1_700_000_000_000,
          source: from,
          destination: SERVER,
          bytes: new Uint8Array(Buffer.from(long, 'latin1')),
        },
        1_480,
      ).map((bytes, i) => ({ timeMs: 1_700_000_000_000 + i, bytes })),
    );
  const report = diffCaptures(capture(file(PHONE)), capture(file(EXTERNAL)));
  assert.deepEqual([report.verdict, report.compared], ['unaltered', 1]);
});

test('one side alone: signs of an ALG outside, nothing where there is none, and never a proof', () => {
  const { inside, outside } = new TwoSides()
    .out(invite, translated)
    .back(answer(translated(invite)), restored)
    .files();
  const seen = diffSingle(capture(outside));
  assert.ok(named(seen).includes('ADDR-VIA') && named(seen).includes('ADDR-CONTACT'));
  assert.ok(seen.findings.every(({ confidence }) => confidence === 'C'));
  // Inside everything was taken back but what the server wrote of whom it has seen.
  assert.deepEqual(named(diffSingle(capture(inside))), ['ADDR-REVERSE']);
  const plain = new TwoSides().out(invite).back(answer(invite)).files();
  for (const file of [plain.inside, plain.outside]) assert.deepEqual(named(diffSingle(capture(file))), []);
});

test('one side alone: what the server sends in a dialog bears the phone’s Call-ID, and that is no sign', () => {
  const bye = [
    'BYE sip:alice@203.0.113.7:61002 SIP/2.0',
    'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKbye',
    'From: <sip:bob@example.com>;tag=theirs',
    'To: <sip:alice@example.com>;tag=ours',
    'Call-ID: 9876@192.168.1.50',
    'CSeq: 2 BYE',
    'Contact: <sip:bob@198.51.100.5:5060>',
    ...['Content-Length: 0', '', ''],
  ].join('\r\n');
  assert.deepEqual(named(diffSingle(capture(new TwoSides().back(bye).files().outside))), []);
});

test('RTP that an echo sends back is another stream, and no mapping of the other end', () => {
  const two = new TwoSides().out(register);
  const media = { address: PHONE.address, port: 4000 };
  const far = { address: '198.51.100.9', port: 9000 };
  two.mappings.push([media, { address: EXTERNAL.address, port: 30_000 }]);
  for (let i = 0; i < 5; i++) {
    const packet = rtp(99, i);
    two.out(packet, (one) => one, media, far).back(packet, (one) => one, media, far);
  }
  assert.deepEqual(diff(two).mappings, [
    { inside: media, outside: { address: EXTERNAL.address, port: 30_000 } },
    { inside: PHONE, outside: EXTERNAL },
  ]);
});

test('a capture cut at any octet is read as far as it goes, or refused with a reason', () => {
  const { inside, outside } = new TwoSides().out(register, translated).out(invite, translated).files();
  const wan = capture(outside);
  let refused = 0;
  for (let at = 24; at < inside.length; at += 7) {
    try {
      const report = diffCaptures(capture(inside.subarray(0, at)), wan);
      assert.ok(report.compared <= 2);
    } catch (error) {
      assert.ok(error instanceof DiffInputError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 10);
});

test('many messages cost as much more as they are more', () => {
  const cost = (count: number): number => {
    const sides = new TwoSides();
    for (let i = 0; i < count; i++) {
      const one = register.replaceAll('r1', `r${i}`);
      sides.out(one, translated);
      // Nothing identifies these on both sides.
      sides.out(options.replaceAll('o1', `o${i}`), (text) =>
        text.replace(/branch=\S+/, 'branch=x').replace(/Call-ID.*/, 'Call-ID: y'),
      );
    }
    const [inside, outside] = [capture(sides.files().inside), capture(sides.files().outside)];
    const start = process.cpuUsage().user;
    diffCaptures(inside, outside);
    return (process.cpuUsage().user - start) / 1_000;
  };
  cost(200);
  const [small, large] = [cost(1_000), cost(4_000)];
  // Four times as many; quadratic would be sixteen times.
  assert.ok(large < 10 * small + 200, `${small} ms, ${large} ms`);
});
