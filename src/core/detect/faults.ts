/**
 * The taxonomy: everything that broken SIP ALGs and NATs are known to do, one row each, in groups. An id is a promise to
 * programs and never changes its meaning. docs/reference/faults.md is generated from it.
 */
import type { Fault } from './fault.ts';
import { addressFaults } from './faults/address.ts';
import { bodyFaults } from './faults/body.ts';
import { natFaults } from './faults/nat.ts';
import { passageFaults } from './faults/passage.ts';
import { stateFaults } from './faults/state.ts';
import { syntaxFaults } from './faults/syntax.ts';

export const faultGroups = [
  { title: 'Address rewriting', faults: addressFaults },
  { title: 'Syntax and header fields', faults: syntaxFaults },
  { title: 'SDP and other bodies', faults: bodyFaults },
  { title: 'Drop, intercept, answer', faults: passageFaults },
  { title: 'NAT, timers, media', faults: natFaults },
  { title: 'Several phones, state, settings', faults: stateFaults },
] as const satisfies readonly { readonly title: string; readonly faults: readonly Fault[] }[];

export type FaultId = (typeof faultGroups)[number]['faults'][number]['id'];

export const faults: readonly (Fault & { readonly id: FaultId })[] = faultGroups.flatMap(
  (group): readonly (Fault & { readonly id: FaultId })[] => group.faults,
);

const byId: ReadonlyMap<string, Fault & { readonly id: FaultId }> = new Map(
  faults.map((fault) => [fault.id, fault]),
);

export function faultById(id: FaultId): Fault & { readonly id: FaultId } {
  return byId.get(id)!;
}

/** The row of an id that somebody typed, in any case; undefined where there is none. */
export function findFault(id: string): (Fault & { readonly id: FaultId }) | undefined {
  return byId.get(id.toUpperCase());
}
