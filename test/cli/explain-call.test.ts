/** Several messages: a text, and captures of either side of the NAT. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Datagram, writePcap } from '../../src/observe/capture/writer.ts';
import { root, sipalg } from './program.ts';

interface Answer {
  readonly verdict?: string;
  readonly edits?: readonly { offset: number; length: number; after: string; rule: string }[];
  readonly messages: readonly {
    direction: string;
    summary: string;
    offset?: number;
    timeMs?: number;
    source?: string;
    destination?: string;
    verdict: string;
    why?: string;
    edits: readonly { before: string; after: string; rule: string }[];
    defects: readonly { code: string }[];
    events: readonly { kind: string; internal?: unknown; why?: string }[];
  }[];
}

const folder = mkdtempSync(join(tmpdir(), 'sipalg-explain-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? Buffer.from(content, 'latin1') : content);
  return path;
}

const INTERNAL = '192.168.1.50:5060';
const EXTERNAL = '203.0.113.7:61002';
const mapping = ['--mapping', `${INTERNAL}=${EXTERNAL}`];
const provider = { address: '198.51.100.5', port: 5060 };
const phone = { address: '192.168.1.50', port: 5060 };
const outside = { address: '203.0.113.7', port: 61_002 };

const register = readFileSync(`${root}samples/register.sip`, 'latin1');
const invite = readFileSync(`${root}samples/invite.sip`, 'latin1');

/** What a provider answers that believes the Via: to the request as it left the gateway. */
function respond(request: string, status: string, extra: readonly string[] = [], body = ''): string {
  const copied = ['Via', 'From', 'To', 'Call-ID', 'CSeq'].map((name) =>
    request.split('\r\n').find((line) => line.startsWith(`${name}: `)),
  );
  return [`SIP/2.0 ${status}`, ...copied, ...extra, `Content-Length: ${body.length}`, '', body].join('\r\n');
}

function translated(text: string): string {
  return text.replaceAll(INTERNAL, EXTERNAL);
}

const answer = [
  'v=0',
  'o=- 1 1 IN IP4 198.51.100.9',
  's=-',
  'c=IN IP4 198.51.100.9',
  't=0 0',
  'm=audio 20000 RTP/AVP 8',
  '',
].join('\r\n');
const callId = /Call-ID: (.*)\r/.exec(invite)![1]!;
const bye = [
  `BYE sip:4930123456@${EXTERNAL};transport=udp SIP/2.0`,
  'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKbye',
  'From: <sip:4940987654@sip.example.net>;tag=y',
  'To: <sip:4930123456@sip.example.net>;tag=9b1c44d0',
  `Call-ID: ${callId}`,
  'CSeq: 7 BYE',
  'Max-Forwards: 70',
  'Content-Length: 0',
  '',
  '',
].join('\r\n');

/** A registration and a call that the other side hangs up, with an INVITE that is sent twice. */
const call: readonly (readonly ['out' | 'in', string])[] = [
  ['out', register],
  [
    'in',
    respond(translated(register), '200 OK', [
      `Contact: <sip:4930123456@${EXTERNAL};transport=udp>;expires=60`,
    ]),
  ],
  ['out', invite],
  ['out', invite],
  [
    'in',
    respond(
      translated(invite),
      '200 OK',
      ['Contact: <sip:bob@198.51.100.5:5060>', 'Content-Type: application/sdp'],
      answer,
    ).replace('sip.example.net>\r\nCall', 'sip.example.net>;tag=y\r\nCall'),
  ],
  ['in', bye],
  ['out', respond(bye, '200 OK')],
];
const text = call.map(([, message]) => message).join('');

/** The same, seen on the wire. */
function captured(inside: boolean, arrivals: boolean): Datagram[] {
  return call.map(([way, message], index) => ({
    timeMs: 1_700_000_000_000 + index * 250,
    source: way === 'in' ? provider : inside ? phone : outside,
    destination: way === 'out' ? provider : arrivals ? outside : phone,
    bytes: new Uint8Array(Buffer.from(message, 'latin1')),
  }));
}

function explained(...args: readonly string[]): Answer {
  const { code, out, err } = sipalg(['explain', '--json', ...args]);
  assert.equal(code, 0, err);
  return JSON.parse(out) as Answer;
}

test('a text with a whole call: one gateway over all messages, each with its direction', () => {
  const { messages } = explained(...mapping, file('call.sip', text));
  assert.deepEqual(
    messages.map(({ direction, verdict, edits }) => [direction, verdict, edits.length]),
    [
      ['out', 'translate', 2],
      ['in', 'translate', 2],
      ['out', 'translate', 6],
      ['out', 'translate', 6],
      ['in', 'translate', 1],
      ['in', 'translate', 1],
      ['out', 'pass', 0],
    ],
  );
  assert.deepEqual(messages[3]?.edits, messages[2]?.edits, 'a retransmission has the same edits');
  assert.deepEqual(
    messages.map(({ events }) => events.map(({ kind }) => kind)),
    [
      ['mapping.opened'],
      ['registration.granted'],
      ['dialog.opened', 'media.opened'],
      [],
      ['dialog.confirmed'],
      [],
      ['media.closed', 'dialog.ended'],
    ],
  );
  assert.deepEqual(
    messages.map(({ offset }) => offset),
    call.map((_, index) => call.slice(0, index).reduce((sum, [, message]) => sum + message.length, 0)),
  );
});

test('the phone gets back what it wrote, and the edits of a text make --raw', () => {
  const path = file('call.sip', text);
  const { edits, verdict } = explained(...mapping, path);
  let expected = text;
  for (const { offset, length, after: written } of edits!.toReversed())
    expected = expected.slice(0, offset) + written + expected.slice(offset + length);
  assert.equal(verdict, 'translate');
  const { bytes, err } = sipalg(['explain', '--raw', ...mapping, path]);
  assert.equal(err, '');
  assert.equal(bytes.toString('latin1'), expected);
  assert.ok(
    expected.includes(
      respond(register, '200 OK', [`Contact: <sip:4930123456@${INTERNAL};transport=udp>;expires=60`]),
    ),
  );
});

test('captures give what the text gives: of the phone’s side and of arrivals, of one side, in pcap over Ethernet or raw', () => {
  const expected = sipalg(['explain', '--raw', ...mapping, file('call.sip', text)]).bytes;
  for (const [inside, arrivals] of [
    [true, true],
    [true, false],
    [false, true],
  ] as const) {
    for (const link of ['raw', 'ethernet'] as const) {
      const path = file('call.pcap', writePcap(captured(inside, arrivals), { link }));
      const { bytes, err } = sipalg(['explain', '--raw', ...mapping, path]);
      assert.equal(err, '');
      assert.deepEqual(bytes, expected, `${inside} ${arrivals} ${link}`);
    }
  }
});

test('a capture of both sides of the NAT shows each message once', () => {
  const both = captured(true, true).flatMap((one): Datagram[] =>
    one.source === phone ? [one, { ...one, source: outside }] : [one, { ...one, destination: phone }],
  );
  const path = file('both.pcap', writePcap(both));
  const { messages } = explained(...mapping, path);
  assert.equal(messages.length, call.length);
  const [first] = messages;
  assert.deepEqual(
    [first?.source, first?.destination, first?.timeMs],
    [INTERNAL, '198.51.100.5:5060', 1_700_000_000_000],
  );
  const { err } = sipalg(['explain', '--json', ...mapping, path]);
  assert.match(err, /7 of 14 SIP messages do not cross the gateway/);
});

test('time passes in a capture: a registration that ended is gone', () => {
  const seen = captured(true, true);
  const later = seen.map((one, index) => (index < 2 ? one : { ...one, timeMs: one.timeMs + 600_000 }));
  const { messages } = explained(...mapping, file('later.pcap', writePcap(later)));
  assert.deepEqual(
    messages[2]?.events.slice(0, 2).map(({ kind, why }) => [kind, why]),
    [
      ['registration.removed', 'expired'],
      ['mapping.closed', 'nothing uses it any more'],
    ],
  );
});

test('without --mapping the private addresses of a capture are the phones', () => {
  const { messages } = explained(file('lan.pcap', writePcap(captured(true, false))));
  assert.deepEqual(
    messages.map(({ direction }) => direction),
    call.map(([way]) => way),
  );
  assert.equal(messages[0]?.edits[0]?.after, '203.0.113.1:5060');
});

test('media and other traffic of a capture is left out; what is no SIP on a SIP port passes and is shown', () => {
  const rtp = {
    ...captured(true, true)[0]!,
    source: { ...phone, port: 16_384 },
    destination: { ...provider, port: 20_000 },
    bytes: new Uint8Array(172).fill(0x80),
  };
  const odd = { ...captured(true, true)[0]!, bytes: Uint8Array.of(0, 1, 255) };
  const { messages } = explained(
    ...mapping,
    file('mixed.pcap', writePcap([rtp, ...captured(true, true), odd])),
  );
  assert.equal(messages.length, call.length + 1);
  assert.deepEqual(
    [messages.at(-1)?.verdict, messages.at(-1)?.summary, messages.at(-1)?.defects[0]?.code],
    ['pass', '3 octets', 'not-sip'],
  );
});

test('for people: each message in order with its own diff, and what happened', () => {
  const { out } = sipalg(['explain', ...mapping, file('call.sip', text)]);
  assert.match(out, /^1\/7 {2}REGISTER sip:sip\.example\.net {2}phone → provider\ntranslate: 2 edits/);
  assert.match(out, /^- Contact: .*61002.*\n\+ Contact: .*192\.168\.1\.50:5060.*\n {4}contact\.restore /m);
  assert.match(out, /^ {2}· media open {2}192\.168\.1\.50:16384 ⇄ 203\.0\.113\.7:\d+ /m);
  assert.match(out, /^7\/7 {2}200 to BYE {2}phone → provider\npass: /m);
  assert.ok(!out.includes('\u001b'));
  const shown = sipalg(['explain', ...mapping, file('call.pcap', writePcap(captured(true, true)))]).out;
  assert.match(
    shown,
    /^2\/7 {2}200 to REGISTER {2}provider → phone {2}198\.51\.100\.5:5060 → 203\.0\.113\.7:61002 {2}\+0\.250 s$/m,
  );
});

test('--datagram: one datagram, whatever it looks like', () => {
  const path = file('two.sip', register + invite);
  const one = JSON.parse(sipalg(['explain', '--json', '--datagram', ...mapping, path]).out) as Answer & {
    defects: { code: string }[];
  };
  assert.deepEqual(
    [one.verdict, one.edits?.length, one.defects[0]?.code],
    ['translate', 2, 'trailing-octets'],
  );
});

test('captures that cannot be used say why; damaged ones show what stands before the damage', () => {
  const whole = writePcap(captured(true, true));
  const cut = sipalg(['explain', '--json', ...mapping, file('cut.pcap', whole.subarray(0, -10))]);
  assert.equal((JSON.parse(cut.out) as Answer).messages.length, call.length - 1);
  assert.match(cut.err, /^note: the file ends in the middle of a packet \(at byte \d+\)$/m);
  const cases: readonly [string, string[], Uint8Array][] = [
    ['no SIP message in 0 packets', mapping, writePcap([])],
    ['none of its 7 SIP messages is from a phone', ['--mapping', '10.0.0.1=10.0.0.2'], whole],
    [
      'no SIP message in 0 packets; a record says',
      mapping,
      Uint8Array.of(...writePcap([]), ...new Uint8Array(16).fill(255)),
    ],
  ];
  for (const [expected, args, bytes] of cases) {
    const { code, out, err } = sipalg(['explain', ...args, file('bad.pcap', bytes)]);
    assert.deepEqual([code, out], [2, '']);
    assert.ok(err.includes(expected), err);
  }
});

test('input beyond one datagram: told apart from several messages', () => {
  const large = 'x'.repeat(70_000);
  const one = sipalg(['explain', file('large.sip', large)]);
  assert.deepEqual([one.code, one.out], [2, '']);
  assert.match(one.err, /70000 bytes are more than one SIP message over UDP can have \(65535\)/);
  const second = sipalg([
    'explain',
    file('second.sip', register + invite.replace(/Content-Length.*\r\n/, '') + large),
  ]);
  assert.equal(second.code, 2);
  assert.match(second.err, /message 2 at byte 7\d\d has 7\d{4} bytes/);
  const many = sipalg(['explain', '--raw', ...mapping, file('many.sip', register.repeat(120))]);
  assert.deepEqual([many.code, many.bytes.length], [0, register.length * 120]);
});

test('from phone to phone through the external endpoint: out first, and in as that', () => {
  const other = { address: '192.168.1.51', port: 5060 };
  const outsideOther = { address: '203.0.113.7', port: 61_003 };
  const both = [...mapping, '--mapping', '192.168.1.51:5060=203.0.113.7:61003'];
  const hairpin = invite.replace('sip:4940987654@sip.example.net SIP', 'sip:bob@203.0.113.7:61003 SIP');
  const path = file(
    'hairpin.pcap',
    writePcap(
      [
        { source: other, destination: provider, text: register.replaceAll('192.168.1.50', '192.168.1.51') },
        { source: phone, destination: outsideOther, text: hairpin },
      ].map(({ source, destination, text: message }, index) => ({
        timeMs: index,
        source,
        destination,
        bytes: new Uint8Array(Buffer.from(message, 'latin1')),
      })),
    ),
  );
  const { messages } = explained(...both, path);
  assert.deepEqual(
    messages.map(({ direction, edits }) => [direction, edits.map(({ rule }) => rule)[0]]),
    [
      ['out', 'via.sent-by'],
      ['out', 'via.sent-by'],
      ['in', 'request-uri.host-port'],
    ],
  );
  const { bytes } = sipalg(['explain', '--raw', ...both, path]);
  assert.match(
    bytes.toString('latin1'),
    /INVITE sip:bob@192\.168\.1\.51:5060 SIP\/2\.0\r\nVia: SIP\/2\.0\/UDP 203\.0\.113\.7:61002/,
  );
});

test('a reader that has seen enough ends it quietly', () => {
  const path = file('long.sip', register.repeat(400));
  const { stdout, stderr } = spawnSync('sh', ['-c', 'bin/sipalg explain "$0" | head -n 1', path], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.deepEqual([stdout.split('  ')[0], stderr], ['1/400', '']);
});
