/** The framer: one stream, whole, octet by octet and in pieces, gives the same frames and loses nothing. */
import assert from 'node:assert/strict';
import { type Frame, Framer, MAX_FRAME } from '../../../src/core/sip/framing.ts';
import { scanMessage } from '../../../src/core/sip/message.ts';
import { generateMessage, messageSeeds, messageTokens } from '../messages.ts';
import { toText } from '../octets.ts';
import { hashOctets, Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';

export const framerTarget: Target = {
  name: 'framer',
  share: 20_000,
  seeds: [
    ...messageSeeds,
    `\r\n\r\n${messageSeeds[0]}\r\n\r\n${messageSeeds[3]}`,
    '\x16\x03\x01 not SIP',
    'GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc',
  ],
  tokens: messageTokens,
  generate: (random) =>
    Array.from({ length: 1 + random.below(3) }, () => generateMessage(random)).join(
      random.pick(['', '\r\n', '\r\n\r\n']),
    ),
  longest: 2048,
  run(bytes, seen) {
    const random = new Random(hashOctets(bytes), 'framer', 0);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random.below(random.once(3) ? 400 : 40);
      pieces.push(bytes.subarray(at, at + size));
      at += size;
    }
    const octets: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at++) octets.push(bytes.subarray(at, at + 1));
    const whole = cut([bytes]);
    // Octet by octet is dear: a framer that is fed so copies what it holds with every octet.
    for (const feed of bytes.length < 1024 ? [pieces, octets] : [pieces]) {
      const other = cut(feed);
      assert.deepEqual(other.frames, whole.frames, 'another segmentation gives other frames');
      assert.equal(other.pending, whole.pending);
    }
    const text = toText(bytes);
    const joined = whole.frames.map(([, one]) => one).join('');
    assert.equal(joined.length + whole.pending, text.length, 'octets are lost or doubled');
    assert.ok(text.startsWith(joined), 'frames are not the stream in its order');
    for (const [kind, one] of whole.frames) {
      if (kind === 'keepalive') assert.equal(one, '\r\n');
      if (kind !== 'message') continue;
      assert.ok(one.length <= MAX_FRAME);
      const scan = scanMessage(new Uint8Array(Buffer.from(one, 'latin1')));
      if (!scan.ok) {
        seen(`frame refused ${scan.defects[0]?.code}`);
        assert.ok(
          !scan.defects.some(({ code }) => code === 'content-length-long' || code === 'content-length'),
        );
      } else {
        assert.deepEqual(scan.message.defects, [], 'a frame is longer or shorter than its message');
        seen('frame');
      }
    }
    const kinds = whole.frames.map(([kind]) => kind);
    seen(`${kinds.slice(0, 4).join(' ')} ${bucket(kinds.length)} ${whole.pending > 0 ? 'pending' : ''}`);
  },
};

/** Pieces of a raw stream are joined: it has no frames. */
function cut(chunks: readonly Uint8Array[]): { frames: [Frame['kind'], string][]; pending: number } {
  const framer = new Framer();
  const frames: [Frame['kind'], string][] = [];
  for (const chunk of chunks) {
    for (const { kind, bytes } of framer.feed(chunk)) {
      const last = frames.at(-1);
      if (kind === 'raw' && last?.[0] === 'raw') last[1] += toText(bytes);
      else frames.push([kind, toText(bytes)]);
    }
  }
  return { frames, pending: framer.pending };
}
