/** STUN from anybody: reading it never throws, and what was read can be written and read again. */
import assert from 'node:assert/strict';
import { bindingRequest, bindingSuccess, isStun, readStun } from '../../../src/core/net/stun.ts';
import { toText } from '../octets.ts';
import { bucket, type Target } from '../target.ts';

const transaction = Uint8Array.from({ length: 12 }, (_, i) => i);
const endpoint = { address: '203.0.113.7', port: 61_002 };
const request = bindingRequest({ transaction, change: { address: true, port: true }, software: 'sipalg' });
const answers = ['203.0.113.7', '2001:db8::7'].map((address) =>
  bindingSuccess(readStun(request)!, {
    mapped: { address, port: 61_002 },
    origin: endpoint,
    other: endpoint,
  }),
);

export const stunTarget: Target = {
  name: 'stun',
  share: 20_000,
  shape: 'octets',
  seeds: [request, ...answers].map(toText),
  tokens: [
    '\x21\x12\xa4\x42',
    '\0\x20\0\x08',
    '\0\x03\0\x04',
    '\x80\x28\0\x04',
    '\x80\x2c',
    '\xff\xff',
    '\0\0',
  ],
  longest: 600,
  run(bytes, seen) {
    const before = bytes.slice();
    // As a socket gives it.
    const message = readStun(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    assert.deepEqual(bytes, before, 'the octets are not touched');
    if (message === undefined) return seen(`none ${isStun(bytes)}`);
    assert.ok(isStun(bytes));
    assert.equal(message.transaction.length, 12);
    for (const one of [message.mapped, message.plainMapped, message.origin, message.other])
      if (one !== undefined) assert.ok(one.port >= 1 && one.port <= 65_535);
    seen(
      `${message.kind} ${message.fingerprint} ${bucket(message.unknown.length)} ${message.mapped !== undefined}`,
    );
    if (message.mapped === undefined) return;
    const { mapped, origin, other } = message;
    const again = readStun(
      bindingSuccess(message, { mapped, other, ...(origin === undefined ? {} : { origin }) }),
    );
    assert.deepEqual([again?.mapped, again?.origin, again?.other], [mapped, origin, other]);
    assert.deepEqual(again?.transaction, message.transaction);
    seen(`whole ${origin !== undefined} ${other !== undefined}`);
  },
};
