/** What `sipalg explain` shows to people: the message as a diff, and under each change its rule. */
import { styleText } from 'node:util';
import type { ExplainedEdit } from '../core/alg/event.ts';
import { evidenceTable } from '../core/alg/evidence.ts';
import type { Explanation } from '../core/alg/explain.ts';
import { ruleById } from '../core/alg/rules.ts';

type Style = (format: Parameters<typeof styleText>[0], text: string) => string;

/** With `colour` false there is no escape sequence in the text. */
export function renderExplanation(message: Uint8Array, explanation: Explanation, colour: boolean): string {
  const style = styleOf(colour);
  return [
    heading(explanation, style),
    '',
    ...diff(Buffer.from(message).toString('latin1'), explanation.edits, style),
    ...profileLines(explanation, style),
    ...defectLines(explanation, style),
    '',
  ].join('\n');
}

/** The message line by line, changed lines before and after, and under each its rule. */
export function renderDiff(message: Uint8Array, edits: readonly ExplainedEdit[], colour: boolean): string[] {
  return [...diff(Buffer.from(message).toString('latin1'), edits, styleOf(colour))];
}

function styleOf(colour: boolean): Style {
  return colour
    ? (format, text) => styleText(format, text, { validateStream: false })
    : (_format, text) => text;
}

function heading(explanation: Explanation, style: Style): string {
  const why = explanation.why === undefined ? '' : `: ${explanation.why}`;
  switch (explanation.verdict) {
    case 'translate': {
      const count = explanation.edits.length;
      return `${style(['bold', 'yellow'], 'translate')}: ${count} ${count === 1 ? 'edit' : 'edits'}, every other byte as it was`;
    }
    case 'pass':
      return `${style(['bold', 'green'], 'pass')}${why}, not a byte changes`;
    case 'drop':
      return `${style(['bold', 'red'], 'drop')}${why}`;
  }
}

interface Line {
  readonly start: number;
  /** One past the line's LF. */
  readonly end: number;
}

function* diff(text: string, unsorted: readonly ExplainedEdit[], style: Style): Generator<string> {
  const edits = unsorted.toSorted((a, b) => a.offset - b.offset);
  const lines = linesOf(text);
  let next = 0;
  for (let i = 0; i < lines.length; ) {
    // A hunk: lines that belong together because an edit reaches from one into the next.
    const start = lines[i]!.start;
    let end = lines[i]!.end;
    const here: ExplainedEdit[] = [];
    i++;
    while (next < edits.length && edits[next]!.offset < end) {
      const edit = edits[next++]!;
      here.push(edit);
      while (edit.offset + edit.length > end && i < lines.length) end = lines[i++]!.end;
    }
    // An insertion behind the last byte belongs to the last line.
    if (i === lines.length) while (next < edits.length) here.push(edits[next++]!);
    if (here.length === 0) {
      yield `  ${style('dim', printable(text.slice(start, end)))}`;
      continue;
    }
    for (const line of linesOf(text, start, end)) {
      yield style('red', `- ${printable(text.slice(line.start, line.end))}`);
    }
    const after = applied(text, start, end, here);
    for (const line of linesOf(after))
      yield style('green', `+ ${printable(after.slice(line.start, line.end))}`);
    // One rule may make several edits in a line; it is told once.
    for (const id of new Set(here.map((edit) => edit.rule))) {
      const { source, summary } = ruleById(id);
      yield `    ${style('cyan', id)}  ${style('bold', source)}  ${summary}`;
    }
  }
}

function applied(text: string, start: number, end: number, edits: readonly ExplainedEdit[]): string {
  let result = '';
  let at = start;
  for (const edit of edits) {
    result += text.slice(at, edit.offset) + edit.after;
    at = edit.offset + edit.length;
  }
  return result + text.slice(at, end);
}

/** What a REGISTER shows of who keeps the phone reachable, where it shows anything. */
function* profileLines({ profile }: Explanation, style: Style): Generator<string> {
  if (profile === undefined || (profile.chosen === 'default' && profile.evidence.length === 0)) return;
  const by = { configuration: 'the configuration says so', evidence: 'by evidence', default: 'by default' };
  yield '';
  yield `${style('bold', 'profile')} ${profile.mode}, ${by[profile.chosen]}`;
  for (const { what, source } of profile.evidence)
    yield `    ${style('cyan', what)}  ${style('bold', source)}  ${evidenceTable[what].text}`;
}

function* defectLines(explanation: Explanation, style: Style): Generator<string> {
  if (explanation.defects.length === 0) return;
  yield '';
  yield `${style('bold', 'defects of the message')} (they are reported, never mended)`;
  for (const defect of explanation.defects) {
    yield `  ${style('magenta', defect.code)} at byte ${defect.offset}  ${defect.text}`;
  }
}

function linesOf(text: string, start = 0, end = text.length): Line[] {
  const lines: Line[] = [];
  for (let at = start; at < end; ) {
    const feed = text.indexOf('\n', at);
    const next = feed < 0 || feed >= end ? end : feed + 1;
    lines.push({ start: at, end: next });
    at = next;
  }
  return lines;
}

/** One line without its end; valid UTF-8 as people read it, and nothing that a terminal would obey. */
export function printable(line: string): string {
  const bytes = Buffer.from(line.replace(/\r?\n$/, ''), 'latin1');
  const decoded = bytes.toString('utf8');
  const text = decoded.includes('\ufffd') ? bytes.toString('latin1') : decoded;
  return text.replaceAll(
    /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
