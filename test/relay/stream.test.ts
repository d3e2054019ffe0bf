/** The relay's latching: what one stray packet, one late packet and any order of packets may not do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Endpoint, endpoint, sameEndpoint } from '../../src/core/net/address.ts';
import { peekMedia } from '../../src/core/relay/peek.ts';
import { type AdvertisedEndpoints, endpointAt, RelayStream } from '../../src/core/relay/stream.ts';

const phone = endpoint('192.168.1.50', 4000);
const provider = endpoint('198.51.100.7', 20000);
const stranger = endpoint('203.0.113.66', 20000);
const rtp = Uint8Array.from([0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4, 0xff]);
const noise = Uint8Array.from([0xff, 0xfe, 0xfd]);

function call(
  external: readonly Endpoint[] = [provider],
  internal: readonly Endpoint[] = [phone],
): RelayStream {
  return new RelayStream({ internal, external });
}

function destination(stream: RelayStream): Endpoint | undefined {
  return stream.report().external.destination;
}

describe('before the latch', () => {
  test('media goes to the endpoint that the SDP advertised', () => {
    assert.deepEqual(call().packet('internal', phone, rtp, 0), { kind: 'forward', to: provider });
    assert.deepEqual(call().packet('external', provider, rtp, 0), { kind: 'forward', to: phone });
  });

  test('0.0.0.0 is nowhere to send, and neither is port 0', () => {
    for (const nowhere of [endpoint('0.0.0.0', 20000), endpoint('::', 20000), endpoint(provider.address, 0)])
      assert.deepEqual(call([nowhere]).packet('internal', phone, rtp, 0), {
        kind: 'drop',
        reason: 'no-destination',
      });
  });

  test('port 0 lets an address send, and then its endpoint is known', () => {
    const stream = call([endpoint(provider.address, 0)]);
    assert.equal(stream.packet('external', provider, rtp, 0).kind, 'forward');
    assert.deepEqual(stream.packet('internal', phone, rtp, 0), { kind: 'forward', to: provider });
  });

  test('early media to a phone that has not named its port is dropped, and yet latches', () => {
    const stream = call([provider], []);
    const other = endpoint(provider.address, 20002);
    assert.deepEqual(stream.packet('external', other, rtp, 0), { kind: 'drop', reason: 'no-destination' });
    stream.update({ internal: [phone], external: [provider] });
    assert.deepEqual(stream.packet('internal', phone, rtp, 0), { kind: 'forward', to: other });
  });
});

describe('restricted latching', () => {
  test('an address that nobody advertised is never heard and never sent to', () => {
    const stream = call();
    assert.deepEqual(stream.packet('external', stranger, rtp, 0), {
      kind: 'drop',
      reason: 'source-not-advertised',
    });
    assert.deepEqual(destination(stream), provider);
  });

  test('another port of the advertised address may latch once; a third port may not', () => {
    const stream = call();
    const natted = endpoint(provider.address, 31000);
    assert.equal(stream.packet('external', natted, rtp, 0).kind, 'forward');
    assert.deepEqual(destination(stream), natted);
    assert.deepEqual(stream.packet('external', endpoint(provider.address, 31002), rtp, 0), {
      kind: 'drop',
      reason: 'latched-elsewhere',
    });
  });

  test('the advertised endpoint takes over from a guess, and the guess does not come back', () => {
    const stream = call();
    const guess = endpoint(provider.address, 31000);
    stream.packet('external', guess, rtp, 0);
    assert.equal(stream.packet('external', provider, rtp, 0).kind, 'forward');
    assert.equal(stream.packet('external', guess, rtp, 0).kind, 'drop');
    assert.deepEqual(destination(stream), provider);
  });

  test('noise cannot latch from a port that nobody advertised', () => {
    assert.deepEqual(call().packet('external', endpoint(provider.address, 31000), noise, 0), {
      kind: 'drop',
      reason: 'not-media',
    });
  });

  test('what is not RTP passes from the advertised endpoint: T.38, keepalives, protocols unknown here', () => {
    const stream = call();
    assert.equal(stream.packet('external', provider, noise, 0).kind, 'forward');
    assert.equal(stream.packet('external', provider, new Uint8Array(), 0).kind, 'forward');
  });
});

describe('generations', () => {
  const moved = endpoint(provider.address, 22000);

  test('the same offer again changes nothing', () => {
    const stream = call();
    const guess = endpoint(provider.address, 31000);
    stream.packet('external', guess, rtp, 0);
    stream.update({ internal: [phone], external: [provider] });
    assert.deepEqual(destination(stream), guess);
    assert.equal(stream.report().external.generation, 1);
  });

  test('a late packet from the old port does not win the stream back after a re-INVITE', () => {
    const stream = call();
    stream.packet('external', provider, rtp, 0);
    stream.update({ internal: [phone], external: [moved] });
    assert.deepEqual(destination(stream), moved);
    assert.equal(stream.packet('external', provider, rtp, 0).kind, 'forward', 'it is still heard');
    assert.deepEqual(destination(stream), moved, 'but it does not steer');
    const natted = endpoint(provider.address, 31000);
    assert.equal(stream.packet('external', natted, rtp, 0).kind, 'forward');
    assert.deepEqual(destination(stream), natted);
    assert.equal(stream.packet('external', provider, rtp, 0).kind, 'drop');
  });

  test('a port learnt before a hold is learnt again after it', () => {
    const stream = call();
    const natted = endpoint(provider.address, 31000);
    stream.packet('external', natted, rtp, 0);
    stream.update({ internal: [phone], external: [endpoint('0.0.0.0', provider.port)] });
    assert.equal(stream.packet('internal', phone, rtp, 0).kind, 'drop');
    stream.update({ internal: [phone], external: [provider] });
    stream.packet('external', natted, rtp, 0);
    assert.deepEqual(destination(stream), natted);
  });

  test('an answer that keeps the latched endpoint in the first place keeps the latch', () => {
    const fork = endpoint('198.51.100.9', 40000);
    const stream = call([provider, fork]);
    stream.packet('external', fork, rtp, 0);
    assert.deepEqual(destination(stream), fork);
    stream.update({ internal: [phone], external: [fork] });
    assert.deepEqual(stream.report().external.latched, fork);
    stream.update({ internal: [phone], external: [provider, fork] });
    assert.deepEqual(destination(stream), provider);
  });

  test('a change on one side leaves the other side latched', () => {
    const stream = call();
    stream.packet('external', endpoint(provider.address, 31000), rtp, 0);
    stream.update({ internal: [endpoint(phone.address, 4010)], external: [provider] });
    assert.equal(stream.report().external.generation, 1);
    assert.equal(stream.report().internal.generation, 2);
    assert.equal(destination(stream)?.port, 31000);
  });
});

describe('whatever arrives', () => {
  const addresses = ['192.168.1.50', '198.51.100.7', '198.51.100.9', '203.0.113.66', '0.0.0.0'];
  const anyEndpoint: fc.Arbitrary<Endpoint> = fc.record({
    address: fc.constantFrom(...addresses),
    port: fc.constantFrom(0, 4000, 4002, 20000, 22000, 31000),
  });
  const anySource = anyEndpoint.filter((e) => e.port !== 0 && e.address !== '0.0.0.0');
  const anyBytes = fc.oneof(fc.constant(rtp), fc.uint8Array({ maxLength: 24 }));
  const anySide = fc.constantFrom('internal' as const, 'external' as const);
  const anyAdvertised: fc.Arbitrary<AdvertisedEndpoints> = fc.record({
    internal: fc.array(anyEndpoint, { maxLength: 2 }),
    external: fc.array(anyEndpoint, { maxLength: 3 }),
  });
  const anyStep = fc.oneof(
    { weight: 5, arbitrary: fc.record({ side: anySide, source: anySource, bytes: anyBytes }) },
    { weight: 1, arbitrary: fc.record({ advertised: anyAdvertised }) },
  );

  test('only advertised addresses send and receive, and a latch moves only to a better one', () => {
    fc.assert(
      fc.property(anyAdvertised, fc.array(anyStep, { maxLength: 60 }), (first, steps) => {
        const stream = new RelayStream(first);
        let now = first;
        let moves = 0;
        for (const step of steps) {
          if ('advertised' in step) {
            stream.update(step.advertised);
            now = step.advertised;
            moves = 0;
            continue;
          }
          const before = stream.report();
          const decision = stream.packet(step.side, step.source, step.bytes, 1);
          const after = stream.report();
          const other = step.side === 'internal' ? 'external' : 'internal';
          if (!now[step.side].some((a) => a.address === step.source.address)) {
            assert.equal(decision.kind, 'drop');
            assert.deepEqual(after[step.side].latched, before[step.side].latched);
          }
          if (decision.kind === 'forward') {
            assert.notEqual(decision.to.port, 0);
            assert.notEqual(decision.to.address, '0.0.0.0');
            assert.ok(now[other].some((a) => a.address === decision.to.address));
          }
          assert.deepEqual(after[other].latched, before[other].latched);
          const a = after[step.side].latched;
          const b = before[step.side].latched;
          if (a !== undefined && (b === undefined || !sameEndpoint(a, b))) moves++;
          assert.ok(moves <= now.internal.length + now.external.length + 4, 'a stream does not flap');
        }
      }),
    );
  });

  test('who ends up with the stream does not depend on the order of packets once the best one has sent', () => {
    fc.assert(
      fc.property(fc.array(anySource, { minLength: 1, maxLength: 20 }), fc.nat(), (sources, at) => {
        const stream = call();
        const order = [...sources];
        order.splice(at % (order.length + 1), 0, provider);
        for (const source of order) stream.packet('external', source, rtp, 0);
        assert.deepEqual(stream.report().external.latched, provider);
      }),
    );
  });

  test('every packet is counted exactly once', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ side: anySide, source: anySource, bytes: anyBytes })), (packets) => {
        const stream = call();
        for (const p of packets) stream.packet(p.side, p.source, p.bytes, 7);
        const report = stream.report();
        let counted = 0;
        for (const side of [report.internal, report.external])
          counted += side.packets + Object.values(side.drops).reduce((a, b) => a + b, 0);
        assert.equal(counted, packets.length);
      }),
    );
  });
});

describe('the peek', () => {
  const cases: readonly (readonly [string, readonly number[], ReturnType<typeof peekMedia>])[] = [
    ['RTP', [0x80, 0, ...Array(10).fill(0)], 'rtp'],
    ['RTP cut short', [0x80, 0, 0, 0], 'other'],
    ['an empty receiver report', [0x80, 201, 0, 1, 0, 0, 0, 0], 'rtcp'],
    ['version 0', [0x00, 0, ...Array(18).fill(0)], 'other'],
    ['version 3', [0xc0, 0, ...Array(18).fill(0)], 'other'],
    ['STUN', [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...Array(12).fill(0)], 'stun'],
    ['a DTLS ClientHello', [22, 0xfe, 0xff, ...Array(10).fill(0)], 'dtls'],
    ['ZRTP', [16, ...Array(11).fill(0)], 'zrtp'],
    ['nothing', [], 'other'],
  ];
  for (const [name, bytes, protocol] of cases)
    test(`${name} is ${protocol}`, () => assert.equal(peekMedia(Uint8Array.from(bytes)), protocol));
});

test('ports beyond the last one do not exist', () => {
  assert.deepEqual(endpointAt(endpoint('192.0.2.1', 4000), 1), endpoint('192.0.2.1', 4001));
  assert.equal(endpointAt(endpoint('192.0.2.1', 65535), 1), undefined);
  assert.deepEqual(endpointAt(endpoint('192.0.2.1', 0), 1), endpoint('192.0.2.1', 0));
});
