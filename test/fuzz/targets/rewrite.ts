/**
 * The rewriter, with edits that chance has decided: what it makes of them is what they say, or the original goes out.
 *
 * Half of the edits stand where a rule could put them, with replacements that no rule would write; half stand anywhere.
 */
import assert from 'node:assert/strict';
import { rewrite } from '../../../src/core/alg/rewrite.ts';
import { type RuleId, rules } from '../../../src/core/alg/rules.ts';
import { verifyWhole } from '../../../src/core/alg/verify.ts';
import type { Edit } from '../../../src/core/sip/edit.ts';
import { scanMessage } from '../../../src/core/sip/message.ts';
import { scanSipUri } from '../../../src/core/sip/uri.ts';
import { generateMessage, messageSeeds, messageTokens } from '../messages.ts';
import { toText } from '../octets.ts';
import { checkEdits } from '../oracle.ts';
import { hashOctets, Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';

const REPLACEMENTS = [
  '203.0.113.1:5060',
  '203.0.113.1',
  '[2001:db8::1]:65535',
  '5060',
  '0',
  '',
  'a@b',
  '<x>',
  ',',
  ';tag=other',
  '\r\n\r\n',
  'X: 1\r\n',
  '\xff',
  ' ',
  'x'.repeat(300),
];

export const rewriteTarget: Target = {
  name: 'rewrite',
  share: 60_000,
  seeds: messageSeeds,
  tokens: messageTokens,
  generate: generateMessage,
  run(bytes, seen) {
    const scan = scanMessage(bytes);
    if (!scan.ok) return seen('refused');
    const { message } = scan;
    const random = new Random(hashOctets(bytes), 'rewrite', 0);
    const places = [message.via.sentBy.span, message.via.sentBy.host];
    for (const part of [message.via.received, message.via.rport]) if (part !== undefined) places.push(part);
    for (const contact of message.contacts) {
      const uri = scanSipUri(bytes, contact.uri.start, contact.uri.end);
      if (uri !== undefined) places.push(uri.span);
    }
    const decided: Edit<RuleId>[] = [];
    for (let n = random.below(5); n > 0; n--) {
      const start = random.below(bytes.length + 1);
      const end = Math.min(bytes.length, start + random.below(12));
      const inBody = message.body.start + random.below(message.body.end - message.body.start + 1);
      const span = random.pick([
        random.pick(places),
        random.pick(places),
        { start, end },
        { start: inBody, end: inBody },
      ]);
      const same = toText(bytes.subarray(span.start, span.end));
      decided.push({
        span,
        replacement: random.once(5) ? same : random.pick(REPLACEMENTS),
        rule: random.pick(rules).id,
      });
    }
    const result = rewrite(message, decided);
    if (!result.ok) return seen(`fault ${result.fault.replace(/\d+/g, 'N')}`);
    if (result.edits.length === 0) {
      assert.equal(result.bytes, bytes, 'nothing has changed, and it is another buffer');
      return seen('same');
    }
    checkEdits(toText(bytes), toText(result.bytes), result.edits);
    const made = result.edits.map(({ offset, length, after, rule }) => ({
      span: { start: offset, end: offset + length },
      replacement: after,
      rule,
    }));
    const growth = made
      .filter(({ span }) => span.start >= message.body.start)
      .reduce((sum, { span, replacement }) => sum + replacement.length - (span.end - span.start), 0);
    assert.equal(verifyWhole(message, result.bytes, made, growth), undefined);
    const again = scanMessage(result.bytes);
    assert.ok(again.ok, 'the result is no message');
    assert.equal(again.message.callId, message.callId);
    assert.equal(again.message.cseq, message.cseq);
    assert.deepEqual(
      again.message.defects.map(({ code }) => code),
      message.defects.map(({ code }) => code),
    );
    seen(
      `edits ${bucket(result.edits.length)} ${result.edits.some((edit) => edit.rule === 'content-length')}`,
    );
  },
};
