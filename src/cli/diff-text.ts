/** What `sipalg diff` shows to people: the verdict in one sentence, then each fault with symptom, evidence and remedy. */
import { styleText } from 'node:util';
import { alterationLines } from '../core/detect/alteration-text.ts';
import {
  type DiffFinding,
  type DiffReport,
  type MessageLabel,
  observationsOf,
} from '../core/detect/diff-report.ts';
import { type FaultId, faultById } from '../core/detect/faults.ts';
import type { OneSided } from '../core/detect/one-sided.ts';
import { adviceFor } from '../core/detect/verdict.ts';
import { formatEndpoint } from '../core/net/address.ts';

type Style = (format: Parameters<typeof styleText>[0], text: string) => string;

/** Of one fault so many places are shown; `--json` has all of them. */
const MAX_EXAMPLES = 3;
const MAX_ADVICE = 5;
const MAX_UNPAIRED = 20;

/** `shown` hides what is to be hidden. With `colour` false there is no escape sequence in the text. */
export function renderDiff(report: DiffReport, shown: (text: string) => string, colour: boolean): string {
  const style: Style = colour
    ? (format, text) => styleText(format, text, { validateStream: false })
    : (_format, text) => text;
  const lines = [headline(report, style), ...aboutInput(report)];
  const faulty = report.findings.filter(({ consistent }) => !consistent);
  for (const group of grouped(faulty)) lines.push('', ...faultLines(group, report, shown, style));
  lines.push(...unpairedLines(report, style));
  const consistent = report.findings.filter((finding) => finding.consistent);
  if (consistent.length > 0) lines.push('', ...consistentLines(consistent, report, shown, style));
  if (report.engine !== undefined)
    lines.push(
      '',
      `What kind of box: ${engines[report.engine.kind]}. ${report.engine.evidence.join(' ')}`.trim(),
    );
  const advice = adviceFor(observationsOf(report)).slice(0, MAX_ADVICE);
  if (advice.length > 0) {
    lines.push('', 'What to do, most promising first:');
    for (const [i, { what, why }] of advice.entries()) lines.push(`  ${i + 1}. ${what}`, `     ${why}`);
  }
  return `${lines.join('\n')}\n`;
}

const engines: Readonly<Record<NonNullable<DiffReport['engine']>['kind'], string>> = {
  helper: 'one that knows SIP’s fields, as the helper of a router’s kernel does',
  'text-replacer': 'one that searches and replaces an address as text',
  proxy: 'a SIP proxy or back-to-back user agent',
  'sdp-only': 'one that edits SDP only',
  'contact-only': 'one that edits the Contact only',
  'via-only': 'one that edits the Via only',
  'drop-only': 'one that drops messages and edits nothing',
  unknown: 'unknown',
};

function headline({ verdict, findings, unpaired, compared, kind }: DiffReport, style: Style): string {
  const what = kind === 'messages' ? 'The message' : `${compared} ${compared === 1 ? 'message' : 'messages'}`;
  switch (verdict) {
    case 'unaltered':
      return kind === 'single'
        ? `${style(['bold', 'yellow'], 'nothing found')}: one side alone cannot prove that there is no ALG.`
        : `${style(['bold', 'green'], 'unaltered')}: ${what} arrived exactly as sent, octet for octet.`;
    case 'correct-alg':
      return `${style(['bold', 'yellow'], 'correct-alg')}: ${what} was translated, consistently and to the real mapping, and nothing else was changed.`.replace(
        /(\d+ messages) was/,
        '$1 were',
      );
    case 'faulty': {
      const ids = new Set<FaultId>([
        ...findings.filter(({ consistent }) => !consistent).map(({ fault }) => fault),
        ...unpaired.flatMap(({ fault }) => (fault === undefined ? [] : [fault])),
      ]);
      const worst = [...ids].map(faultById).sort((a, b) => b.severity - a.severity)[0]!;
      const others = ids.size - 1;
      const more = others === 0 ? '' : ` And ${others} more ${others === 1 ? 'fault' : 'faults'}.`;
      return `${style(['bold', 'red'], 'faulty')}: ${kind === 'single' ? 'there are signs that ' : ''}SIP is altered on the way. ${worst.title}${more}`;
    }
  }
}

function aboutInput({ kind, compared, mappings, clockSkewMs, unpaired }: DiffReport): string[] {
  if (kind !== 'captures') return [];
  const lines = [
    `${compared} ${compared === 1 ? 'message' : 'messages'} found on both sides, ${unpaired.length} on one side only.`,
  ];
  const translated = mappings.filter(
    ({ inside, outside }) => formatEndpoint(inside) !== formatEndpoint(outside),
  );
  if (translated.length > 0)
    lines.push(
      `NAT: ${translated
        .slice(0, 8)
        .map(({ inside, outside }) => `${formatEndpoint(inside)} = ${formatEndpoint(outside)}`)
        .join(
          ', ',
        )}${translated.length > 8 ? ` and ${translated.length - 8} more` : ''}. That alone is no fault.`,
    );
  else if (compared > 0) lines.push('No NAT between the two captures.');
  if (clockSkewMs !== undefined && Math.abs(clockSkewMs) >= 50)
    lines.push(`The clocks of the two captures are ${(clockSkewMs / 1000).toFixed(2)} s apart.`);
  return lines;
}

function grouped(findings: readonly DiffFinding[]): DiffFinding[][] {
  const groups = new Map<FaultId, DiffFinding[]>();
  for (const finding of findings) groups.set(finding.fault, [...(groups.get(finding.fault) ?? []), finding]);
  return [...groups.values()].sort((a, b) => b[0]!.severity - a[0]!.severity);
}

function faultLines(
  findings: readonly DiffFinding[],
  report: DiffReport,
  shown: (text: string) => string,
  style: Style,
): string[] {
  const fault = faultById(findings[0]!.fault);
  const times = findings.length === 1 ? '' : ` (${findings.length} times)`;
  const lines = [
    `${style('bold', fault.id)}  ${fault.title}${times}`,
    `  What a caller notices: ${fault.symptom}`,
  ];
  for (const finding of findings.slice(0, MAX_EXAMPLES))
    lines.push(...evidenceLines(finding, report, shown, style));
  if (findings.length > MAX_EXAMPLES)
    lines.push(`  … ${findings.length - MAX_EXAMPLES} more; --json has all of them`);
  return lines;
}

function evidenceLines(
  finding: DiffFinding,
  report: DiffReport,
  shown: (text: string) => string,
  style: Style,
): string[] {
  const evidence = report.evidence.find(({ message }) => message === finding.message);
  const lines = [`  ${placeOf(finding.message)}, ${finding.where.line}: ${shown(finding.explanation)}`];
  if (evidence === undefined) return lines;
  for (const { mark, text } of alterationLines(finding, evidence.sent, evidence.received)) {
    const line = `    ${mark} ${shown(text)}`;
    lines.push(mark === '-' ? style('red', line) : mark === '+' ? style('green', line) : line);
  }
  return lines;
}

function consistentLines(
  findings: readonly DiffFinding[],
  report: DiffReport,
  shown: (text: string) => string,
  style: Style,
): string[] {
  const lines = ['Translated as a correct ALG would:'];
  const seen = new Set<string>();
  for (const finding of findings) {
    if (seen.has(`${finding.fault} ${finding.where.line}`)) continue;
    seen.add(`${finding.fault} ${finding.where.line}`);
    if (seen.size > 12) break;
    lines.push(...evidenceLines(finding, report, shown, style));
  }
  return lines;
}

function unpairedLines({ unpaired, unpairedMedia }: DiffReport, style: Style): string[] {
  const lines: string[] = [];
  const groups = new Map<FaultId, OneSided[]>();
  for (const one of unpaired)
    if (one.fault !== undefined) groups.set(one.fault, [...(groups.get(one.fault) ?? []), one]);
  for (const [id, group] of groups) {
    const fault = faultById(id);
    lines.push(
      '',
      `${style('bold', id)}  ${fault.title}${group.length === 1 ? '' : ` (${group.length} times)`}`,
      `  What a caller notices: ${fault.symptom}`,
      ...group
        .slice(0, MAX_UNPAIRED)
        .map(
          ({ what, seen, explanation, side }) => `  ${what}, packet ${seen.frame} ${side}: ${explanation}`,
        ),
    );
  }
  const harmless = unpaired.filter(({ fault }) => fault === undefined).length;
  if (harmless > 0)
    lines.push(
      '',
      `${harmless} ${harmless === 1 ? 'message' : 'messages'} on one side only without being a fault (lost once and repeated, or at the edge of a capture).`,
    );
  if (unpairedMedia.length > 0) {
    lines.push('', 'RTP that was seen on one side only:');
    for (const { side, stream } of unpairedMedia.slice(0, MAX_UNPAIRED))
      lines.push(
        `  ${side}: ${formatEndpoint(stream.source)} to ${formatEndpoint(stream.destination)}, ${stream.packets} packets`,
      );
  }
  return lines;
}

function placeOf({ what, direction, sentFrame, receivedFrame }: MessageLabel): string {
  const way = direction === 'to-server' ? 'from the phone' : 'to the phone';
  const frames = sentFrame === undefined ? '' : ` (packet ${sentFrame} → ${receivedFrame})`;
  return `${what} ${way}${frames}`;
}
