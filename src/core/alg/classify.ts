/**
 * What a datagram is, before anything looks into it.
 *
 * Facts: STUN shares the port with SIP and has two zero bits first (RFC 8489 §6.3, RFC 5626 §8); CRLF and single NULs are
 * keepalives of phones and providers; a SIP message begins with a method token or with "SIP/" (RFC 3261 §7).
 */
import { isTokenCharacter } from '../sip/octets.ts';

/** Where a SIP URI or a Via names no port (RFC 3261 §19.1.2, §18.1.1). */
export const SIP_PORT = 5060;

export type DatagramKind = 'sip' | 'keepalive' | 'stun' | 'other';

export function classify(bytes: Uint8Array): DatagramKind {
  if (bytes.length === 0) return 'keepalive';
  const first = bytes[0]!;
  if (bytes.length <= 4 && bytes.every((c) => c === 0x0d || c === 0x0a || c === 0)) return 'keepalive';
  if (
    first < 4 &&
    bytes.length >= 20 &&
    bytes[4] === 0x21 &&
    bytes[5] === 0x12 &&
    bytes[6] === 0xa4 &&
    bytes[7] === 0x42
  )
    return 'stun';
  return isTokenCharacter(first) || first === 0x0d ? 'sip' : 'other';
}
