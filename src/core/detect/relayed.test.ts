/** A description that a relay has written anew is no harm where media is known to flow through it, and is harm where it is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf } from '../sip/octets.ts';
import { compareMessages } from './compare.ts';
import type { ComparisonContext } from './comparison.ts';

const RELAY = '192.168.1.1';
const lines = (...sdp: string[]): Uint8Array => {
  const body = ['v=0', 'o=- 1 1 IN IP4 198.51.100.5', 's=-', ...sdp, ''].join('\r\n');
  return octetsOf(
    `SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
};
const sent = lines(
  ...['c=IN IP4 198.51.100.5', 't=0 0', 'm=audio 32100 RTP/AVP 0 8', 'a=sendonly', 'a=rtcp:32101'],
  ...['a=candidate:1 1 UDP 2130706431 198.51.100.5 32100 typ host', 'a=setup:actpass'],
);
const written = (direction: string): Uint8Array =>
  lines(
    ...[`c=IN IP4 ${RELAY}`, 't=0 0', 'm=audio 30000 RTP/AVP 0 8', 'a=rtpmap:8 PCMA/8000'],
    ...[direction, 'a=rtcp:30001'],
  );
const context: ComparisonContext = {
  direction: 'to-client',
  inside: { address: '192.168.1.50', port: 5060 },
  outside: { address: '203.0.113.7', port: 5060 },
};

test('what a relay writes is consistent where media flows through it', () => {
  const { findings } = compareMessages(sent, written('a=sendonly'), { ...context, relays: [RELAY] });
  assert.ok(findings.length > 3);
  assert.deepEqual(
    findings.filter(({ consistent }) => !consistent).map(({ explanation }) => explanation),
    [],
  );
});

test('without that knowledge it is not; and hold is not to be changed by anybody', () => {
  for (const relays of [[], ['192.168.1.99']]) {
    const { findings } = compareMessages(sent, written('a=sendonly'), { ...context, relays });
    assert.ok(findings.some(({ fault, consistent }) => fault === 'SDP-C' && !consistent));
  }
  const { findings } = compareMessages(sent, written('a=sendrecv'), { ...context, relays: [RELAY] });
  assert.deepEqual(
    [...new Set(findings.filter(({ consistent }) => !consistent).map(({ fault }) => fault))],
    ['SDP-HOLD'],
  );
});
