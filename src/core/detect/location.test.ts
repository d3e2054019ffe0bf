import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf } from '../sip/octets.ts';
import { carrierSign, type HopProbe, locate } from './location.ts';

const SENT = octetsOf('REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.33:5060\r\n\r\n');
const EDITED = octetsOf('REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:5060\r\n\r\n');
const ROUTERS = ['192.168.1.1', '100.64.0.1', '198.51.100.1'];

/** A way of three routers: what each quotes, and what arrives with how many hops. */
function way(
  quotes: readonly (Uint8Array | undefined)[],
  arrives: Uint8Array | undefined,
  distance = 4,
): HopProbe[] {
  return [1, 2, 3, 4, 5].map((hops) => {
    const quoted = quotes[hops - 1];
    return {
      hops,
      sent: SENT,
      received: hops >= distance ? arrives : undefined,
      quote: quoted === undefined ? undefined : { router: ROUTERS[hops - 1]!, payload: quoted },
    };
  });
}

const plain = way([SENT, SENT, SENT], SENT);

test('what is sent anew is sent by the box at which its hops end', () => {
  const { answer, confidence, nearest, farthest, text } = locate(plain, way([], EDITED, 2));
  assert.deepEqual([answer, confidence, nearest, farthest], ['yes', 'A', 2, 2]);
  assert.match(text, /second router on the way \(100\.64\.0\.1\).*for 2 hops.*for 4/);
});

test('what is altered in flight sits between two who quote it', () => {
  const own = locate(plain, way([SENT, EDITED, EDITED], EDITED));
  assert.deepEqual([own.answer, own.confidence, own.nearest, own.farthest], ['yes', 'B', 1, 2]);
  assert.match(own.text, /^The next router \(192\.168\.1\.1\) quotes the message as it was sent/);
  const carrier = locate(plain, way([SENT, SENT, undefined], EDITED));
  assert.deepEqual([carrier.nearest, carrier.farthest], [2, 4]);
  const before = locate(plain, way([EDITED, EDITED, EDITED], EDITED));
  assert.deepEqual([before.nearest, before.farthest], [0, 1]);
});

test('a quote that ends before the place that is altered says nothing, and silence says nothing', () => {
  const short = SENT.subarray(0, 20);
  for (const quotes of [[short, short, short], []]) {
    const { answer, confidence, nearest } = locate(plain, way(quotes, EDITED));
    assert.deepEqual([answer, confidence, nearest], ['not-checked', undefined, undefined]);
  }
  // A short quote beside a long one does not count as unaltered.
  assert.deepEqual(locate(plain, way([SENT, short, EDITED], EDITED)).farthest, 3);
});

test('where nothing is altered there is nothing to be found; where nothing arrives nothing can be', () => {
  assert.equal(locate(plain, plain).answer, 'no');
  assert.equal(locate(way([], undefined), plain).answer, 'not-checked');
});

test('where SIP is lost, it is lost at or behind the last who answers it', () => {
  const lost = locate(plain, way([SENT, SENT], undefined));
  assert.deepEqual([lost.answer, lost.confidence, lost.nearest, lost.farthest], ['yes', 'B', 2, 4]);
  assert.equal(locate(plain, way([], undefined)).answer, 'not-checked');
});

test('addresses of routers are a sign of a second NAT, and no more', () => {
  const [own, carrier, far] = ROUTERS.map((address, i) => ({ hop: i + 1, address }));
  assert.match(carrierSign([own!, carrier!]) ?? '', /RFC 6598/);
  assert.match(carrierSign([own!, { hop: 2, address: '192.168.178.1' }]) ?? '', /may stand behind/);
  assert.equal(carrierSign([own!, { ...far!, hop: 2 }]), undefined);
  assert.equal(carrierSign([own!, { hop: 2, address: '100.128.0.1' }]), undefined);
});
