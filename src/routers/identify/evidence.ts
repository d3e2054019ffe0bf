/** What was seen of a device on the LAN. Each piece is one thing that it said of itself, or that its address says. */
import type { Recipe } from '../schema.ts';

export type FingerprintKind = Recipe['fingerprints'][number]['kind'];

export interface Evidence {
  /** A kind that recipes know, or one that only people read. */
  readonly kind: FingerprintKind | 'favicon' | 'port-mapping';
  readonly value: string;
  /** Where it was seen: `udp 1900`, `tcp 443`. */
  readonly where: string;
}

/** What a device says is cut to that; it may say anything. */
const MAX_VALUE = 300;

export function evidence(kind: Evidence['kind'], value: string | undefined, where: string): Evidence[] {
  const plain = (value ?? '')
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, MAX_VALUE);
  return plain === '' ? [] : [{ kind, value: plain, where }];
}
