/** What holds of every comparison, whatever was compared. */
import assert from 'node:assert/strict';
import type { Comparison } from '../../src/core/detect/comparison.ts';

export function holdsLaws(sent: Uint8Array, received: Uint8Array, comparison: Comparison): void {
  const { verdict, findings } = comparison;
  for (const { where, severity, consistent, explanation, ...one } of findings) {
    for (const [span, bytes, what] of [
      [where.sent, sent, 'sent'],
      [where.received, received, 'received'],
    ] as const)
      assert.ok(
        Number.isInteger(span.start) && 0 <= span.start && span.start <= span.end && span.end <= bytes.length,
        `${one.fault} ${what} ${span.start}–${span.end} of ${bytes.length}`,
      );
    assert.deepEqual(one.sent, sent.subarray(where.sent.start, where.sent.end));
    assert.deepEqual(one.received, received.subarray(where.received.start, where.received.end));
    assert.ok(severity >= 1 && severity <= 4);
    assert.ok(!consistent || severity === 1);
    assert.match(explanation, /^\S.*\.$/);
    for (const text of [explanation, where.line])
      assert.ok(!/[\0-\x1f\x7f]/.test(text), 'a control character');
  }
  const isSame = Buffer.from(sent).equals(received);
  if (isSame) assert.deepEqual([verdict, findings], ['unaltered', []]);
  const isFaulty = findings.some(({ consistent }) => !consistent);
  assert.equal(verdict, isFaulty ? 'faulty' : findings.length > 0 ? 'correct-alg' : 'unaltered');
}
