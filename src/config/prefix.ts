/** Networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3); a single address is a network of one. */
import { type Address, isIPv6, parseAddress, parseIPv4 } from '../core/net/address.ts';

export interface Prefix {
  /** Canonical, with all bits after the first `length` zero. */
  readonly address: Address;
  /** Bits: 0–32 for IPv4, 0–128 for IPv6. */
  readonly length: number;
}

/** `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.1`; undefined where the text is none of these. Host bits are cleared. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = match === null ? undefined : parseAddress(match[1]!);
  if (address === undefined) return undefined;
  const bits = isIPv6(address) ? 128 : 32;
  const length = match![2] === undefined ? bits : Number(match![2]);
  if (length > bits) return undefined;
  const shift = BigInt(bits - length);
  return { address: formatBits((bitsOf(address) >> shift) << shift, bits), length };
}

/** `192.0.2.0/24`; an address alone where the network holds no more than that. */
export function formatPrefix(prefix: Prefix): string {
  return prefix.length === (isIPv6(prefix.address) ? 128 : 32)
    ? prefix.address
    : `${prefix.address}/${prefix.length}`;
}

export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (isIPv6(prefix.address) !== isIPv6(address)) return false;
  const shift = BigInt((isIPv6(address) ? 128 : 32) - prefix.length);
  return bitsOf(prefix.address) >> shift === bitsOf(address) >> shift;
}

function bitsOf(address: Address): bigint {
  if (!isIPv6(address)) return BigInt(parseIPv4(address) ?? 0);
  // Canonical text has no dotted tail, and at most one `::`.
  const [head, tail] = address.split('::') as [string, string?];
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const end = tail === '' ? [] : tail.split(':');
    while (groups.length + end.length < 8) groups.push('0');
    groups.push(...end);
  }
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

function formatBits(value: bigint, bits: number): Address {
  if (bits === 32) {
    return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  }
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((value >> BigInt(16 * (7 - i))) & 0xffffn).toString(16),
  );
  return parseAddress(groups.join(':'))!;
}
