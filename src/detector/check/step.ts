/** What a step of a check is to the others. */
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';

/** What a step leaves behind. */
export interface StepResult {
  readonly result: string;
  readonly observations?: readonly BehaviourObservation[];
  readonly facts?: readonly Fact[];
}

/** Thrown by a step that cannot be done here; its text says why. */
export class NotChecked extends Error {}
