/**
 * The two address families: what nftables, iproute2 and the sockets call them. Whatever the kernel keeps by family (sets,
 * maps, timeout policies, routes) exists once for each; the IPv6 twin has the same name with a 6 at its end.
 */
import { type Address, addressOctets, isIPv6 } from '../core/net/address.ts';
import { SystemError } from './system-error.ts';

export interface Family {
  /** Of a statement (`ip saddr`, `snat ip to`) and of a table that holds this family alone. */
  readonly nft: 'ip' | 'ip6';
  /** `meta nfproto`. */
  readonly nfproto: 'ipv4' | 'ipv6';
  /** The type of an address in a set. */
  readonly type: 'ipv4_addr' | 'ipv6_addr';
  /** `ip -4`, `ip -6`. */
  readonly option: '-4' | '-6';
  /** AF_INET, AF_INET6: ip(7), ipv6(7). */
  readonly domain: 2 | 10;
  readonly bits: 32 | 128;
  readonly loopback: Address;
  /** All addresses, as a route has them. */
  readonly all: '0.0.0.0/0' | '::/0';
  readonly suffix: '' | '6';
}

export const IPV4: Family = {
  nft: 'ip',
  nfproto: 'ipv4',
  type: 'ipv4_addr',
  option: '-4',
  domain: 2,
  bits: 32,
  loopback: '127.0.0.1',
  all: '0.0.0.0/0',
  suffix: '',
};

export const IPV6: Family = {
  nft: 'ip6',
  nfproto: 'ipv6',
  type: 'ipv6_addr',
  option: '-6',
  domain: 10,
  bits: 128,
  loopback: '::1',
  all: '::/0',
  suffix: '6',
};

export const FAMILIES: readonly Family[] = [IPV4, IPV6];

export function familyOf(address: Address): Family {
  return isIPv6(address) ? IPV6 : IPV4;
}

/** The name of a set, a map or a timeout policy for the family of an address. */
export function named(name: string, address: Address): string {
  return `${name}${familyOf(address).suffix}`;
}

/** Octets of addresses that were met before: the same few stand in element after element. Bounded; nobody writes to them. */
const met = new Map<Address, Uint8Array>();
const MOST_MET = 16_384;

/** An address in network order, 4 or 16 octets, which the caller must not write to. */
export function octetsOf(address: Address): Uint8Array {
  const known = met.get(address);
  if (known !== undefined) return known;
  const octets = addressOctets(address);
  if (octets === undefined)
    throw new SystemError(
      'linux/not-an-address',
      `"${address}" is not an IPv4 or IPv6 address`,
      'names are not looked up here',
    );
  if (met.size >= MOST_MET) met.clear();
  met.set(address, octets);
  return octets;
}

/** Whether `address` is in `prefix` (`192.0.2.0/24`, `2001:db8::/32`, or an address alone). */
export function inPrefix(address: Address, prefix: string): boolean {
  const [network = '', length] = prefix.split('/');
  const a = addressOctets(address);
  const n = addressOctets(network);
  if (a === undefined || n === undefined || a.length !== n.length) return false;
  const bits = length === undefined ? a.length * 8 : Number(length);
  return a.every((octet, i) => {
    const covered = Math.min(Math.max(bits - i * 8, 0), 8);
    return octet >> (8 - covered) === n[i]! >> (8 - covered);
  });
}

/** fe80::/10: addresses of one link, which no router carries (RFC 4291 §2.5.6). */
export function isLinkLocal(address: Address): boolean {
  return /^fe[89ab][0-9a-f]:/.test(address);
}
