/** Media on the kernel's maps: both directions, nobody else, and shut when closed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MediaCommand, MediaMapping } from '../../src/core/alg/io.ts';
import {
  A,
  B,
  B_ON_BRIDGE,
  Lab,
  labObstacle,
  MEDIA,
  PROVIDER,
  type RouterOptions,
  STRANGER,
  WAN,
} from './lab.ts';

const obstacle = labObstacle();
const options =
  obstacle === undefined ? {} : { skip: `SKIPPED, NOT TESTED: media on the kernel (${obstacle})` };
if (obstacle !== undefined)
  console.error(`\n*** SKIPPED, NOT TESTED: media on the kernel: ${obstacle} ***\n`);

const PLANE = { internal: ['lan0', 'lan1'], external: ['wan0'] };

const mapping: MediaMapping = {
  id: 7,
  internal: { address: A, port: 4000 },
  external: { address: WAN, port: 16_000 },
  inner: undefined,
  ports: 2,
  sources: [{ address: MEDIA, port: 20_000 }],
};

async function started(router: RouterOptions = {}): Promise<Lab> {
  const lab = await Lab.make(router);
  await Promise.all([
    lab.a.bind(A, 4000),
    lab.a.bind(A, 4001),
    lab.b.bind(B, 4000),
    lab.provider.bind(MEDIA, 20_000),
    lab.provider.bind(MEDIA, 20_001),
    lab.provider.bind(PROVIDER, 20_000),
    lab.provider.bind(STRANGER, 20_000),
  ]);
  await lab.router.do({ op: 'start', options: PLANE });
  return lab;
}

async function media(lab: Lab, command: MediaCommand): Promise<void> {
  await lab.router.do({ op: 'media', command });
  if (command.action === 'open') await lab.router.opened(command.id);
}

const toWan: [string, number] = [WAN, 16_000];

for (const router of [
  { nat: 'masquerade fully-random' },
  { firewall: true, nat: 'masquerade fully-random' },
] as const) {
  const name = 'firewall' in router ? 'behind a dropping firewall' : 'with random masquerade';

  test(`media reaches a silent phone, and leaves from the advertised port, ${name}`, options, async () => {
    using lab = await started(router);
    await media(lab, { action: 'open', ...mapping });
    await lab.provider.send([MEDIA, 20_000], toWan, 'rtp in');
    const got = await lab.a.datagram('rtp in');
    assert.deepEqual([got.local, got.remote], [mapping.internal, { address: MEDIA, port: 20_000 }]);
    await lab.provider.send([MEDIA, 20_001], [WAN, 16_001], 'rtcp in');
    assert.equal((await lab.a.datagram('rtcp in')).local.port, 4001);
    await lab.a.send([A, 4000], [MEDIA, 20_000], 'rtp out');
    assert.deepEqual((await lab.provider.datagram('rtp out')).remote, mapping.external);
    // A flow that the phone begins, to where nobody has sent from.
    await lab.a.send([A, 4001], [MEDIA, 20_000], 'odd out');
    assert.deepEqual((await lab.provider.datagram('odd out')).remote, { address: WAN, port: 16_001 });
  });

  test(`a stranger’s media does not pass, ${name}`, options, async () => {
    using lab = await started(router);
    await media(lab, { action: 'open', ...mapping });
    await lab.provider.send([STRANGER, 20_000], toWan, 'stranger');
    await lab.provider.send([MEDIA, 20_000], toWan, 'known');
    await lab.a.datagram('known');
    assert.equal(lab.a.seen('stranger'), false);
  });

  test(`closing shuts the hole while the far end keeps sending, ${name}`, options, async () => {
    using lab = await started(router);
    for (const starter of ['provider', 'phone']) {
      await media(lab, { action: 'open', ...mapping });
      if (starter === 'phone') await lab.a.send([A, 4000], [MEDIA, 20_000], `out ${starter}`);
      await lab.provider.send([MEDIA, 20_000], toWan, `in ${starter}`);
      await lab.a.datagram(`in ${starter}`);
      if (starter === 'provider') await lab.a.send([A, 4000], [MEDIA, 20_000], `out ${starter}`);
      await lab.provider.datagram(`out ${starter}`);
      await media(lab, { action: 'close', id: mapping.id });
      await lab.provider.send([MEDIA, 20_000], toWan, `late ${starter}`);
      // What comes later on the same wire has arrived: so would the late one have.
      await media(lab, { action: 'open', ...mapping, external: { address: WAN, port: 17_000 } });
      await lab.provider.send([MEDIA, 20_000], [WAN, 17_000], `fence ${starter}`);
      await lab.a.datagram(`fence ${starter}`);
      assert.equal(lab.a.seen(`late ${starter}`), false);
      await media(lab, { action: 'close', id: mapping.id });
    }
    const elements = lab.run('r', 'nft list table inet sipalg');
    assert.equal(elements.includes('16000'), false);
    assert.equal(elements.includes('17000'), false);
  });
}

test(
  'many calls that end at once are all shut; a port that a phone uses again hears nothing of the call before',
  options,
  async () => {
    using lab = await started();
    const calls = Array.from({ length: 20 }, (_, k) => ({
      ...mapping,
      id: 100 + k,
      internal: { address: A, port: 4200 + 2 * k },
      external: { address: WAN, port: 16_100 + 2 * k },
    }));
    for (const call of calls) {
      await lab.a.bind(A, call.internal.port);
      await media(lab, { action: 'open', ...call });
      await lab.provider.send([MEDIA, 20_000], [WAN, call.external.port], `in ${call.id}`);
      await lab.a.datagram(`in ${call.id}`);
    }
    for (const { id } of calls) await media(lab, { action: 'close', id });
    const last = calls.at(-1)!;
    await media(lab, { action: 'open', ...last, id: 200, external: { address: WAN, port: 17_000 } });
    await lab.provider.send([MEDIA, 20_000], [WAN, last.external.port], 'of the call before');
    await lab.provider.send([MEDIA, 20_000], [WAN, 17_000], 'of the next one');
    await lab.a.datagram('of the next one');
    assert.equal(lab.a.seen('of the call before'), false);
    const state = 'nft list map inet sipalg media_in; conntrack -L -p udp 2>/dev/null';
    lab.run(
      'r',
      `for i in $(seq 100); do { ${state}; } | grep -q 'dport=161\\|\\. 161' || exit 0; sleep 0.05; done; exit 1`,
    );
    const left = lab.run('r', state);
    for (const { external } of calls)
      assert.equal(left.includes(String(external.port)), false, `${external.port}`);
    assert.ok(left.includes('17000'));
  },
);

test('media that came before the mapping was open does not block it', options, async () => {
  using lab = await started();
  await lab.provider.send([MEDIA, 20_000], toWan, 'too early');
  await lab.a.send([A, 4000], [MEDIA, 20_000], 'plain NAT');
  await lab.provider.datagram('plain NAT');
  await media(lab, { action: 'open', ...mapping });
  await lab.provider.send([MEDIA, 20_000], toWan, 'now');
  await lab.a.datagram('now');
  await lab.a.send([A, 4000], [MEDIA, 20_000], 'out');
  assert.deepEqual((await lab.provider.datagram('out')).remote, mapping.external);
});

test('an update lets the new source in and the old one no longer, established or not', options, async () => {
  using lab = await started();
  await media(lab, { action: 'open', ...mapping, sources: [{ address: PROVIDER, port: 20_000 }] });
  await lab.provider.send([PROVIDER, 20_000], toWan, 'before');
  await lab.a.datagram('before');
  await lab.provider.send([MEDIA, 20_000], toWan, 'not yet');
  await media(lab, { action: 'update', ...mapping });
  await lab.provider.send([PROVIDER, 20_000], toWan, 'no longer');
  await lab.provider.send([MEDIA, 20_000], toWan, 'now');
  await lab.a.datagram('now');
  assert.equal(lab.a.seen('not yet'), false);
  assert.equal(lab.a.seen('no longer'), false);
  // The phone moves to another port (re-INVITE); a flow under way follows.
  await lab.a.bind(A, 4100);
  await media(lab, { action: 'update', ...mapping, internal: { address: A, port: 4100 }, ports: 1 });
  await lab.provider.send([MEDIA, 20_000], toWan, 'moved');
  assert.equal((await lab.a.datagram('moved')).local.port, 4100);
});

test('two phones inside talk over a hairpin, each seeing the advertised endpoint', options, async () => {
  using lab = await started({ firewall: true });
  const other: MediaMapping = {
    ...mapping,
    id: 8,
    internal: { address: B, port: 4000 },
    external: { address: WAN, port: 18_000 },
    sources: [{ address: A, port: 4000 }],
  };
  await media(lab, { action: 'open', ...mapping, sources: [{ address: B, port: 4000 }] });
  await media(lab, { action: 'open', ...other });
  await lab.a.send([A, 4000], [WAN, 18_000], 'A to B');
  assert.deepEqual((await lab.b.datagram('A to B')).remote, mapping.external);
  await lab.b.send([B, 4000], toWan, 'B to A');
  assert.deepEqual((await lab.a.datagram('B to A')).remote, other.external);
  await media(lab, { action: 'close', id: 7 });
  await media(lab, { action: 'close', id: 8 });
});

test(
  'the same for two phones of one network behind a bridge, which is intercepted like any interface',
  options,
  async () => {
    using lab = await Lab.make({ firewall: true, bridge: true });
    const b = B_ON_BRIDGE;
    await Promise.all([lab.a.bind(A, 4000), lab.b.bind(b, 4000), lab.b.bind(b, 5060)]);
    await lab.router.do({ op: 'start', options: { internal: ['br0'], external: ['wan0'] } });
    await lab.b.send([b, 5060], [PROVIDER, 5060], 'intercepted');
    await lab.router.packet('intercepted');
    const other = {
      ...mapping,
      id: 8,
      internal: { address: b, port: 4000 },
      external: { address: WAN, port: 18_000 },
    };
    await media(lab, { action: 'open', ...mapping, sources: [{ address: b, port: 4000 }] });
    await media(lab, { action: 'open', ...other, sources: [{ address: A, port: 4000 }] });
    for (const text of ['one', 'two', 'three']) {
      await lab.a.send([A, 4000], [WAN, 18_000], `A to B ${text}`);
      assert.deepEqual((await lab.b.datagram(`A to B ${text}`)).remote, mapping.external);
      await lab.b.send([b, 4000], toWan, `B to A ${text}`);
      assert.deepEqual((await lab.a.datagram(`B to A ${text}`)).remote, other.external);
    }
  },
);

test('media goes on when the daemon is killed', options, async () => {
  using lab = await started({ firewall: true });
  await media(lab, { action: 'open', ...mapping });
  await lab.provider.send([MEDIA, 20_000], toWan, 'before');
  await lab.a.datagram('before');
  await lab.router.kill('SIGKILL');
  await lab.provider.send([MEDIA, 20_000], toWan, 'after');
  await lab.a.datagram('after');
  await lab.a.send([A, 4000], [MEDIA, 20_000], 'out after');
  assert.deepEqual((await lab.provider.datagram('out after')).remote, mapping.external);
});

test(
  'a port that a local program holds is refused; two mappings of one phone port do not clash',
  options,
  async () => {
    using lab = await started();
    await lab.router.bind(WAN, 16_001);
    await lab.router.do({ op: 'media', command: { action: 'open', ...mapping } });
    await lab.router.wait((event) => event.event === 'failed' && event.reason.includes('16001'), 'failed');
    await media(lab, { action: 'open', ...mapping, id: 9, external: { address: WAN, port: 16_010 } });
    await media(lab, { action: 'open', ...mapping, id: 10, external: { address: WAN, port: 16_020 } });
    await lab.provider.send([MEDIA, 20_000], [WAN, 16_010], 'first');
    await lab.a.datagram('first');
    await media(lab, { action: 'close', id: 10 });
    await lab.a.send([A, 4000], [MEDIA, 20_001], 'out');
    assert.equal((await lab.provider.datagram('out')).remote.port, 16_010);
  },
);

test(
  'an accept chain lets media and known providers through a firewall that knows neither',
  options,
  async () => {
    using lab = await Lab.make();
    lab.nft(`
    table inet filter {
      chain input { type filter hook input priority filter; policy drop; ct state established,related accept; }
      chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept; }
    }`);
    const before = lab.run('r', 'nft list ruleset');
    await lab.a.bind(A, 4000);
    await lab.a.bind(A, 5060);
    await lab.provider.bind(MEDIA, 20_000);
    await lab.provider.bind(MEDIA, 5060);
    const acceptChains = [
      { family: 'inet', table: 'filter', chain: 'input' },
      { family: 'inet', table: 'filter', chain: 'forward' },
    ] as const;
    await lab.router.do({ op: 'start', options: { ...PLANE, acceptChains, providers: [MEDIA] } });
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'intercepted');
    await lab.router.packet('intercepted');
    await lab.router.do({
      op: 'signalling',
      command: {
        action: 'open',
        id: 1,
        transport: 'udp',
        internal: { address: A, port: 5060 },
        external: { address: WAN, port: 5060 },
      },
    });
    await lab.router.opened(1);
    await lab.provider.send([MEDIA, 5060], [WAN, 5060], 'invite from another address');
    await lab.router.packet('invite from another address');
    await media(lab, { action: 'open', ...mapping });
    await lab.provider.send([MEDIA, 20_000], toWan, 'rtp');
    await lab.a.datagram('rtp');
    await lab.router.do({ op: 'stop' });
    assert.equal(lab.run('r', 'nft list ruleset'), before);
  },
);
