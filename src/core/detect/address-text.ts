/**
 * Addresses as text, wherever they stand: what a box does that searches and replaces, and knows no grammar.
 */
import { type Address, isPrivate, parseIPv4 } from '../net/address.ts';

export interface Replacement {
  readonly before: string;
  readonly after: string;
}

/**
 * The dotted addresses of which each became another one; undefined where anything else changed as well. A port behind an
 * address may come, go or change with it.
 */
export function replacedAddresses(before: string, after: string): Replacement[] | undefined {
  const [old, fresh] = [cutAtAddresses(before), cutAtAddresses(after)];
  if (old.addresses.length !== fresh.addresses.length) return undefined;
  if (old.rest.some((piece, i) => piece !== fresh.rest[i])) return undefined;
  const found = old.addresses.flatMap((one, i) =>
    one === fresh.addresses[i] ? [] : [{ before: one, after: fresh.addresses[i]! }],
  );
  return found.length > 0 ? found : undefined;
}

/** A text as what stands between its addresses, and the addresses with their ports. */
function cutAtAddresses(text: string): { readonly rest: string[]; readonly addresses: string[] } {
  const rest: string[] = [];
  const addresses: string[] = [];
  let from = 0;
  for (let i = 0; i < text.length; ) {
    const isInside = i > 0 && (isDigit(text[i - 1]) || text[i - 1] === '.');
    const end = isInside || !isDigit(text[i]) ? -1 : addressEnd(text, i);
    if (end < 0) {
      i++;
      continue;
    }
    const port = text[end] === ':' ? digitsEnd(text, end + 1) : end;
    const whole = port > end + 1 ? port : end;
    rest.push(text.slice(from, i));
    addresses.push(text.slice(i, whole));
    i = from = whole;
  }
  rest.push(text.slice(from));
  return { rest, addresses };
}

/** One past four numbers of up to three digits, with dots between them; -1 where there are none. */
function addressEnd(text: string, start: number): number {
  let i = start;
  for (let number = 0; number < 4; number++) {
    if (number > 0 && text[i++] !== '.') return -1;
    const end = digitsEnd(text, i);
    if (end === i || end > i + 3) return -1;
    i = end;
  }
  return i;
}

function digitsEnd(text: string, from: number): number {
  let i = from;
  while (isDigit(text[i])) i++;
  return i;
}

function isDigit(c: string | undefined): boolean {
  return c !== undefined && c >= '0' && c <= '9';
}

/** `192.168.1.50` of `192.168.1.50:5060`; undefined where it is no address after all. */
export function addressIn(text: string): Address | undefined {
  const found = text.split(':', 1)[0];
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
