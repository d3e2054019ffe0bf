/** The report of a check as JSON: octets are base64, everything else is as it is. */
import type { CheckFinding, CheckReport } from '../core/detect/check-report.ts';
import type { Evidence } from '../core/detect/evidence.ts';
import type { Passage } from '../core/detect/passage.ts';

export function reportJson(report: CheckReport): string {
  const { findings, edits, ...rest } = report;
  return `${JSON.stringify({ ...rest, findings: findings.map(findingJson), edits: edits.map(findingJson) }, null, 2)}\n`;
}

/** Every message as one JSON object a line. */
export function passagesJson(passages: readonly Passage[]): string {
  return passages.map((passage) => `${JSON.stringify(withOctets(passage))}\n`).join('');
}

function findingJson({ evidence, ...rest }: CheckFinding): object {
  return evidence === undefined ? rest : { ...rest, evidence: withOctets(evidence) };
}

function withOctets({ sent, received, ...rest }: Evidence | Passage): object {
  return {
    ...rest,
    sent: Buffer.from(sent).toString('base64'),
    received: received === undefined ? null : Buffer.from(received).toString('base64'),
  };
}
