import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { acceptKey, FrameReader, frameOf, upgradeAnswer, upgradeRequest } from './websocket.ts';

test('the handshake is the one of RFC 6455 §1.3', () => {
  assert.equal(acceptKey('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  const answer = upgradeAnswer(upgradeRequest('h', 'dGhlIHNhbXBsZSBub25jZQ=='));
  assert.match(answer!, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
  assert.equal(upgradeAnswer('GET / HTTP/1.1\r\nHost: h\r\n\r\n'), undefined);
});

test('frames come out as they went in, masked or not, however the stream is cut', () => {
  const payload = fc.uint8Array({ maxLength: 400 });
  fc.assert(
    fc.property(
      fc.array(payload, { maxLength: 5 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 60 }),
      (all, masked, size) => {
        const mask = masked ? Buffer.from([1, 2, 3, 4]) : undefined;
        const stream = Buffer.concat(all.map((one) => frameOf(one, mask)));
        const reader = new FrameReader();
        const read: Buffer[] = [];
        for (let i = 0; i < stream.length; i += size)
          read.push(...reader.feed(stream.subarray(i, i + size))!);
        assert.deepEqual(
          read.map((one) => [...one]),
          all.map((one) => [...one]),
        );
      },
    ),
  );
});

test('whatever comes, it is frames, or the end of it, and never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const read = new FrameReader().feed(bytes);
      assert.ok(read === undefined || read.every((one) => one.length <= bytes.length));
    }),
  );
});
