/**
 * `struct sockaddr_in` and `struct sockaddr_in6` as bytes.
 *
 * Facts: the family is in host order (little-endian here), port and address in network order. IPv4 (ip(7)) has 16 bytes,
 * the last 8 of them zero; IPv6 (ipv6(7)) has 28: flow label, address, and the scope, which only link-local addresses
 * need.
 */
import { addressOf, type Endpoint } from '../core/net/address.ts';
import { familyOf, IPV4, IPV6, octetsOf } from './family.ts';

/** Room for either. */
export const SOCKADDR_SIZE = 28;
const SOCKADDR_IN_SIZE = 16;

/** Writes `endpoint` at `offset`; the length that it takes. */
export function writeSockaddr(view: DataView, offset: number, e: Endpoint): number {
  const { domain } = familyOf(e.address);
  const size = domain === IPV4.domain ? SOCKADDR_IN_SIZE : SOCKADDR_SIZE;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, size);
  bytes.fill(0);
  view.setUint16(offset, domain, true);
  view.setUint16(offset + 2, e.port, false);
  bytes.set(octetsOf(e.address), domain === IPV4.domain ? 4 : 8);
  return size;
}

/** The endpoint at `offset`, or undefined where the family is neither. */
export function readSockaddr(view: DataView, offset: number): Endpoint | undefined {
  const domain = view.getUint16(offset, true);
  if (domain !== IPV4.domain && domain !== IPV6.domain) return undefined;
  const [at, length] = domain === IPV4.domain ? [4, 4] : [8, 16];
  return {
    address: addressOf(new Uint8Array(view.buffer, view.byteOffset + offset + at, length)),
    port: view.getUint16(offset + 2, false),
  };
}
