/**
 * Passages change nothing: a relay whose sockets carry out what was decided before sends, counts and latches as one that is asked
 * about every packet, whatever packets, descriptions and calls come in whatever order. The sockets are mocks: no network is in it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MediaMapping } from '../../src/core/alg/io.ts';
import { type Endpoint, endpoint, formatEndpoint, sameEndpoint } from '../../src/core/net/address.ts';
import type { SideReport } from '../../src/core/relay/stream.ts';
import { MediaRelay } from '../../src/gateway/explicit/media-relay.ts';
import { Tally } from '../../src/gateway/explicit/tally.ts';
import type { MediaSocket, Passage, Sockets } from '../../src/gateway/explicit/udp-socket.ts';

const IDS = [1, 2] as const;
const externalOf = (id: number): Endpoint => endpoint('203.0.113.1', 24_000 + 2 * id);
const innerOf = (id: number): Endpoint => endpoint('192.168.1.1', 20_000 + 2 * id);

/** Phones on two ports each, providers, the relay's own endpoints (hairpins and loops), nobody. */
const phones = [1, 2].flatMap((n) => [endpoint(`192.168.1.5${n}`, 4000), endpoint(`192.168.1.5${n}`, 4002)]);
const providers = [
  endpoint('198.51.100.6', 30_000),
  endpoint('198.51.100.6', 30_002),
  endpoint('198.51.100.7', 30_000),
];
const own = IDS.flatMap((id) => [externalOf(id), innerOf(id)]);
const nobody = [endpoint('0.0.0.0', 9), endpoint('198.51.100.66', 9)];
const anyone = fc.constantFrom(...phones, ...providers, ...own, ...nobody);

const id = fc.constantFrom(...IDS);
const described = fc.record({
  id,
  internal: fc.option(fc.constantFrom(...phones), { nil: undefined, freq: 8 }),
  sources: fc.array(fc.constantFrom(...providers, ...phones, ...own), { maxLength: 3 }),
});
/** Mostly who has something to do there, and in bursts, so that what was decided once is used. */
const plausible = id.chain((one) =>
  fc.oneof(
    fc.record({
      at: fc.constant(innerOf(one)),
      from: fc.constantFrom(...phones.slice(2 * one - 2, 2 * one)),
    }),
    fc.record({ at: fc.constant(externalOf(one)), from: fc.constantFrom(...providers) }),
  ),
);
const packets = fc.record({
  where: fc.oneof(
    { weight: 5, arbitrary: plausible },
    { weight: 1, arbitrary: fc.record({ at: fc.constantFrom(...own), from: anyone }) },
  ),
  count: fc.integer({ min: 1, max: 4 }),
  isMedia: fc.constantFrom(true, true, true, false),
});
const step = fc.oneof(
  { weight: 12, arbitrary: packets.map((p) => ({ kind: 'packets' as const, ...p })) },
  { weight: 3, arbitrary: described.map((d) => ({ kind: 'update' as const, ...d })) },
  { weight: 2, arbitrary: described.map((d) => ({ kind: 'open' as const, ...d })) },
  { weight: 1, arbitrary: id.map((one) => ({ kind: 'close' as const, id: one })) },
);

class MockNetwork {
  readonly sent: string[] = [];
  readonly #sockets = new Map<string, (bytes: Uint8Array, from: Endpoint) => void>();
  readonly sockets: Sockets;

  constructor(usesPassages: boolean) {
    const open: Sockets['openMedia'] = async (at, { onDatagram }) => {
      const key = formatEndpoint(at);
      let passage: Passage | undefined;
      const socket: MediaSocket = {
        local: at,
        send: (bytes, to) => {
          this.sent.push(`${key} > ${formatEndpoint(to)} ${bytes.length}`);
        },
        setPassage: (next) => {
          if (usesPassages) passage = next;
        },
        close: async () => {
          this.#sockets.delete(key);
        },
      };
      this.#sockets.set(key, (bytes, from) => {
        if (passage === undefined || !sameEndpoint(passage.source, from)) return onDatagram(bytes, from);
        passage.by.send(bytes, passage.to);
        passage.passed(1, bytes.length);
      });
      return socket;
    };
    this.sockets = { make: 'node:dgram', openUdp: open, openMedia: open };
  }

  deliver(at: Endpoint, from: Endpoint, bytes: Uint8Array): void {
    this.#sockets.get(formatEndpoint(at))?.(bytes, from);
  }
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Everything that can be seen from outside, but the time. */
async function run(steps: readonly Step[], usesPassages: boolean): Promise<unknown> {
  const network = new MockNetwork(usesPassages);
  let settled = (): void => {};
  const handler = { opened: () => settled(), failed: () => settled() };
  const relay = new MediaRelay(handler, new Tally(() => {}), { sockets: network.sockets });
  const seen: unknown[] = [];
  for (const [n, one] of steps.entries()) {
    if (one.kind === 'packets') {
      for (let i = 0; i < one.count; i++) {
        const bytes = new Uint8Array(12 + ((n + i) % 7));
        if (one.isMedia) bytes[0] = 0x80;
        network.deliver(one.where.at, one.where.from, bytes);
      }
    } else if (one.kind === 'close') relay.command({ action: 'close', id: one.id });
    else {
      const { kind, ...rest } = one;
      const mapping: MediaMapping = {
        ...rest,
        external: externalOf(one.id),
        inner: innerOf(one.id),
        ports: 1,
      };
      const answered = new Promise<void>((resolve) => {
        settled = resolve;
      });
      relay.command({ action: kind, ...mapping });
      if (kind === 'open') await answered;
    }
    const timeless = ({ lastMs, ...side }: SideReport): unknown => ({ ...side, heard: lastMs !== undefined });
    seen.push(
      relay.snapshot().map((open) => ({
        id: open.id,
        streams: open.streams.map(({ internal, external }) => [timeless(internal), timeless(external)]),
      })),
    );
  }
  await relay.stop();
  return { sent: network.sent, seen };
}

test('a relay with passages does what one without them does', async () => {
  let used = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      // Two calls are up from the beginning: most of what is random comes to nothing otherwise.
      const begin: Step[] = IDS.map((one) => ({
        kind: 'open',
        id: one,
        internal: phones[2 * one - 2],
        sources: [providers[0]!],
      }));
      const [plain, quick] = [await run([...begin, ...steps], false), await run([...begin, ...steps], true)];
      used += (plain as { sent: unknown[] }).sent.length;
      assert.deepEqual(quick, plain);
    }),
    { numRuns: 400 },
  );
  assert.ok(used > 400, 'packets were sent');
});
