/**
 * Hides who is calling whom, and what would let others call in their name, in anything that goes to a log.
 *
 * Hidden: the user part of SIP and SIPS URIs, telephone numbers in TEL URIs, display names before such a URI, and the
 * values of digest parameters (RFC 3261 §25.1 dig-resp). Addresses and hosts stay: they are what an ALG is about.
 */

const uriUser = /\b(sips?:)[^@\s<>"]*@/gi;
const telephone = /\b(tel:)[^\s;<>"]+/gi;
const displayName = /("(?:[^"\\]|\\.)*")(\s*<(?:sips?|tel):)/gi;
const digestParameter =
  /\b(username|response|cnonce|nonce|opaque|realm|nextnonce|rspauth|auts)(\s*=\s*)("(?:[^"\\]|\\.)*"?|[^\s,;"]+)/gi;

/** Nothing that is hidden is without one of them; most texts are. */
const CANDIDATE = /[:=]/;

export function redactText(text: string): string {
  if (!CANDIDATE.test(text)) return text;
  return text
    .replace(displayName, '"…"$2')
    .replace(uriUser, '$1…@')
    .replace(telephone, '$1…')
    .replace(digestParameter, '$1$2"…"');
}

/** A copy of plain data with every text in it redacted; keys, numbers and the rest stay. */
export function redact<T>(value: T): T {
  return redactValue(value) as T;
}

function redactValue(value: unknown): unknown {
  if (typeof value === 'string') return redactText(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, redactValue(inner)]));
  }
  return value;
}
