/** A message as the console shows it: line by line, before and after, with the rule and the RFC section of each edit. */
import type { ExplainedEdit } from '../core/alg/event.ts';
import { ruleById } from '../core/alg/rules.ts';
import { type Edited, type Piece, readable, shownLine } from './shown-text.ts';

export interface ShownRule {
  readonly id: string;
  readonly source: string;
  readonly summary: string;
  readonly without: string;
}

/** Lines that belong together: one that is as it was, or those that an edit has changed. */
export type ShownLines =
  | { readonly kind: 'same'; readonly line: string }
  | {
      readonly kind: 'changed';
      readonly before: readonly (readonly Piece[])[];
      readonly after: readonly (readonly Piece[])[];
      readonly rules: readonly ShownRule[];
    };

interface Line {
  readonly start: number;
  /** Behind the line's end. */
  readonly end: number;
}

/** `edits` are offsets in `bytes`. */
export function shownMessage(bytes: Uint8Array, edits: readonly ExplainedEdit[]): ShownLines[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const sorted = edits.toSorted((a, b) => a.offset - b.offset);
  const lines = linesOf(text);
  const shown: ShownLines[] = [];
  let next = 0;
  for (let i = 0; i < lines.length; ) {
    const start = lines[i]!.start;
    let end = lines[i]!.end;
    const here: ExplainedEdit[] = [];
    i++;
    while (next < sorted.length && sorted[next]!.offset < end) {
      const edit = sorted[next++]!;
      here.push(edit);
      while (edit.offset + edit.length > end && i < lines.length) end = lines[i++]!.end;
    }
    // What is put behind the last octet belongs to the last line.
    if (i === lines.length) here.push(...sorted.slice(next));
    if (here.length > 0) shown.push(changed(text, start, end, here));
    else shown.push({ kind: 'same', line: readable(withoutEnd(text.slice(start, end))) });
  }
  return shown;
}

function changed(text: string, start: number, end: number, edits: readonly ExplainedEdit[]): ShownLines {
  let after = '';
  let at = start;
  const beforeSpans: Edited[] = [];
  const afterSpans: Edited[] = [];
  for (const { offset, length, after: replacement } of edits) {
    after += text.slice(at, offset);
    beforeSpans.push({ start: offset - start, end: offset - start + length });
    afterSpans.push({ start: after.length, end: after.length + replacement.length });
    after += replacement;
    at = offset + length;
  }
  after += text.slice(at, end);
  const rules = [...new Set(edits.map(({ rule }) => rule))].map((id): ShownRule => {
    const { source, summary, without } = ruleById(id);
    return { id, source, summary, without };
  });
  return {
    kind: 'changed',
    before: pieces(text.slice(start, end), beforeSpans),
    after: pieces(after, afterSpans),
    rules,
  };
}

function pieces(text: string, spans: readonly Edited[]): Piece[][] {
  return linesOf(text).map(({ start, end }) => {
    const line = withoutEnd(text.slice(start, end));
    const here = spans
      .filter((span) => span.start <= start + line.length && span.end >= start)
      .map((span) => ({
        start: Math.max(0, span.start - start),
        end: Math.min(line.length, span.end - start),
      }))
      .filter((span) => span.end > span.start);
    return shownLine(line, here);
  });
}

function withoutEnd(line: string): string {
  return line.replace(/\r?\n$/, '');
}

function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  for (let start = 0; start < text.length; ) {
    const feed = text.indexOf('\n', start);
    const end = feed < 0 ? text.length : feed + 1;
    lines.push({ start, end });
    start = end;
  }
  return lines;
}
