import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { maskExchange, maskMessage } from '../../src/observe/masking.ts';
import { message, request, sdp } from '../engine/bench.ts';
import { Recorded } from './recorded.ts';

function masked(text: string): string {
  const bytes = maskMessage(octetsOf(text));
  assert.equal(bytes.length, text.length);
  return textOf(bytes, 0, bytes.length);
}

const SECRETS: readonly [what: string, line: string, secrets: readonly string[]][] = [
  ['a user', 'X-Who: <sip:alice.smith@example.com>', ['alice']],
  ['a password in a URI', 'X-Who: <sips:alice:hunter2@example.com>', ['hunter2']],
  ['a number', 'X-Number: <tel:+493012345>', ['3012345']],
  ['a quoted name', 'Contact: "Alice \\"Al\\" Smith" <sip:a@b>', ['Smith', 'Al']],
  ['a plain name', 'P-Asserted-Identity: Alice Smith <sip:a@b>', ['Alice', 'Smith']],
  ['a name by its compact form', 'm: Alice <sip:a@b>', ['Alice']],
  [
    'digest credentials',
    'Authorization: Digest username="bob", realm="corp.example", nonce="n0nce", uri="sip:b", response="0123456789abcdef", cnonce=abcdef',
    ['bob', 'corp.example', 'n0nce', '0123456789abcdef', 'abcdef'],
  ],
  [
    'folded credentials',
    'Proxy-Authorization: Digest\r\n username="bob",\r\n response="beef"',
    ['bob', 'beef'],
  ],
  ['a token', 'Authorization: Bearer ey.abc.def', ['ey.abc']],
  ['a password', 'Proxy-Authorization:\r\n Basic dXNlcjpwYXNz', ['dXNlcjpwYXNz']],
  ['an identity token', 'Identity: eyJhbGciOi.x.y;info=<https://a.example/c>', ['eyJhbGciOi']],
  ['a subject', 'Subject: the merger', ['merger']],
];

for (const [what, line, secrets] of SECRETS)
  test(`hidden, octet by octet: ${what}`, () => {
    const text = masked(
      message(['OPTIONS sip:b SIP/2.0', 'Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa', line]),
    );
    for (const secret of secrets) assert.ok(!text.includes(secret), text);
    assert.ok(text.startsWith('OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n'));
  });

test('of a description keys, names and texts are hidden; addresses, ports and codecs stay', () => {
  const text = masked(
    request('INVITE', {}, [
      ...sdp('192.168.1.50', 4000, [
        'a=rtpmap:0 PCMU/8000',
        'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0a2V5|2^20',
        'a=ice-pwd:verysecretpassword',
        'a=fingerprint:sha-256 AA:BB',
      ]),
      's=lunch',
    ]),
  );
  for (const secret of ['c2VjcmV0', 'verysecret', 'AA:BB', 'lunch'])
    assert.ok(!text.includes(secret), secret);
  for (const kept of [
    'c=IN IP4 192.168.1.50',
    'm=audio 4000 RTP/AVP 0',
    'a=rtpmap:0 PCMU/8000',
    'inline:xxx',
  ])
    assert.ok(text.includes(kept), kept);
});

test('what people write is hidden, line ends stay; in a body of parts a description is still one', () => {
  const written = masked(
    'MESSAGE sip:b SIP/2.0\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nmeet me\r\nat 5.',
  );
  assert.ok(written.endsWith('\r\n\r\nxxxxxxx\r\nxxxxx'));
  const body = [
    '--b',
    'Content-Type: application/sdp',
    '',
    ...sdp('192.168.1.50', 4000),
    '--b',
    'Content-Type: text/plain',
    '',
    'secret words',
    '--b--',
    '',
  ].join('\r\n');
  const parts = masked(
    [
      'INVITE sip:b SIP/2.0',
      'Via: SIP/2.0/UDP 192.168.1.50;branch=z9hG4bKa',
      'From: <sip:a@b>;tag=1',
      'To: <sip:b>',
      'Call-ID: c',
      'CSeq: 1 INVITE',
      'Content-Type: multipart/mixed;boundary=b',
      `Content-Length: ${body.length}`,
      '',
      body,
    ].join('\r\n'),
  );
  assert.ok(!parts.includes('secret words'));
  assert.ok(parts.includes('--b\r\nContent-Type: text/plain'));
  assert.ok(parts.includes('m=audio 4000 RTP/AVP 0'), parts);
});

test('octets that are no SIP are hidden but for keepalives', () => {
  assert.equal(masked('\r\n\r\n'), '\r\n\r\n');
  assert.equal(masked('\u0016\u0003\u0001 secret'), 'xxxxxxxxxx');
  assert.equal(masked('GET /secret HTTP/1.1\r\n\r\n').includes('secret'), false);
});

test('edits are where they were, and say what the hidden octets say', () => {
  const bench = new Recorded();
  bench.phone(
    request('INVITE', { contact: '"Alice" <sip:alice@192.168.1.50:5060>' }, sdp('192.168.1.50', 4000)),
  );
  const exchange = bench.recorder.exchanges().find(({ received }) => received !== undefined);
  const hidden = maskExchange(exchange!);
  const [plain] = exchange!.events.filter((event) => event.kind === 'message.translated');
  const [event] = hidden.events.filter((one) => one.kind === 'message.translated');
  assert.deepEqual(
    event!.edits.map(({ offset, length, rule, before, after }) => [offset, length, rule, before, after]),
    plain!.edits.map(({ offset, length, rule, before, after }) => [offset, length, rule, before, after]),
  );
  assert.ok(!JSON.stringify(hidden).includes('alice'));
  assert.ok(!textOf(hidden.received!, 0, hidden.received!.length).includes('Alice'));
  assert.equal(hidden.sent[0]!.bytes.length, exchange!.sent[0]!.bytes.length);
});

test('any octets: the same length, line ends where they were, and twice is once', () => {
  const pieces = fc.array(
    fc.constantFrom(
      ...['INVITE sip:b SIP/2.0\r\n', 'sip:', '@', '"', '\\', '<', '>', 'tel:', '\r\n', ' ', 'From:', 'a'],
      ...['username="', 'Authorization: ', 'Content-Type: multipart/x;boundary=b\r\n', '--b', '\u0000', 'ÿ'],
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(pieces, (list) => {
      const text = list.join('');
      const once = masked(text);
      assert.deepEqual(
        [...once].map((c) => c === '\r' || c === '\n'),
        [...text].map((c) => c === '\r' || c === '\n'),
      );
      assert.equal(masked(once).length, once.length);
    }),
    { numRuns: 500 },
  );
});

test('no message takes longer than its length', () => {
  const head = 'INVITE sip:b SIP/2.0\r\nFrom: ';
  for (const piece of ['sip:', '"', '\\"', ' ', '"<sip:', 'a ', 'username=', 'tel:', '\r\n ', ':', 'm:'])
    for (const start of [head, 'INVITE sip:b SIP/2.0\r\nAuthorization: ']) {
      const bytes = octetsOf(start + piece.repeat(Math.floor(60_000 / piece.length)));
      const before = process.cpuUsage();
      maskMessage(bytes);
      const { user, system } = process.cpuUsage(before);
      assert.ok(user + system < 1_000_000, `${JSON.stringify(piece)}: ${user + system} µs`);
    }
});
