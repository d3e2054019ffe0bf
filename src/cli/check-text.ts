/** The report of a check for people: the answer first, then what shows it, then what to do. */
import { styleText } from 'node:util';
import type { CheckFinding, CheckReport } from '../core/detect/check-report.ts';
import type { Evidence } from '../core/detect/evidence.ts';
import type { Span } from '../core/net/span.ts';
import { textOf } from '../core/sip/octets.ts';

type Style = Parameters<typeof styleText>[0];

export function reportText(report: CheckReport, colour: boolean): string {
  const paint = (style: Style, text: string): string => (colour ? styleText(style, text) : text);
  const lines: string[] = [''];
  const mood = { unaltered: 'green', 'correct-alg': 'green', faulty: 'red', inconclusive: 'yellow' } as const;
  lines.push(paint(['bold', mood[report.verdict]], report.headline), '');
  for (const finding of report.findings) lines.push(...findingLines(finding, paint));
  if (report.edits.length > 0) {
    lines.push(paint('bold', 'Edits that an ALG without fault makes as well'));
    for (const edit of report.edits)
      lines.push(`  ${edit.fault}: ${edit.title} (${wayOf(edit)}, ${edit.seen} of ${edit.of} messages)`);
    lines.push('');
  }
  if (report.engine !== undefined) {
    lines.push(paint('bold', `What does it: ${report.engine.kind}`));
    for (const line of report.engine.evidence) lines.push(`  ${line}`);
    lines.push('');
  }
  if (report.advice.length > 0) {
    lines.push(paint('bold', 'What to do, most promising first'));
    for (const [i, { what, why }] of report.advice.slice(0, MOST_ADVICE).entries())
      lines.push(`  ${i + 1}. ${what}`, `     ${why}`);
    lines.push('');
  }
  if (report.workarounds.length > 0) {
    lines.push(paint('bold', 'What gets through here'));
    for (const { what, works, result } of report.workarounds)
      lines.push(`  ${WORKS[works]} ${what}: ${result}`);
    lines.push('');
  }
  lines.push(paint('bold', 'What was looked at'));
  for (const { title, state, result } of report.steps)
    lines.push(`  ${state === 'done' ? '' : 'not checked: '}${title}: ${result}`);
  for (const { text } of report.facts) lines.push(`  ${text}`);
  lines.push('');
  return lines.join('\n');
}

const WORKS = { yes: 'works      ', no: 'does not   ', 'not-checked': 'not checked' } as const;
const MOST_ADVICE = 5;
const SEVERITY = ['', 'a clue', 'some features', 'serious', 'calls fail'] as const;

function findingLines(finding: CheckFinding, paint: (style: Style, text: string) => string): string[] {
  const lines = [
    `${paint(['bold', finding.severity >= 3 ? 'red' : 'yellow'], finding.fault)}: ${finding.title}`,
    `  ${finding.explanation}`,
    `  What you notice: ${finding.symptom}`,
    `  ${SEVERITY[finding.severity]}; grade ${finding.confidence}; ${wayOf(finding)}${finding.of > 1 ? `, ${finding.seen} of ${finding.of} messages` : ''}`,
  ];
  if (finding.evidence !== undefined)
    lines.push(...evidenceLines(finding.evidence).map((line) => `    ${line}`));
  lines.push('');
  return lines;
}

function wayOf({ direction, portKinds, places }: CheckFinding): string {
  const way =
    direction === undefined
      ? 'behaviour'
      : direction === 'to-server'
        ? 'from the phone to the provider'
        : 'from the provider to the phone';
  const ports = portKinds.length === 0 ? '' : ` (${portKinds.map((kind) => PORTS[kind]).join(', ')})`;
  return `${way}${ports}${places.length === 0 ? '' : `: ${places.slice(0, 6).join(', ')}`}`;
}

const PORTS = { sip: 'port 5060', other: 'other SIP ports', control: 'a port that is not SIP' } as const;

/** The lines in which it stands, as they were sent and as they arrived; all that differ where it stands in none. */
function evidenceLines({ what, sent, received, where }: Evidence): string[] {
  if (received === undefined) return [`${what}: sent, and never arrived`];
  const gone = where === undefined ? otherLines(sent, received) : linesAt(sent, where.sent);
  const come = where === undefined ? otherLines(received, sent) : linesAt(received, where.received);
  return [`${what}:`, ...gone.map((line) => `- ${line}`), ...come.map((line) => `+ ${line}`)];
}

function otherLines(bytes: Uint8Array, others: Uint8Array): string[] {
  const known = new Set(linesOf(others));
  return linesOf(bytes)
    .filter((line) => !known.has(line))
    .slice(0, MOST_LINES);
}

/** The whole lines that a span touches. */
function linesAt(bytes: Uint8Array, span: Span): string[] {
  const start = span.start === 0 ? 0 : bytes.lastIndexOf(LF, span.start - 1) + 1;
  const end = bytes.indexOf(LF, Math.max(span.end - 1, start));
  return linesOf(bytes.subarray(start, end < 0 ? bytes.length : end + 1))
    .filter((line) => line !== '')
    .slice(0, MOST_LINES);
}

const LF = 0x0a;
const MOST_LINES = 8;

/** What came from the wire may hold anything; a terminal gets nothing of it that is not printable. */
function linesOf(bytes: Uint8Array): string[] {
  return textOf(bytes, 0, bytes.length)
    .split('\r\n')
    .map((line) =>
      line
        .slice(0, 200)
        .replaceAll(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`),
    );
}
