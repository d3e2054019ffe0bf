/** TCP connections followed from copies of their segments: what comes out is what an end would read, or nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint } from '../../src/core/net/address.ts';
import type { Side } from '../../src/core/net/flow.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { FollowedConnections, type Segment } from '../../src/stream/followed.ts';

const PHONE: Endpoint = { address: '2001:db8:1::10', port: 49_152 };
const PEER: Endpoint = { address: '2001:db8:5::5', port: 5060 };

interface Heard {
  readonly side: Side;
  readonly text: string;
  readonly connection: number | undefined;
}

function follow(limits = {}): {
  followed: FollowedConnections;
  heard: Heard[];
  closed: number[];
  told: string[];
  met: string[];
} {
  const heard: Heard[] = [];
  const closed: number[] = [];
  const told: string[] = [];
  const met: string[] = [];
  const followed = new FollowedConnections({
    handler: {
      packet: ({ side, local, remote, connection }, bytes, externalAddress, _inner, watched) => {
        assert.ok(watched);
        assert.equal(externalAddress, PHONE.address);
        assert.deepEqual(side === 'internal' ? [remote, local] : [local, remote], [PHONE, PEER]);
        heard.push({ side, text: textOf(bytes, 0, bytes.length), connection });
      },
      closed: (id) => closed.push(id),
      limit: (name) => met.push(name),
    },
    limits,
    tell: (text) => told.push(text),
  });
  return { followed, heard, closed, told, met };
}

function segment(sequence: number, text = '', more: Partial<Segment> = {}): Segment {
  return {
    sequence: sequence >>> 0,
    acknowledged: undefined,
    opens: false,
    ends: false,
    breaks: false,
    payload: octetsOf(text),
    ...more,
  };
}

function message(name: string, body = ''): string {
  return `MESSAGE sip:${name}@example.net SIP/2.0\r\nCall-ID: ${name}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** The handshake: the phone's first octet has the sequence number `phone`, the peer's `peer`. */
function open(followed: FollowedConnections, phone = 1000, peer = 5000, from = PHONE): void {
  followed.segment('internal', from, PEER, segment(phone - 1, '', { opens: true }), 0);
  followed.segment('external', from, PEER, segment(peer - 1, '', { opens: true, acknowledged: phone }), 0);
}

const names = fc.array(fc.string({ unit: fc.constantFrom(...'abcxyz'), minLength: 1, maxLength: 8 }), {
  minLength: 1,
  maxLength: 5,
});

test('however it is cut, repeated and reordered, each message comes out once, whole and in order', () => {
  fc.assert(
    fc.property(
      names,
      fc.array(fc.nat({ max: 400 }), { maxLength: 12 }),
      fc.array(fc.nat({ max: 1000 }), { minLength: 30, maxLength: 30 }),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      (list, cuts, order, start) => {
        const { followed, heard, told } = follow();
        open(followed, start);
        const text = list.map((name) => `${message(name, `v=0 ${name}`)}\r\n\r\n`).join('');
        const places = [...new Set([0, ...cuts.map((cut) => cut % text.length), text.length])].sort(
          (a, b) => a - b,
        );
        const pieces = places.slice(1).map((end, i) => ({ at: places[i] ?? 0, end }));
        // Some come twice, and some twice with another cut.
        const sent = [...pieces, ...pieces.filter((_, i) => order[i]! % 3 === 0)].map(({ at, end }, i) =>
          order[i]! % 5 === 0 ? { at: Math.max(0, at - 7), end } : { at, end },
        );
        const shuffled = sent
          .map((piece, i) => ({ piece, key: order[(i * 7) % order.length]! }))
          .sort((a, b) => a.key - b.key);
        for (const { piece } of shuffled)
          followed.segment(
            'internal',
            PHONE,
            PEER,
            segment(start + piece.at, text.slice(piece.at, piece.end)),
            0,
          );
        assert.deepEqual(
          heard.map((one) => one.text),
          list.map((name) => message(name, `v=0 ${name}`)),
        );
        assert.ok(heard.every(({ side, connection }) => side === 'internal' && connection === -1));
        assert.deepEqual(told, []);
      },
    ),
  );
});

test('both directions are followed, under one connection, until both have closed', () => {
  const { followed, heard, closed } = follow();
  open(followed);
  const [request, response] = [message('a'), message('b')];
  followed.segment('internal', PHONE, PEER, segment(1000, request, { acknowledged: 5000 }), 0);
  followed.segment(
    'external',
    PHONE,
    PEER,
    segment(5000, response, { acknowledged: 1000 + request.length }),
    0,
  );
  assert.deepEqual(heard, [
    { side: 'internal', text: request, connection: -1 },
    { side: 'external', text: response, connection: -1 },
  ]);
  followed.segment('internal', PHONE, PEER, segment(1000 + request.length, '', { ends: true }), 0);
  const fin = { ends: true, acknowledged: 1000 + request.length + 1 };
  assert.deepEqual(closed, []);
  followed.segment('external', PHONE, PEER, segment(5000 + response.length, '', fin), 0);
  assert.deepEqual(closed, [-1]);
  assert.equal(followed.size, 0);
});

test('a reset ends it, and so does another connection between the same two ports', () => {
  const { followed, heard, closed } = follow();
  open(followed);
  open(followed);
  assert.deepEqual(closed, [], 'the same SYN again is the same connection');
  open(followed, 70_000, 90_000);
  assert.deepEqual(closed, [-1]);
  followed.segment('internal', PHONE, PEER, segment(70_000, message('a')), 0);
  assert.deepEqual(
    heard.map((one) => one.connection),
    [-2],
  );
  followed.segment('external', PHONE, PEER, segment(90_000, '', { breaks: true }), 0);
  assert.deepEqual(closed, [-1, -2]);
});

test('what began before us, and what stands in the middle of what is not SIP, is never taken for a message', () => {
  const { followed, heard, told } = follow();
  followed.segment('internal', PHONE, PEER, segment(1000, message('early')), 0);
  assert.deepEqual(heard, []);
  open(followed);
  const post = 'POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 500\r\n\r\n';
  followed.segment('internal', PHONE, PEER, segment(1000, post), 0);
  followed.segment('internal', PHONE, PEER, segment(1000 + post.length, message('smuggled')), 0);
  assert.deepEqual(heard, []);
  assert.match(told.join('\n'), /^the TCP connection of \[2001:db8:1::10\]:49152 .* not begin like SIP$/);
});

test('where a copy is missing nothing more of that direction is followed, and it is told once', () => {
  const { followed, heard, told } = follow();
  open(followed);
  const [first, lost, next] = [message('a'), message('lost'), message('c')];
  followed.segment('internal', PHONE, PEER, segment(1000, first), 0);
  const after = 1000 + first.length + lost.length;
  followed.segment('internal', PHONE, PEER, segment(after, next), 0);
  assert.deepEqual(told, [], 'it may only be late');
  // The peer has read it all, so the copy will never come.
  for (let i = 0; i < 3; i++)
    followed.segment(
      'external',
      PHONE,
      PEER,
      segment(5000, message('b'), { acknowledged: after + next.length }),
      0,
    );
  followed.segment('internal', PHONE, PEER, segment(after + next.length, message('d')), 0);
  assert.deepEqual(
    heard.map(({ side, text }) => [side, text]),
    [
      ['internal', first],
      ['external', message('b')],
    ],
  );
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /a copy of it was lost/);
});

test('what waits for a piece that does not come is bounded', () => {
  const { followed, told } = follow();
  open(followed);
  for (let i = 1; i < 100; i++)
    followed.segment('internal', PHONE, PEER, segment(1000 + 1400 * i, 'x'.repeat(1400)), 0);
  assert.equal(told.length, 1);
});

test('connections are bounded, in all and for each phone, and silent ones are forgotten', () => {
  const { followed, met, closed } = follow({ connections: 3, connectionsPerPhone: 2 });
  const from = (host: number, port: number): Endpoint => ({ address: `2001:db8:1::${host}`, port });
  for (const port of [1, 2, 3]) open(followed, 1000, 5000, from(1, port));
  for (const port of [1, 2]) open(followed, 1000, 5000, from(2, port));
  assert.deepEqual(met, ['connections-per-phone', 'connections']);
  assert.equal(followed.size, 3);
  followed.check(124 * 60_000 + 1);
  assert.equal(followed.size, 0);
  assert.equal(closed.length, 3);
  open(followed, 1000, 5000, from(1, 9));
  assert.equal(followed.size, 1);
});
