/** The pcap and pcapng reader: the same datagrams however the file is fed, bounded, and never an exception. */
import assert from 'node:assert/strict';
import type { CapturedDatagram } from '../../../src/observe/capture/datagram.ts';
import { ipPacket } from '../../../src/observe/capture/packet.ts';
import { CaptureReader, readCapture } from '../../../src/observe/capture/reader.ts';
import { writePcap } from '../../../src/observe/capture/writer.ts';
import { datagram, fragments, pcapFile, pcapngFile } from '../../capture/files.ts';
import { messageSeeds } from '../messages.ts';
import { toOctets, toText } from '../octets.ts';
import { hashOctets, Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';
import { isPort } from './spans.ts';

const short = toOctets(messageSeeds[3]!);
const packets = [ipPacket(datagram(0, toOctets('x'))), ipPacket(datagram(1, short, true))];
const pieces = [...fragments(datagram(2, short), 64), ...fragments(datagram(3, short, true), 128, 8)];
const frames = [...packets, ...pieces].map((bytes, i) => ({ timeMs: 1_700_000_000_000 + i, bytes }));
const cooked = frames.map(({ timeMs, bytes }) => ({
  timeMs,
  bytes: new Uint8Array([
    0,
    0,
    0,
    1,
    0,
    6,
    1,
    2,
    3,
    4,
    5,
    6,
    0,
    0,
    bytes[0]! >> 4 === 6 ? 0x86 : 8,
    bytes[0]! >> 4 === 6 ? 0xdd : 0,
    ...bytes,
  ]),
}));

const files = [
  writePcap([datagram(0, short)], { link: 'ethernet' }),
  pcapFile(101, frames),
  pcapFile(113, cooked, 'big'),
  pcapngFile(frames, { nanoseconds: true }),
  pcapngFile(frames.slice(0, 1), { order: 'big', simple: true }),
];

export const captureTarget: Target = {
  name: 'capture',
  share: 50_000,
  shape: 'octets',
  seeds: files.map((file) => toText(file)),
  tokens: [
    '\xa1\xb2\xc3\xd4',
    '\xd4\xc3\xb2\xa1',
    '\x0a\x0d\x0d\x0a',
    '\x1a\x2b\x3c\x4d',
    '\0\0\0\x01',
    '\x86\xdd',
    '\x08\0',
    '\x45\0',
    '\xff\xff\xff\xff',
    '\0\0\0\0',
    '\x81\0\0\x01',
    '\x2c',
    '\x20\0',
  ],
  run(bytes, seen) {
    const whole = readCapture(bytes);
    const random = new Random(hashOctets(bytes), 'capture', 0);
    const reader = new CaptureReader();
    const found: CapturedDatagram[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random.below(random.once(4) ? 300 : 8);
      found.push(...reader.feed(bytes.subarray(at, at + size)));
      at += size;
    }
    reader.end();
    assert.deepEqual(found, whole.datagrams, 'fed in pieces, the file has other datagrams');
    assert.deepEqual(reader.problem, whole.problem);
    assert.deepEqual(reader.skipped, whole.skipped);
    let octets = 0;
    for (const one of whole.datagrams) {
      isPort(one.source.port, 'source');
      isPort(one.destination.port, 'destination');
      assert.ok(Number.isFinite(one.timeMs), 'a time that is no number');
      octets += one.bytes.length;
    }
    assert.ok(octets <= bytes.length, 'more octets come out than went in');
    if (whole.problem !== undefined)
      assert.ok(
        whole.problem.offset >= 0 && whole.problem.offset <= bytes.length && whole.problem.text !== '',
      );
    seen(`${whole.problem?.text.replace(/\d+/g, 'N') ?? 'whole'} ${bucket(whole.datagrams.length)}`);
    seen(
      Object.entries(whole.skipped)
        .flatMap(([why, count]) => (count > 0 ? [why] : []))
        .join(' '),
    );
  },
};
