/**
 * Header field names that the gateway knows, with their compact forms (RFC 3261 §7.3.3, §20; RFC 3515, 4028, 6665). All
 * others are `other`: never looked into, never touched.
 */

import { COLON } from './octets.ts';

const names = {
  via: 'v',
  from: 'f',
  to: 't',
  'call-id': 'i',
  cseq: '',
  contact: 'm',
  'content-length': 'l',
  'content-type': 'c',
  'content-encoding': 'e',
  expires: '',
  'max-forwards': '',
  route: '',
  'record-route': '',
  'refer-to': 'r',
  authorization: '',
  'proxy-authorization': '',
  'authentication-info': '',
  'proxy-authentication-info': '',
  identity: 'y',
  'session-expires': 'x',
  supported: 'k',
  require: '',
} as const;

export type HeaderName = keyof typeof names | 'other';

export interface Spelling {
  readonly spelling: string;
  readonly name: HeaderName;
}

/** Candidates by length and first letter, so that most names cost one comparison or none. */
const slots: (readonly Spelling[] | undefined)[] = [];
/** The same by first letter alone, as its last five bits. */
const byLetter: (readonly Spelling[])[] = Array.from({ length: 32 }, () => []);
for (const [long, compact] of Object.entries(names)) {
  for (const spelling of [long, compact]) {
    if (spelling === '') continue;
    const one: Spelling = { spelling, name: long as HeaderName };
    const slot = slotOf(spelling.length, spelling.charCodeAt(0));
    slots[slot] = [...(slots[slot] ?? []), one];
    const letter = spelling.charCodeAt(0) & 31;
    byLetter[letter] = [...byLetter[letter]!, one];
  }
}

/** The name that begins at `start` with a colon right behind it, as nearly all are; undefined where there is none that is known. */
export function knownHeader(bytes: Uint8Array, start: number): Spelling | undefined {
  const candidates = byLetter[bytes[start]! & 31]!;
  for (let i = 0; i < candidates.length; i++) {
    const one = candidates[i]!;
    if (bytes[start + one.spelling.length] === COLON && isSpelled(bytes, start, one.spelling)) return one;
  }
  return undefined;
}

export function headerName(bytes: Uint8Array, start: number, end: number): HeaderName {
  const candidates = slots[slotOf(end - start, bytes[start]!)];
  if (candidates !== undefined)
    for (let i = 0; i < candidates.length; i++)
      if (isSpelled(bytes, start, candidates[i]!.spelling)) return candidates[i]!.name;
  return 'other';
}

/** Of letters and hyphens: above the white space nothing but the other case differs in that one bit alone. */
function isSpelled(bytes: Uint8Array, start: number, spelling: string): boolean {
  for (let i = 0; i < spelling.length; i++) {
    const c = bytes[start + i]!;
    if ((c | 0x20) !== spelling.charCodeAt(i) || c < 0x21) return false;
  }
  return true;
}

function slotOf(length: number, first: number): number {
  return length > 31 ? -1 : length * 32 + (first & 31);
}
