/** IPv6 without a network: who is translated, what is in a copy, what preflight says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPacket } from '../../src/linux/ip-packet.ts';
import type { MachineFacts } from '../../src/linux/machine-facts.ts';
import { findIptablesTranslated, findTranslated } from '../../src/linux/nat66.ts';
import { ipv6Obstacles } from '../../src/linux/preflight-ipv6.ts';

const masquerade = { masquerade: null };
const leaves = (right: unknown, op = '=='): unknown => ({
  match: { op, left: { meta: { key: 'oifname' } }, right },
});
const from = (right: unknown, op = '=='): unknown => ({
  match: { op, left: { payload: { protocol: 'ip6', field: 'saddr' } }, right },
});
const rules = (family: string, ...exprs: unknown[][]): unknown => ({
  nftables: exprs.map((expr) => ({ rule: { family, table: 'nat', chain: 'post', expr } })),
});
const found = (family: string, ...expr: unknown[]): string[] => findTranslated(rules(family, expr), ['wan0']);

test('whether IPv6 is translated, and whose, is read from the router’s nftables rules', () => {
  assert.deepEqual(findTranslated(undefined, ['wan0']), []);
  assert.deepEqual(found('ip6', leaves('wan0'), masquerade), ['::/0']);
  assert.deepEqual(found('ip6', masquerade), ['::/0']);
  assert.deepEqual(found('ip', leaves('wan0'), masquerade), [], 'of a table for IPv4');
  assert.deepEqual(found('inet', leaves('wan0'), masquerade), ['::/0'], 'of both families');
  const nfproto = (right: string): unknown => ({
    match: { op: '==', left: { meta: { key: 'nfproto' } }, right },
  });
  assert.deepEqual(found('inet', nfproto('ipv4'), masquerade), []);
  assert.deepEqual(found('inet', nfproto('ipv6'), masquerade), ['::/0']);
  const v4 = {
    match: { op: '==', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: '10.0.0.0' },
  };
  assert.deepEqual(found('inet', v4, masquerade), []);
  assert.deepEqual(found('inet', { snat: { family: 'ip', addr: '198.51.100.1' } }), []);
  assert.deepEqual(found('inet', { snat: { addr: '198.51.100.1' } }), []);
  assert.deepEqual(found('ip6', { snat: { addr: '2001:db8::1' } }), ['::/0']);
  assert.deepEqual(found('ip6', leaves('lan0'), masquerade), [], 'it leaves elsewhere');
  assert.deepEqual(found('ip6', leaves('lan0', '!='), masquerade), ['::/0']);
  assert.deepEqual(found('ip6', leaves('wan*'), masquerade), ['::/0']);
  assert.deepEqual(found('ip6', leaves({ set: ['ppp0', 'wan0'] }), masquerade), ['::/0']);
  assert.deepEqual(found('ip6', leaves('@wans'), masquerade), ['::/0'], 'a set that has a name');
  const ula = { prefix: { addr: 'fd00:0:1::', len: 48 } };
  assert.deepEqual(found('ip6', from(ula), masquerade), ['fd00:0:1::/48']);
  assert.deepEqual(found('ip6', from({ set: [ula, '2001:DB8::7'] }), masquerade), [
    'fd00:0:1::/48',
    '2001:db8::7',
  ]);
  assert.deepEqual(found('ip6', from('@lans'), masquerade), ['::/0']);
  assert.deepEqual(found('ip6', from(ula, '!='), masquerade), ['::/0']);
  const tcp = { match: { op: '==', left: { meta: { key: 'l4proto' } }, right: 'tcp' } };
  assert.deepEqual(found('ip6', tcp, masquerade), []);
  assert.deepEqual(found('ip6', leaves('wan0'), { accept: null }), []);
});

test('the same from ip6tables', () => {
  const save = `*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s fd00:1::/64 ! -o docker0 -j MASQUERADE
-A POSTROUTING -o lan0 -j MASQUERADE
-A POSTROUTING -s fd00:2::/64 -o wan+ -j SNAT --to-source 2001:db8::1
-A POSTROUTING -p tcp -j MASQUERADE
-A POSTROUTING -o wan0 -j ACCEPT
COMMIT
`;
  assert.deepEqual(findIptablesTranslated(save, ['wan0']), ['fd00:1::/64', 'fd00:2::/64']);
  assert.deepEqual(findIptablesTranslated('-A POSTROUTING ! -s fd00::/8 -j MASQUERADE', ['wan0']), ['::/0']);
  assert.deepEqual(findIptablesTranslated('', ['wan0']), []);
});

function packet(first: number, rest: readonly number[]): Uint8Array {
  const header = new Uint8Array(40);
  header.set([0x60, 0, 0, 0, 0, rest.length, first, 64]);
  header.set([0x20, 0x01, 0x0d, 0xb8], 8);
  header[23] = 1;
  header.set([0x20, 0x01, 0x0d, 0xb8], 24);
  header[39] = 2;
  return Uint8Array.of(...header, ...rest);
}

const UDP = [0x13, 0xc4, 0xc3, 0x50, 0, 10, 0, 0, 0x68, 0x69];

test('the datagram is found behind extension headers, and is not where there is only a part of it', () => {
  const expected = {
    kind: 'udp',
    source: { address: '2001:db8::1', port: 5060 },
    destination: { address: '2001:db8::2', port: 50_000 },
    payload: Uint8Array.of(0x68, 0x69),
  };
  const hop = [17, 0, 5, 2, 0, 0, 1, 0];
  assert.deepEqual(readPacket(packet(17, UDP)), expected);
  assert.deepEqual(readPacket(packet(0, [...hop, ...UDP])), expected);
  assert.deepEqual(readPacket(packet(60, [60, 1, ...Array(14).fill(0), ...hop, ...UDP])), expected);
  assert.deepEqual(
    readPacket(packet(44, [17, 0, 0, 0, 0, 0, 0, 7, ...UDP])),
    expected,
    'a fragment that is all',
  );
  assert.deepEqual(readPacket(packet(51, [17, 1, ...Array(10).fill(0), ...UDP])), expected);
  assert.deepEqual(readPacket(packet(17, [...UDP, 0, 0])), expected, 'with something behind it');
  assert.equal(
    readPacket(packet(44, [17, 0, 0, 8, 0, 0, 0, 7, ...UDP])),
    undefined,
    'a fragment in the middle',
  );
  assert.equal(readPacket(packet(6, UDP)), undefined, 'too short for TCP');
  assert.equal(readPacket(packet(50, UDP)), undefined);
  assert.equal(readPacket(packet(17, UDP.slice(0, -1))), undefined);
  assert.equal(readPacket(packet(17, [0x13, 0xc4, 0xc3, 0x50, 0, 7, 0, 0])), undefined);
  assert.equal(readPacket(packet(0, Array(80).fill(0))), undefined, 'headers without end');
  assert.equal(readPacket(new Uint8Array()), undefined);
});

test('a TCP segment is read from its packet, with options or without, and nothing that lies behind it', () => {
  const header = (offset: number, flags: number): number[] => [
    ...[0xc3, 0x50, 0x13, 0xc4, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0],
    ...[offset << 4, flags, 0, 0, 0, 0, 0, 0],
  ];
  const packet = (...octets: number[]): Uint8Array => {
    const bytes = new Uint8Array(40 + octets.length);
    bytes.set([0x60, 0, 0, 0, octets.length >> 8, octets.length & 255, 6, 64]);
    bytes.set([0x20, 1, 0xd, 0xb8, 0, 1], 8);
    bytes.set([0x20, 1, 0xd, 0xb8, 0, 5], 24);
    bytes.set(octets, 40);
    return bytes;
  };
  const read = (bytes: Uint8Array): unknown => {
    const found = readPacket(bytes);
    return found?.kind === 'tcp' ? { ...found.segment, payload: [...found.segment.payload] } : undefined;
  };
  const plain = { sequence: 0xffff_ffff, acknowledged: 256, opens: false, ends: false, breaks: false };
  assert.deepEqual(read(packet(...header(5, 0x18), 65, 66)), { ...plain, payload: [65, 66] });
  assert.deepEqual(read(packet(...header(6, 0x18), 1, 1, 1, 0, 65)), { ...plain, payload: [65] });
  assert.deepEqual(read(packet(...header(5, 0x02))), {
    ...plain,
    acknowledged: undefined,
    opens: true,
    payload: [],
  });
  assert.deepEqual(read(packet(...header(5, 0x11))), { ...plain, ends: true, payload: [] });
  assert.deepEqual(read(packet(...header(5, 0x14))), { ...plain, breaks: true, payload: [] });
  assert.deepEqual(read(Uint8Array.of(...packet(...header(5, 0x18), 65), 66)), { ...plain, payload: [65] });
  assert.equal(read(packet(...header(4, 0x18), 65)), undefined, 'a header that is too short');
  assert.equal(read(packet(...header(15, 0x18), 65)), undefined, 'options that are not there');
  assert.equal(read(packet(...header(5, 0x18).slice(0, -1))), undefined);
  const found = readPacket(packet(...header(5, 0x18)));
  assert.deepEqual(found?.destination, { address: '2001:db8:5::', port: 5060 });
});

test('preflight speaks of IPv6 only where this machine carries it, and says what to do', () => {
  const options = { internal: ['lan0'], external: ['wan0'] };
  const facts = (
    addresses: readonly string[],
    ruleset: unknown,
    sysctls: Readonly<Record<string, string>> = {},
  ): MachineFacts => ({
    capabilities: 0n,
    programs: { nft: true, ip: true },
    missingFeatures: [],
    interfaces: new Map([
      ['lan0', { addresses, bridge: true, up: true }],
      ['wan0', { addresses, bridge: false, up: true }],
    ]),
    sysctl: (name) => sysctls[name],
    modules: new Set(),
    ruleset,
    iptablesHelpers: [],
    rules: [],
    foreignRoutes: [],
    udpSockets: [],
  });
  const drops = {
    nftables: [
      { chain: { family: 'ip6', table: 'f', name: 'fwd', type: 'filter', hook: 'forward', policy: 'drop' } },
      { chain: { family: 'ip', table: 'f', name: 'fwd', type: 'filter', hook: 'forward', policy: 'drop' } },
    ],
  };
  const off = { 'net.ipv6.conf.all.forwarding': '0' };
  assert.deepEqual([...ipv6Obstacles(options, facts(['192.0.2.1'], drops, off))], []);
  const told = [...ipv6Obstacles(options, facts(['2001:db8::1'], drops, off))];
  assert.deepEqual(
    told.map(({ code, severity }) => [code, severity]),
    [
      ['linux/no-forwarding', 'warning'],
      ['linux/forward-drops', 'warning'],
    ],
  );
  assert.match(told[1]!.remedy, /--accept-chain 'ip6 f fwd'/);
  const named = { ...options, acceptChains: [{ family: 'ip6', table: 'f', chain: 'fwd' } as const] };
  assert.deepEqual([...ipv6Obstacles(named, facts(['2001:db8::1'], drops))], []);
  const filtered = { 'net.bridge.bridge-nf-call-ip6tables': '1' };
  const nat = rules('ip6', [masquerade]);
  assert.deepEqual(
    [...ipv6Obstacles(options, facts(['2001:db8::1'], nat, filtered))].map(({ code }) => code),
    ['linux/bridge-netfilter'],
  );
  assert.deepEqual([...ipv6Obstacles(options, facts(['2001:db8::1'], undefined, filtered))], []);
});
