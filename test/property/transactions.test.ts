/** Tables in which branches are chosen badly, and tables that are full: compared with the plainest table that does the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Remembered, Transactions } from '../../src/core/alg/transactions.ts';
import { ExpiringMap } from '../../src/core/nat/expiring-map.ts';
import { type Message, scanMessage } from '../../src/core/sip/message.ts';
import { octetsOf } from '../../src/core/sip/octets.ts';

const METHODS = ['INVITE', 'CANCEL', 'ACK', 'OPTIONS'] as const;
const PHONES = ['192.168.1.50', '192.168.1.51'] as const;
const SIDES = ['internal', 'external'] as const;

const message = fc
  .record({
    branch: fc.constantFrom('', ';branch=z9hG4bK-1', ';branch=z9hG4bK-2', ';branch=z9hG4bK-sipalg-z9hG4bK-1'),
    method: fc.constantFrom(...METHODS),
    cseq: fc.integer({ min: 1, max: 2 }),
    callId: fc.constantFrom('a', 'b'),
  })
  .map(({ branch, method, cseq, callId }) => scanned(branch, method, cseq, callId));

const step = fc.record({
  message,
  phone: fc.constantFrom(...PHONES),
  side: fc.constantFrom(...SIDES),
  after: fc.constantFrom(0, 0, 0, 1_000, 70_000),
  opens: fc.boolean(),
});

test('a transaction is found by everything that tells it apart, also where branches are not unique', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const transactions = new Transactions(1_000, 1_000);
      const model = new Map<string, { sentBy: string; endsAt: number }>();
      let now = 0;
      for (const [n, { message, phone, side, after, opens }] of steps.entries()) {
        now += after;
        const branch = message.branch.replace(/^z9hG4bK-sipalg-/, '');
        const key = JSON.stringify([phone, side, branch, message.method, message.cseq, message.callId]);
        const lifetimeMs = message.method === 'INVITE' ? 300_000 : 64_000;
        if (opens) {
          assert.equal(transactions.open(message, side, remembered(phone, `${n}`), now), undefined);
          model.set(key, { sentBy: `${n}`, endsAt: now + lifetimeMs });
        } else {
          const known = model.get(key);
          const alive = known !== undefined && known.endsAt > now ? known : undefined;
          assert.equal(transactions.find(message, side, phone, now)?.sentBy, alive?.sentBy);
          // Whatever is found of an INVITE lives on: the message is no final response.
          if (alive !== undefined && message.method === 'INVITE') alive.endsAt = now + lifetimeMs;
        }
        const alive = [...model.values()].filter(({ endsAt }) => endsAt > now).length;
        assert.ok(transactions.size >= alive);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('what has gone makes room for its phone, however it went', () => {
  const transactions = new Transactions(4, 3);
  for (let n = 0; n < 1_000; n++) {
    const now = n * 70_000;
    for (const callId of ['a', 'b', 'c'])
      assert.equal(
        transactions.open(
          scanned(';branch=z9hG4bK-1', 'OPTIONS', n, callId),
          'internal',
          remembered(PHONES[0], ''),
          now,
        ),
        undefined,
      );
    const over = scanned(';branch=z9hG4bK-1', 'OPTIONS', n, 'd');
    assert.equal(
      transactions.open(over, 'internal', remembered(PHONES[0], ''), now),
      'transactions-per-phone',
    );
    assert.equal(transactions.open(over, 'internal', remembered(PHONES[1], ''), now), undefined);
  }
  assert.equal(transactions.size, 4);
});

test('thousands at a time are told apart, for as long as each lives, over and over in the same entries', () => {
  const COUNT = 3_000;
  const transactions = new Transactions(COUNT, COUNT, [0x1234_5678, 0x9abc_def0]);
  const messageOf = (n: number): Message => scanned(`;branch=z9hG4bK-${n}`, 'OPTIONS', 1, `${n % 7}`);
  for (const from of [0, COUNT, 2 * COUNT]) {
    const now = from * 100;
    for (let n = from; n < from + COUNT; n++)
      assert.equal(
        transactions.open(messageOf(n), 'internal', remembered(PHONES[n % 2]!, `${n}`), now),
        undefined,
      );
    assert.equal(transactions.size, COUNT);
    for (let n = from; n < from + COUNT; n++) {
      assert.equal(transactions.find(messageOf(n), 'internal', PHONES[n % 2]!, now + 63_999)?.sentBy, `${n}`);
      assert.equal(transactions.find(messageOf(n), 'internal', PHONES[n % 2]!, now + 64_000), undefined);
      assert.equal(transactions.find(messageOf(n), 'external', PHONES[n % 2]!, now), undefined);
    }
  }
  // One more at the limit takes the place of the oldest, and of no other.
  const now = 2 * COUNT * 100 + 1;
  const one = remembered(PHONES[0], 'one');
  assert.equal(transactions.open(messageOf(0), 'internal', one, now), 'transactions');
  assert.equal(transactions.find(messageOf(2 * COUNT), 'internal', PHONES[0], now), undefined);
  assert.equal(
    transactions.find(messageOf(2 * COUNT + 1), 'internal', PHONES[1], now)?.sentBy,
    `${2 * COUNT + 1}`,
  );
});

test('the oldest goes first, and what is set again is the youngest', () => {
  const change = fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    after: fc.integer({ min: 0, max: 6 }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
      const gone: string[] = [];
      const map = new ExpiringMap<string>(10, 3, (value) => gone.push(value));
      let model: { key: string; endsAt: number }[] = [];
      let expected: string[] = [];
      let now = 0;
      for (const { key, after } of changes) {
        now += after;
        expected = expected.concat(model.filter(({ endsAt }) => endsAt <= now).map((one) => one.key));
        model = model.filter((one) => one.endsAt > now && one.key !== key);
        model.push({ key, endsAt: now + 10 });
        const isOver = model.length > 3;
        if (isOver) expected.push(model.shift()!.key);
        assert.equal(map.set(key, key, now), isOver);
        assert.deepEqual(gone, expected);
        assert.equal(map.size, model.length);
        for (const name of ['a', 'b', 'c', 'd', 'e'])
          assert.equal(
            map.get(name, now) !== undefined,
            model.some((one) => one.key === name),
          );
      }
    }),
    { numRuns: 2_000 },
  );
});

function remembered(phone: string, sentBy: string): Remembered {
  const peer = { address: '198.51.100.5', port: 5060 };
  return { phone, mapping: 1, sentBy, peer, observed: false, connection: undefined };
}

function scanned(branch: string, method: string, cseq: number, callId: string): Message {
  const scan = scanMessage(
    octetsOf(
      `${method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.50${branch}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n` +
        `Call-ID: ${callId}\r\nCSeq: ${cseq} ${method}\r\n\r\n`,
    ),
  );
  assert.ok(scan.ok);
  return scan.message;
}
