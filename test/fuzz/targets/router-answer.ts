/**
 * What a hostile router says of itself and of messages that ended with it: the reading of it never throws, an address is one or is
 * none, and what a quote shows is never placed outside the way.
 */
import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { locate } from '../../../src/core/detect/location.ts';
import {
  connectionService,
  natPmpAddress,
  pcpAddress,
} from '../../../src/routers/identify/external-address.ts';
import { descriptionEvidence } from '../../../src/routers/identify/upnp.ts';
import { bucket, type Target } from '../target.ts';

const NONCE = new Uint8Array(12).fill(0x6e);
const SENT = new Uint8Array(
  Buffer.from('REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.33:5060\r\n\r\n'),
);
const EDITED = new Uint8Array(
  Buffer.from('REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:5060\r\n\r\n'),
);
const DISTANCE = 3;

export const routerAnswerTarget: Target = {
  name: 'router-answer',
  share: 10_000,
  seeds: [
    '\0\x80\0\0\0\0\0\x01\xcb\0\x71\x07',
    `\x02\x81\0\0\0\0\0\x78\0\0\0\x01${'\0'.repeat(12)}${'n'.repeat(12)}\x11\0\0\0\0\x09\x30\x39${'\0'.repeat(10)}\xff\xff\xcb\0\x71\x07`,
    '<root><device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/c</controlURL></service></serviceList></device></root>',
    Buffer.from(SENT).toString('latin1'),
  ],
  tokens: [
    '\x02\x81',
    '\xff\xff',
    'n'.repeat(12),
    '<service>',
    '</service>',
    '<controlURL>',
    '<!ENTITY',
    '&lol;',
  ],
  run(bytes, seen) {
    const before = bytes.slice();
    for (const address of [natPmpAddress(bytes), pcpAddress(bytes, NONCE)])
      if (address !== undefined) {
        assert.ok(isIPv4(address));
        seen('address');
      }
    const text = Buffer.from(bytes).toString('latin1');
    const service = connectionService(text);
    if (service !== undefined) {
      assert.match(service.type, /^urn:schemas-upnp-org:service:WAN(?:IP|PPP)Connection:\d$/);
      seen('service');
    }
    for (const { value } of descriptionEvidence(text, '')) assert.ok(value.length <= 300);
    const plain = [1, 2, DISTANCE].map((hops) => ({
      ...{ hops, sent: SENT, quote: undefined },
      received: hops === DISTANCE ? SENT : undefined,
    }));
    const sip = [1, 2, DISTANCE].map((hops) => ({
      ...{ hops, sent: SENT, quote: { router: '192.168.1.1', payload: hops === 2 ? bytes : SENT } },
      received: hops === DISTANCE ? EDITED : undefined,
    }));
    const { nearest = 0, farthest = 0, answer } = locate(plain, sip);
    assert.ok(nearest >= 0 && farthest <= DISTANCE && (answer !== 'yes' || nearest < farthest));
    seen(`${answer} ${nearest} ${farthest} ${bucket(bytes.length)}`);
    assert.deepEqual(bytes, before, 'the octets are not touched');
  },
};
