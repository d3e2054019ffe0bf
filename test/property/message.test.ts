/** Laws of the message layer, over generated and over damaged messages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatEndpoint, parseAddress, parseEndpoint } from '../../src/core/net/address.ts';
import { scanDescription } from '../../src/core/sdp/description.ts';
import { applyEdits } from '../../src/core/sip/edit.ts';
import { type Frame, Framer } from '../../src/core/sip/framing.ts';
import { scanMessage } from '../../src/core/sip/message.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';

const lws = fc.constantFrom('', ' ', '\t', ' \t ', '\r\n ', ' \r\n\t');
const token = fc.stringMatching(/^[A-Za-z0-9.!%*_+`'~-]{1,12}$/);
const host = fc.oneof(
  fc.ipV4(),
  fc.ipV6().map((one) => `[${one}]`),
  fc.constantFrom('example.net', 'a.b', 'phone-1.example.org', 'localhost'),
);
const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined });
const hostPort = fc.tuple(host, port).map(([h, p]) => (p === undefined ? h : `${h}:${p}`));
const value = fc.stringMatching(/^[\x21-\x7e][\x20-\x7e]{0,30}[\x21-\x7e]$/);
const other = fc.tuple(token, lws, value).map(([name, space, text]) => `X-${name}:${space}${text}`);
const display = fc.constantFrom('', '"A, B; <c>" ', 'Alice Smith ', '"\\"q\\"" ');

interface Parts {
  readonly text: string;
  readonly callId: string;
  readonly sentBy: string;
  readonly contact: string;
  readonly body: string;
}

/** A request as the grammar allows it, with the parts that the scanner has to find in it. */
const validMessage: fc.Arbitrary<Parts> = fc
  .record({
    method: fc.constantFrom('REGISTER', 'INVITE', 'OPTIONS', 'NOVEL-1'),
    sentBy: hostPort,
    contact: hostPort,
    display,
    callId: fc.stringMatching(/^[A-Za-z0-9.@-]{1,30}$/),
    space: lws,
    others: fc.array(other, { maxLength: 4 }),
    compact: fc.boolean(),
    body: fc.stringMatching(/^[\x00-\xff]{0,40}$/),
    trailing: fc.constantFrom('', 'x', '\r\n\r\n'),
    order: fc.array(fc.nat(100), { minLength: 8, maxLength: 8 }),
  })
  .map((one) => {
    const n = (long: string, short: string): string => (one.compact ? short : long);
    const fields = [
      `${n('Via', 'v')}:${one.space}SIP/2.0/UDP ${one.sentBy};branch=z9hG4bK1;rport`,
      `${n('From', 'f')}:${one.space}${one.display}<sip:a@example.net>;tag=1`,
      `${n('To', 't')}: <sip:b@example.net>`,
      `${n('Call-ID', 'i')}: ${one.callId}`,
      `CSeq: 7${one.space === '' ? ' ' : one.space}${one.method}`,
      `${n('Contact', 'm')}: ${one.display}<sip:a@${one.contact};x=1>;q=0.5`,
      ...one.others,
      `${n('Content-Length', 'l')} :${one.space}${one.body.length}`,
    ];
    const sorted = fields
      .map((field, i) => [one.order[i % 8] ?? 0, field] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, field]) => field);
    return {
      text: `${one.method} sip:b@example.net SIP/2.0\r\n${sorted.join('\r\n')}\r\n\r\n${one.body}${one.trailing}`,
      callId: one.callId,
      sentBy: one.sentBy,
      contact: one.contact,
      body: one.body,
    };
  });

const runs = { numRuns: 500 };

test('every valid message is understood, and its spans are where the grammar says', () => {
  fc.assert(
    fc.property(validMessage, (parts) => {
      const bytes = octetsOf(parts.text);
      const scan = scanMessage(bytes);
      assert.ok(scan.ok, `${JSON.stringify(parts.text)} ${JSON.stringify(scan)}`);
      const { message } = scan;
      const at = ({ start, end }: { start: number; end: number }): string => textOf(bytes, start, end);
      assert.equal(message.callId, parts.callId);
      assert.equal(at(message.via.sentBy.span), parts.sentBy);
      assert.equal(at(message.contacts[0]!.uri), `sip:a@${parts.contact};x=1`);
      assert.equal(at(message.body), parts.body);
    }),
    runs,
  );
});

test('no edit gives the same buffer; an edit changes its span and nothing else', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.tuple(fc.nat(200), fc.nat(20), fc.stringMatching(/^[\x20-\x7e]{0,10}$/)), { maxLength: 6 }),
      (bytes, raw) => {
        assert.equal(applyEdits(bytes, []), bytes);
        let from = 0;
        const edits = [];
        for (const [gap, length, replacement] of raw) {
          const start = from + 1 + (gap % 20);
          const end = start + length;
          if (end > bytes.length) break;
          edits.push({ span: { start, end }, replacement, rule: 'x' });
          from = end;
        }
        let expected = '';
        let last = 0;
        for (const { span, replacement } of edits) {
          expected += textOf(bytes, last, span.start) + replacement;
          last = span.end;
        }
        expected += textOf(bytes, last, bytes.length);
        const result = applyEdits(bytes, [...edits].reverse());
        assert.equal(textOf(result, 0, result.length), expected);
      },
    ),
    runs,
  );
});

test('scanners accept or say what is wrong, whatever they are fed; they never throw', () => {
  fc.assert(
    fc.property(
      validMessage,
      fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 6 }),
      fc.nat(3000),
      (parts, damage, cut) => {
        const bytes = octetsOf(parts.text).slice(0, Math.max(cut, 10));
        for (const [where, octet] of damage) bytes[where % bytes.length] = octet;
        const scan = scanMessage(bytes);
        if (scan.ok) {
          const { body, fields } = scan.message;
          assert.ok(body.end <= bytes.length && body.start <= body.end);
          for (const { lineStart, start, end, lineEnd } of fields)
            assert.ok(lineStart <= start && start <= end && end <= lineEnd);
        } else assert.ok(scan.defects.length > 0);
        scanDescription(bytes, { start: 0, end: bytes.length });
      },
    ),
    { numRuns: 3_000 },
  );
});

test('a description is scanned or refused, whatever its lines are', () => {
  const line = fc.oneof(
    fc.constantFrom(
      'v=0',
      's=-',
      't=0 0',
      'a=sendrecv',
      'a=rtcp-mux',
      'c=IN IP4 192.0.2.1',
      'c=IN IP6 ::1',
      'm=audio 4000 RTP/AVP 0',
    ),
    fc.constantFrom(
      'o=- 1 1 IN IP4 192.0.2.1',
      'm=image 4002 udptl t38',
      'm=video 0 RTP/AVP 99',
      'a=rtcp:4001 IN IP4 192.0.2.1',
      'm=audio 4000/2 RTP/AVP 0',
    ),
    fc.stringMatching(/^[a-z]=[\x20-\x7e]{0,20}$/),
    fc.string({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12, size: 'max' }),
      fc.constantFrom('\r\n', '\n'),
      (lines, end) => {
        const bytes = octetsOf(['v=0', ...lines].join(end).replace(/[^\x00-\xff]/g, '?'));
        const found = scanDescription(bytes, { start: 0, end: bytes.length });
        for (const media of found?.media ?? []) {
          assert.equal(Number(textOf(bytes, media.portSpan.start, media.portSpan.end)), media.port);
          if (media.connection?.address !== undefined)
            assert.ok(parseAddress(textOf(bytes, media.connection.span.start, media.connection.span.end)));
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('a stream gives the same frames whole, octet by octet and in any pieces, and loses no octet', () => {
  const piece = fc.oneof(
    validMessage.map((one) => one.text.slice(0, one.text.length)),
    fc.constant('\r\n\r\n'),
    fc.constantFrom('\x16\x03\x01 hello', 'GET / HTTP/1.1\r\n\r\n'),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 4 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
      (pieces, sizes) => {
        const bytes = octetsOf(pieces.join(''));
        const whole = frames([bytes]);
        const octets = frames([...bytes].map((one) => Uint8Array.of(one)));
        const cut: Uint8Array[] = [];
        for (let i = 0; i < bytes.length; ) {
          const size = sizes.next().value ?? 1;
          cut.push(bytes.subarray(i, i + size));
          i += size;
        }
        const any = frames(cut);
        for (const feed of [octets, any]) {
          assert.deepEqual(feed.frames, whole.frames);
          assert.equal(feed.pending, whole.pending);
        }
        const joined = whole.frames.map(([, text]) => text).join('');
        assert.equal(joined.length + whole.pending, bytes.length);
        assert.ok(textOf(bytes, 0, bytes.length).startsWith(joined));
      },
    ),
    { numRuns: 300 },
  );
});

test('endpoints survive being written and read; what is no address is none', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65_535 }), (text, p) => {
      const address = parseAddress(text);
      assert.ok(address !== undefined, text);
      assert.equal(parseAddress(address), address, 'canonical text is its own canonical text');
      assert.deepEqual(parseEndpoint(formatEndpoint({ address, port: p })), { address, port: p });
    }),
    runs,
  );
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '1.2.3.4 ',
    ':::',
    '1::2::3',
    '2001:db8:::192.0.2.1',
    'g::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::1.2.3',
  ])
    assert.equal(parseAddress(text), undefined, text);
  assert.equal(parseAddress('::FFFF:192.0.2.2'), '::ffff:c000:202');
});

/** Neighbours of one kind that may be cut differently are joined: a raw stream has no frames. */
function frames(chunks: readonly Uint8Array[]): { frames: [Frame['kind'], string][]; pending: number } {
  const framer = new Framer();
  const found: [Frame['kind'], string][] = [];
  for (const chunk of chunks)
    for (const { kind, bytes } of framer.feed(chunk)) {
      const text = textOf(bytes, 0, bytes.length);
      const last = found.at(-1);
      if (kind === 'raw' && last?.[0] === 'raw') last[1] += text;
      else found.push([kind, text]);
    }
  return { frames: found, pending: framer.pending };
}
