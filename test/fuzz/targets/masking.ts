/**
 * What is hidden and what is captured of any message: the same length, the same lines, nothing thrown; and a capture gives back
 * the octets that went into it.
 */
import assert from 'node:assert/strict';
import { callIdOf, methodOf, startLineOf } from '../../../src/observe/call-id.ts';
import { PcapngWriter } from '../../../src/observe/capture/pcapng-writer.ts';
import { readCapture } from '../../../src/observe/capture/reader.ts';
import { PlainExchange } from '../../../src/observe/exchange.ts';
import { maskMessage } from '../../../src/observe/masking.ts';
import { generateMessage, messageSeeds, messageTokens } from '../messages.ts';
import { bucket, type Target } from '../target.ts';

const flow = {
  transport: 'udp',
  side: 'internal',
  local: { address: '198.51.100.5', port: 5060 },
  remote: { address: '192.168.1.50', port: 5060 },
} as const;

export const maskingTarget: Target = {
  name: 'masking',
  share: 3_000,
  seeds: messageSeeds,
  tokens: [
    ...messageTokens,
    'Authorization: Basic ',
    'username="',
    'response=',
    'inline:',
    'a=ice-pwd:',
    'Content-Type: multipart/mixed;boundary=b\r\n',
    'tel:',
    'Identity: ',
  ],
  generate: generateMessage,
  run(bytes, seen) {
    const before = bytes.slice();
    const masked = maskMessage(bytes);
    assert.deepEqual(bytes, before, 'the octets are not touched');
    assert.equal(masked.length, bytes.length);
    let hidden = 0;
    for (let i = 0; i < bytes.length; i++) {
      const was = bytes[i]!;
      if (masked[i] === was) continue;
      hidden++;
      assert.equal(masked[i], 0x78, 'what is hidden is an x');
      assert.ok(was !== 0x0d && was !== 0x0a, 'lines stay lines');
    }
    const method = methodOf(bytes);
    seen(
      `${bucket(hidden)} ${callIdOf(bytes) !== undefined} ${method !== undefined} ${startLineOf(bytes) !== undefined}`,
    );
    const writer = new PcapngWriter();
    const exchange = new PlainExchange(1_000, 1_001, flow, masked, [{ flow, bytes }], []);
    const head = writer.head('fuzz', '');
    const file = Buffer.concat([head, writer.packets(exchange)]);
    const { datagrams, problem } = readCapture(file);
    assert.equal(problem, undefined);
    if (bytes.length === 0) return;
    assert.deepEqual(
      datagrams.map((one) => one.bytes),
      [masked, bytes],
    );
  },
};
