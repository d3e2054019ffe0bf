/**
 * `struct sockaddr_in` as bytes.
 *
 * Facts: 16 bytes; family in host order (little-endian here), port and address in network order, the rest zero (ip(7)).
 */
import { type Address, type Endpoint, parseIPv4 } from '../core/net/address.ts';
import { SystemError } from './system-error.ts';

export const SOCKADDR_IN_SIZE = 16;
export const AF_INET = 2;

/** Writes `endpoint` at `offset`; the address must be IPv4. */
export function writeSockaddr(view: DataView, offset: number, e: Endpoint): void {
  view.setUint16(offset, AF_INET, true);
  view.setUint16(offset + 2, e.port, false);
  view.setUint32(offset + 4, addressToNumber(e.address), false);
  view.setUint32(offset + 8, 0);
  view.setUint32(offset + 12, 0);
}

/** The endpoint at `offset`, or undefined where the family is not IPv4. */
export function readSockaddr(view: DataView, offset: number): Endpoint | undefined {
  if (view.getUint16(offset, true) !== AF_INET) return undefined;
  return {
    address: numberToAddress(view.getUint32(offset + 4, false)),
    port: view.getUint16(offset + 2, false),
  };
}

export function addressToNumber(address: Address): number {
  const value = parseIPv4(address);
  if (value === undefined)
    throw new SystemError(
      'linux/not-ipv4',
      `${address} is not an IPv4 address`,
      'the kernel data plane translates IPv4 only; IPv6 needs no translation',
    );
  return value;
}

export function numberToAddress(value: number): Address {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}
