/** What a fault is: one row of the taxonomy. The rows are in faults/, by group. */
import type { RemedyId } from './remedies.ts';

/** 4: the service is dead; 3: serious, or comes and goes; 2: single features; 1: harmless, but a clue. */
export type Severity = 1 | 2 | 3 | 4;

/**
 * What it takes to see a fault. `bytes`: both ends' bytes of a message are enough. `behaviour`: it takes timing, silence
 * or several messages. `elsewhere`: nothing on the wire shows it; it takes a look at the box.
 */
export type ShownBy = 'bytes' | 'behaviour' | 'elsewhere';

export interface Fault {
  /** Stable: programs match on it. */
  readonly id: string;
  /** A plain sentence. */
  readonly title: string;
  /** What exactly the box does. */
  readonly definition: string;
  readonly severity: Severity;
  /** What has to be sent for it to happen. */
  readonly provoke: string;
  /** What is to be seen then. */
  readonly seen: string;
  /** What somebody with a telephone notices. */
  readonly symptom: string;
  /** RFC and section that the fault offends, or that explains it. */
  readonly rfc?: string;
  /** Most promising first. */
  readonly remedies: readonly RemedyId[];
  readonly shownBy: ShownBy;
  /** Where it is known from; `practice` where nothing better is known. */
  readonly sources: readonly string[];
}
