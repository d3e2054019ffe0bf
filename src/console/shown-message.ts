/** A message as the console shows it: line by line, before and after, with the rule and the RFC section of each edit. */
import type { ExplainedEdit } from '../core/alg/event.ts';
import { ruleById } from '../core/alg/rules.ts';
import { type Edited, type Piece, shownLine } from './shown-text.ts';

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
    }
  /** Lines of a body that is nobody's business; with `log.reveal` they are shown. */
  | { readonly kind: 'hidden'; readonly octets: number };

interface Line {
  readonly start: number;
  /** Behind the line's end. */
  readonly end: number;
}

/** `edits` are offsets in `bytes`. */
export function shownMessage(
  bytes: Uint8Array,
  edits: readonly ExplainedEdit[],
  reveal: boolean,
): ShownLines[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const sorted = edits.toSorted((a, b) => a.offset - b.offset);
  const bodyAt = bodyStart(text);
  const isHidden = (start: number): boolean => !reveal && start >= bodyAt && !hasSdp(text.slice(0, bodyAt));
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
    if (here.length > 0) shown.push(changed(text, start, end, here, reveal));
    else if (isHidden(start)) {
      const last = shown.at(-1);
      if (last?.kind === 'hidden')
        shown[shown.length - 1] = { kind: 'hidden', octets: last.octets + end - start };
      else shown.push({ kind: 'hidden', octets: end - start });
    } else shown.push({ kind: 'same', line: plain(text.slice(start, end), reveal) });
  }
  return shown;
}

function changed(
  text: string,
  start: number,
  end: number,
  edits: readonly ExplainedEdit[],
  reveal: boolean,
): ShownLines {
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
    before: pieces(text.slice(start, end), beforeSpans, reveal),
    after: pieces(after, afterSpans, reveal),
    rules,
  };
}

function pieces(text: string, spans: readonly Edited[], reveal: boolean): Piece[][] {
  return linesOf(text).map(({ start, end }) => {
    const line = text.slice(start, end).replace(/\r?\n$/, '');
    const here = spans
      .filter((span) => span.start <= start + line.length && span.end >= start)
      .map((span) => ({
        start: Math.max(0, span.start - start),
        end: Math.min(line.length, span.end - start),
      }))
      .filter((span) => span.end > span.start);
    return shownLine(line, here, reveal);
  });
}

function plain(line: string, reveal: boolean): string {
  return shownLine(line.replace(/\r?\n$/, ''), [], reveal)
    .map((piece) => piece.text)
    .join('');
}

/** Behind the empty line; the end of the text where there is none. */
function bodyStart(text: string): number {
  const match = /\r?\n\r?\n/.exec(text);
  return match === null ? text.length : match.index + match[0].length;
}

/** `c` is the compact form of Content-Type (RFC 3261 §20.15). */
function hasSdp(header: string): boolean {
  return /^(?:content-type|c)[ \t]*:\s*application\/sdp\b/im.test(header);
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
