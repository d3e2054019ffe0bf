/** Our netlink against the programs of nftables and conntrack: what we write, they must read, and the other way round. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ConntrackEntry } from '../../src/linux/conntrack.ts';
import type { Obstacle } from '../../src/linux/preflight.ts';
import type { ElementText } from './agent.ts';
import { A, Lab, labObstacle, PROVIDER, WAN } from './lab.ts';

const obstacle = labObstacle();
const options = obstacle === undefined ? {} : { skip: `SKIPPED, NOT TESTED: netlink (${obstacle})` };
if (obstacle !== undefined)
  console.error(`\n*** SKIPPED, NOT TESTED: netlink against the kernel: ${obstacle} ***\n`);

const PLANE = { internal: ['lan0', 'lan1'], external: ['wan0'] };

function endpointText(e: { address: string; port: number }): string {
  return `${e.address}:${e.port}`;
}

test('elements that we write are those that nft reads', options, async () => {
  using lab = await Lab.make();
  await lab.router.do({ op: 'start', options: PLANE });
  const endpoint = fc.record({ address: fc.ipV4(), port: fc.integer({ min: 0, max: 65_535 }) });
  const element = fc.record({
    source: fc.ipV4(),
    external: endpoint,
    internal: endpoint,
    timeoutMs: fc.integer({ min: 60, max: 86_400 }).map((seconds) => seconds * 1_000),
  });
  const key = (e: ElementText): string => `${e.source} ${endpointText(e.external)}`;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(element, { selector: key, minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 40 }),
      async (elements, again) => {
        lab.run('r', 'nft flush map inet sipalg media_in');
        await lab.router.do({ op: 'renew', set: 'media_in', elements });
        // Once more for some of them: what is there is no error.
        await lab.router.do({ op: 'renew', set: 'media_in', elements: elements.slice(0, again) });
        const listing = JSON.parse(lab.run('r', 'nft -j list map inet sipalg media_in')) as {
          nftables: {
            map?: {
              elem: [{ elem: { val: { concat: unknown[] }; timeout: number } }, { concat: unknown[] }][];
            };
          }[];
        };
        const read = listing.nftables
          .find((item) => item.map !== undefined)!
          .map!.elem.map(([{ elem }, value]) =>
            [...elem.val.concat, ...value.concat, elem.timeout].join(' '),
          );
        const written = elements.map((e) =>
          [
            ...[e.source, e.external.address, e.external.port],
            ...[e.internal.address, e.internal.port, e.timeoutMs / 1_000],
          ].join(' '),
        );
        assert.deepEqual(read.sort(), written.sort());
      },
    ),
    { numRuns: 25 },
  );
});

test('a batch with one bad message changes nothing, and says why', options, async () => {
  using lab = await Lab.make();
  await lab.router.do({ op: 'start', options: PLANE });
  const e = { address: A, port: 1 };
  const element: ElementText = { source: A, external: e, internal: e, timeoutMs: 1_000 };
  await assert.rejects(lab.router.do({ op: 'renew', set: 'no_such_set', elements: [element] }), /ENOENT/);
  const before = lab.run('r', 'nft list map inet sipalg media_in');
  // The second half of the batch contradicts the first: one key, two values.
  const other: ElementText = { ...element, internal: { address: A, port: 2 } };
  await assert.rejects(lab.router.do({ op: 'renew', set: 'media_in', elements: [element, other] }), /EEXIST/);
  assert.equal(lab.run('r', 'nft list map inet sipalg media_in'), before);
});

test('connections are listed, filtered, held and removed as conntrack sees them', options, async () => {
  using lab = await Lab.make();
  await lab.a.bind(A, 5060);
  await lab.a.bind(A, 4000);
  await lab.provider.bind(PROVIDER, 5060);
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'one');
  await lab.a.send([A, 4000], [PROVIDER, 5060], 'two');
  await lab.provider.datagram('one');
  await lab.provider.datagram('two');
  const list = async (filter: object, remove = false): Promise<ConntrackEntry[]> =>
    (await lab.router.do({ op: 'conntrack', filter, remove })) as ConntrackEntry[];
  const all = await list({});
  assert.deepEqual(all.map((entry) => endpointText(entry.original.source)).sort(), [
    `${A}:4000`,
    `${A}:5060`,
  ]);
  assert.ok(all.every((entry) => entry.reply.destination.address === WAN && entry.timeoutS > 0));
  assert.equal((await list({ original: { sourcePort: 4000 } })).length, 1);
  assert.equal((await list({ reply: { destinationAddress: WAN, destinationPort: 5060 } })).length, 1);
  assert.equal((await list({ status: 1 << 5 })).length, 0);
  await list({ original: { sourcePort: 4000 } }, true);
  assert.deepEqual(
    (await list({})).map((entry) => entry.original.source.port),
    [5060],
  );
  const hold = (lifetimeMs: number) =>
    lab.router.do({
      op: 'hold',
      local: { address: WAN, port: 7000 },
      peer: { address: PROVIDER, port: 5060 },
      lifetimeMs,
    });
  await hold(3_600_000);
  await hold(7_200_000);
  await hold(1_800_000);
  const seen = lab.run('r', 'conntrack -L -p udp --orig-src 198.51.100.1 2>/dev/null');
  assert.match(
    seen,
    /udp\s+17 1[78]\d\d src=198\.51\.100\.1 dst=198\.51\.100\.2 sport=7000 dport=5060 .*\[ASSURED\]/,
  );
  assert.equal(seen.trim().split('\n').length, 1);
});

test('preflight finds nothing in the way on the lab’s router, and changes nothing', options, async () => {
  using lab = await Lab.make({ firewall: true });
  const before = lab.run('r', 'nft list ruleset; ip rule');
  const found = (await lab.router.do({
    op: 'preflight',
    options: { ...PLANE, mediaPorts: { first: 16_384, last: 20_000 } },
  })) as Obstacle[];
  assert.deepEqual(found, []);
  assert.equal(lab.run('r', 'nft list ruleset; ip rule'), before);
  const missing = (await lab.router.do({
    op: 'preflight',
    options: { internal: ['lan9'], external: ['wan0'] },
  })) as Obstacle[];
  assert.deepEqual(
    missing.map((one) => one.code).filter((code) => code === 'linux/interface-missing').length,
    1,
  );
});
