/**
 * From decided edits to octets: what changes nothing is left out, Content-Length follows the body, and the result is
 * scanned again before it may leave. On any surprise the original goes out.
 */

import type { Span } from '../net/span.ts';
import { applyEdits, type Edit, InvariantError, inOrder } from '../sip/edit.ts';
import { type Message, scanMessage } from '../sip/message.ts';
import type { NameAddr } from '../sip/name-addr.ts';
import { decimal, textOf } from '../sip/octets.ts';
import type { ExplainedEdit } from './event.ts';
import { type RuleId, ruleById } from './rules.ts';

export type Rewrite =
  | { readonly ok: true; readonly bytes: Uint8Array; readonly edits: readonly ExplainedEdit[] }
  | { readonly ok: false; readonly fault: string };

export function rewrite(message: Message, decided: readonly Edit<RuleId>[]): Rewrite {
  const { bytes, body, contentLength } = message;
  const edits = decided.filter((edit) => changes(bytes, edit));
  if (edits.length === 0) return { ok: true, bytes, edits: [] };
  const growth = bodyGrowth(edits, body.start);
  if (growth !== 0 && contentLength !== undefined) {
    const declared = decimal(bytes, contentLength.start, contentLength.end, 9);
    edits.push({ span: contentLength, replacement: String(declared + growth), rule: 'content-length' });
  }
  const ordered = inOrder(edits);
  try {
    const result = applyEdits(bytes, ordered);
    const fault = verify(message, result, ordered, growth);
    return fault === undefined
      ? { ok: true, bytes: result, edits: ordered.map((edit) => explainEdit(bytes, edit)) }
      : { ok: false, fault };
  } catch (error) {
    if (error instanceof InvariantError) return { ok: false, fault: error.message };
    throw error;
  }
}

function changes(bytes: Uint8Array, { span, replacement }: Edit): boolean {
  if (span.end - span.start !== replacement.length) return true;
  for (let i = 0; i < replacement.length; i++)
    if (bytes[span.start + i] !== replacement.charCodeAt(i)) return true;
  return false;
}

function bodyGrowth(edits: readonly Edit[], bodyStart: number): number {
  let growth = 0;
  for (const { span, replacement } of edits)
    if (span.start >= bodyStart) growth += replacement.length - (span.end - span.start);
  return growth;
}

/** What differs from what was meant; undefined where all is well. */
function verify(
  before: Message,
  result: Uint8Array,
  edits: readonly Edit<RuleId>[],
  growth: number,
): string | undefined {
  const scan = scanMessage(result);
  if (!scan.ok) return `the result is not a message any more: ${scan.defects[0]?.code}`;
  const after = scan.message;
  if (after.fieldCount !== before.fieldCount + fieldGrowth(before, edits))
    return 'the number of header fields has changed';
  if (after.defects.length !== before.defects.length) return 'the result has another defect';
  if (
    !sameOctets(before, before.callIdSpan, after, after.callIdSpan) ||
    after.cseq !== before.cseq ||
    after.method !== before.method ||
    !sameOctets(before, before.from, after, after.from) ||
    !sameOctets(before, before.to, after, after.to) ||
    after.contacts.length !== before.contacts.length
  )
    return 'a field that is never touched has changed';
  if (after.body.end - after.body.start !== before.body.end - before.body.start + growth)
    return 'Content-Length does not fit the body';
  return undefined;
}

/** Whether a value is the same, from its address to its end. */
function sameOctets(a: Message, one: Span | NameAddr, b: Message, other: Span | NameAddr): boolean {
  const from = 'uri' in one ? one.uri.start : one.start;
  const to = 'uri' in other ? other.uri.start : other.start;
  const length = one.end - from;
  if (other.end - to !== length) return false;
  for (let i = 0; i < length; i++) if (a.bytes[from + i] !== b.bytes[to + i]) return false;
  return true;
}

/** Explicit mode alone puts header fields in (its Via) and takes some out (its Via, a Route that names only us). */
function fieldGrowth(message: Message, edits: readonly Edit<RuleId>[]): number {
  let growth = 0;
  for (const { span, replacement, rule } of edits) {
    if (rule !== 'via.own' && rule !== 'route.own') continue;
    if (replacement.endsWith('\r\n')) growth++;
    else if (message.fields.some(({ line }) => line.start === span.start && line.end + 2 === span.end))
      growth--;
  }
  return growth;
}

function explainEdit(bytes: Uint8Array, edit: Edit<RuleId>): ExplainedEdit {
  return {
    offset: edit.span.start,
    length: edit.span.end - edit.span.start,
    before: textOf(bytes, edit.span.start, edit.span.end),
    after: edit.replacement,
    rule: edit.rule,
    source: ruleById(edit.rule).source,
  };
}
