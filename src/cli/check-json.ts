/** The report of a check as JSON: octets are base64, and beside them the lines that differ. */
import type { CheckFinding, CheckReport } from '../core/detect/check-report.ts';
import type { Passage } from '../core/detect/passage.ts';
import { evidenceDiff } from './check-evidence.ts';

/** With `shown`, octets are left out: what is to be hidden would stand in them. */
export function reportJson(report: CheckReport, shown: ((text: string) => string) | undefined): string {
  const { findings, edits, ...rest } = report;
  const plain = {
    ...rest,
    findings: findings.map((finding) => findingJson(finding, shown === undefined)),
    edits: edits.map((finding) => findingJson(finding, shown === undefined)),
  };
  const text = JSON.stringify(plain, null, 2);
  return `${shown === undefined ? text : shown(text)}\n`;
}

/** Every message as one JSON object a line. */
export function passagesJson(passages: readonly Passage[]): string {
  return passages
    .map(({ sent, received, ...rest }) => `${JSON.stringify({ ...rest, ...octets(sent, received) })}\n`)
    .join('');
}

function findingJson({ evidence, ...rest }: CheckFinding, withOctets: boolean): object {
  if (evidence === undefined) return rest;
  const { sent, received, where, ...about } = evidence;
  const lines = evidenceDiff(evidence).map(({ mark, text }) => `${mark} ${text}`);
  return {
    ...rest,
    evidence: { ...about, lines, ...(withOctets ? { where, ...octets(sent, received) } : {}) },
  };
}

function octets(sent: Uint8Array, received: Uint8Array | undefined): object {
  return {
    sent: Buffer.from(sent).toString('base64'),
    received: received === undefined ? null : Buffer.from(received).toString('base64'),
  };
}
