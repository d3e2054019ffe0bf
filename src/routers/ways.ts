/** By which ways a program can go a procedure. Nothing is opened here. */
import { isDrivable, type Target } from './change.ts';
import type { Procedure } from './schema.ts';

export type Way = 'ssh' | 'telnet' | 'http' | 'https';

export const defaultPorts: Readonly<Record<Way, number>> = { ssh: 22, telnet: 23, http: 80, https: 443 };

/** The ways that a procedure can be gone by a program; none where a person has to click or to look something up. */
export function waysOf(procedure: Procedure): readonly Way[] {
  const { kind } = procedure;
  if (kind === 'ssh' || kind === 'telnet') return [kind];
  if (kind === 'console') return ['ssh', 'telnet'];
  if (kind !== 'api' && kind !== 'controller') return [];
  const { login } = procedure;
  // A login that the recipe does not describe is for people; a password is not sent where it does not belong.
  return login?.kind === 'http-basic' || (login?.requests.length ?? 0) > 0 ? ['https', 'http'] : [];
}

/** Whether `sipalg router` does it itself: from the login to the look afterwards. */
export function isDriven(procedure: Procedure, target: Target): boolean {
  return waysOf(procedure).length > 0 && isDrivable(procedure, target);
}
