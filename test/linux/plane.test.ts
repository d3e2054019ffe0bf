/** The data plane on the kernel: interception, and failing open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { A, B, Lab, labObstacle, MEDIA, PROVIDER, STRANGER, WAN } from './lab.ts';

const obstacle = labObstacle();
const options = obstacle === undefined ? {} : { skip: `SKIPPED, NOT TESTED: the data plane (${obstacle})` };
if (obstacle !== undefined)
  console.error(`\n*** SKIPPED, NOT TESTED: the kernel data plane: ${obstacle} ***\n`);

const PLANE = { internal: ['lan0', 'lan1'], external: ['wan0'] };
const phone = { address: A, port: 5060 };
const provider = { address: PROVIDER, port: 5060 };
const external = { address: WAN, port: 5060 };

async function basics(lab: Lab): Promise<void> {
  await lab.a.bind(A, 5060);
  await lab.provider.bind(PROVIDER, 5060);
}

test('a phone’s packet is intercepted, and answered from the provider’s address', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  await lab.router.do({ op: 'start', options: PLANE });
  for (const text of ['first', '', 'x'.repeat(4000)]) {
    await lab.a.send([A, 5060], [PROVIDER, 5060], text);
    const packet = await lab.router.packet(text);
    assert.deepEqual(packet.flow, { transport: 'udp', side: 'internal', local: provider, remote: phone });
    assert.equal(packet.externalAddress, WAN);
    await lab.router.do({ op: 'plane-send', flow: packet.flow, text: `answer ${text}` });
    const answer = await lab.a.datagram(`answer ${text}`);
    assert.deepEqual(answer.remote, provider);
  }
  await lab.router.do({
    op: 'signalling',
    command: { action: 'open', id: 1, transport: 'udp', internal: phone, external },
  });
  await lab.router.opened(1);
  const outward = { transport: 'udp', side: 'external', local: external, remote: provider } as const;
  for (const text of ['register', '']) {
    await lab.router.do({ op: 'plane-send', flow: outward, text });
    assert.deepEqual((await lab.provider.datagram(text)).remote, external);
    await lab.provider.send([PROVIDER, 5060], [WAN, 5060], `ok ${text}`);
    assert.deepEqual((await lab.router.packet(`ok ${text}`)).flow, outward);
  }
  await lab.provider.send([PROVIDER, 5060], [WAN, 5060], '');
  await lab.router.packet('');
  // The router's own SIP is not touched.
  await lab.router.bind('10.0.0.1', 5060);
  await lab.a.send([A, 5060], ['10.0.0.1', 5060], 'for the router');
  await lab.router.datagram('for the router');
});

test('the engine may speak first, from an endpoint not met before', options, async () => {
  using lab = await Lab.make();
  await lab.a.bind(A, 5060);
  await lab.router.do({ op: 'start', options: PLANE });
  const other = { address: PROVIDER, port: 5080 };
  await lab.router.do({
    op: 'plane-send',
    flow: { transport: 'udp', side: 'internal', local: other, remote: phone },
    text: 'invite',
  });
  assert.deepEqual((await lab.a.datagram('invite')).remote, other);
  await lab.a.send([A, 5060], [PROVIDER, 5080], 'ringing');
  assert.deepEqual((await lab.router.packet('ringing')).flow.local, other);
});

test('a dead daemon leaves plain NAT', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  await lab.router.do({ op: 'start', options: PLANE });
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'intercepted');
  await lab.router.packet('intercepted');
  await lab.b.bind(B, 5060);
  await lab.router.kill('SIGKILL');
  // A new phone at once; the one that was intercepted once its last flow has ended.
  await lab.b.send([B, 5060], [PROVIDER, 5060], 'new phone');
  assert.equal((await lab.provider.datagram('new phone', 500)).remote.address, WAN);
  await until(() => !lab.run('r', 'conntrack -L -p udp 2>/dev/null').includes(`src=${A}`));
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'old phone');
  assert.equal((await lab.provider.datagram('old phone', 500)).remote.address, WAN);
});

test('a frozen daemon leaves plain NAT, and takes over again when it thaws', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  await lab.router.do({ op: 'start', options: PLANE });
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'intercepted');
  await lab.router.packet('intercepted');
  const frozen = performance.now();
  await lab.router.kill('SIGSTOP');
  let through = false;
  for (let i = 0; !through; i++) {
    assert.ok(performance.now() - frozen < 10_000, 'within 10 s');
    await lab.a.send([A, 5060], [PROVIDER, 5060], `try ${i}`);
    through = await lab.provider.datagram(`try ${i}`, 1_300).then(
      (got) => {
        assert.equal(got.remote.address, WAN);
        return true;
      },
      () => false,
    );
  }
  console.error(`frozen daemon: plain NAT after ${Math.round(performance.now() - frozen)} ms`);
  await lab.router.kill('SIGCONT');
  await lab.router.notice('linux.gap', 5_000);
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'again ours');
  assert.deepEqual((await lab.router.packet('again ours')).flow.remote, phone);
});

test(
  'flows made while the daemon was away are taken over; stop leaves nothing and plain NAT at once',
  options,
  async () => {
    using lab = await Lab.make();
    await basics(lab);
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'before');
    await lab.provider.datagram('before');
    const before = lab.run('r', 'nft list ruleset; ip rule; ip -4 route show table all');
    await lab.router.do({ op: 'start', options: PLANE });
    await lab.router.notice('linux.stale-flows');
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'taken over');
    assert.deepEqual((await lab.router.packet('taken over')).flow.remote, phone);
    await lab.router.do({ op: 'stop' });
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'after');
    assert.equal((await lab.provider.datagram('after')).remote.address, WAN);
    assert.equal(lab.run('r', 'nft list ruleset; ip rule; ip -4 route show table all'), before);
  },
);

test('strict rp_filter', options, async () => {
  const sysctls = {
    'net.ipv4.conf.all.rp_filter': '1',
    'net.ipv4.conf.default.rp_filter': '1',
    'net.ipv4.conf.lan0.rp_filter': '1',
    'net.ipv4.conf.wan0.rp_filter': '1',
    'net.ipv4.conf.all.src_valid_mark': '1',
  };
  using lab = await Lab.make({ sysctls });
  await basics(lab);
  await lab.router.do({ op: 'start', options: PLANE });
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'strict');
  await lab.router.packet('strict');
});

test('a PBX behind the operator’s port forward is not touched', options, async () => {
  using lab = await Lab.make({ forwards: [`iifname "wan0" udp dport 5060 dnat to ${A}`] });
  await basics(lab);
  await lab.b.bind(B, 5060);
  await lab.router.do({ op: 'start', options: PLANE });
  await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'to the PBX');
  assert.deepEqual((await lab.a.datagram('to the PBX')).remote, provider);
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'from the PBX');
  assert.deepEqual((await lab.provider.datagram('from the PBX')).remote, external);
  // Another destination is a new flow, and still the PBX's.
  await lab.provider.bind(MEDIA, 5060);
  await lab.a.send([A, 5060], [MEDIA, 5060], 'PBX to another');
  assert.deepEqual((await lab.provider.datagram('PBX to another')).remote, external);
  // A phone beside it is intercepted.
  await lab.b.send([B, 5060], [PROVIDER, 5060], 'phone');
  await lab.router.packet('phone');
});

test('a port forward that no rule shows is learned from its traffic', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  await lab.router.do({ op: 'start', options: PLANE });
  lab.nft(`add rule ip nat pre iifname "wan0" udp dport 5060 dnat to ${A}`);
  await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'to the PBX');
  await lab.a.datagram('to the PBX');
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'from the PBX');
  await lab.provider.datagram('from the PBX');
  await lab.provider.bind(MEDIA, 5060);
  await lab.a.send([A, 5060], [MEDIA, 5060], 'PBX to another');
  await lab.provider.datagram('PBX to another');
});

test(
  'a phone that reaches the inside PBX over the forward is itself not taken for a PBX',
  options,
  async () => {
    using lab = await Lab.make({ forwards: [`ip daddr ${WAN} udp dport 5060 dnat to ${A}`] });
    await basics(lab);
    await lab.b.bind(B, 5060);
    await lab.router.do({ op: 'start', options: PLANE });
    for (const text of ['hairpin 1', 'hairpin 2']) {
      await lab.b.send([B, 5060], [WAN, 5060], text);
      await lab.a.datagram(text);
    }
    await lab.b.send([B, 5060], [PROVIDER, 5060], 'to its provider');
    await lab.router.packet('to its provider');
  },
);

test('excluded phones and providers keep plain NAT', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  await lab.provider.bind(MEDIA, 5060);
  await lab.b.bind(B, 5060);
  await lab.router.do({
    op: 'start',
    options: { ...PLANE, excludedPhones: ['10.0.1.0/24'], excludedProviders: [MEDIA] },
  });
  await lab.b.send([B, 5060], [PROVIDER, 5060], 'excluded phone');
  await lab.provider.datagram('excluded phone');
  await lab.a.send([A, 5060], [MEDIA, 5060], 'excluded provider');
  await lab.provider.datagram('excluded provider');
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'ours');
  await lab.router.packet('ours');
});

test(
  'a held registration stays reachable through a dropping firewall, and no longer than granted',
  options,
  async () => {
    using lab = await Lab.make({
      firewall: true,
      nat: 'masquerade fully-random',
      sysctls: {
        'net.netfilter.nf_conntrack_udp_timeout': '1',
        'net.netfilter.nf_conntrack_udp_timeout_stream': '1',
      },
    });
    await basics(lab);
    await lab.router.do({ op: 'start', options: PLANE });
    await lab.router.do({
      op: 'signalling',
      command: { action: 'open', id: 1, transport: 'udp', internal: phone, external },
    });
    await lab.router.opened(1);
    const outward = { transport: 'udp', side: 'external', local: external, remote: provider } as const;
    await lab.router.do({ op: 'plane-send', flow: outward, text: 'register' });
    // The port is ours in spite of fully-random.
    assert.deepEqual((await lab.provider.datagram('register')).remote, external);
    await lab.router.do({
      op: 'signalling',
      command: { action: 'hold', id: 1, peer: provider, lifetimeMs: 4_000 },
    });
    await lab.provider.bind(STRANGER, 5060);
    await lab.provider.send([STRANGER, 5060], [WAN, 5060], 'stranger');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'invite after idling');
    await lab.router.packet('invite after idling');
    assert.equal(lab.router.seen('stranger'), false);
    await until(() => !lab.run('r', 'conntrack -L -p udp 2>/dev/null').includes(`dst=${PROVIDER}`), 6_000);
    await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'too late');
    await lab.router.do({
      op: 'signalling',
      command: { action: 'hold', id: 1, peer: provider, lifetimeMs: 60_000 },
    });
    await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'in time');
    await lab.router.packet('in time');
    assert.equal(lab.router.seen('too late'), false);
  },
);

test('a flushed ruleset is written again, with all that was in it', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  await lab.router.do({ op: 'start', options: PLANE });
  await lab.router.do({
    op: 'signalling',
    command: { action: 'open', id: 1, transport: 'udp', internal: phone, external },
  });
  const before = lab.run('r', 'nft list table inet sipalg | grep -v "expires"');
  lab.run('r', 'nft flush ruleset');
  await lab.router.notice('linux.ruleset-lost', 3_000);
  assert.equal(lab.run('r', 'nft list table inet sipalg | grep -v "expires"'), before);
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'still ours');
  await lab.router.packet('still ours');
});

test(
  'after kill -9 a new daemon takes over, and a provider’s packet comes in before any of ours',
  options,
  async () => {
    using lab = await Lab.make({ firewall: true });
    await basics(lab);
    const open = {
      op: 'signalling',
      command: { action: 'open', id: 1, transport: 'udp', internal: phone, external },
    } as const;
    const hold = {
      op: 'signalling',
      command: { action: 'hold', id: 1, peer: provider, lifetimeMs: 60_000 },
    } as const;
    await lab.router.do({ op: 'start', options: PLANE });
    await lab.router.do(open);
    await lab.router.do(hold);
    await lab.router.kill('SIGKILL');
    const second = await lab.agent('r');
    await second.do({ op: 'start', options: PLANE });
    await second.do(open);
    await second.opened(1);
    // Both with the entry of the former life, and with one made anew.
    await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'invite 1');
    await second.packet('invite 1');
    lab.run('r', 'conntrack -F 2>/dev/null');
    await second.do(hold);
    await lab.provider.send([PROVIDER, 5060], [WAN, 5060], 'invite 2');
    await second.packet('invite 2');
    assert.equal(lab.run('r', 'ip rule').match(/lookup 5060/g)?.length, 2);
    // Closing the mapping closes the firewall.
    await second.do({ op: 'signalling', command: { action: 'close', id: 1 } });
    await second.do({ ...open, command: { ...open.command, id: 2, external: { address: WAN, port: 5070 } } });
    await second.opened(2);
    assert.equal(lab.run('r', 'conntrack -L -p udp 2>/dev/null').includes(`src=${PROVIDER}`), false);
    await second.do({ op: 'stop' });
  },
);

test('switching off is idempotent, also over what a killed daemon left', options, async () => {
  using lab = await Lab.make();
  await basics(lab);
  const before = lab.run('r', 'nft list ruleset; ip rule; ip -4 route show table all');
  await lab.router.do({ op: 'start', options: PLANE });
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'intercepted');
  await lab.router.packet('intercepted');
  await lab.router.kill('SIGKILL');
  const second = await lab.agent('r');
  const removed = (await second.do({ op: 'off' })) as { ruleset: boolean; policyRoute: boolean };
  assert.deepEqual([removed.ruleset, removed.policyRoute], [true, true]);
  await lab.a.send([A, 5060], [PROVIDER, 5060], 'plain');
  assert.equal((await lab.provider.datagram('plain')).remote.address, WAN);
  assert.deepEqual(await second.do({ op: 'off' }), {
    ruleset: false,
    acceptRules: false,
    policyRoute: false,
    flows: 0,
  });
  assert.equal(lab.run('r', 'nft list ruleset; ip rule; ip -4 route show table all'), before);
});

test(
  'provider sockets are bounded; the one unused longest goes, and comes back when it is needed',
  options,
  async () => {
    using lab = await Lab.make();
    await lab.a.bind(A, 5060);
    await lab.router.do({ op: 'start', options: { ...PLANE, maxProviderSockets: 2 } });
    for (const host of [10, 11, 12, 10, 13, 10]) {
      await lab.a.send([A, 5060], [`198.51.100.${host}`, 5060], `to ${host}`);
      const { flow } = await lab.router.packet(`to ${host}`);
      assert.equal(flow.local.address, `198.51.100.${host}`);
      await lab.router.do({ op: 'plane-send', flow, text: `from ${host}` });
      assert.deepEqual((await lab.a.datagram(`from ${host}`)).remote, flow.local);
    }
    const stats = (await lab.router.do({ op: 'stats' })) as { providerSockets: number; sendFailures: number };
    assert.deepEqual([stats.providerSockets, stats.sendFailures], [2, 0]);
  },
);

test('an external port that a program holds is refused, and said so', options, async () => {
  using lab = await Lab.make();
  await lab.router.bind(WAN, 5060);
  await lab.router.do({ op: 'start', options: PLANE });
  const open = (id: number, address: string, port: number) =>
    lab.router.do({
      op: 'signalling',
      command: { action: 'open', id, transport: 'udp', internal: phone, external: { address, port } },
    });
  const failed = (id: number, reason: RegExp) =>
    lab.router.wait((e) => e.event === 'failed' && e.id === id && reason.test(e.reason), `failed ${id}`);
  await open(1, WAN, 5060);
  await failed(1, /EADDRINUSE.*ss -ulpn/);
  // An address that is not there may come: the socket is bound already.
  await open(2, '192.0.2.1', 5060);
  await lab.router.opened(2);
  await open(3, WAN, 5061);
  await lab.router.opened(3);
});

test(
  'a bridge under br_netfilter would lose packets: refused at start, plain NAT when it comes later',
  options,
  async () => {
    using lab = await Lab.make({ bridge: true });
    const bridged = { internal: ['br0'], external: ['wan0'] };
    await basics(lab);
    lab.run('r', 'sysctl -qw net.bridge.bridge-nf-call-iptables=1');
    const before = lab.run('r', 'nft list ruleset; ip rule');
    await assert.rejects(lab.router.do({ op: 'start', options: bridged }), /br_netfilter/);
    assert.equal(lab.run('r', 'nft list ruleset; ip rule'), before);
    lab.run('r', 'sysctl -qw net.bridge.bridge-nf-call-iptables=0');
    await lab.router.do({ op: 'start', options: bridged });
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'intercepted');
    await lab.router.packet('intercepted');
    lab.run('r', 'sysctl -qw net.bridge.bridge-nf-call-iptables=1');
    await lab.router.notice('linux.bridge-netfilter');
    await until(() => !/elements/.test(lab.run('r', 'nft list set inet sipalg heartbeat')), 8_000);
    await until(() => !lab.run('r', 'conntrack -L -p udp 2>/dev/null').includes(`src=${A}`));
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'plain');
    assert.equal((await lab.provider.datagram('plain')).remote.address, WAN);
    lab.run('r', 'sysctl -qw net.bridge.bridge-nf-call-iptables=0');
    await lab.router.notice('linux.gap');
    await lab.a.send([A, 5060], [PROVIDER, 5060], 'ours again');
    await lab.router.packet('ours again');
  },
);

async function until(done: () => boolean, timeoutMs = 4_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!done()) {
    assert.ok(performance.now() < end, 'in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
