/** The comparison of what was sent with what was received: never an exception, every octet that differs has a name. */
import assert from 'node:assert/strict';
import { alterationLines } from '../../../src/core/detect/alteration-text.ts';
import { compareMessages } from '../../../src/core/detect/compare.ts';
import type { ComparisonContext } from '../../../src/core/detect/comparison.ts';
import { holdsLaws } from '../../detect/laws.ts';
import { invite, pairs, register, translated } from '../../detect/pairs.ts';
import { generateMessage, messageTokens } from '../messages.ts';
import { mutate } from '../mutate.ts';
import { toOctets, toText } from '../octets.ts';
import { hashOctets, Random } from '../random.ts';
import type { Target } from '../target.ts';

const contexts: readonly ComparisonContext[] = [
  { direction: 'to-server' },
  { direction: 'to-client' },
  {
    direction: 'to-server',
    inside: { address: '192.168.1.50', port: 5060 },
    outside: { address: '203.0.113.7', port: 61002 },
  },
  {
    direction: 'to-client',
    inside: { address: '192.168.1.50', port: 5060 },
    outside: { address: '203.0.113.7', port: 61002 },
    confidence: 'C',
  },
];

export const compareTarget: Target = {
  name: 'compare',
  share: 10_000,
  seeds: [register, invite, ...pairs.filter((_, i) => i % 9 === 0).map(({ sent }) => sent)],
  tokens: [...messageTokens, '203.0.113.7', '203.0.113.7:61002', '192.168.1.50', '70000', ';;', 'a=rtcp:'],
  generate: generateMessage,
  run(bytes, seen) {
    const random = new Random(hashOctets(bytes), 'compare', 0);
    const text = toText(bytes);
    const edited = random.once(2)
      ? text
      : random.once(2)
        ? translated(text)
        : text.replaceAll('192.168.1.50', '203.0.113.7');
    const received = toOctets(
      mutate(edited, random, {
        tokens: compareTarget.tokens,
        shape: 'lines',
        longest: 4_096,
        other: () => register,
      }),
    );
    for (const context of contexts) {
      const comparison = compareMessages(bytes, received, context);
      holdsLaws(bytes, received, comparison);
      if (!Buffer.from(bytes).equals(received)) assert.notEqual(comparison.verdict, 'unaltered');
      for (const finding of comparison.findings) {
        for (const { text: line } of alterationLines(finding, bytes, received))
          assert.ok(!/[\0-\x1f\x7f]/.test(line), 'a control character would go to a terminal');
        if (context === contexts[0]) seen(finding.fault);
      }
      // What was sent is compared with itself: nothing.
      assert.equal(compareMessages(received, received, context).verdict, 'unaltered');
    }
  },
};
