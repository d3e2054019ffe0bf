/** What the kernel tells of links and addresses, read from bytes; the monitor itself is tested by the lab. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readAddress, readLink } from '../../src/linux/address-monitor.ts';
import { readInterface } from '../../src/linux/uplinks.ts';

/** `struct ifaddrmsg`: family, prefix length, flags, scope, index. */
function addressMessage(fields: { flags?: number; scope?: number; index: number }, ...attributes: Buffer[]) {
  const header = Buffer.from([2, 24, fields.flags ?? 0, fields.scope ?? 0, 0, 0, 0, 0]);
  header.writeUInt32LE(fields.index, 4);
  return Buffer.concat([header, ...attributes]);
}

function linkMessage(index: number, flags: number, ...attributes: Buffer[]): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  return Buffer.concat([header, ...attributes]);
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, 4);
  return bytes;
}

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const v4 = (text: string): Buffer => Buffer.from(text.split('.').map(Number));
const v6 = Buffer.from('20010db8000000000000000000000001', 'hex');

describe('an address of an interface', () => {
  test('is the local one where the other end of a line has one too', () => {
    const bytes = addressMessage(
      { index: 7 },
      attribute(IFA_ADDRESS, v4('203.0.113.254')),
      attribute(IFA_LOCAL, v4('203.0.113.1')),
    );
    assert.deepEqual(readAddress(bytes), { index: 7, address: '203.0.113.1' });
  });

  test('of IPv6 is written as RFC 5952 has it', () => {
    const bytes = addressMessage({ index: 7 }, attribute(IFA_ADDRESS, v6));
    assert.deepEqual(readAddress(bytes), { index: 7, address: '2001:db8::1' });
  });

  test('that is tentative, was refused by its neighbours, or is of the link alone, is none', () => {
    const address = attribute(IFA_ADDRESS, v6);
    for (const flags of [0x40, 0x08]) {
      assert.equal(readAddress(addressMessage({ index: 1, flags }, address)), undefined);
      const wide = attribute(IFA_FLAGS, Buffer.from([flags, 0, 0, 0]));
      assert.equal(readAddress(addressMessage({ index: 1 }, address, wide)), undefined);
    }
    for (const scope of [253, 254])
      assert.equal(readAddress(addressMessage({ index: 1, scope }, address)), undefined);
  });
});

test('a link is running when it is up and has a carrier', () => {
  const name = attribute(3, Buffer.from('ppp0\0'));
  for (const [flags, running] of [
    [0x1, false],
    [0x40, false],
    [0x41, true],
  ] as const)
    assert.deepEqual(readLink(linkMessage(9, flags, name)), { index: 9, name: 'ppp0', running });
});

test('messages that are cut short anywhere are read as far as they go, and throw nothing', () => {
  const address = addressMessage({ index: 7 }, attribute(IFA_ADDRESS, v6), attribute(IFA_LOCAL, v6));
  const link = linkMessage(9, 0x41, attribute(3, Buffer.from('eth0\0')));
  for (let end = 0; end < address.length; end++) {
    const found = readAddress(address.subarray(0, end));
    assert.ok(found === undefined || found.address === '2001:db8::1');
  }
  for (let end = 0; end < link.length; end++) {
    const found = readLink(link.subarray(0, end));
    assert.ok(found === undefined || found.name === 'eth0');
  }
  for (let length = 0; length < 16; length++) {
    const odd = addressMessage({ index: 1 }, attribute(IFA_ADDRESS, Buffer.alloc(length, 1)));
    assert.equal(readAddress(odd)?.address, length === 4 ? '1.1.1.1' : undefined);
  }
});

test('the interface of a route is read from its answer, and from nothing less', () => {
  const answer = Buffer.concat([Buffer.alloc(12), attribute(4, Buffer.from([7, 0, 0, 0]))]);
  assert.equal(readInterface(answer), 7);
  for (let end = 0; end < answer.length; end++)
    assert.equal(readInterface(answer.subarray(0, end)), undefined);
  const short = Buffer.concat([Buffer.alloc(12), attribute(4, Buffer.from([7, 0]))]);
  assert.equal(readInterface(short), undefined);
});
