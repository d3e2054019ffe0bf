/**
 * What a datagram on a media port looks like from its first bytes.
 *
 * Facts:
 * - Protocols that share a media port are told apart by the first byte: 0–3 STUN, 16–19 ZRTP, 20–63 DTLS,
 *   64–79 TURN channel, 128–191 RTP and RTCP, which is to say version 2 (RFC 7983 §7).
 * - RTP has a header of 12 bytes (RFC 3550 §5.1). The shortest RTCP packet, a receiver report without a report block,
 *   has 8 (RFC 3550 §6.4.2). A second byte of 192–223 is RTCP on a port that carries both (RFC 5761 §4).
 * - A STUN header has 20 bytes and a magic cookie (RFC 8489 §5).
 * - T.38 over UDPTL begins with a sequence number, so its first byte says nothing: it is `other` or an accident.
 */

export type MediaProtocol = 'rtp' | 'rtcp' | 'stun' | 'zrtp' | 'dtls' | 'other';

const RTP_HEADER_BYTES = 12;
const SHORTEST_RTCP_BYTES = 8;
const STUN_HEADER_BYTES = 20;
const DTLS_RECORD_HEADER_BYTES = 13;

export function peekMedia(bytes: Uint8Array): MediaProtocol {
  const first = bytes[0];
  if (first === undefined) return 'other';
  if (first >= 128 && first <= 191) {
    const second = bytes[1] ?? 0;
    if (second >= 192 && second <= 223) return bytes.length >= SHORTEST_RTCP_BYTES ? 'rtcp' : 'other';
    return bytes.length >= RTP_HEADER_BYTES ? 'rtp' : 'other';
  }
  if (first <= 3) return hasStunCookie(bytes) ? 'stun' : 'other';
  if (first >= 20 && first <= 63) return bytes.length >= DTLS_RECORD_HEADER_BYTES ? 'dtls' : 'other';
  if (first >= 16 && first <= 19) return bytes.length >= RTP_HEADER_BYTES ? 'zrtp' : 'other';
  return 'other';
}

function hasStunCookie(bytes: Uint8Array): boolean {
  return (
    bytes.length >= STUN_HEADER_BYTES &&
    bytes[4] === 0x21 &&
    bytes[5] === 0x12 &&
    bytes[6] === 0xa4 &&
    bytes[7] === 0x42
  );
}
