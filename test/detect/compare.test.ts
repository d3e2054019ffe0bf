/** The comparison: every fault that bytes can show is named where it is, and not where it is not. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { compareMessages } from '../../src/core/detect/compare.ts';
import type { Comparison, ComparisonContext, Direction } from '../../src/core/detect/comparison.ts';
import { faults } from '../../src/core/detect/faults.ts';
import { octetsOf } from '../../src/core/sip/octets.ts';
import { readScenario, scenarioPaths } from '../scenario/files.ts';
import { holdsLaws } from './laws.ts';
import { invite, pairs, register, shownBySeveral, translated } from './pairs.ts';

const inside = { address: '192.168.1.50', port: 5060 };
const outside = { address: '203.0.113.7', port: 61002 };

function compare(sent: string, received: string, direction: Direction = 'to-server', more = {}): Comparison {
  const sixth = sent.includes('2001:db8::50');
  const context: ComparisonContext = sixth
    ? {
        direction,
        inside: { address: '2001:db8::50', port: 5060 },
        outside: { address: '2001:db8::50', port: 5060 },
      }
    : { direction, inside, outside, ...more };
  const [before, after] = [octetsOf(sent), octetsOf(received)];
  const comparison = compareMessages(before, after, context);
  holdsLaws(before, after, comparison);
  return comparison;
}

for (const { fault, what, sent, received, direction } of pairs)
  test(`${fault}: ${what}`, () => {
    const { verdict, findings } = compare(sent, received, direction);
    const named = findings.filter(({ consistent }) => !consistent).map((one) => one.fault);
    assert.ok(named.includes(fault), `named: ${named.join(', ') || 'nothing'}`);
    assert.equal(verdict, 'faulty');
    // X-UNKNOWN says that nothing else explains it: never beside the right name.
    if (fault !== 'X-UNKNOWN') assert.ok(!named.includes('X-UNKNOWN'), `named: ${named.join(', ')}`);
    const off = compare(sent, sent, direction);
    assert.deepEqual([off.verdict, off.findings], ['unaltered', []]);
  });

test('every fault that bytes can show has a pair', () => {
  const shown = new Set<string>([...pairs.map(({ fault }) => fault), ...shownBySeveral]);
  const missing = faults.filter((one) => one.shownBy === 'bytes' && !shown.has(one.id)).map(({ id }) => id);
  assert.deepEqual(missing, []);
});

test('what a correct ALG does is told, and is no fault', () => {
  for (const sent of [register, invite]) {
    const { verdict, findings, engine } = compare(sent, translated(sent));
    assert.equal(verdict, 'correct-alg', findings.map((one) => `${one.fault} ${one.explanation}`).join('\n'));
    assert.ok(findings.some(({ fault }) => fault === 'ADDR-CONTACT'));
    assert.equal(engine?.kind, 'helper');
  }
});

test('a correct ALG is seen as one also by who knows nothing of the mapping', () => {
  for (const sent of [register, invite]) {
    const [before, after] = [octetsOf(sent), octetsOf(translated(sent))];
    const { verdict, findings } = compareMessages(before, after, { direction: 'to-server' });
    assert.equal(verdict, 'correct-alg', findings.map((one) => `${one.fault} ${one.explanation}`).join('\n'));
  }
});

test('what the receiver itself has written into the Via is no alteration', () => {
  const received = register.replace(';rport', ';rport=61002;received=203.0.113.7');
  assert.equal(
    compare(register, received, 'to-server', { receiverAdds: ['received', 'rport'] }).verdict,
    'unaltered',
  );
  assert.equal(compare(register, received).verdict, 'faulty');
  // Another value than the receiver sees is somebody else's.
  const wrong = register.replace(';rport', ';rport=61003');
  assert.equal(compare(register, wrong, 'to-server', { receiverAdds: ['rport'] }).verdict, 'faulty');
});

test('octets behind the body that Content-Length is made to include', () => {
  const sent = `${register}more`;
  const { findings } = compare(sent, sent.replace('Content-Length: 0', 'Content-Length: 4'));
  assert.deepEqual(
    findings.map(({ fault }) => fault),
    ['LEN-WRONG'],
  );
});

test('the messages of RFC 4475 and RFC 5118, compared with themselves and with one octet less', () => {
  const messages = scenarioPaths()
    .map(readScenario)
    .flatMap(({ steps }) =>
      steps.flatMap((step) => (step.kind === 'send' && step.content !== undefined ? [step.content] : [])),
    );
  const corpus = tortureFiles();
  for (const text of [...messages, ...corpus]) {
    const bytes = octetsOf(text);
    for (const direction of ['to-server', 'to-client'] as const) {
      const same = compareMessages(bytes, Uint8Array.from(bytes), { direction });
      assert.deepEqual([same.verdict, same.findings], ['unaltered', []]);
      for (const at of [0, 7, text.length >> 1, text.length - 1]) {
        if (at < 0 || at >= text.length) continue;
        const less = octetsOf(text.slice(0, at) + text.slice(at + 1));
        const one = compareMessages(bytes, less, { direction });
        holdsLaws(bytes, less, one);
        assert.notEqual(one.verdict, 'unaltered');
      }
    }
  }
});

test('any single octet that is changed, lost or put in is told, and nothing is thrown', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(register, invite, ...pairs.map(({ sent }) => sent)),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom('replace', 'insert', 'delete'),
      fc.constantFrom<Direction>('to-server', 'to-client'),
      (text, where, octet, how, direction) => {
        const at = Math.floor(where * text.length);
        const c = how === 'delete' ? '' : String.fromCharCode(octet);
        const received = text.slice(0, at) + c + text.slice(how === 'insert' ? at : at + 1);
        const { verdict } = compare(text, received, direction);
        assert.equal(verdict === 'unaltered', text === received);
      },
    ),
    { numRuns: 3_000 },
  );
});

/** Beside the checkout, or where SIPALG_CORPUS says; without them the scenarios have messages of every class. */
function tortureFiles(): string[] {
  const folder =
    process.env.SIPALG_CORPUS ?? join(fileURLToPath(new URL('../..', import.meta.url)), '../shared/corpus');
  return ['rfc4475', 'rfc5118']
    .map((name) => join(folder, name))
    .filter(existsSync)
    .flatMap((path) => readdirSync(path, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
}
