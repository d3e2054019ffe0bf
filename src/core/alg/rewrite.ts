/**
 * From decided edits to octets: what changes nothing is left out, Content-Length follows the body, and the result is
 * looked at again (verify.ts) before it may leave. On any surprise the original goes out.
 */
import { applyEdits, type Edit, InvariantError, inOrder } from '../sip/edit.ts';
import type { Message } from '../sip/message.ts';
import { decimal } from '../sip/octets.ts';
import type { ExplainedEdit } from './event.ts';
import { type RuleId, ruleById } from './rules.ts';
import { verify } from './verify.ts';

export type Rewrite =
  | { readonly ok: true; readonly bytes: Uint8Array; readonly edits: readonly ExplainedEdit[] }
  | { readonly ok: false; readonly fault: string };

export function rewrite(message: Message, decided: readonly Edit<RuleId>[]): Rewrite {
  const { bytes, body, contentLength } = message;
  const edits: Edit<RuleId>[] = [];
  let growth = 0;
  for (const edit of decided) {
    const { span, replacement } = edit;
    if (!changes(bytes, edit)) continue;
    edits.push(edit);
    if (span.start >= body.start) growth += replacement.length - (span.end - span.start);
  }
  if (edits.length === 0) return { ok: true, bytes, edits: [] };
  if (growth !== 0 && contentLength !== undefined) {
    const declared = decimal(bytes, contentLength.start, contentLength.end, 9);
    edits.push({ span: contentLength, replacement: String(declared + growth), rule: 'content-length' });
  }
  const ordered = inOrder(edits);
  try {
    const result = applyEdits(bytes, ordered);
    const fault = verify(message, result, ordered, growth);
    return fault === undefined
      ? { ok: true, bytes: result, edits: ordered.map((edit) => explainEdit(message, edit)) }
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

function explainEdit({ text }: Message, edit: Edit<RuleId>): ExplainedEdit {
  return {
    offset: edit.span.start,
    length: edit.span.end - edit.span.start,
    before: text.slice(edit.span.start, edit.span.end),
    after: edit.replacement,
    rule: edit.rule,
    source: ruleById(edit.rule).source,
  };
}
