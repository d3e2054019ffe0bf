/**
 * What is wrong with a message, by the letter of RFC 3261. The peer's fault, never thrown: a message with a defect that
 * blocks is passed on as it came, because what is not understood is not edited.
 */

export interface Defect {
  readonly code: DefectCode;
  /** Octet of the message at which it shows. */
  readonly offset: number;
}

/** code → [blocks editing, what it is]. */
export const defects = {
  'not-sip': [true, 'not a SIP message'],
  'start-line': [true, 'the start line does not follow the grammar (RFC 3261 §7.1, §7.2)'],
  version: [true, 'the version is not SIP/2.0 (RFC 3261 §7.1)'],
  'request-uri': [true, 'the Request-URI does not follow the grammar (RFC 3261 §19.1.1)'],
  'header-line': [true, 'a header field has no name or no colon (RFC 3261 §7.3.1)'],
  'line-end': [true, 'a line of the header ends in LF alone (RFC 3261 §7)'],
  'header-end': [true, 'no empty line ends the header (RFC 3261 §7)'],
  missing: [true, 'Via, From, To, Call-ID or CSeq is missing (RFC 3261 §8.1.1)'],
  duplicate: [true, 'a header field that may stand once stands twice (RFC 3261 §7.3.1)'],
  via: [true, 'the topmost Via does not follow the grammar (RFC 3261 §20.42)'],
  contact: [true, 'a Contact does not follow the grammar (RFC 3261 §20.10)'],
  'from-to': [true, 'From or To does not follow the grammar (RFC 3261 §20.20, §20.39)'],
  cseq: [true, 'CSeq is not a number and a method, or its method is another (RFC 3261 §8.1.1.5)'],
  'max-forwards': [true, 'Max-Forwards is not a number up to 255 (RFC 3261 §20.22)'],
  'content-length': [true, 'Content-Length is not a number (RFC 3261 §20.14)'],
  'content-length-long': [true, 'Content-Length is more than arrived (RFC 3261 §18.3)'],
  'trailing-octets': [false, 'octets follow the body; they are no part of the message (RFC 3261 §18.3)'],
  'no-content-length': [false, 'there is a body but no Content-Length (RFC 3261 §20.14)'],
  sdp: [false, 'the SDP does not follow the grammar; it is left alone (RFC 8866 §9)'],
} as const satisfies Record<string, readonly [boolean, string]>;

export type DefectCode = keyof typeof defects;

export function blocks(defect: Defect): boolean {
  return defects[defect.code][0];
}

export function describeDefect(defect: Defect): string {
  return `${defect.code} at ${defect.offset}: ${defects[defect.code][1]}`;
}
