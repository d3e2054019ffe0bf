/**
 * From findings to a verdict: one sentence, the questions that people ask with yes, no or not checked, and what to do,
 * most promising first.
 */
import type { Confidence, VerdictKind } from './comparison.ts';
import type { Severity } from './fault.ts';
import { type FaultId, faultById } from './faults.ts';
import { type Remedy, type RemedyId, remedyById } from './remedies.ts';

/** A fault that was seen, in bytes or in behaviour. A `Finding` is one. */
export interface Observation {
  readonly fault: FaultId;
  readonly severity: Severity;
  readonly consistent: boolean;
  readonly confidence: Confidence;
  readonly explanation: string;
}

/** `not-checked` is an answer: nothing that is unknown is called fine. */
export type Answer = 'yes' | 'no' | 'not-checked';

export interface Question {
  readonly id: string;
  /** What somebody would ask. */
  readonly text: string;
  /** Any of these, seen and not consistent, answers it with yes. */
  readonly faults: readonly FaultId[];
}

export interface Answered extends Question {
  readonly answer: Answer;
}

/** `checked`: the ids of the questions that were really looked into. */
export function answerQuestions(
  questions: readonly Question[],
  observations: readonly Observation[],
  checked: ReadonlySet<string>,
): Answered[] {
  const seen = new Set(observations.filter(({ consistent }) => !consistent).map(({ fault }) => fault));
  return questions.map((question) => ({
    ...question,
    answer: question.faults.some((fault) => seen.has(fault))
      ? 'yes'
      : checked.has(question.id)
        ? 'no'
        : 'not-checked',
  }));
}

export function verdictOf(observations: readonly Observation[]): VerdictKind {
  if (observations.some(({ consistent }) => !consistent)) return 'faulty';
  return observations.length === 0 ? 'unaltered' : 'correct-alg';
}

export interface Advice extends Remedy {
  /** Against which of the faults that were seen. */
  readonly against: readonly FaultId[];
  /** What the catalogue has for the router in front, best first; undefined where it was not asked who it is. */
  readonly recipes?: readonly RecipeLink[];
}

/** A router of the catalogue. */
export interface RecipeLink {
  readonly id: string;
  readonly name: string;
}

/**
 * What to do about what was seen, most promising first: a remedy counts the more, the graver the faults that it helps
 * against and the earlier it stands with them. Consistent edits need none.
 */
export function adviceFor(observations: readonly Observation[]): Advice[] {
  const worst = new Map<FaultId, Severity>();
  for (const { fault, severity, consistent } of observations)
    if (!consistent && severity > (worst.get(fault) ?? 0)) worst.set(fault, severity);
  const found = new Map<RemedyId, { weight: number; against: FaultId[] }>();
  for (const [fault, severity] of worst) {
    for (const [position, id] of faultById(fault).remedies.entries()) {
      const one = found.get(id) ?? { weight: 0, against: [] };
      one.weight += severity / (position + 1);
      one.against.push(fault);
      found.set(id, one);
    }
  }
  return [...found]
    .sort(([, a], [, b]) => b.weight - a.weight)
    .map(([id, { against }]) => ({ ...remedyById(id), against }));
}
