/** What is not understood comes out of `--raw` as it went in, to the byte. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { splitMessages } from '../../src/cli/explain-text.ts';
import { explainMessage } from '../../src/core/alg/explain.ts';
import { explainCall } from '../../src/core/alg/explain-call.ts';
import type { StaticMapping } from '../../src/core/alg/policy.ts';
import { writePcap } from '../../src/observe/capture/writer.ts';
import { root, sipalg } from './program.ts';

const register = readFileSync(`${root}samples/register.sip`);
const invite = readFileSync(`${root}samples/invite.sip`);
const mappings: readonly StaticMapping[] = [
  { internal: { address: '192.168.1.50', port: 5060 }, external: { address: '203.0.113.7', port: 61_002 } },
];

/** Messages with octets changed, cut off, put behind one another, and plain noise. */
const parts = fc.array(
  fc.oneof(
    fc.constantFrom(register, invite, Buffer.from('\r\n'), Buffer.from('\n'), Buffer.from('SIP/2.0 200')),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(fc.constantFrom(register, invite), fc.nat(800))
      .map(([message, end]) => message.subarray(0, end)),
    fc
      .tuple(fc.constantFrom(register, invite), fc.nat(), fc.nat(255))
      .map(([message, at, value]) =>
        Buffer.from(message).fill(value, at % message.length, (at % message.length) + 1),
      ),
  ),
  { maxLength: 5 },
);
const inputs = parts.map((list) => new Uint8Array(Buffer.concat(list)));

test('binary, empty and truncated input, one byte short of a message, half a capture', () => {
  const cases: readonly Uint8Array[] = [
    new Uint8Array(0),
    Uint8Array.of(0),
    Uint8Array.from({ length: 256 }, (_, i) => i),
    register.subarray(0, 100),
    register.subarray(0, -1),
    invite.subarray(0, -1),
    Buffer.from('\r\n\r\n'),
    Buffer.from('INVITE'),
    Buffer.from(register.toString('latin1').replaceAll('\r\n', '\n')),
    Buffer.concat([Buffer.from('\n'), register]),
    writePcap([]).subarray(0, 23),
    Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4),
  ];
  for (const bytes of cases) {
    for (const direction of ['out', 'in']) {
      const { code, bytes: sent } = sipalg(
        [
          'explain',
          '--raw',
          '--direction',
          direction,
          '--mapping',
          '192.168.1.50:5060=203.0.113.7:61002',
          '-',
        ],
        bytes,
      );
      assert.equal(code, 0);
      assert.deepEqual(sent, Buffer.from(bytes));
    }
  }
});

test('pieces of a text, joined, are the text; their offsets are where they stand', () => {
  fc.assert(
    fc.property(inputs, (text) => {
      const pieces = splitMessages(text);
      assert.deepEqual(Buffer.concat(pieces.map(({ bytes }) => bytes)), Buffer.from(text));
      let offset = 0;
      for (const piece of pieces) {
        assert.equal(piece.offset, offset);
        offset += piece.bytes.length;
      }
      const messages = pieces.filter(({ kind }) => kind === 'message');
      assert.ok(messages.length >= 1);
    }),
    { numRuns: 2_000 },
  );
});

test('whole messages are cut apart, whatever empty lines stand between them', () => {
  const gaps = fc.constantFrom('', '\r\n', '\r\n\r\n', '\n', '\n\n');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(register, invite), gaps), { minLength: 2, maxLength: 6 }),
      (list) => {
        const text = Buffer.concat(list.flatMap(([message, gap]) => [message, Buffer.from(gap)]));
        const messages = splitMessages(new Uint8Array(text)).filter(({ kind }) => kind === 'message');
        assert.deepEqual(
          messages.map(({ bytes }) => Buffer.from(bytes)),
          list.map(([message]) => message),
        );
      },
    ),
  );
});

test('one message with octets behind it is one; a second that is cut off or has no Content-Length is the last', () => {
  const cut = (text: string): string[] =>
    splitMessages(new Uint8Array(Buffer.from(text, 'latin1')))
      .filter(({ kind }) => kind === 'message')
      .map(({ bytes }) => Buffer.from(bytes).toString('latin1'));
  const first = register.toString('latin1');
  const second = invite.toString('latin1');
  const open = second.replace(/Content-Length: .*\r\n/, '');
  for (const behind of ['', '\r\n', 'octets', '\r\n\r\noctets', '\0'])
    assert.deepEqual(cut(first + behind), [first + behind]);
  assert.deepEqual(cut(first + second.slice(0, -5)), [first, second.slice(0, -5)]);
  assert.deepEqual(cut(first + open), [first, open]);
  assert.deepEqual(cut(open + first), [open + first]);
  assert.deepEqual(cut(`${first + second}octets`), [first, second, 'octets']);
});

test('whatever the messages: nothing is thrown, and nothing changes but by an edit', () => {
  fc.assert(
    fc.property(inputs, fc.constantFrom('out', 'in'), fc.boolean(), (text, direction, hasMapping) => {
      const options = { direction, mappings: hasMapping ? mappings : [], media: [] } as const;
      const packets = splitMessages(text).filter(({ kind }) => kind === 'message');
      const call = explainCall(packets, options);
      assert.equal(call.messages.length, packets.length);
      for (const { packet, before, bytes, edits, verdict } of [
        ...call.messages,
        { ...explainMessage(text, options), packet: -1, before: text },
      ]) {
        assert.deepEqual(before, packets[packet]?.bytes ?? text);
        let expected = Buffer.from(before).toString('latin1');
        for (const edit of edits.toSorted((a, b) => b.offset - a.offset)) {
          assert.equal(expected.slice(edit.offset, edit.offset + edit.length), edit.before);
          expected = expected.slice(0, edit.offset) + edit.after + expected.slice(edit.offset + edit.length);
        }
        assert.equal(Buffer.from(bytes).toString('latin1'), expected);
        if (verdict !== 'translate') assert.deepEqual(edits, []);
      }
    }),
    { numRuns: 1_500 },
  );
});

test('torture messages of the RFCs, where they are at hand, for a phone that none of them names', (t) => {
  const corpus =
    process.env.SIPALG_CORPUS ?? fileURLToPath(new URL('../../../shared/corpus', import.meta.url));
  if (!existsSync(corpus)) return t.diagnostic(`NOT RUN: no ${corpus}; SIPALG_CORPUS names the folder`);
  const options = {
    direction: 'out',
    mappings: [{ internal: { address: '10.99.99.99' }, external: { address: '203.0.113.9' } }],
    media: [],
  } as const;
  for (const name of readdirSync(corpus, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.dat')) continue;
    const message: Uint8Array = new Uint8Array(readFileSync(`${corpus}/${name}`));
    assert.deepEqual(explainMessage(message, options).bytes, message, name);
  }
});
