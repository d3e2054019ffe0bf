import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ledger } from './ledger.ts';
import { defaultLimits } from './limits.ts';

const CLIENT = '203.0.113.1';
const VICTIM = '198.51.100.66';

test('to the address of the control channel it may send, from port 1024 up, and below only where it has heard something', () => {
  const ledger = new Ledger(defaultLimits, CLIENT);
  assert.equal(ledger.spend({ address: CLIENT, port: 40_000 }, 900), undefined);
  assert.equal(ledger.spend({ address: CLIENT, port: 53 }, 900), 'port');
  ledger.hear({ address: CLIENT, port: 53 }, 1);
  assert.equal(ledger.spend({ address: CLIENT, port: 53 }, 900), undefined);
});

test('to another address it sends what has come from that very endpoint, until the address is proven', () => {
  const ledger = new Ledger(defaultLimits, CLIENT);
  const other = { address: VICTIM, port: 5060 };
  assert.equal(ledger.spend(other, 1), 'not-yours');
  ledger.hear(other, 100);
  assert.equal(ledger.spend(other, 60), undefined);
  assert.equal(ledger.spend(other, 60), 'unproven');
  assert.equal(ledger.spend({ address: VICTIM, port: 5061 }, 1), 'not-yours');
  assert.ok(ledger.prove(VICTIM));
  assert.equal(ledger.spend(other, 6000), undefined);
});

test('endpoints that have sent nothing, and octets in all, are bounded', () => {
  const ledger = new Ledger({ ...defaultLimits, namedEndpoints: 2, sendOctets: 1000 }, CLIENT);
  for (const port of [2001, 2002, 2001]) assert.equal(ledger.spend({ address: CLIENT, port }, 1), undefined);
  assert.equal(ledger.spend({ address: CLIENT, port: 2003 }, 1), 'endpoints');
  assert.equal(ledger.spend({ address: CLIENT, port: 2001 }, 997), undefined);
  assert.equal(ledger.spend({ address: CLIENT, port: 2001 }, 1), 'octets');
  assert.equal(ledger.spendOnStream(1), 'octets');
});

test('whatever is heard and asked for, an address that is not proven gets no more octets than have come from it', () => {
  const step = fc.record({
    heard: fc.boolean(),
    port: fc.integer({ min: 1, max: 3 }),
    octets: fc.integer({ min: 0, max: 2000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ledger = new Ledger(defaultLimits, CLIENT);
      let came = 0;
      let went = 0;
      for (const { heard, port, octets } of steps) {
        const endpoint = { address: VICTIM, port };
        if (heard) {
          ledger.hear(endpoint, octets);
          came += octets;
        } else if (ledger.spend(endpoint, octets) === undefined) went += octets;
        assert.ok(went <= came, `${went} octets sent, ${came} received`);
      }
    }),
  );
});
