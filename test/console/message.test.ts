/** A message as the console shows it: what was edited is marked, and what it says is text, whatever it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hearing } from '../../src/console/hearing.ts';
import { shownMessage } from '../../src/console/shown-message.ts';
import { rules } from '../../src/core/alg/rules.ts';
import { octetsOf } from '../../src/core/sip/octets.ts';

const INVITE = octetsOf(
  'INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1\r\nSubject: \u001b[2J<script>\r\n\r\nbody',
);
const at = new TextDecoder('latin1').decode(INVITE).indexOf('192.168.1.10:5060');
const edit = {
  offset: at,
  length: 17,
  before: '192.168.1.10:5060',
  after: '203.0.113.7:61002',
  rule: 'via.sent-by',
  source: 'RFC 3261 §18.1.1',
} as const;

test('each edit is marked where it is, with its rule and section', () => {
  const lines = shownMessage(INVITE, [edit]);
  assert.deepEqual(lines[1], {
    kind: 'changed',
    before: [
      [
        { text: 'Via: SIP/2.0/UDP ', edited: false },
        { text: '192.168.1.10:5060', edited: true },
        { text: ';branch=z9hG4bK1', edited: false },
      ],
    ],
    after: [
      [
        { text: 'Via: SIP/2.0/UDP ', edited: false },
        { text: '203.0.113.7:61002', edited: true },
        { text: ';branch=z9hG4bK1', edited: false },
      ],
    ],
    rules: [
      {
        id: 'via.sent-by',
        source: 'RFC 3261 §18.1.1',
        summary: rules[0].summary,
        without: rules[0].without,
      },
    ],
  });
  assert.deepEqual(lines[0], { kind: 'same', line: 'INVITE sip:bob@192.0.2.1 SIP/2.0' });
  assert.equal(lines.length, 5);
});

test('a control character is shown, and not obeyed', () => {
  assert.deepEqual(shownMessage(INVITE, [])[2], { kind: 'same', line: 'Subject: \\u{1b}[2J<script>' });
});

test('property: whatever the octets and the edits, the lines put together are the message before and after', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z\r\n:. ]{0,80}$/),
      fc.array(fc.tuple(fc.nat(80), fc.nat(8), fc.stringMatching(/^[a-z\r\n]{0,6}$/)), { maxLength: 4 }),
      (text, raw) => {
        let end = 0;
        const edits = raw
          .toSorted((a, b) => a[0] - b[0])
          .flatMap(([offset, length, after]) => {
            if (offset < end || offset + length > text.length || length === 0) return [];
            end = offset + length + 1;
            return [{ ...edit, offset, length, before: text.slice(offset, offset + length), after }];
          });
        let changed = '';
        let from = 0;
        for (const { offset, length, after } of edits) {
          changed += text.slice(from, offset) + after;
          from = offset + length;
        }
        changed += text.slice(from);
        const lines = shownMessage(octetsOf(text), edits);
        const side = (name: 'before' | 'after'): string =>
          lines
            .map((one) =>
              one.kind === 'same'
                ? one.line
                : one[name].map((line) => line.map((piece) => piece.text).join('')).join(''),
            )
            .join('');
        const flat = (of: string): string => of.replaceAll(/\r?\n/g, '');
        const shownFlat = (of: string): string => of.replaceAll('\\u{d}', '');
        assert.equal(shownFlat(side('before')), flat(text).replaceAll('\r', ''));
        assert.equal(shownFlat(side('after')), flat(changed).replaceAll('\r', ''));
      },
    ),
  );
});

test('who hears whom is said in words', () => {
  const stream = (fromPhone?: number, toPhone?: number) => [
    {
      external: { address: '203.0.113.1', port: 24_000 },
      ports: 2,
      ...(fromPhone === undefined || toPhone === undefined ? {} : { fromPhone, toPhone }),
    },
  ];
  const text = (out?: number, into?: number, state = 'talking', sinceMs = 10_000) =>
    hearing(stream(out, into), state, 0, sinceMs);
  assert.deepEqual(text(5, 5), { good: true, text: 'Both sides hear each other.' });
  assert.match(text(5, 0)!.text, /^One-way audio: the phone sends, but nothing comes back/);
  assert.match(text(0, 5)!.text, /^One-way audio: the provider sends, but nothing comes from the phone/);
  assert.match(text(0, 0)!.text, /^No audio crosses in either direction/);
  assert.match(text(5, 0, 'ended')!.text, /heard silence/);
  // Too early, nobody counts, nobody has answered.
  assert.equal(text(5, 0, 'talking', 1_000), undefined);
  assert.equal(text(), undefined);
  assert.equal(text(0, 0, 'ringing'), undefined);
});
