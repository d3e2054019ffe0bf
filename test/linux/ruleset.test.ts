/** The ruleset as text, whole; and that options cannot smuggle anything into it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { type RulesetOptions, renderRuleset } from '../../src/linux/ruleset.ts';

const options: RulesetOptions = {
  internal: ['br0', 'lan1'],
  external: ['wan0'],
  sipPorts: [5060, 5062],
  listenPort: 40_000,
  listenPort6: 40_006,
  tcpListenPort: 40_001,
  tcpListenPort6: 40_007,
  translated6: ['fd00::/8'],
  excludedPhones: ['10.0.0.9'],
  excludedProviders: ['192.0.2.0/24', '2001:db8::/32'],
  providers: ['198.51.100.0/25'],
  forwarded: [{ address: '10.0.0.50', port: 5060 }],
  learned: [{ address: '10.0.0.51', port: 5060 }],
  forwardedHosts: ['10.0.0.50', '10.0.0.52'],
};

test('the ruleset is the golden one', () => {
  const golden = readFileSync(new URL('./fixtures/ruleset.nft', import.meta.url), 'utf8');
  assert.equal(renderRuleset(options), golden);
});

test('tproxy stands before the mark: the other way round a dead daemon would swallow packets', () => {
  const lines = renderRuleset(options)
    .split('\n')
    .filter((text) => text.includes('tproxy ip'));
  assert.equal(lines.length, 4);
  for (const line of lines) assert.ok(line.indexOf('tproxy') < line.indexOf('meta mark set'));
});

test('several engines: each packet of a phone goes to its engine, whichever of them has a socket of the provider', () => {
  const others = [
    { listenPort: 41_000, listenPort6: 41_006, tcpListenPort: 41_001, tcpListenPort6: 41_007 },
    { listenPort: 42_000, listenPort6: 42_006, tcpListenPort: 42_001, tcpListenPort6: 42_007 },
  ];
  const lines = renderRuleset({ ...options, others }).split('\n');
  const tproxy = lines.filter((text) => text.includes('tproxy ip'));
  const to = (address: string, family: string, ...ports: number[]): string =>
    `${address}:jhash ${family} saddr mod 3 seed 1 map { ${ports.map((port, i) => `${i} : ${port}`).join(', ')} } meta mark set`;
  assert.equal(tproxy.length, 6);
  for (const [i, wanted] of [
    to('127.0.0.1', 'ip', 40_000, 41_000, 42_000),
    to('127.0.0.1', 'ip', 40_000, 41_000, 42_000),
    to('127.0.0.1', 'ip', 40_001, 41_001, 42_001),
    to('[::1]', 'ip6', 40_006, 41_006, 42_006),
    to('[::1]', 'ip6', 40_006, 41_006, 42_006),
    to('[::1]', 'ip6', 40_007, 41_007, 42_007),
  ].entries())
    assert.ok(tproxy[i]!.includes(wanted), tproxy[i]);
  // A provider's port that is no SIP port is taken where a socket of ours is there, and counted as all are.
  for (const nfproto of ['ipv4', 'ipv6']) {
    const bound = `meta nfproto ${nfproto} meta l4proto udp socket transparent 1 socket wildcard 0`;
    const rules = lines.filter((text) => text.includes(bound) && !text.includes('oifname'));
    assert.deepEqual(
      rules.map((text) => text.slice(text.indexOf(bound) + bound.length + 1).split(' ')[0]),
      ['update', 'tproxy'],
    );
  }
  assert.doesNotMatch(lines.join('\n'), /goto bound/);
});

test('a family that one engine does not take by TCP none of them takes', () => {
  const text = renderRuleset({ ...options, others: [{ listenPort: 41_000, listenPort6: 41_006 }] });
  assert.doesNotMatch(text, /== syn tcp dport/);
});

test('without a socket for IPv6 there is not a word about it', () => {
  const without = { ...options, listenPort6: undefined, excludedProviders: [], translated6: [] };
  assert.doesNotMatch(renderRuleset(without), /6 |ip6|log group/);
});

test('names and addresses that are none are refused', () => {
  for (const bad of ['', 'a b', 'x"', 'eth0; flush', 'aaaaaaaaaaaaaaaaa', '*']) {
    assert.throws(() => renderRuleset({ ...options, internal: [bad] }), { code: 'linux/interface-name' });
    assert.throws(() => renderRuleset({ ...options, external: [bad] }), { code: 'linux/interface-name' });
  }
  assert.throws(() => renderRuleset({ ...options, internal: [] }), { code: 'linux/no-interface' });
  for (const bad of ['host', '1.2.3.4/33', '1.2.3', '1.2.3.4 }', '2001:db8::/129', '1::2::3', 'fe80::1%lo'])
    assert.throws(() => renderRuleset({ ...options, excludedPhones: [bad] }), { code: 'linux/prefix' });
});

test('no text gets into the ruleset that is not a name or an address', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), (text) => {
      for (const part of [{ internal: [text] }, { providers: [text] }, { excludedProviders: [text] }]) {
        let rendered: string;
        try {
          rendered = renderRuleset({ ...options, ...part });
        } catch {
          continue;
        }
        assert.ok(rendered.includes(text));
        assert.match(text, /^[\w.:@/-]+$/);
      }
    }),
    { numRuns: 2_000 },
  );
});
