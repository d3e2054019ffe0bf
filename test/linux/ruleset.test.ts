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
