import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CapturedDatagram } from '../../src/observe/capture/datagram.ts';
import { ipPacket } from '../../src/observe/capture/packet.ts';
import { CaptureReader, isCapture, readCapture } from '../../src/observe/capture/reader.ts';
import { MAX_PENDING } from '../../src/observe/capture/reassembly.ts';
import { type PcapOptions, writePcap } from '../../src/observe/capture/writer.ts';
import { bytesOf, datagram, fragments, joined, pcapFile, pcapngBlock, pcapngFile } from './files.ts';

const one = datagram(1, bytesOf('OPTIONS sip:a SIP/2.0\r\n\r\n'));
const sixth = datagram(2, bytesOf('x'), true);

function essence(list: readonly Pick<CapturedDatagram, 'source' | 'destination' | 'bytes' | 'timeMs'>[]) {
  return list.map(({ source, destination, bytes, timeMs }) => ({
    source,
    destination,
    bytes: Buffer.from(bytes).toString('hex'),
    timeMs: Math.round(timeMs * 1_000) / 1_000,
  }));
}

/** The packet in one frame of each link layer. */
const layers: readonly (readonly [string, number, number[]])[] = [
  ['Ethernet', 1, [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]],
  ['Ethernet with a VLAN tag', 1, [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 100, 8, 0]],
  ['Ethernet with two', 1, [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xa8, 0, 9, 0x81, 0, 0, 100, 8, 0]],
  ['PPPoE', 1, [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0x64, 0x11, 0, 0, 1, 0, 60, 0, 0x21]],
  ['Linux cooked', 113, [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0]],
  ['Linux cooked, version 2', 276, [8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]],
  ['raw IP', 101, []],
  ['raw IPv4', 228, []],
  ['null', 0, [2, 0, 0, 0]],
  ['loop', 108, [0, 0, 0, 2]],
];

for (const [name, linkType, head] of layers) {
  test(`a datagram over ${name}, in pcap and pcapng`, () => {
    const frames = [{ timeMs: one.timeMs, bytes: joined(head, ipPacket(one)) }];
    for (const file of [pcapFile(linkType, frames), pcapngFile(frames, { linkType })]) {
      const { datagrams, problem, skipped } = readCapture(file);
      assert.equal(problem, undefined);
      assert.deepEqual(essence(datagrams), essence([one]), JSON.stringify(skipped));
    }
  });
}

test('what the writer wrote is what the reader reads: any datagrams, byte order, fraction and link', () => {
  const datagrams = fc.array(
    fc.record({
      sixth: fc.boolean(),
      number: fc.nat(1_000_000),
      bytes: fc.uint8Array({ maxLength: 3_000 }),
    }),
    { maxLength: 8 },
  );
  const options = fc.record<PcapOptions>({
    link: fc.constantFrom('raw', 'ethernet'),
    fraction: fc.constantFrom('microseconds', 'nanoseconds'),
    byteOrder: fc.constantFrom('little', 'big'),
  });
  fc.assert(
    fc.property(datagrams, options, (list, how) => {
      const written = list.map((entry) => datagram(entry.number, entry.bytes, entry.sixth));
      const { datagrams: read, problem } = readCapture(writePcap(written, how));
      assert.equal(problem, undefined);
      assert.deepEqual(essence(read), essence(written));
    }),
  );
});

test('however a file is fed, the same comes out', () => {
  const files = [
    writePcap([one, sixth, one]),
    pcapngFile([one, sixth].map((d) => ({ timeMs: d.timeMs, bytes: ipPacket(d) }))),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.array(fc.integer({ min: 1, max: 60 })), (file, sizes) => {
      const reader = new CaptureReader();
      const read: CapturedDatagram[] = [];
      let at = 0;
      for (const size of sizes) {
        read.push(...reader.feed(file.subarray(at, at + size)));
        at += size;
      }
      read.push(...reader.feed(file.subarray(at)));
      reader.end();
      assert.equal(reader.problem, undefined);
      assert.deepEqual(essence(read), essence(readCapture(file).datagrams));
    }),
  );
});

test('pcapng: both byte orders, nanoseconds, simple packets, unknown blocks, a second section', () => {
  const frames = [one, sixth].map((d) => ({ timeMs: d.timeMs, bytes: ipPacket(d) }));
  for (const order of ['little', 'big'] as const) {
    for (const nanoseconds of [true, false]) {
      const file = pcapngFile(frames, { order, nanoseconds });
      assert.deepEqual(essence(readCapture(file).datagrams), essence([one, sixth]));
      const unknown = pcapngBlock(0x0bad, new Uint8Array(3_000_000), order);
      const twice = readCapture(joined(file, unknown, pcapngFile(frames, { order: 'big' })));
      assert.equal(twice.problem, undefined);
      assert.deepEqual(essence(twice.datagrams), essence([one, sixth, one, sixth]));
    }
  }
  const simple = readCapture(pcapngFile(frames, { simple: true }));
  assert.deepEqual(
    simple.datagrams.map(({ bytes }) => bytes.length),
    [one.bytes.length, 1],
  );
});

test('fragments come together in any order, copies among them; the frame is the one that made it whole', () => {
  for (const isSixth of [false, true]) {
    const large = datagram(3, bytesOf('INVITE '.repeat(700)), isSixth);
    const pieces = fragments(large, 1_400);
    assert.equal(pieces.length, 4);
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 0, 2], { minLength: 6 }), (order) => {
        const frames = order.map((index) => ({ timeMs: large.timeMs, bytes: pieces[index]! }));
        const { datagrams } = readCapture(pcapFile(101, frames));
        assert.deepEqual(essence(datagrams.slice(0, 1)), essence([large]));
        const whole = order.findIndex((_, i) => new Set(order.slice(0, i + 1)).size === 4);
        assert.equal(datagrams[0]?.frame, whole + 1);
      }),
    );
  }
});

test('fragments that overlap, come late or never end are dropped and counted', () => {
  const large = datagram(3, new Uint8Array(3_000));
  const [first, second, third] = fragments(large, 1_400);
  const frame = (bytes: Uint8Array, timeMs = large.timeMs) => ({ timeMs, bytes });
  const [, overlapping] = fragments(large, 1_392);
  for (const frames of [
    [frame(first!), frame(overlapping!), frame(second!), frame(third!)],
    [frame(first!), frame(second!)],
    [frame(first!), frame(second!), frame(third!, large.timeMs + 60_000)],
  ]) {
    const { datagrams, skipped, problem } = readCapture(pcapFile(101, frames));
    assert.equal(problem, undefined);
    assert.deepEqual(datagrams, []);
    assert.ok(skipped.fragment >= 2, JSON.stringify(skipped));
  }
});

test('endless first fragments take no more than their bound', () => {
  const reader = new CaptureReader();
  reader.feed(pcapFile(101, []));
  const large = datagram(3, new Uint8Array(3_000));
  for (let id = 0; id < 3 * MAX_PENDING; id++) {
    const [first] = fragments(large, 1_400, id);
    reader.feed(pcapFile(101, [{ timeMs: large.timeMs, bytes: first! }]).subarray(24));
  }
  assert.equal(reader.skipped.fragment, 2 * MAX_PENDING);
});

test('what is no datagram is counted under its reason', () => {
  const packet = ipPacket(one);
  const changed = (at: number, value: number): Uint8Array => {
    const copy = packet.slice();
    copy[at] = value;
    return copy;
  };
  const cases: readonly [string, Uint8Array, number?][] = [
    ['tcp', changed(9, 6)],
    ['other', changed(9, 1)],
    ['other', changed(0, 0x75)],
    ['malformed', changed(0, 0x42)],
    ['malformed', changed(2, 0xff)],
    ['malformed', changed(24, 0xff)],
    ['malformed', changed(25, 0)],
    ['malformed', packet.subarray(0, 12)],
    ['malformed', new Uint8Array(0)],
    ['cut', packet.subarray(0, 24), packet.length],
  ];
  for (const [reason, bytes, wireLength] of cases) {
    const frame = { timeMs: 0, bytes, ...(wireLength === undefined ? {} : { wireLength }) };
    const { datagrams, skipped } = readCapture(pcapFile(101, [frame]));
    assert.deepEqual(datagrams, []);
    assert.equal(skipped[reason as 'tcp'], 1, `${reason} ${JSON.stringify(skipped)}`);
  }
  const reader = new CaptureReader();
  reader.feed(pcapFile(105, [{ timeMs: 0, bytes: packet }]));
  assert.deepEqual([reader.skipped['link-type'], [...reader.unknownLinkTypes]], [1, [105]]);
});

test('a file that is damaged, cut off or no capture says so, and where', () => {
  const file = writePcap([one, sixth]);
  const damaged = file.slice();
  damaged.fill(0xff, 24 + 16 + ipPacket(one).length, 24 + 16 + ipPacket(one).length + 16);
  const cases: readonly [string, Uint8Array, number][] = [
    ['observe/capture-unknown', bytesOf('INVITE sip:a SIP/2.0\r\n\r\n'), 0],
    ['observe/capture-unknown', new Uint8Array(0), 0],
    ['observe/capture-cut-off', file.subarray(0, -1), 1],
    ['observe/capture-cut-off', file.subarray(0, 30), 0],
    ['observe/capture-damaged', damaged, 1],
    [
      'observe/capture-damaged',
      joined(pcapngFile([{ timeMs: 0, bytes: ipPacket(one) }]), [6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]),
      1,
    ],
  ];
  for (const [code, bytes, whole] of cases) {
    const { problem, datagrams } = readCapture(bytes);
    assert.equal(problem?.code, code);
    assert.equal(datagrams.length, whole);
    assert.ok(problem.offset <= bytes.length && problem.text.length > 10);
  }
});

test('isCapture asks for more than a magic number', () => {
  assert.ok(isCapture(writePcap([])));
  assert.ok(isCapture(writePcap([], { byteOrder: 'big', fraction: 'nanoseconds' })));
  assert.ok(isCapture(pcapngFile([], { order: 'big' })));
  for (const bytes of [
    [],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0x0a, 0x0d, 0x0d, 0x0a],
    [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4],
    [0xd4, 0xc3, 0xb2, 0xa1, ...new Uint8Array(30)],
  ])
    assert.ok(!isCapture(Uint8Array.from(bytes)));
});

test('nothing that a file says is thrown: captures with any octets changed, and any octets behind a header', () => {
  const large = datagram(3, bytesOf('INVITE '.repeat(300)));
  const frames = [one, sixth].map((d) => ({ timeMs: d.timeMs, bytes: ipPacket(d) }));
  const files = [
    pcapFile(101, [...frames, ...fragments(large, 800).map((bytes) => ({ timeMs: 0, bytes }))]),
    pcapFile(1, [{ timeMs: 0, bytes: joined(layers[3]![2], ipPacket(one)) }]),
    pcapngFile(frames, { nanoseconds: true }),
    pcapngFile(frames, { order: 'big' }),
  ];
  const change = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.array(change, { maxLength: 12 }), (file, changes) => {
      const copy = file.slice();
      for (const [at, value] of changes) copy[at % copy.length] = value;
      readCapture(copy);
    }),
    { numRuns: 3_000 },
  );
  const heads = [writePcap([]), pcapFile(1, []), pcapFile(113, [], 'big'), pcapngFile([]), new Uint8Array(0)];
  fc.assert(
    fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 400 }), (head, tail) => {
      const { datagrams, frames: count } = readCapture(joined(head, tail));
      assert.ok(datagrams.length <= count);
    }),
    { numRuns: 3_000 },
  );
});

test('the writer refuses what one packet cannot carry', () => {
  assert.throws(() => ipPacket(datagram(1, new Uint8Array(65_508))), RangeError);
  assert.throws(() => ipPacket({ ...one, destination: sixth.destination }), RangeError);
});
