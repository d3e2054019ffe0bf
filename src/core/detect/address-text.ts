/**
 * Addresses as text, wherever they stand: what a box does that searches and replaces, and knows no grammar.
 */
import { type Address, isPrivate, parseIPv4 } from '../net/address.ts';

export interface Replacement {
  readonly before: string;
  readonly after: string;
}

const ADDRESS = /\d{1,3}(?:\.\d{1,3}){3}/g;

/**
 * The dotted addresses of which each became another one; undefined where anything else changed as well. A port behind an
 * address may come, go or change with it.
 */
export function replacedAddresses(before: string, after: string): Replacement[] | undefined {
  const pattern = /\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,6})?/g;
  if (before.replace(pattern, '\0') !== after.replace(pattern, '\0')) return undefined;
  const olds = before.match(pattern) ?? [];
  const news = after.match(pattern) ?? [];
  const found: Replacement[] = [];
  for (const [i, old] of olds.entries()) if (old !== news[i]) found.push({ before: old, after: news[i]! });
  return found.length > 0 ? found : undefined;
}

/** `192.168.1.50` of `192.168.1.50:5060`; undefined where it is no address after all. */
export function addressIn(text: string): Address | undefined {
  const found = text.match(ADDRESS)?.[0];
  return found !== undefined && parseIPv4(found) !== undefined ? found : undefined;
}

/** Other spellings of an address that a searching box may know: number, hexadecimal, with hyphens, escaped, reversed. */
export function spellings(address: Address): string[] {
  const value = parseIPv4(address);
  if (value === undefined) return [];
  const octets = address.split('.');
  const hex = value.toString(16).padStart(8, '0');
  return [
    String(value),
    hex,
    hex.toUpperCase(),
    octets.join('-'),
    octets.join('%2E'),
    octets.join('%2e'),
    octets.toReversed().join('.'),
    octets.map((one) => one.padStart(3, '0')).join('.'),
  ];
}

/** Whether the text differs only in that another spelling of one address became the same spelling of another. */
export function respelledAddress(before: string, after: string, old: Address, fresh: Address): boolean {
  const to = spellings(fresh);
  return spellings(old).some(
    (one, i) => before.includes(one) && to[i] !== undefined && before.replaceAll(one, to[i]) === after,
  );
}

/** A private address of another host than the client's own. */
export function isOthersPrivate(
  address: Address | undefined,
  isInside: (address: Address) => boolean,
): boolean {
  return address !== undefined && isPrivate(address) && !isInside(address);
}
