/** One alteration as a diff for people: the lines around it, what was sent and what arrived, and octets that do not print. */
import type { Span } from '../net/span.ts';
import type { Finding } from './comparison.ts';
import { hexOf, needsHex, oneLine } from './octet-text.ts';

export interface DiffLine {
  /** As in a unified diff. */
  readonly mark: '-' | '+' | ' ';
  readonly text: string;
}

/** Longer lines are cut around the alteration. */
const MAX_LINE = 160;
/** Of an alteration over many lines, so many on each side. */
const MAX_LINES = 6;

const LF = 0x0a;
const CR = 0x0d;

/** The messages are those that were compared. Nothing for a finding that is about several messages. */
export function alterationLines(
  { where, sent: removed, received: added }: Pick<Finding, 'where' | 'sent' | 'received'>,
  sent: Uint8Array,
  received: Uint8Array,
): DiffLine[] {
  if (removed.length === 0 && added.length === 0) return [];
  const before = removed.length === 0 && isLineStart(sent, where.sent.start) && endsLine(added);
  const after = added.length === 0 && isLineStart(received, where.received.start) && endsLine(removed);
  const lines: DiffLine[] = [];
  if (before || after) {
    // A whole line was put in or taken out: what stands in front of it says where.
    const context = lineBefore(sent, where.sent.start);
    if (context !== undefined)
      lines.push({ mark: ' ', text: oneLine(sent.subarray(context.start, context.end)).slice(0, MAX_LINE) });
  }
  const isSame = oneLine(removed) === oneLine(added);
  if (isSame) lines.push(...marked(' ', received, where.received));
  if (!before && !isSame) lines.push(...marked('-', sent, where.sent));
  if (!after && !isSame) lines.push(...marked('+', received, where.received));
  if (needsHex(removed) || needsHex(added)) {
    const onlyLines = (bytes: Uint8Array): boolean => endsLine(bytes) && !needsHex(bytes.subarray(0, -2));
    if (
      !(removed.length === 0 || onlyLines(removed)) ||
      !(added.length === 0 || onlyLines(added)) ||
      (removed.length <= 2 && added.length <= 2)
    ) {
      lines.push({ mark: ' ', text: `sent     ${removed.length === 0 ? '(nothing)' : hexOf(removed)}` });
      lines.push({ mark: ' ', text: `received ${added.length === 0 ? '(nothing)' : hexOf(added)}` });
    }
  }
  return lines;
}

/** The whole lines that a span touches. */
function marked(mark: DiffLine['mark'], bytes: Uint8Array, span: Span): DiffLine[] {
  const start = lineStart(bytes, span.start);
  const lines: DiffLine[] = [];
  let at = start;
  while (at < bytes.length || at === start) {
    const lf = bytes.indexOf(LF, at);
    const next = lf < 0 ? bytes.length : lf + 1;
    const textEnd = lf < 0 ? bytes.length : lf > at && bytes[lf - 1] === CR ? lf - 1 : lf;
    // A line end that is part of the alteration is shown.
    const isEndShown = span.start < next && span.end > textEnd && span.end - span.start <= 2;
    lines.push({ mark, text: windowed(bytes, { start: at, end: isEndShown ? next : textEnd }, span) });
    at = next;
    if (at >= span.end || lines.length >= MAX_LINES) break;
  }
  if (at < span.end) lines.push({ mark, text: `… ${span.end - at} octets more` });
  return lines;
}

function windowed(bytes: Uint8Array, line: Span, span: Span): string {
  if (line.end - line.start <= MAX_LINE) return oneLine(bytes.subarray(line.start, line.end));
  const from = Math.max(line.start, Math.min(span.start, line.end) - 60);
  const to = Math.min(line.end, from + MAX_LINE);
  return `${from > line.start ? '…' : ''}${oneLine(bytes.subarray(from, to))}${to < line.end ? '…' : ''}`;
}

function lineBefore(bytes: Uint8Array, at: number): Span | undefined {
  if (at === 0) return undefined;
  const end = bytes[at - 1] === LF ? at - 1 : at;
  const start = lineStart(bytes, end);
  return { start, end: end > start && bytes[end - 1] === CR ? end - 1 : end };
}

function lineStart(bytes: Uint8Array, at: number): number {
  let i = Math.min(at, bytes.length);
  while (i > 0 && bytes[i - 1] !== LF) i--;
  return i;
}

function isLineStart(bytes: Uint8Array, at: number): boolean {
  return at === 0 || bytes[at - 1] === LF;
}

function endsLine(bytes: Uint8Array): boolean {
  return bytes.at(-1) === LF;
}
