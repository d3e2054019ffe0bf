/**
 * Header field names that the gateway knows, with their compact forms (RFC 3261 §7.3.3, §20; RFC 3515, 4028, 6665). All
 * others are `other`: never looked into, never touched.
 */

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

/** Candidates by length and first letter, so that most names cost one comparison or none. */
const slots: (readonly { readonly spelling: string; readonly name: HeaderName }[] | undefined)[] = [];
for (const [long, compact] of Object.entries(names)) {
  for (const spelling of [long, compact]) {
    if (spelling === '') continue;
    const slot = slotOf(spelling.length, spelling.charCodeAt(0));
    slots[slot] = [...(slots[slot] ?? []), { spelling, name: long as HeaderName }];
  }
}

export function headerName(bytes: Uint8Array, start: number, end: number): HeaderName {
  const candidates = slots[slotOf(end - start, bytes[start]!)];
  if (candidates !== undefined)
    for (let i = 0; i < candidates.length; i++)
      if (isSpelled(bytes, start, candidates[i]!.spelling)) return candidates[i]!.name;
  return 'other';
}

/** Of letters and hyphens, and of tokens only: there nothing but the other case differs in that one bit alone. */
function isSpelled(bytes: Uint8Array, start: number, spelling: string): boolean {
  for (let i = 0; i < spelling.length; i++)
    if ((bytes[start + i]! | 0x20) !== spelling.charCodeAt(i)) return false;
  return true;
}

function slotOf(length: number, first: number): number {
  return length > 31 ? -1 : length * 32 + (first & 31);
}
