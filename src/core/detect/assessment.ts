/**
 * From what both ends saw to a verdict. Pure: the same record gives the same report.
 *
 * Guards against false alarms: only octets and losses count, never the translation of a packet's source; a loss counts
 * only where the same message passes on another port or another method passes on the same one, and after three tries.
 */
import { type Address, endpointKey, sameEndpoint } from '../net/address.ts';
import {
  type BehaviourObservation,
  type CheckFinding,
  type CheckRecord,
  type CheckReport,
  type CheckVerdict,
  REPORT_SCHEMA,
  type Workaround,
} from './check-report.ts';
import { compareMessages } from './compare.ts';
import type { Comparison, Finding, KnownMapping } from './comparison.ts';
import { compareConversation } from './conversation.ts';
import { guessEngine } from './engine-fingerprint.ts';
import { evidenceOf } from './evidence.ts';
import { type FaultId, faultById } from './faults.ts';
import { type LossObservation, lossesOf } from './losses.ts';
import { isUnaltered, type Passage } from './passage.ts';
import { registrarView } from './registrar-view.ts';
import { type Advice, adviceFor } from './verdict.ts';

export function assess(record: CheckRecord): CheckReport {
  const { passages } = record;
  const arrived = passages.filter((passage) => passage.received !== undefined);
  // What is no SIP and has a step of its own is judged there.
  const altered = arrived.filter((passage) => passage.step !== 'dns' && isUnaltered(passage) === false);
  const mappings = mappingsOf(passages);
  // Where messages are lost for coming fast, a loss says nothing about their kind, or about the pause before them.
  const isThrottled = record.observations.some(({ fault }) => fault === 'DROP-RATE');
  const isSaid = ({ fault }: LossObservation): boolean => !isThrottled || !OF_LOSSES.has(fault);
  const compared = altered.map((passage) => ({
    passage,
    comparison: compareOne(passage, mappings, record.relays),
  }));
  const all = [
    ...groupFindings([...compared, ...betweenMessages(arrived, compared)], arrived),
    ...onEveryPort(compared).map((one) => behaviour(one)),
    ...lossesOf(passages, record.answered)
      .filter(isSaid)
      .map((loss) => behaviour(loss)),
    ...record.observations.filter(isSaid).map((observation) => behaviour(observation)),
  ].sort((a, b) => b.severity - a.severity || b.seen - a.seen);
  const findings = all.filter((finding) => !finding.consistent);
  const edits = all.filter((finding) => finding.consistent);
  const nat = natOf(arrived);
  const verdict: CheckVerdict =
    arrived.length === 0
      ? 'inconclusive'
      : findings.length > 0
        ? 'faulty'
        : edits.length > 0
          ? 'correct-alg'
          : 'unaltered';
  return {
    schema: REPORT_SCHEMA,
    verdict,
    headline: headlineOf(verdict, nat, findings, altered.length),
    nat,
    natBehaviour: record.natBehaviour,
    engine: withRelays(guessEngine(compared.flatMap(({ comparison }) => comparison.findings)), record.relays),
    location: record.location,
    findings,
    edits,
    advice: provenAdvice(findings, record.workarounds),
    workarounds: record.workarounds,
    registrar: registrarOf(arrived),
    facts: record.facts,
    steps: record.steps,
    figures: { messages: passages.length, arrived: arrived.length, altered: altered.length },
  };
}

/**
 * All mappings that the check has seen: what an ALG writes may be any of them. Where a message came in at another socket
 * than its flow's (a phone that listens elsewhere than it sends from), that is a mapping as well.
 */
function mappingsOf(passages: readonly Passage[]): KnownMapping[] {
  const mappings = new Map<string, KnownMapping>();
  for (const { inside, outside, deliveredTo } of passages) {
    if (outside === undefined) continue;
    for (const one of [inside, ...(deliveredTo === undefined ? [] : [deliveredTo])])
      mappings.set(`${endpointKey(one)} ${endpointKey(outside)}`, { inside: one, outside });
  }
  return [...mappings.values()];
}

function compareOne(
  passage: Passage,
  mappings: readonly KnownMapping[],
  relays: readonly Address[] = [],
): Comparison {
  return compareMessages(passage.sent, passage.received!, {
    direction: passage.direction,
    transport: passage.transport,
    inside: passage.inside,
    ...(passage.outside === undefined ? {} : { outside: passage.outside }),
    mappings,
    relays,
    confidence: 'A',
  });
}

/** What is concluded from losses alone. */
const OF_LOSSES: ReadonlySet<FaultId> = new Set([
  'DROP-METHOD',
  'DROP-MALFORMED',
  'TIME-ALG-SIGNAL',
  'TIME-UDP-SHORT',
]);

interface Compared {
  readonly passage: Passage;
  readonly comparison: Comparison;
}

/** Whether all that was altered in these messages is what an ALG without fault writes; `all` tells the mappings. */
export function isEditedCorrectly(some: readonly Passage[], all: readonly Passage[]): boolean {
  const mappings = mappingsOf(all);
  return some
    .filter((passage) => isUnaltered(passage) === false)
    .every((passage) => compareOne(passage, mappings).findings.every(({ consistent }) => consistent));
}

const UNALTERED: Comparison = { verdict: 'unaltered', findings: [], engine: undefined };

/** What no message shows alone. Only where something is altered at all. */
function betweenMessages(arrived: readonly Passage[], compared: readonly Compared[]): Compared[] {
  if (compared.length === 0) return [];
  const known = new Map(compared.map(({ passage, comparison }) => [passage, comparison]));
  const messages = arrived.filter(({ step }) => step === 'matrix' || step === 'call');
  const found = compareConversation(
    messages.map((passage) => ({
      sent: passage.sent,
      received: passage.received!,
      direction: passage.direction,
      comparison: known.get(passage) ?? UNALTERED,
    })),
  );
  return found.map(({ message, finding }) => ({
    passage: messages[message]!,
    comparison: { verdict: 'faulty', findings: [finding], engine: undefined },
  }));
}

/** Where the port that nobody takes for SIP is treated as 5060 is, another port is no way round. */
function onEveryPort(compared: readonly Compared[]): BehaviourObservation[] {
  const there = compared.filter(
    ({ passage }) => passage.portKind === 'control' && passage.transport === 'udp',
  );
  const first = there.find(({ comparison }) => comparison.verdict === 'faulty') ?? there[0];
  if (first === undefined || there.length < 2) return [];
  const consistent = first.comparison.verdict !== 'faulty';
  return [
    {
      fault: 'ADDR-CTRLPORT',
      severity: consistent ? 1 : faultById('ADDR-CTRLPORT').severity,
      consistent,
      confidence: 'A',
      explanation: `On port ${first.passage.server.port}, which has nothing to do with SIP, messages are edited as well: they are recognised by their contents, and another port changes nothing.`,
      portKinds: ['control'],
      evidence: evidenceOf(first.passage),
    },
  ];
}

function withRelays(engine: CheckReport['engine'], relays: readonly Address[] = []): CheckReport['engine'] {
  return engine === undefined || relays.length === 0
    ? engine
    : {
        kind: engine.kind,
        evidence: [
          ...engine.evidence,
          `Media goes through it as well: descriptions that come in name ${relays.join(', ')}, and audio flows that way in both directions.`,
        ],
      };
}

/** One finding for each fault and direction, however many messages show it. */
function groupFindings(compared: readonly Compared[], arrived: readonly Passage[]): CheckFinding[] {
  const groups = new Map<string, { finding: Finding; passage: Passage }[]>();
  for (const { passage, comparison } of compared) {
    for (const finding of comparison.findings) {
      const key = `${finding.fault} ${passage.direction} ${finding.consistent}`;
      const group = groups.get(key) ?? [];
      group.push({ finding, passage });
      groups.set(key, group);
    }
  }
  return [...groups.values()].map((group) => {
    const [first] = group;
    const { finding, passage } = first!;
    const passages = [...new Set(group.map((one) => one.passage))];
    const kinds = new Map<string, number>();
    for (const one of passages) kinds.set(one.what, (kinds.get(one.what) ?? 0) + 1);
    const fault = faultById(finding.fault);
    return {
      fault: finding.fault,
      severity: finding.severity,
      consistent: finding.consistent,
      confidence: finding.confidence,
      explanation: finding.explanation,
      title: fault.title,
      symptom: fault.symptom,
      places: [...new Set(group.map((one) => one.finding.where.line))],
      direction: passage.direction,
      portKinds: [...new Set(passages.map((one) => one.portKind))],
      transports: [...new Set(passages.map((one) => one.transport))],
      seen: passages.length,
      of: arrived.filter((one) => one.direction === passage.direction).length,
      repeated: [...kinds.values()].some((count) => count > 1),
      evidence: evidenceOf(passage, finding.where),
    };
  });
}

function behaviour(observation: BehaviourObservation | LossObservation): CheckFinding {
  const fault = faultById(observation.fault);
  return {
    fault: observation.fault,
    severity: observation.severity,
    consistent: observation.consistent,
    confidence: observation.confidence,
    explanation: observation.explanation,
    title: fault.title,
    symptom: fault.symptom,
    places: [],
    direction: observation.evidence?.direction,
    portKinds: observation.portKinds ?? [],
    transports: observation.evidence === undefined ? [] : [observation.evidence.transport],
    seen: 1,
    of: 1,
    repeated: undefined,
    evidence: observation.evidence,
  };
}

function natOf(arrived: readonly Passage[]): CheckReport['nat'] {
  const seen = arrived.filter(({ outside }) => outside !== undefined);
  if (seen.length === 0) return 'not-checked';
  return seen.some(({ inside, outside }) => !sameEndpoint(inside, outside!)) ? 'yes' : 'no';
}

/** Advice that was tried here and does not work is no advice; what was tried and works comes first. */
function provenAdvice(findings: readonly CheckFinding[], workarounds: readonly Workaround[]): Advice[] {
  const advice = adviceFor(findings).filter(({ id }) => {
    const tried = workarounds.filter(({ remedy, works }) => remedy === id && works !== 'not-checked');
    return tried.length === 0 || tried.some(({ works }) => works === 'yes' || works === 'edited-correctly');
  });
  const isProven = ({ id }: Advice): boolean =>
    workarounds.some(({ remedy, works }) => remedy === id && works === 'yes');
  const [first, ...rest] = advice;
  if (first === undefined) return [];
  // The remedy at the root stays in front of the ways round it.
  return [first, ...rest.filter(isProven), ...rest.filter((one) => !isProven(one))];
}

/** The first REGISTER on the SIP port as it arrived, seen with a registrar's eyes. */
function registrarOf(arrived: readonly Passage[]): CheckReport['registrar'] {
  const register = arrived.find(
    ({ what, direction, portKind }) => what === 'REGISTER' && direction === 'to-server' && portKind === 'sip',
  );
  return register?.outside === undefined ? undefined : registrarView(register.received!, register.outside);
}

function headlineOf(
  verdict: CheckVerdict,
  nat: CheckReport['nat'],
  findings: readonly CheckFinding[],
  altered: number,
): string {
  switch (verdict) {
    case 'inconclusive':
      return 'No message came through in either direction, so nothing can be said about what happens to them.';
    case 'unaltered':
      return nat === 'no'
        ? 'Nothing altered SIP. But there is no NAT in between, so that address rewriting cannot be provoked from here: this is not proof that no ALG is on.'
        : 'Nothing alters SIP: every octet arrived as it was sent, in both directions. There is plain NAT, and no ALG at work.';
    case 'correct-alg':
      return 'An ALG edits SIP, and what it writes is right: every address that it puts in is a real one, and nothing else is touched.';
    case 'faulty':
      return altered > 0
        ? `Something on the way alters SIP, and it does harm: ${inSentence(gravestAlteration(findings).title)}.`
        : `Nothing alters SIP, but it does not get through as it should: ${inSentence(findings[0]!.title)}.`;
  }
}

/** Of what was altered, where that is serious; what else is wrong stands below it. */
function gravestAlteration(findings: readonly CheckFinding[]): CheckFinding {
  return findings.find(({ places, severity }) => places.length > 0 && severity >= 3) ?? findings[0]!;
}

/** As the rest of a sentence: without its full stop, and small where it does not begin with a name (TLS, RTCP). */
function inSentence(title: string): string {
  return title.replace(/\.$/, '').replace(/^[A-Z](?![A-Z])/, (c) => c.toLowerCase());
}
