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
  excludedPhones: ['10.0.0.9'],
  excludedProviders: ['192.0.2.0/24', '2001:db8::/32'],
  providers: ['198.51.100.0/25'],
  forwarded: [{ address: '10.0.0.50', port: 5060 }],
  learned: [{ address: '10.0.0.51', port: 5060 }],
};

test('the ruleset is the golden one', () => {
  const golden = readFileSync(new URL('./fixtures/ruleset.nft', import.meta.url), 'utf8');
  assert.equal(renderRuleset(options), golden);
});

test('tproxy stands before the mark: the other way round a dead daemon would swallow packets', () => {
  const line = renderRuleset(options)
    .split('\n')
    .find((text) => text.includes('tproxy ip to'))!;
  assert.ok(line.indexOf('tproxy') < line.indexOf('meta mark set'));
});

test('names and addresses that are none are refused', () => {
  for (const bad of ['', 'a b', 'x"', 'eth0; flush', 'aaaaaaaaaaaaaaaaa', '*']) {
    assert.throws(() => renderRuleset({ ...options, internal: [bad] }), { code: 'linux/interface-name' });
    assert.throws(() => renderRuleset({ ...options, external: [bad] }), { code: 'linux/interface-name' });
  }
  assert.throws(() => renderRuleset({ ...options, internal: [] }), { code: 'linux/no-interface' });
  for (const bad of ['host', '1.2.3.4/33', '1.2.3', '1.2.3.4 }'])
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
        // IPv6 is passed over; anything else that is taken must be a name or an address.
        if (text.includes(':') && !('internal' in part)) {
          const [key] = Object.keys(part);
          assert.equal(rendered, renderRuleset({ ...options, [key!]: [] }));
        } else assert.match(text, /^[\w.:@/-]+$/);
      }
    }),
    { numRuns: 2_000 },
  );
});
