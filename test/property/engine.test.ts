/** Laws of the engine, over sequences of whole, damaged and foreign datagrams from everybody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { REGISTRATION_MAX_MS, rowLeadMs } from '../../src/core/alg/mappings.ts';
import type { MappingSnapshot } from '../../src/core/alg/snapshot.ts';
import { octetsOf } from '../../src/core/sip/octets.ts';
import { request, respond, sdp, Workbench } from '../engine/bench.ts';

const phones = ['192.168.1.50:5060', '192.168.1.51:5060', '192.168.1.50:40000'];

const kind = fc.constantFrom(
  'REGISTER',
  'INVITE',
  'ACK',
  'BYE',
  'CANCEL',
  'UPDATE',
  'OPTIONS',
  'SUBSCRIBE',
  'NOVEL',
);
const step = fc.record({
  phone: fc.nat(2),
  out: fc.boolean(),
  kind,
  status: fc.constantFrom(0, 0, 100, 183, 200, 302, 401, 481, 487),
  callId: fc.nat(3),
  tag: fc.constantFrom('', 'b1', 'b2'),
  port: fc.constantFrom(4000, 4002, 0, 65_535),
  sdp: fc.boolean(),
  damage: fc.oneof(
    { weight: 4, arbitrary: fc.constant([]) },
    fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { minLength: 1, maxLength: 3 }),
  ),
  cut: fc.oneof({ weight: 6, arbitrary: fc.constant(100_000) }, fc.nat(600)),
  wait: fc.constantFrom(0, 0, 0, 600, 6_000, 400_000),
  stranger: fc.constantFrom(false, false, false, true),
  reply: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function contentOf(one: Step, bench: Workbench): Uint8Array {
  const names = {
    callId: `c${one.callId}`,
    ...(one.tag === '' ? {} : { to: one.tag }),
    contact: `<sip:alice@${phones[one.phone]}>`,
    sentBy: phones[one.phone] ?? '',
  };
  const address = (phones[one.phone] ?? '').split(':')[0] ?? '';
  const body = one.sdp ? sdp(address, one.port, ['a=rtcp:4001']) : undefined;
  const last = bench.sent.at(-1)?.text;
  const text =
    one.status !== 0 && last?.startsWith('SIP/2.0') === false
      ? respond(
          one.status,
          last,
          { to: 'b1', extra: ['Contact: <sip:alice@203.0.113.1:5060>;expires=60'] },
          body,
        )
      : request(one.kind, names, body);
  const bytes = octetsOf(text.replace(/[^\x00-\xff]/g, '?')).slice(0, one.cut);
  for (const [where, octet] of one.damage) if (bytes.length > 0) bytes[where % bytes.length] = octet;
  return bytes;
}

for (const media of ['kernel', 'relay'] as const) {
  test(`${media}: no input throws or faults; what leaves is what came, or differs only inside its edits; tables drain`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }), (steps) => {
        const bench = new Workbench({ media, limits: { mappings: 4, dialogs: 4, media: 6, pending: 4 } });
        for (const one of steps) {
          bench.pass(one.wait);
          const bytes = contentOf(one, bench);
          const before = bench.events.length;
          const sent = one.out
            ? bench.phone(bytes, phones[one.phone])
            : bench.provider(
                bytes,
                `203.0.113.1:${one.phone === 0 ? 5060 : 20_000}`,
                one.stranger ? '192.0.2.66:5060' : undefined,
              );
          assert.ok(sent.length <= 1);
          const [out] = sent;
          if (out === undefined) continue;
          const translated = bench.events.slice(before).find((event) => event.kind === 'message.translated');
          if (translated === undefined)
            assert.equal(out.bytes, bytes, 'untouched means the very same buffer');
          else {
            let at = 0;
            let from = 0;
            for (const edit of translated.kind === 'message.translated' ? translated.edits : []) {
              assert.deepEqual(
                out.bytes.subarray(at, at + edit.offset - from),
                bytes.subarray(from, edit.offset),
              );
              at += edit.offset - from + edit.after.length;
              from = edit.offset + edit.length;
            }
            assert.deepEqual(out.bytes.subarray(at), bytes.subarray(from));
          }
        }
        assert.deepEqual(bench.eventsOf('engine.fault'), []);
        const snapshot = bench.engine.snapshot();
        assert.ok(
          snapshot.mappings.length <= 4 && snapshot.dialogs.length <= 4 && snapshot.media.length <= 6,
        );
        const used = snapshot.media.flatMap((one) =>
          Array.from({ length: one.ports }, (_, k) => `${one.external.address} ${one.external.port + k}`),
        );
        assert.equal(new Set(used).size, used.length, 'no port is given out twice');
        // Everything ends by itself: nothing leaks.
        bench.pass(3 * 86_400_000);
        const rest = bench.engine.snapshot();
        assert.deepEqual([rest.mappings.length, rest.dialogs.length, rest.media.length], [0, 0, 0]);
        assert.deepEqual(bench.openMedia(), []);
        assert.ok([...bench.records.values()].every((one) => one.table === 'port'));
      }),
      { numRuns: 400 },
    );
  });
}

test('a restart at any point leaves an engine that goes on: same ports, no fault', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 20, size: 'max' }),
      fc.array(step, { maxLength: 10, size: 'max' }),
      (before, after) => {
        const first = new Workbench();
        for (const one of before) {
          first.pass(one.wait);
          if (one.out) first.phone(contentOf(one, first), phones[one.phone]);
          else first.provider(contentOf(one, first), '203.0.113.1:5060');
        }
        const restored = (): Workbench => {
          const bench = new Workbench();
          bench.now = first.now;
          bench.take(bench.engine.restore(bench.now, [...first.records.values()]));
          return bench;
        };
        const shape = (bench: Workbench): MappingSnapshot[] =>
          [...bench.engine.snapshot().mappings].sort((a, b) => a.external.port - b.external.port);
        const plain = ({ internal, external, registrations }: MappingSnapshot, exact: boolean): unknown => ({
          internal,
          external,
          registrations: registrations.map(([key, one]) => [key, exact ? one : { ...one, expiresAt: 0 }]),
        });
        // Killed: no registration ends earlier, and none later than its row may say.
        const killed = restored();
        assert.deepEqual(
          shape(killed).map((one) => plain(one, false)),
          shape(first).map((one) => plain(one, false)),
        );
        for (const [i, { registrations }] of shape(first).entries())
          for (const [k, [, { expiresAt }]] of registrations.entries()) {
            const lateMs = (shape(killed)[i]?.registrations[k]?.[1].expiresAt ?? 0) - expiresAt;
            assert.ok(lateMs >= 0 && lateMs <= rowLeadMs(REGISTRATION_MAX_MS), `${lateMs} ms later`);
          }
        // Stopped: each ends when it would have ended.
        first.take(first.engine.settle());
        const second = restored();
        assert.deepEqual(
          shape(second).map((one) => plain(one, true)),
          shape(first).map((one) => plain(one, true)),
        );
        for (const one of after) second.phone(contentOf(one, second), phones[one.phone]);
        assert.deepEqual(second.eventsOf('engine.fault'), []);
      },
    ),
    { numRuns: 200 },
  );
});
