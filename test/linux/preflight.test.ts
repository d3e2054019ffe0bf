/** What preflight finds, on what the programs really print. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { findAcceptRules, parseChainName } from '../../src/linux/accept-chain.ts';
import { droppingChains, type Probe, sipHelpers } from '../../src/linux/firewall.ts';
import { findForwards, findIptablesForwards, readLearned } from '../../src/linux/forwarded.ts';
import {
  type MachineFacts,
  parseCapabilities,
  parseIptablesHelpers,
  parseUdpSockets,
  SHARES,
} from '../../src/linux/machine-facts.ts';
import { isOurs, parseRules } from '../../src/linux/policy-route.ts';
import { findObstacles, type PreflightOptions } from '../../src/linux/preflight.ts';

// Printed by nft 1.0.6 for the ruleset in firewall.nft beside it.
const ruleset: unknown = JSON.parse(
  readFileSync(new URL('./fixtures/firewall.json', import.meta.url), 'utf8'),
);

const options: PreflightOptions = { internal: ['lan0'], external: ['wan0'] };

function facts(
  some: Partial<MachineFacts> = {},
  sysctls: Readonly<Record<string, string>> = {},
): MachineFacts {
  const known: Readonly<Record<string, string>> = {
    'net.ipv4.ip_forward': '1',
    'net.ipv4.ip_local_port_range': '32768\t60999',
    ...sysctls,
  };
  return {
    capabilities: 0x1ff_ffff_ffffn,
    programs: { nft: true, ip: true },
    missingFeatures: [],
    interfaces: new Map([
      ['lo', { addresses: ['127.0.0.1'], bridge: false, up: true }],
      ['lan0', { addresses: ['10.0.0.1'], bridge: true, up: true }],
      ['wan0', { addresses: ['198.51.100.1'], bridge: false, up: true }],
    ]),
    sysctl: (name) => known[name],
    modules: new Set(),
    ruleset: undefined,
    iptablesHelpers: [],
    rules: [],
    foreignRoutes: [],
    udpSockets: [],
    ...some,
  };
}

function codes(found: readonly { readonly code: string }[]): string[] {
  return found.map((one) => one.code);
}

test('a machine with nothing in the way has no obstacle', () => {
  assert.deepEqual(findObstacles(options, facts()), []);
});

test('a kernel that cannot share the phones among engines is told so, with what helps', () => {
  const [obstacle] = findObstacles(
    { ...options, engines: 2 },
    facts({ missingFeatures: [{ feature: SHARES, problem: 'No such file' }] }),
  );
  assert.equal(obstacle?.code, 'linux/kernel-feature');
  assert.match(obstacle.remedy, /nft_hash.*leave engine-threads at its default/);
});

test('each obstacle is named, with its remedy', () => {
  const cases: readonly (readonly [string, MachineFacts, PreflightOptions?])[] = [
    ['linux/not-privileged', facts({ capabilities: 0n })],
    ['linux/no-nft', facts({ programs: { nft: false, ip: true } })],
    ['linux/no-ip', facts({ programs: { nft: true, ip: false } })],
    ['linux/kernel-feature', facts({ missingFeatures: [{ feature: 'tproxy', problem: 'No such file' }] })],
    ['linux/interface-missing', facts(), { ...options, external: ['ppp0'] }],
    ['linux/interface-twice', facts(), { internal: ['lan0', 'wan0'], external: ['wan0'] }],
    [
      'linux/interface-without-address',
      facts({
        interfaces: new Map([
          ['lan0', { addresses: ['10.0.0.1'], bridge: false, up: true }],
          ['wan0', { addresses: [], bridge: false, up: false }],
        ]),
      }),
    ],
    ['linux/no-forwarding', facts({}, { 'net.ipv4.ip_forward': '0' })],
    ['linux/bridge-netfilter', facts({}, { 'net.bridge.bridge-nf-call-iptables': '1' })],
    [
      'linux/sip-helper',
      facts({ modules: new Set(['nf_conntrack_sip']) }, { 'net.netfilter.nf_conntrack_helper': '1' }),
    ],
    [
      'linux/sip-helper',
      facts({ iptablesHelpers: ['-A PREROUTING -p udp --dport 5060 -j CT --helper sip'] }),
    ],
    ['linux/sip-port-taken', facts({ udpSockets: [{ address: '0.0.0.0', port: 5060 }] })],
    ['linux/media-port-taken', facts({ udpSockets: [{ address: '198.51.100.1', port: 20_000 }] })],
    ['linux/media-range-ephemeral', facts({}, { 'net.ipv4.ip_local_port_range': '20000\t60999' })],
    [
      'linux/mark-collision',
      facts({ rules: [{ priority: 5, iif: undefined, fwmark: 1, fwmask: 0xffff_ffff, table: '100' }] }),
    ],
    ['linux/route-table-taken', facts({ foreignRoutes: ['default via 192.0.2.1 dev wan0'] })],
  ];
  for (const [code, machine, other] of cases) {
    const found = findObstacles(other ?? options, machine);
    assert.deepEqual(codes(found), [code]);
    assert.ok(found[0]!.remedy.length > 10 && found[0]!.what.length > 10, code);
  }
});

test('what looks like an obstacle and is none', () => {
  for (const machine of [
    facts({ udpSockets: [{ address: '127.0.0.1', port: 5060 }] }),
    facts(
      {},
      { 'net.ipv4.ip_local_port_range': '20000\t60999', 'net.ipv4.ip_local_reserved_ports': '16384-32767' },
    ),
    facts({ rules: [{ priority: 5, iif: undefined, fwmark: 1, fwmask: 0xff, table: '100' }] }),
    facts({ rules: [{ priority: 100, iif: 'lan0', fwmark: 0x800_0000, fwmask: 0x800_0000, table: '5060' }] }),
    facts({ modules: new Set(['nf_conntrack_sip']) }, { 'net.netfilter.nf_conntrack_helper': '0' }),
  ])
    assert.deepEqual(codes(findObstacles(options, machine)), []);
});

test('a firewall that drops is named with the rule to add; a named accept chain settles it', () => {
  const both = { internal: ['lan0', 'lan1'], external: ['wan0'] };
  const interfaces = new Map([
    ...facts().interfaces,
    ['lan1', { addresses: ['10.0.1.1'], bridge: false, up: true }],
  ]);
  const found = findObstacles(both, facts({ ruleset, interfaces }));
  assert.deepEqual(codes(found), ['linux/sip-helper', 'linux/input-drops', 'linux/forward-drops']);
  assert.match(
    found[1]!.remedy,
    /nft insert rule inet filter input iifname "lan1" meta l4proto \{ udp, tcp \} th dport 5060 accept/,
  );
  assert.match(found[2]!.remedy, /nft insert rule inet filter forward ct status dnat accept/);
  const acceptChains = ['inet filter input', 'inet filter forward'].map((name) => parseChainName(name)!);
  assert.deepEqual(codes(findObstacles({ ...both, acceptChains }, facts({ ruleset, interfaces }))), [
    'linux/sip-helper',
  ]);
});

test('a firewall is judged rule by rule', () => {
  const rule = (...expr: unknown[]) => ({ rule: { family: 'inet', table: 't', chain: 'c', expr } });
  const firewall = (hook: string, ...rules: unknown[]) => ({
    nftables: [
      { chain: { family: 'inet', table: 't', name: 'c', type: 'filter', hook, policy: 'drop' } },
      ...rules,
    ],
  });
  const match = (left: unknown, right: unknown, op = '==') => ({ match: { op, left, right } });
  const probe: Probe = { hook: 'forward', iif: 'wan0', oif: 'lan0', port: 16_384, dnat: true };
  const drops = (...rules: unknown[]) => droppingChains(firewall('forward', ...rules), probe).length === 1;
  const accept = { accept: null };
  const status = { ct: { key: 'status' } };
  assert.equal(drops(), true);
  assert.equal(drops(rule(accept)), false);
  assert.equal(drops(rule(match(status, 'dnat', 'in'), accept)), false);
  assert.equal(drops(rule(match(status, 'snat', 'in'), accept)), true);
  assert.equal(drops(rule(match({ ct: { key: 'state' } }, ['established', 'related'], 'in'), accept)), true);
  assert.equal(drops(rule(match({ meta: { key: 'iifname' } }, 'lan0', '!='), accept)), false);
  assert.equal(drops(rule(match({ meta: { key: 'iifname' } }, { set: ['wan0', 'x'] }), accept)), false);
  // What cannot be judged is no reason to trouble anybody.
  assert.equal(drops(rule({ xt: { type: 'match', name: 'conntrack' } }, accept)), false);
  assert.equal(
    drops(rule(match({ payload: { protocol: 'ip', field: 'saddr' } }, '@trusted'), accept)),
    false,
  );
  // A certain drop comes before what might have been accepted later.
  assert.equal(drops(rule({ drop: null }), rule(accept)), true);
  assert.equal(
    drops(rule(match({ payload: { protocol: 'udp', field: 'dport' } }, { range: [10_000, 20_000] }), accept)),
    false,
  );
});

test('the operator’s port forwards of SIP are found, and no others', () => {
  assert.deepEqual(
    findForwards(ruleset, [5060]).map((e) => `${e.address}:${e.port}`),
    ['10.0.0.50:5060', '10.0.0.54:5060'],
  );
  assert.deepEqual(
    findForwards(ruleset, [5080]).map((e) => `${e.address}:${e.port}`),
    ['10.0.0.51:5060', '10.0.0.54:5080'],
  );
  assert.deepEqual(sipHelpers(ruleset), ['ip nat']);
});

test('port forwards as iptables-save prints them', () => {
  const save = `*nat
-A PREROUTING -i wan0 -p udp -m udp --dport 5060 -j DNAT --to-destination 10.0.0.50
-A PREROUTING -i wan0 -p udp -m multiport --dports 5000:5100,6000 -j DNAT --to-destination 10.0.0.51:5062
-A PREROUTING -i wan0 -p tcp -m tcp --dport 5060 -j DNAT --to-destination 10.0.0.52
-A PREROUTING -i wan0 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.53
-A PREROUTING -d 198.51.100.9/32 -j DNAT --to-destination 10.0.0.54
COMMIT`;
  assert.deepEqual(
    findIptablesForwards(save, [5060]).map((e) => `${e.address}:${e.port}`),
    ['10.0.0.50:5060', '10.0.0.51:5062', '10.0.0.54:5060'],
  );
  assert.deepEqual(findIptablesForwards('', [5060]), []);
});

test('what is not there, or has another form, is no harm', () => {
  for (const odd of [undefined, null, 7, 'x', [], {}, { nftables: 3 }, { nftables: [null, { rule: 1 }] }]) {
    assert.deepEqual(findForwards(odd, [5060]), []);
    assert.deepEqual(sipHelpers(odd), []);
    assert.deepEqual(readLearned(odd), []);
    assert.deepEqual(findAcceptRules(odd), []);
    assert.deepEqual(droppingChains(odd, { hook: 'input', iif: 'x', port: 1, dnat: false }), []);
  }
  assert.deepEqual(parseRules('nonsense'), []);
});

test('learned endpoints, with and without an expiry', () => {
  const concat = { concat: ['10.0.0.2', 5060] };
  const set = (elem: unknown) => ({ nftables: [{ set: { name: 'forwarded', elem: [elem] } }] });
  assert.deepEqual(readLearned(set(concat)), [{ address: '10.0.0.2', port: 5060 }]);
  assert.deepEqual(readLearned(set({ elem: { val: concat, timeout: 86_400, expires: 5 } })), [
    { address: '10.0.0.2', port: 5060 },
  ]);
});

test('policy rules as iproute2 prints them', () => {
  const rules = parseRules(
    '[{"priority":0,"src":"all","table":"local"},' +
      '{"priority":100,"src":"all","fwmark":"0x8000000","fwmask":"0x8000000","iif":"lan0","table":"5060"},' +
      '{"priority":200,"src":"all","fwmark":"0x1","table":"100"}]',
  );
  assert.deepEqual(
    rules.map((rule) => isOurs(rule, 5060)),
    [false, true, false],
  );
  assert.equal(rules[2]!.fwmask, 0xffff_ffff);
});

test('files of /proc and chain names', () => {
  assert.equal(parseCapabilities('Name:\tnode\nCapEff:\t0000000000001400\n'), 0x1400n);
  assert.deepEqual(
    parseUdpSockets(
      '   sl  local_address rem_address   st tx_queue\n' +
        ' 1234: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1\n' +
        ' 1235: 016433C6:3E80 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1\n' +
        ' 1236: B80D0120000000000000000001000000:13C4 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1\n',
    ),
    [
      { address: '127.0.0.1', port: 5060 },
      { address: '198.51.100.1', port: 16_000 },
      { address: '2001:db8::1', port: 5060 },
    ],
  );
  assert.deepEqual(
    parseIptablesHelpers(
      '*raw\n-A PREROUTING -p udp -m udp --dport 5060 -j CT --helper sip\n-A PREROUTING -j CT --notrack\n',
    ),
    ['-A PREROUTING -p udp -m udp --dport 5060 -j CT --helper sip'],
  );
  assert.deepEqual(parseChainName('inet filter input'), { family: 'inet', table: 'filter', chain: 'input' });
  for (const bad of ['inet filter', 'ip4 a b', 'inet a b; flush ruleset', ''])
    assert.equal(parseChainName(bad), undefined);
});
