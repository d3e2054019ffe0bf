/** Copies of IPv6 packets from the kernel: what is read lies inside, wherever the packet lies, and however it is cut. */
import assert from 'node:assert/strict';
import { parseAddress } from '../../../src/core/net/address.ts';
import { type Datagram, readPacket, type TcpPacket } from '../../../src/linux/ip-packet.ts';
import { NetlinkWriter } from '../../../src/linux/netlink.ts';
import { readCopies } from '../../../src/linux/watch.ts';
import { toText } from '../octets.ts';
import type { Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';
import { surrounded } from './spans.ts';

const ADDRESSES = '\x20\x01\x0d\xb8\0\x01\0\0\0\0\0\0\0\0\0\x10\x20\x01\x0d\xb8\0\x05\0\0\0\0\0\0\0\0\0\x05';
const PORTS = '\x13\xc4\x13\xc4';
const TCP = `${PORTS}\0\0\0\x01\0\0\0\x02\x50\x18\0\0\0\0\0\0`;
const plain = `\x60\0\0\0\0\x0c\x11\x40${ADDRESSES}${PORTS}\0\x0c\0\0SIP!`;

export const copyTarget: Target = {
  name: 'copy',
  share: 20_000,
  seeds: [
    plain,
    `\x60\0\0\0\0\x18\x06\x40${ADDRESSES}${TCP}SIP!`,
    `\x60\0\0\0\0\x14\0\x40${ADDRESSES}\x11\0\x05\x02\0\0\x01\0${PORTS}\0\x0c\0\0SIP!`,
    `\x60\0\0\0\0\x14\x2c\x40${ADDRESSES}\x11\0\0\0\0\0\0\x01${PORTS}\0\x0c\0\0SIP!`,
    `\x60\0\0\0\0\x14\x33\x40${ADDRESSES}\x11\0\0\0\0\0\0\x01${PORTS}\0\x0c\0\0SIP!`,
  ],
  tokens: ['\x11', '\x06', '\x50', '\0', '\x2b', '\x2c', '\x33', '\x3c', '\xff', '\x3a', PORTS],
  generate,
  shape: 'octets',
  longest: 400,
  run(bytes, seen) {
    const found = readPacket(bytes);
    const { bytes: all, start } = surrounded(bytes, 'x\x60\xff', '\xff\x11\0');
    assert.deepEqual(readPacket(all.subarray(start, start + bytes.length)), found, 'it depends on the place');
    const copies: (Datagram | TcpPacket)[] = [];
    readCopies(wrapped(bytes), (packet, direction) => {
      assert.equal(direction, 'in');
      copies.push(packet);
    });
    assert.deepEqual(copies, found === undefined ? [] : [found]);
    // The octets as a netlink message of their own, whatever they say.
    readCopies(bytes, () => seen('a message'));
    if (found === undefined) return seen('none');
    for (const { address, port } of [found.source, found.destination]) {
      assert.equal(parseAddress(address), address);
      assert.ok(port >= 0 && port <= 65_535);
    }
    const payload = payloadOf(found);
    assert.ok(toText(bytes).includes(toText(payload)), 'the payload is not of the packet');
    const shorter = readPacket(bytes.subarray(0, -1));
    if (found.kind === 'udp')
      assert.ok(shorter === undefined || toText(payloadOf(shorter)) === toText(payload));
    else if (shorter !== undefined) assert.ok(toText(payload).startsWith(toText(payloadOf(shorter))));
    seen(`${found.kind} ${bucket(bytes[6]!)} ${bucket(bytes.length - payload.length - 48)}`);
  },
};

function payloadOf(packet: Datagram | TcpPacket): Uint8Array {
  return packet.kind === 'udp' ? packet.payload : packet.segment.payload;
}

function wrapped(packet: Uint8Array): Uint8Array {
  const writer = new NetlinkWriter();
  writer.begin(4 << 8, 0, 0, 10, 5060);
  writer.string(10, 'in');
  writer.attribute(9, packet);
  writer.end();
  return writer.bytes;
}

/** A packet with some extension headers, one of which may lie about its length. */
function generate(random: Random): string {
  const headers = Array.from({ length: random.below(4) }, () => random.pick([0, 43, 44, 51, 60]));
  const next = (i: number): number => headers[i] ?? random.pick([17, 17, 17, 6, 58]);
  const byte = (n: number): string => String.fromCharCode(n & 255);
  const extensions = headers.map((header, i) => {
    const units = random.once(6) ? random.below(256) : random.below(3);
    const size = header === 44 ? 8 : header === 51 ? (units + 2) * 4 : (units + 1) * 8;
    return `${byte(next(i + 1))}${byte(header === 44 ? 0 : units)}`.padEnd(Math.min(size, 64), '\0');
  });
  const payload = 'x'.repeat(random.below(30));
  const length = payload.length + 8 + (random.once(8) ? random.below(9) - 4 : 0);
  const udp = `${PORTS}${byte(length >> 8)}${byte(length)}\0\0${payload}`;
  const tcp = `${TCP.replace('\x50', random.once(3) ? byte(random.below(256)) : '\x50')}${payload}`;
  const body = extensions.join('') + (random.once(3) ? tcp : udp);
  return `\x60\0\0\0${byte(body.length >> 8)}${byte(body.length)}${byte(next(0))}\x40${ADDRESSES}${body}`;
}
