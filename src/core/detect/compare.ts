/**
 * Compares what was sent with what was received: octets against octets, never a message that was printed again.
 *
 * Every octet that differs is explained by a finding; what has no name is X-UNKNOWN with its octets. Total: whatever the
 * octets are, nothing is thrown. Translation of the packet's source alone is never a finding: it is in no message.
 */
import type { Comparison, ComparisonContext, Finding } from './comparison.ts';

export function compareMessages(
  sent: Uint8Array,
  received: Uint8Array,
  context: ComparisonContext,
): Comparison {
  let start = 0;
  while (start < sent.length && start < received.length && sent[start] === received[start]) start++;
  if (start === sent.length && start === received.length)
    return { verdict: 'unaltered', findings: [], engine: undefined };
  let tail = 0;
  while (
    tail < sent.length - start &&
    tail < received.length - start &&
    sent[sent.length - 1 - tail] === received[received.length - 1 - tail]
  )
    tail++;
  const where = {
    line: 'message',
    sent: { start, end: sent.length - tail },
    received: { start, end: received.length - tail },
  };
  const finding: Finding = {
    fault: 'X-UNKNOWN',
    severity: 3,
    consistent: false,
    where,
    sent: sent.subarray(where.sent.start, where.sent.end),
    received: received.subarray(where.received.start, where.received.end),
    explanation: 'These octets differ, and no known fault explains it.',
    confidence: context.confidence ?? 'A',
  };
  return { verdict: 'faulty', findings: [finding], engine: { kind: 'unknown', evidence: [] } };
}
