/** What goes to the kernel as bytes: socket addresses, elements (against `nft`), connections (against `conntrack`). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readEntry } from '../../src/linux/conntrack.ts';
import { eachAttribute, NetlinkWriter } from '../../src/linux/netlink.ts';
import { endpointElement, renew, sourceElement, writeBatch } from '../../src/linux/nft-elements.ts';
import {
  addressToNumber,
  numberToAddress,
  readSockaddr,
  SOCKADDR_IN_SIZE,
  writeSockaddr,
} from '../../src/linux/sockaddr.ts';
import { errnoName, systemError } from '../../src/linux/system-error.ts';

const endpoints = fc.record(
  { address: fc.ipV4(), port: fc.integer({ min: 0, max: 65_535 }) },
  { noNullPrototype: true },
);

test('a socket address is read back as it was written, at any offset, and touches nothing else', () => {
  fc.assert(
    fc.property(endpoints, fc.integer({ min: 0, max: 40 }), (e, offset) => {
      const bytes = new Uint8Array(64).fill(0xa5);
      const view = new DataView(bytes.buffer);
      writeSockaddr(view, offset, e);
      assert.deepEqual(readSockaddr(view, offset), e);
      assert.ok(bytes.subarray(0, offset).every((byte) => byte === 0xa5));
      assert.ok(bytes.subarray(offset + SOCKADDR_IN_SIZE).every((byte) => byte === 0xa5));
      assert.deepEqual([...bytes.subarray(offset, offset + 2)], [2, 0]);
      assert.equal(bytes[offset + 2]! * 256 + bytes[offset + 3]!, e.port);
    }),
  );
});

test('addresses and numbers are one to one; what is not IPv4 is refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (n) =>
      assert.equal(addressToNumber(numberToAddress(n)), n),
    ),
  );
  assert.equal(numberToAddress(0xffff_ffff), '255.255.255.255');
  for (const bad of ['::1', 'host', '1.2.3', '1.2.3.256', ''])
    assert.throws(() => addressToNumber(bad), { code: 'linux/not-ipv4' });
});

test('a socket address of another family is not read as IPv4', () => {
  const view = new DataView(new ArrayBuffer(SOCKADDR_IN_SIZE));
  view.setUint16(0, 10, true);
  assert.equal(readSockaddr(view, 0), undefined);
});

test('netlink attributes are read back as they were written, whatever their length', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 0x3fff }), fc.uint8Array({ maxLength: 3000 })), {
        maxLength: 9,
      }),
      (attributes) => {
        const writer = new NetlinkWriter();
        for (const [type, value] of attributes) writer.attribute(type, value);
        const read: [number, Uint8Array][] = [];
        eachAttribute(writer.bytes, (type, value) => read.push([type, value.slice()]));
        assert.deepEqual(read, attributes);
      },
    ),
  );
});

test('attributes that are cut short, or lie about their length, end the reading and do not throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      eachAttribute(bytes, (_type, value) => assert.ok(value.byteLength <= bytes.byteLength));
      readEntry(bytes);
    }),
  );
});

test('a batch has one length for each message, and they add up', () => {
  fc.assert(
    fc.property(fc.array(endpoints, { minLength: 1, maxLength: 900 }), (list) => {
      const writer = new NetlinkWriter();
      const elements = list.map((e) => ({ key: endpointElement(e), timeoutMs: 1000 }));
      writeBatch(writer, 'sipalg', renew('media_internal', elements), 7);
      const view = new DataView(writer.bytes.buffer, writer.bytes.byteOffset, writer.length);
      let at = 0;
      const types: number[] = [];
      while (at < writer.length) {
        types.push(view.getUint16(at + 4, true));
        const length = view.getUint32(at, true);
        assert.ok(length >= 20 && length % 4 === 0 && length < 65_536);
        at += length;
      }
      assert.equal(at, writer.length);
      assert.deepEqual([types[0], types.at(-1)], [0x10, 0x11]);
    }),
  );
});

test('keys are padded part by part', () => {
  assert.deepEqual(
    [...endpointElement({ address: '1.2.3.4', port: 0x1234 })],
    [1, 2, 3, 4, 0x12, 0x34, 0, 0],
  );
  assert.deepEqual(
    [...sourceElement('9.8.7.6', { address: '1.2.3.4', port: 5 })],
    [9, 8, 7, 6, 1, 2, 3, 4, 0, 5, 0, 0],
  );
});

test('an error names the call and the way out', () => {
  const error = systemError('bind', 98, '10.0.0.1:5060');
  assert.equal(error.code, 'linux/EADDRINUSE');
  assert.match(error.message, /bind 10\.0\.0\.1:5060/);
  assert.match(error.hint, /ss -ulpn/);
  assert.equal(errnoName(12_345), 'errno-12345');
});
