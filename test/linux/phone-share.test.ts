/** Whose a phone is: what we reckon is what the kernel's rules reckon, packet by packet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Namespace } from '../../demo/namespace.ts';
import { parseAddress } from '../../src/core/net/address.ts';
import { IPV4, IPV6 } from '../../src/linux/family.ts';
import { shareExpression, shareOf } from '../../src/linux/phone-share.ts';
import { labObstacle } from './lab.ts';

const obstacle = labObstacle();
const options = obstacle === undefined ? {} : { skip: `SKIPPED, NOT TESTED: shares (${obstacle})` };

const COUNTS = [2, 3, 8];
const addresses4 = Array.from({ length: 40 }, (_, i) => `10.${i % 7}.${(i * 37) % 256}.${i + 1}`);
const addresses6 = Array.from(
  { length: 40 },
  (_, i) => parseAddress(`fd00:${i % 5}::${(i * 409 + 1).toString(16)}`)!,
);

test('addresses spread evenly over the engines, and one engine has all', () => {
  for (const count of COUNTS) {
    const sizes = new Array<number>(count).fill(0);
    for (let i = 0; i < 4_000; i++) sizes[shareOf(`192.168.${i >> 8}.${i & 255}`, count)]!++;
    for (const size of sizes) assert.ok(size > 3_600 / count && size < 4_400 / count, `${sizes.join(' ')}`);
  }
  assert.equal(shareOf('192.0.2.1', 1), 0);
});

test('the kernel finds the same share for every address', options, async () => {
  const space = new Namespace('share');
  try {
    const sets = [IPV4, IPV6].flatMap((family) =>
      COUNTS.flatMap((count) =>
        Array.from({ length: count }, (_, i) => ({
          family,
          count,
          i,
          name: `s${family.suffix}_${count}_${i}`,
        })),
      ),
    );
    space.run(
      'nft',
      ['-f', '-'],
      [
        'table inet shares {',
        ...sets.map(({ family, name }) => `  set ${name} { type ${family.type}; flags dynamic; size 1024; }`),
        '  chain out { type filter hook output priority filter;',
        ...sets.map(
          ({ family, count, i, name }) =>
            `    udp dport 9 ${shareExpression(family, count)} ${i} add @${name} { ${family.nft} saddr }`,
        ),
        '  }',
        '}',
        '',
      ].join('\n'),
    );
    space.run(
      'ip',
      ['-batch', '-'],
      [
        'link set lo up',
        ...addresses4.map((one) => `addr add ${one}/32 dev lo`),
        ...addresses6.map((one) => `addr add ${one}/128 dev lo nodad`),
        '',
      ].join('\n'),
    );
    for (const [addresses, sink] of [
      [addresses4, '127.0.0.1'],
      [addresses6, '::1'],
    ] as const)
      for (const address of addresses) {
        const socket = await space.socket(address, 5060);
        await new Promise<void>((resolve, reject) =>
          socket.send('x', 9, sink, (error) => (error ? reject(error) : resolve())),
        );
        socket.close();
      }
    for (const { family, count, i, name } of sets) {
      const addresses = family === IPV4 ? addresses4 : addresses6;
      const listed = JSON.parse(space.run('nft', ['-j', 'list', 'set', 'inet', 'shares', name])) as {
        nftables: { set?: { elem?: string[] } }[];
      };
      const found = listed.nftables.flatMap(({ set }) => set?.elem ?? []);
      assert.deepEqual(
        found.sort(),
        addresses.filter((one) => shareOf(one, count) === i).sort(),
        `${name}: share ${i} of ${count}`,
      );
    }
  } finally {
    space.remove();
  }
});
