/** Which kind of box makes such edits: what it edits and what it leaves is its fingerprint. */

export type EngineKind =
  /** Knows the fields: topmost Via, Contact, From, To, Request-URI, SDP, Content-Length. */
  | 'helper'
  /** Replaces an address as text, wherever its digits stand. */
  | 'text-replacer'
  /** Takes messages in and writes them anew: Via of its own, Max-Forwards, other order. */
  | 'proxy'
  | 'sdp-only'
  | 'contact-only'
  | 'via-only'
  | 'drop-only'
  | 'unknown';

export interface EngineGuess {
  readonly kind: EngineKind;
  /** One sentence each. */
  readonly evidence: readonly string[];
}
