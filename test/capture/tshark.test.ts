/** tshark as the judge: it reads the same files, and the same datagrams have to come out. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ipPacket } from '../../src/observe/capture/packet.ts';
import { readCapture } from '../../src/observe/capture/reader.ts';
import { writePcap } from '../../src/observe/capture/writer.ts';
import { bytesOf, datagram, fragments, joined, pcapFile, pcapngFile } from './files.ts';

const isHere = spawnSync('tshark', ['--version']).status === 0;
const hasEditcap = spawnSync('editcap', ['--version']).status === 0;
const missing = 'tshark is missing: nothing judges the capture reader (Debian: apt-get install tshark)';
if (!isHere) process.stderr.write(`\n*** ${missing} ***\n\n`);
const skip = !isHere && missing;

const folder = mkdtempSync(join(tmpdir(), 'sipalg-capture-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** As tshark has it: frame, time in µs, endpoints, payload. */
function judged(path: string): string[] {
  const fields = [
    'frame.number',
    'frame.time_epoch',
    'ip.src',
    'ipv6.src',
    'udp.srcport',
    'ip.dst',
    'ipv6.dst',
  ];
  const { status, stdout, stderr } = spawnSync(
    'tshark',
    [
      ...[
        '-r',
        path,
        '-Y',
        'udp.payload',
        '-T',
        'fields',
        '-E',
        'separator=/t',
        '-o',
        'udp.check_checksum:TRUE',
      ],
      ...['-o', 'ip.check_checksum:TRUE', '-d', 'udp.port==5060,data'],
      ...[...fields, 'udp.dstport', 'udp.payload', 'udp.checksum.status', 'ip.checksum.status'].flatMap(
        (field) => ['-e', field],
      ),
    ],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [frame, time, src4, src6, from, dst4, dst6, to, payload, udpStatus, ipStatus] = line.split('\t');
      assert.equal(udpStatus, '1', `UDP checksum of frame ${frame}`);
      assert.ok(ipStatus === '' || ipStatus === '1', `IP checksum of frame ${frame}`);
      return `${frame} ${Math.round(Number(time) * 1e6)} ${src4 || src6} ${from} ${dst4 || dst6} ${to} ${payload}`;
    });
}

function read(path: string): string[] {
  return readCapture(readFileSync(path)).datagrams.map(
    ({ frame, timeMs, source, destination, bytes }) =>
      `${frame} ${Math.round(timeMs * 1e3)} ${source.address} ${source.port} ${destination.address} ${destination.port} ${Buffer.from(bytes).toString('hex')}`,
  );
}

const small = datagram(1, bytesOf('OPTIONS sip:a SIP/2.0\r\n\r\n'));
const odd = datagram(2, bytesOf('odd'), true);
const large = datagram(3, bytesOf('INVITE '.repeat(700)));
const large6 = datagram(4, bytesOf('INVITE '.repeat(701)), true);
const frames = [small, odd].map((d) => ({ timeMs: d.timeMs, bytes: ipPacket(d) }));
const pieces = [large, large6].flatMap((d) =>
  fragments(d, 1_400).map((bytes) => ({ timeMs: d.timeMs, bytes })),
);
const ethernet = (head: number[]) => [
  { timeMs: small.timeMs, bytes: joined([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], head, ipPacket(small)) },
];

const files: Readonly<Record<string, Uint8Array>> = {
  'raw.pcap': writePcap([small, odd, datagram(9, bytesOf(''))]),
  'ethernet-ns-big.pcap': writePcap([small, odd], {
    link: 'ethernet',
    fraction: 'nanoseconds',
    byteOrder: 'big',
  }),
  'fragments.pcap': pcapFile(101, [...frames, ...pieces, ...pieces.toReversed()]),
  'vlan.pcap': pcapFile(1, ethernet([0x88, 0xa8, 0, 9, 0x81, 0, 0, 100, 8, 0])),
  'pppoe.pcap': pcapFile(1, ethernet([0x88, 0x64, 0x11, 0, 0, 1, 0, ipPacket(small).length + 2, 0, 0x21])),
  'sll.pcap': pcapFile(113, [
    { timeMs: 0, bytes: joined([0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], ipPacket(small)) },
  ]),
  'sll2.pcap': pcapFile(276, [
    {
      timeMs: 0,
      bytes: joined([0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], ipPacket(odd)),
    },
  ]),
  'null.pcap': pcapFile(0, [{ timeMs: 0, bytes: joined([2, 0, 0, 0], ipPacket(small)) }]),
  'little.pcapng': pcapngFile([...frames, ...pieces]),
  'big-ns.pcapng': pcapngFile(frames, { order: 'big', nanoseconds: true }),
};

for (const [name, bytes] of Object.entries(files)) {
  test(`tshark reads the same from ${name}`, { skip }, () => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    const expected = judged(path);
    assert.ok(expected.length > 0);
    assert.deepEqual(
      read(path).filter((line) => !line.endsWith(' ')),
      expected,
    );
  });
}

test('files that editcap has converted read the same', {
  skip: skip || (!hasEditcap && 'editcap is missing (wireshark-common)'),
}, () => {
  const source = join(folder, 'source.pcap');
  writeFileSync(source, pcapFile(101, [...frames, ...pieces]));
  for (const format of ['pcapng', 'pcap', 'nsecpcap', 'modpcap']) {
    const path = join(folder, `converted.${format}`);
    assert.equal(spawnSync('editcap', ['-F', format, source, path]).status, 0, format);
    if (format === 'modpcap') {
      assert.equal(readCapture(readFileSync(path)).problem?.code, 'observe/capture-unknown');
      continue;
    }
    assert.deepEqual(read(path), judged(path), format);
  }
});
