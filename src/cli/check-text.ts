/** The report of a check for people: the answer first, then what shows it, then what to do. */
import { styleText } from 'node:util';
import type { CheckFinding, CheckReport } from '../core/detect/check-report.ts';
import { evidenceDiff, evidenceTitle, grades, severities, wayOf } from './check-evidence.ts';

type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

/** `shown` hides what is to be hidden. With `colour` false there is no escape sequence in the text. */
export function reportText(report: CheckReport, shown: (text: string) => string, colour: boolean): string {
  const paint: Paint = colour
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_style, text) => text;
  const lines: string[] = [paint(['bold', moods[report.verdict]], report.headline), ''];
  for (const finding of report.findings) lines.push(...findingLines(finding, paint));
  if (report.edits.length > 0) {
    lines.push(paint('bold', 'Edits that an ALG without fault makes as well'));
    for (const edit of report.edits) lines.push(`  ${edit.fault}: ${edit.title} (${wayOf(edit)})`);
    lines.push('');
  }
  if (report.engine !== undefined) {
    lines.push(paint('bold', `What does it: ${report.engine.kind}`));
    for (const line of report.engine.evidence) lines.push(`  ${line}`);
    lines.push('');
  }
  const place = placeOf(report);
  if (place !== undefined) lines.push(paint('bold', 'Where it sits'), `  ${place}`, '');
  if (report.advice.length > 0) {
    lines.push(paint('bold', 'What to do, most promising first'));
    for (const [i, { what, why, recipes = [] }] of report.advice.slice(0, MOST_ADVICE).entries()) {
      lines.push(`  ${i + 1}. ${what}`, `     ${why}`);
      for (const { id, name } of recipes) lines.push(`     ${name}: sipalg router show ${id}`);
    }
    lines.push('');
  }
  if (report.workarounds.length > 0) {
    lines.push(paint('bold', 'What gets through here'));
    for (const { what, works, result } of report.workarounds)
      lines.push(`  ${working[works].padEnd(17)} ${what}: ${result}`);
    lines.push('');
  }
  lines.push(paint('bold', 'What was looked at'));
  for (const { title, state, result } of report.steps)
    lines.push(`  ${state === 'done' ? '' : 'not checked: '}${title}: ${result}`);
  for (const { text } of report.facts) lines.push(`  ${text}`);
  return `${lines.map(shown).join('\n')}\n`;
}

const moods = { unaltered: 'green', 'correct-alg': 'green', faulty: 'red', inconclusive: 'yellow' } as const;
export const working = {
  yes: 'works',
  no: 'does not',
  'not-checked': 'not checked',
  'edited-correctly': 'edited, correctly',
  edited: 'edited',
} as const;
const MOST_ADVICE = 5;

/** Where it sits, with how surely; undefined where nothing was found that could sit anywhere. */
export function placeOf({ location }: CheckReport): string | undefined {
  if (location === undefined || location.answer === 'no') return undefined;
  return location.answer === 'yes' && location.confidence !== undefined
    ? `${location.text} (${places[location.confidence]})`
    : `Not checked: ${location.text}`;
}

const places = {
  A: 'both ends have seen it',
  B: 'by the word of routers on the way',
  C: 'concluded from one end',
} as const;

function findingLines(finding: CheckFinding, paint: Paint): string[] {
  const { fault, title, explanation, symptom, severity, confidence, evidence } = finding;
  const lines = [
    `${paint(['bold', severity >= 3 ? 'red' : 'yellow'], fault)}: ${title}`,
    `  ${explanation}`,
    `  What you notice: ${symptom}`,
    `  ${severities[severity]}; ${grades[confidence]}; ${wayOf(finding)}`,
  ];
  if (evidence !== undefined) {
    lines.push(`    ${evidenceTitle(evidence)}`);
    for (const { mark, text } of evidenceDiff(evidence))
      lines.push(
        mark === ' ' ? `      ${text}` : paint(mark === '-' ? 'red' : 'green', `    ${mark} ${text}`),
      );
  }
  lines.push('');
  return lines;
}
