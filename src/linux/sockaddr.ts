/**
 * `struct sockaddr_in` and `struct sockaddr_in6` as bytes.
 *
 * Facts: the family is in host order (little-endian here), port and address in network order. IPv4 (ip(7)) has 16 bytes,
 * the last 8 of them zero; IPv6 (ipv6(7)) has 28: flow label, address, and the scope, which only link-local addresses
 * need.
 */
import { addressOf, type Endpoint, ipv4Of, parseIPv4 } from '../core/net/address.ts';
import { familyOf, IPV4, IPV6, octetsOf } from './family.ts';

/** Room for either. */
export const SOCKADDR_SIZE = 28;
const SOCKADDR_IN_SIZE = 16;

/** Writes `endpoint` at `offset`; the length that it takes. */
export function writeSockaddr(view: DataView, offset: number, e: Endpoint): number {
  const value = parseIPv4(e.address);
  if (value !== undefined) {
    view.setUint16(offset, IPV4.domain, true);
    view.setUint16(offset + 2, e.port, false);
    view.setUint32(offset + 4, value, false);
    view.setUint32(offset + 8, 0, true);
    view.setUint32(offset + 12, 0, true);
    return SOCKADDR_IN_SIZE;
  }
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, SOCKADDR_SIZE);
  bytes.fill(0);
  view.setUint16(offset, familyOf(e.address).domain, true);
  view.setUint16(offset + 2, e.port, false);
  bytes.set(octetsOf(e.address), 8);
  return SOCKADDR_SIZE;
}

/** Endpoints that were read before, each in the place that its octets point to: the same few send again and again. */
const READ = 4_096;
const readAddresses = new Uint32Array(READ);
const readEndpoints: (Endpoint | undefined)[] = new Array(READ).fill(undefined);

/** The endpoint at `offset`, or undefined where the family is neither. */
export function readSockaddr(view: DataView, offset: number): Endpoint | undefined {
  const domain = view.getUint16(offset, true);
  const port = view.getUint16(offset + 2, false);
  if (domain === IPV4.domain) {
    const value = view.getUint32(offset + 4, false);
    const place = (value ^ (value >>> 12) ^ Math.imul(port, 0x9e5)) & (READ - 1);
    const known = readEndpoints[place];
    if (known !== undefined && readAddresses[place] === value && known.port === port) return known;
    const endpoint = { address: ipv4Of(value), port };
    readAddresses[place] = value;
    readEndpoints[place] = endpoint;
    return endpoint;
  }
  if (domain !== IPV6.domain) return undefined;
  return { address: addressOf(new Uint8Array(view.buffer, view.byteOffset + offset + 8, 16)), port };
}
