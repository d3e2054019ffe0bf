/** What goes to the kernel as bytes: socket addresses, elements (against `nft`), connections (against `conntrack`). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressOf, isIPv6, parseAddress } from '../../src/core/net/address.ts';
import { readEntry } from '../../src/linux/conntrack.ts';
import { inPrefix, octetsOf } from '../../src/linux/family.ts';
import { eachAttribute, NetlinkWriter } from '../../src/linux/netlink.ts';
import { endpointElement, renew, sourceElement, writeBatch } from '../../src/linux/nft-elements.ts';
import { readSockaddr, SOCKADDR_SIZE, writeSockaddr } from '../../src/linux/sockaddr.ts';
import { errnoName, systemError } from '../../src/linux/system-error.ts';

const addresses = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(addressOf);
const endpoints = fc.record(
  { address: addresses, port: fc.integer({ min: 0, max: 65_535 }) },
  { noNullPrototype: true },
);

test('a socket address is read back as it was written, at any offset, and touches nothing else', () => {
  fc.assert(
    fc.property(endpoints, fc.integer({ min: 0, max: 30 }), (e, offset) => {
      const bytes = new Uint8Array(64).fill(0xa5);
      const view = new DataView(bytes.buffer);
      const size = writeSockaddr(view, offset, e);
      assert.deepEqual(readSockaddr(view, offset), e);
      assert.ok(bytes.subarray(0, offset).every((byte) => byte === 0xa5));
      assert.ok(bytes.subarray(offset + size).every((byte) => byte === 0xa5));
      assert.deepEqual([...bytes.subarray(offset, offset + 2)], [isIPv6(e.address) ? 10 : 2, 0]);
      assert.equal(bytes[offset + 2]! * 256 + bytes[offset + 3]!, e.port);
    }),
  );
});

test('addresses and octets are one to one, and their text is canonical; what is no address is refused', () => {
  fc.assert(
    fc.property(addresses, (address) => {
      assert.equal(addressOf(octetsOf(address)), address);
      assert.equal(parseAddress(address), address);
    }),
  );
  assert.equal(addressOf(Uint8Array.of(255, 255, 255, 255)), '255.255.255.255');
  for (const bad of ['host', '1.2.3', '1.2.3.256', '', '1::2::3', 'fe80::1%eth0'])
    assert.throws(() => octetsOf(bad), { code: 'linux/not-an-address' });
});

test('a prefix holds what its first bits say, and nothing of the other family', () => {
  assert.ok(inPrefix('192.0.2.255', '192.0.2.0/24'));
  assert.ok(!inPrefix('192.0.3.0', '192.0.2.0/24'));
  assert.ok(inPrefix('2001:db8:8000::1', '2001:db8:8000::/33'));
  assert.ok(!inPrefix('2001:db8:7fff::1', '2001:db8:8000::/33'));
  assert.ok(inPrefix('2001:db8::7', '2001:db8::7'));
  assert.ok(!inPrefix('2001:db8::7', '0.0.0.0/0') && !inPrefix('192.0.2.1', '::/0'));
  assert.ok(inPrefix('192.0.2.1', '0.0.0.0/0') && inPrefix('2001:db8::7', '::/0'));
});

test('a socket address of another family is not read', () => {
  const view = new DataView(new ArrayBuffer(SOCKADDR_SIZE));
  view.setUint16(0, 1, true);
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
  const octets = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  assert.deepEqual([...endpointElement({ address: '2001:db8::1', port: 5 })], [...octets, 0, 5, 0, 0]);
});

test('an error names the call and the way out', () => {
  const error = systemError('bind', 98, '10.0.0.1:5060');
  assert.equal(error.code, 'linux/EADDRINUSE');
  assert.match(error.message, /bind 10\.0\.0\.1:5060/);
  assert.match(error.hint, /ss -ulpn/);
  assert.equal(errnoName(12_345), 'errno-12345');
});
