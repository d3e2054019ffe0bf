/**
 * Which of several engines a phone belongs to: a hash over its address, the same in the kernel's rules and here.
 *
 * Over the whole address, also of IPv6: all that an engine keeps of a phone it keeps by the address, and a LAN has one /64, which
 * would put all of its phones into one engine. A phone that takes another address is another phone, as it always was.
 *
 * Facts relied on: `jhash EXPRESSION mod N seed S` of nftables is `reciprocal_scale(jhash(octets, length, S), N)`
 * (net/netfilter/nft_hash.c), with the octets in network order and Bob Jenkins' lookup3 (include/linux/jhash.h). A test compares the
 * two on the kernel.
 */
import type { Address } from '../core/net/address.ts';
import { type Family, octetsOf } from './family.ts';

/** Any number that stays the same: with another one, phones would change their engine at the next start. */
const SEED = 1;
const GOLDEN = 0xdeadbeef;

/** 0 to `shares` - 1. */
export function shareOf(address: Address, shares: number): number {
  return shares <= 1 ? 0 : Number((BigInt(jhash(octetsOf(address))) * BigInt(shares)) >> 32n);
}

/** The same for the source of a packet, as an nftables expression. */
export function shareExpression({ nft }: Family, shares: number): string {
  return `jhash ${nft} saddr mod ${shares} seed ${SEED}`;
}

/** Of 4 or 16 octets. */
function jhash(octets: Uint8Array): number {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  let a = (GOLDEN + octets.byteLength + SEED) | 0;
  let b = a;
  let c = a;
  let at = 0;
  // What is left is 4 octets, of IPv4 as of IPv6.
  for (; octets.byteLength - at > 12; at += 12) {
    a = (a + view.getInt32(at, true)) | 0;
    b = (b + view.getInt32(at + 4, true)) | 0;
    c = (c + view.getInt32(at + 8, true)) | 0;
    a = ((a - c) ^ rotate(c, 4)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 6)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 8)) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ rotate(c, 16)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 19)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 4)) | 0;
    b = (b + a) | 0;
  }
  a = (a + view.getInt32(at, true)) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c >>> 0;
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
