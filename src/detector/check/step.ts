/** What a step of a check is to the others. */
import type { BehaviourObservation, Fact, NatBehaviour } from '../../core/detect/check-report.ts';
import type { Location } from '../../core/detect/location.ts';
import type { Answer } from '../../core/detect/verdict.ts';

/** What a step leaves behind. */
export interface StepResult {
  readonly result: string;
  readonly observations?: readonly BehaviourObservation[];
  readonly facts?: readonly Fact[];
  /** Where it sits, from the step that looks for it. */
  readonly location?: Location;
  /** Whether there is a second NAT, from the step that asks the router. */
  readonly carrier?: Answer;
  /** Addresses of others that its texts name. */
  readonly addresses?: readonly string[];
  readonly natBehaviour?: NatBehaviour;
}

/** Thrown by a step that cannot be done here; its text says why. */
export class NotChecked extends Error {}
