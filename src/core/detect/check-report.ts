/**
 * What a check says in the end, as data: text, JSON and HTML are made from it. `schema` names the version of the form;
 * programs match on it.
 */
import type { Address } from '../net/address.ts';
import type { Direction } from './comparison.ts';
import type { EngineGuess } from './engine-fingerprint.ts';
import type { Evidence } from './evidence.ts';
import type { Location } from './location.ts';
import type { Passage, PortKind } from './passage.ts';
import type { RegistrarView } from './registrar-view.ts';
import type { RemedyId } from './remedies.ts';
import type { Advice, Answer, Observation } from './verdict.ts';

export const REPORT_SCHEMA = 'sipalg-check/1';

/**
 * `unaltered`: every octet passed. `correct-alg`: something edits SIP, and what it edits is right and works. `faulty`:
 * something does harm. `inconclusive`: too little came through to say anything.
 */
export type CheckVerdict = 'unaltered' | 'correct-alg' | 'faulty' | 'inconclusive';

export interface CheckFinding extends Observation {
  /** The fault in a plain sentence, and what somebody with a telephone notices. */
  readonly title: string;
  readonly symptom: string;
  /** `Contact`, `SDP c= (session)`; empty for behaviour. */
  readonly places: readonly string[];
  readonly direction: Direction | undefined;
  readonly portKinds: readonly PortKind[];
  readonly transports: readonly string[];
  /** Messages in which it was seen, and those in which it could have been. */
  readonly seen: number;
  readonly of: number;
  /** Seen at least twice in the same kind of message; undefined where that is not the question. */
  readonly repeated: boolean | undefined;
  readonly evidence: Evidence | undefined;
}

/** Something that was looked into, or the reason why not. */
export interface CheckedStep {
  readonly id: string;
  readonly title: string;
  readonly state: 'done' | 'not-checked';
  /** What came of it; or why it was not checked. */
  readonly result: string;
  /** Where only one end is known: whether it shows a sign of an ALG. "no" is no proof. */
  readonly sign?: Sign;
}

export type Sign = Answer;

/** A fact about the path that is nobody's fault. */
export interface Fact {
  readonly id: string;
  readonly text: string;
}

/** What gets through `edited` may work or not: that is for phone and provider to find out. */
export type Passes = Answer | 'edited-correctly' | 'edited';

/** A way round that was tried with SIP, all the way and back. */
export interface Workaround {
  readonly remedy: RemedyId;
  readonly what: string;
  readonly works: Passes;
  readonly result: string;
}

/** RFC 4787 §4.1 for mapping, §5 for filtering. */
export type Dependence =
  | 'endpoint-independent'
  | 'address-dependent'
  | 'address-and-port-dependent'
  | 'not-checked';

/** How the NAT behaves. What could not be told is `not-checked`, as with a reflector that has one address only. */
export interface NatBehaviour {
  readonly mapping: Dependence;
  readonly filtering: Dependence;
  /** The external port is the source port (RFC 4787 §4.2.1). */
  readonly keepsPort: Answer;
  /** A packet from inside to a mapping of the NAT comes back in (§6). */
  readonly hairpinning: Answer;
  /** All mappings of this machine have one external address (§4.1, REQ-2). */
  readonly oneAddress: Answer;
  /** Signs of a second NAT, the carrier's. "no" is none. */
  readonly carrier: Answer;
}

export interface CheckReport {
  readonly schema: typeof REPORT_SCHEMA;
  readonly verdict: CheckVerdict;
  readonly headline: string;
  /** Whether a NAT is in between: without one, address rewriting cannot be provoked. */
  readonly nat: 'yes' | 'no' | 'not-checked';
  /** Undefined where the step was left out, or there is no NAT. */
  readonly natBehaviour: NatBehaviour | undefined;
  readonly engine: EngineGuess | undefined;
  /** Where on the way it sits; undefined where that was not looked into. */
  readonly location: Location | undefined;
  /** Gravest first. */
  readonly findings: readonly CheckFinding[];
  /** Edits that are consistent: told, and no fault. */
  readonly edits: readonly CheckFinding[];
  readonly advice: readonly Advice[];
  readonly workarounds: readonly Workaround[];
  readonly registrar: RegistrarView | undefined;
  readonly facts: readonly Fact[];
  readonly steps: readonly CheckedStep[];
  readonly figures: {
    readonly messages: number;
    readonly arrived: number;
    readonly altered: number;
  };
}

/** What the steps of a check have brought together. */
export interface CheckRecord {
  readonly passages: readonly Passage[];
  readonly observations: readonly BehaviourObservation[];
  readonly steps: readonly CheckedStep[];
  readonly facts: readonly Fact[];
  readonly workarounds: readonly Workaround[];
  readonly location?: Location | undefined;
  /** Addresses inside at which a relay takes media in. */
  readonly relays?: readonly Address[];
  /** The ids of requests that somebody on the way has answered. */
  readonly answered?: ReadonlySet<string>;
  readonly natBehaviour?: NatBehaviour | undefined;
}

/** A fault that shows in behaviour, by the step that saw it. */
export interface BehaviourObservation extends Observation {
  readonly portKinds?: readonly PortKind[];
  readonly evidence?: Evidence;
}
