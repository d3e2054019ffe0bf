/** Keepalives of ours among those of the phone (RFC 5626 §3.5.1, §4.4.1). */
import type { Leg } from './leg.ts';

export const PONG = Buffer.from('\r\n');
/** RFC 5626 §4.4.1: a phone that pings does so every 95 to 120 s, and a pong comes within 10 s. */
export const PING_MS = 95_000;
export const PONG_MS = 10_000;

/** CRLF twice (RFC 5626 §3.5.1). */
export function isPing(bytes: Uint8Array): boolean {
  return bytes.length === 4 && bytes.every((octet, i) => octet === PONG[i % 2]);
}

/** CRLFs without the pong to a ping of ours. Pings have two: where there is no odd one, there is no pong among them. */
export function withoutPong(leg: Leg, bytes: Uint8Array): Uint8Array {
  if (bytes.length % 4 !== PONG.length || performance.now() > leg.pongUntilMs) return bytes;
  leg.pongUntilMs = 0;
  return bytes.subarray(PONG.length);
}
