/** From the signs in a server's answers to the report that every check ends with. */
import {
  type CheckedStep,
  type CheckFinding,
  type CheckReport,
  type Fact,
  REPORT_SCHEMA,
} from '../../core/detect/check-report.ts';
import type { Confidence } from '../../core/detect/comparison.ts';
import type { EchoSign } from '../../core/detect/echo.ts';
import { faultById } from '../../core/detect/faults.ts';
import type { PortKind } from '../../core/detect/passage.ts';
import { adviceFor } from '../../core/detect/verdict.ts';
import type { Asked } from './questions.ts';

export interface ServerSign {
  readonly asked: Asked;
  readonly sign: EchoSign;
  /** Default C: an echo. B: timing. */
  readonly confidence?: Confidence;
}

export function reportOf(
  asked: readonly Asked[],
  steps: readonly CheckedStep[],
  signs: readonly ServerSign[],
  facts: readonly Fact[],
): CheckReport {
  const heard = asked.filter(({ echo }) => echo !== undefined);
  const all = grouped(signs, heard.length).sort((a, b) => b.severity - a.severity || b.seen - a.seen);
  const findings = all.filter(({ consistent }) => !consistent);
  const edits = all.filter(({ consistent }) => consistent);
  const nat = heard.some(
    ({ echo, inside }) => echo!.mapped !== undefined && echo!.mapped.address !== inside.address,
  );
  return {
    schema: REPORT_SCHEMA,
    // Never `unaltered`: nobody has seen what the server received.
    verdict: findings.length > 0 ? 'faulty' : 'inconclusive',
    headline: headlineOf(asked, heard, findings, edits),
    nat: nat ? 'yes' : 'not-checked',
    natBehaviour: undefined,
    engine: undefined,
    location: undefined,
    findings,
    edits,
    advice: adviceFor(findings),
    workarounds: [],
    registrar: undefined,
    facts,
    steps,
    figures: {
      messages: asked.length,
      arrived: heard.length,
      altered: new Set(signs.map((one) => one.asked)).size,
    },
  };
}

const ONLY = 'only a reflector of your own can prove it (`sipalg reflector`)';

function headlineOf(
  asked: readonly Asked[],
  heard: readonly Asked[],
  findings: readonly CheckFinding[],
  edits: readonly CheckFinding[],
): string {
  if (heard.length === 0)
    return asked.some(({ received, strays }) => received !== undefined || strays > 0)
      ? 'What comes back is no SIP, so nothing can be said about what happens to it.'
      : 'The server does not answer, so nothing can be said about what happens to SIP on the way.';
  if (findings.length > 0)
    return `There is a sign that SIP is altered and that it does harm: ${sentence(findings[0]!)}. It may be the provider’s doing; ${ONLY}.`;
  if (edits.length > 0)
    return `There is a sign of an ALG: ${sentence(edits[0]!)}. Whether it does harm cannot be seen from here; ${ONLY}.`;
  return `No sign of an ALG, which is no proof that there is none: what is undone on the way back cannot be seen, and ${ONLY}.`;
}

function sentence({ title }: CheckFinding): string {
  return title.replace(/\.$/, '').replace(/^./, (c) => c.toLowerCase());
}

/** One finding for each fault, however many answers show it. */
function grouped(signs: readonly ServerSign[], of: number): CheckFinding[] {
  const groups = new Map<string, ServerSign[]>();
  for (const one of signs) {
    const key = `${one.sign.fault} ${one.sign.consistent}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((group): CheckFinding => {
    const { sign, asked, confidence = 'C' } = group[0]!;
    const fault = faultById(sign.fault);
    const messages = [...new Set(group.map((one) => one.asked))];
    return {
      fault: sign.fault,
      severity: sign.consistent ? 1 : fault.severity,
      consistent: sign.consistent,
      confidence,
      explanation: sign.explanation,
      title: fault.title,
      symptom: fault.symptom,
      places: [...new Set(group.map((one) => one.sign.line))],
      // On the way there, on the way back, or by the server: an echo does not tell.
      direction: undefined,
      portKinds: [...new Set(messages.map(portKindOf))],
      transports: [...new Set(messages.map(({ transport }) => transport))],
      seen: messages.length,
      of,
      repeated: messages.length > 1,
      evidence: {
        what: `${asked.what}, and its answer`,
        direction: 'to-server',
        transport: asked.transport,
        server: `port ${asked.server.port}`,
        sent: asked.sent,
        received: asked.received,
        where: { line: sign.line, sent: sign.sent, received: sign.received },
      },
    };
  });
}

function portKindOf({ server }: Asked): PortKind {
  return server.port === 5060 ? 'sip' : 'other';
}
