/** Where a phone's message wants to go, and where a name is. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Endpoint, endpoint } from '../../src/core/net/address.ts';
import { type HopTarget, readAddressee, requestTransaction } from '../../src/gateway/explicit/next-hop.ts';
import { byPriorityAndWeight, type Lookup, Resolver } from '../../src/gateway/explicit/resolver.ts';

function message(startLine: string, ...extra: string[]): Uint8Array {
  const lines = [
    startLine,
    'Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bK1;rport',
    'From: <sip:a@example.com>;tag=1',
    'To: <sip:b@example.com>',
    'Call-ID: c1',
    `CSeq: 7 ${startLine.startsWith('SIP/') ? 'INVITE' : startLine.split(' ')[0]}`,
    ...extra,
    'Content-Length: 0',
    '',
    '',
  ];
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

const text = (targets: readonly HopTarget[]): string =>
  targets.map((t) => (t.port === undefined ? t.host : `${t.host}:${t.port}`)).join(' ');

describe('a request goes to', () => {
  const cases: readonly (readonly [string, string, readonly string[], string])[] = [
    ['the Request-URI', 'REGISTER sip:Example.COM SIP/2.0', [], 'example.com'],
    ['its port', 'INVITE sip:bob@192.0.2.1:5070;transport=udp SIP/2.0', [], '192.0.2.1:5070'],
    ['an IPv6 literal, canonical', 'INVITE sip:bob@[2001:DB8:0::1]:5070 SIP/2.0', [], '2001:db8::1:5070'],
    ['maddr', 'INVITE sip:bob@example.com;maddr=192.0.2.9;lr SIP/2.0', [], '192.0.2.9'],
    ['not to a maddr among the URI headers', 'OPTIONS sip:example.com SIP/2.0', [], 'example.com'],
    [
      'the Routes first, in order, over several fields and values',
      'INVITE sip:bob@example.com SIP/2.0',
      [
        'Route: <sip:192.168.1.1;lr>, "Edge, one" <sip:edge.example.com:5062;lr>;x=y',
        'rOuTe: <sip:192.0.2.3>',
      ],
      '192.168.1.1 edge.example.com:5062 192.0.2.3 example.com',
    ],
  ];
  for (const [name, startLine, extra, expected] of cases)
    test(name, () => {
      const addressee = readAddressee(message(startLine, ...extra));
      assert.ok(addressee.kind === 'request' && addressee.complete);
      assert.equal(text(addressee.targets), expected);
    });

  test('nowhere of its own where the Request-URI is a tel: or sips: URI', () => {
    for (const uri of ['tel:+15551234567', 'sips:bob@example.com'])
      assert.deepEqual(readAddressee(message(`INVITE ${uri} SIP/2.0`)), {
        kind: 'request',
        targets: [],
        complete: false,
      });
  });

  test('what its request line says, as a guess, where the rest is broken', () => {
    const broken = Buffer.from('REGISTER sip:example.com:5070 SIP/2.0\r\nVia: nonsense\r\n\r\n');
    assert.deepEqual(readAddressee(broken), { kind: 'unknown', target: { host: 'example.com', port: 5070 } });
  });

  test('nowhere where it is no SIP', () => {
    for (const bytes of ['', '\r\n\r\n', '\0\0\0\0', 'GET / HTTP/1.1\r\n\r\n'])
      assert.deepEqual(readAddressee(Buffer.from(bytes)), { kind: 'unknown', target: undefined });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readAddressee(bytes)));
  });
});

describe('a response belongs to', () => {
  test('the request with its branch and sent-by, whatever the phone added to the Via', () => {
    const request = message('INVITE sip:phone@192.168.1.50 SIP/2.0');
    const plain = readAddressee(message('SIP/2.0 180 Ringing'));
    assert.ok(plain.kind === 'response');
    assert.equal(plain.transaction, requestTransaction(request));
    const received = Buffer.from(message('SIP/2.0 200 OK'))
      .toString()
      .replace(';rport', ';rport=5060;received=192.168.1.1');
    const answered = readAddressee(Buffer.from(received));
    assert.ok(answered.kind === 'response');
    assert.equal(answered.transaction, requestTransaction(request));
  });

  test('a request of RFC 2543 without a branch, by Call-ID and CSeq', () => {
    const old = (bytes: Uint8Array, callId: string): Uint8Array =>
      Buffer.from(Buffer.from(bytes).toString().replace(';branch=z9hG4bK1', '').replace('c1', callId));
    const keys = ['c1', 'c2'].map((id) =>
      requestTransaction(old(message('INVITE sip:p@192.0.2.1 SIP/2.0'), id)),
    );
    assert.notEqual(keys[0], keys[1]);
    const response = readAddressee(old(message('SIP/2.0 200 OK'), 'c2'));
    assert.ok(response.kind === 'response');
    assert.equal(response.transaction, keys[1]);
  });

  test('no request: responses and noise leave no trace', () => {
    assert.equal(requestTransaction(message('SIP/2.0 200 OK')), undefined);
    assert.equal(requestTransaction(Buffer.from('noise')), undefined);
    assert.equal(requestTransaction(new Uint8Array()), undefined);
  });
});

describe('the resolver', () => {
  const one = endpoint('192.0.2.1', 5060);
  const two = endpoint('192.0.2.2', 5060);
  const name = { host: 'example.com', port: undefined };

  test('answers a literal at once, with port 5060 where none is written', () => {
    const resolver = new Resolver(() => assert.fail('no lookup is needed'));
    assert.deepEqual(resolver.resolve({ host: '192.0.2.1', port: undefined }, 4), one);
    assert.deepEqual(resolver.resolve({ host: '2001:db8::1', port: 5070 }, 6), endpoint('2001:db8::1', 5070));
  });

  test('asks once for many, and then knows', async () => {
    let asked = 0;
    const resolver = new Resolver(async () => {
      asked++;
      return [one, two];
    });
    assert.deepEqual(await Promise.all([resolver.resolve(name, 4), resolver.resolve(name, 4)]), [one, one]);
    assert.deepEqual(resolver.resolve(name, 4), one);
    assert.equal(asked, 1);
  });

  test('stays with a provider that is still listed, and with the last one when the DNS fails', async (t) => {
    t.mock.timers.enable({ apis: ['Date'] });
    const answers: (readonly Endpoint[] | Error)[] = [[one, two], [two, one], new Error('SERVFAIL'), [two]];
    const lookup: Lookup = async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer ?? [];
    };
    const resolver = new Resolver(lookup);
    const seen: unknown[] = [];
    while (answers.length > 0) {
      seen.push(await resolver.resolve(name, 4));
      t.mock.timers.tick(31_000);
    }
    assert.deepEqual(seen, [one, one, one, two]);
  });

  test('says undefined for a name that does not exist', async () => {
    const resolver = new Resolver(() => Promise.reject(new Error('ENOTFOUND')));
    assert.equal(await resolver.resolve(name, 4), undefined);
    assert.equal(resolver.resolve(name, 4), undefined, 'and remembers it for a while');
  });

  test('orders by priority, and within it by chance in proportion to weight', () => {
    const records = [
      { id: 'backup', priority: 20, weight: 100 },
      { id: 'heavy', priority: 10, weight: 90 },
      { id: 'light', priority: 10, weight: 10 },
    ];
    const order = (draw: number): string =>
      byPriorityAndWeight(records, () => draw)
        .map((r) => r.id)
        .join(' ');
    assert.equal(order(0.05), 'light heavy backup');
    assert.equal(order(0.5), 'heavy light backup');
    fc.assert(
      fc.property(
        fc.array(fc.record({ priority: fc.nat(3), weight: fc.nat(5) })),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (list, draw) => {
          const ordered = byPriorityAndWeight(list, () => draw);
          assert.equal(ordered.length, list.length);
          assert.deepEqual(new Set(ordered), new Set(list));
          assert.deepEqual(
            ordered.map((r) => r.priority),
            list.map((r) => r.priority).sort((a, b) => a - b),
          );
        },
      ),
    );
  });
});
