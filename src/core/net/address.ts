/**
 * Addresses and endpoints, as text in one canonical form so that they can be compared and used as keys.
 *
 * Facts:
 * - IPv4 is dotted decimal with no leading zeros (RFC 3261 §25.1 IPv4address; "010.1.1.1" is not an address here).
 * - IPv6 is RFC 5952 text without brackets; brackets belong to the URI and Via grammar, not to the address.
 * - An IPv4-mapped IPv6 literal is an IPv6 address: it never equals the IPv4 address inside it (RFC 5118 §4.9).
 */

/** Canonical text: `192.0.2.1` or `2001:db8::1`. Never a host name, never bracketed. */
export type Address = string;

export interface Endpoint {
  readonly address: Address;
  /** 1–65535. */
  readonly port: number;
}

export function endpoint(address: Address, port: number): Endpoint {
  return { address, port };
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address;
}

/** A map key, unique for each endpoint. */
export function endpointKey(e: Endpoint): string {
  return `${e.address} ${e.port}`;
}

/** `192.0.2.1:5060` or `[2001:db8::1]:5060`. */
export function formatEndpoint(e: Endpoint): string {
  return isIPv6(e.address) ? `[${e.address}]:${e.port}` : `${e.address}:${e.port}`;
}

/** The address as it stands in a URI or a Via: IPv6 in brackets (RFC 3261 §25.1 IPv6reference). */
export function formatHost(address: Address): string {
  return isIPv6(address) ? `[${address}]` : address;
}

export function isIPv6(address: Address): boolean {
  return address.includes(':');
}

/** Canonical form of an address literal, or undefined where the text is not one (a host name, a bad literal). */
export function parseAddress(text: string): Address | undefined {
  return text.includes(':') ? parseIPv6(text) : parseIPv4(text) === undefined ? undefined : text;
}

/** `ADDRESS:PORT` or `[ADDRESS]:PORT`; undefined where the text is anything else. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const address = parseAddress(match[1] ?? match[2] ?? '');
  const port = Number(match[3]);
  if (address === undefined || port < 1 || port > 65535) return undefined;
  return { address, port };
}

/** The four octets as an unsigned 32-bit number, or undefined where the text is not dotted decimal. */
export function parseIPv4(text: string): number | undefined {
  let value = 0;
  let octet = -1;
  let octets = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = i < text.length ? text.charCodeAt(i) : 0x2e;
    if (c >= 0x30 && c <= 0x39) {
      if (octet === 0) return undefined;
      octet = octet < 0 ? c - 0x30 : octet * 10 + c - 0x30;
      if (octet > 255) return undefined;
    } else if (c === 0x2e) {
      if (octet < 0 || ++octets > 4) return undefined;
      value = value * 256 + octet;
      octet = -1;
    } else return undefined;
  }
  return octets === 4 ? value : undefined;
}

/** The address in network order, 4 or 16 octets; undefined where the text is no address. */
export function addressOctets(address: Address): Uint8Array | undefined {
  if (!address.includes(':')) {
    const value = parseIPv4(address);
    return value === undefined
      ? undefined
      : Uint8Array.of(value / 2 ** 24, (value / 2 ** 16) & 255, (value / 2 ** 8) & 255, value & 255);
  }
  const groups = readIPv6(address);
  return groups === undefined ? undefined : Uint8Array.from(groups.flatMap((g) => [g >> 8, g & 255]));
}

/** Canonical text of 4 or 16 octets in network order. */
export function addressOf(octets: Uint8Array): Address {
  if (octets.length === 4) return octets.join('.');
  return formatGroups(Array.from({ length: 8 }, (_, i) => octets[2 * i]! * 256 + octets[2 * i + 1]!));
}

/** Texts of addresses that were met before: the same few stand in message after message. Bounded. */
const met = new Map<number, Address>();
const MOST_MET = 16_384;

/** The dotted decimal address that the octets are, as `parseIPv4` takes it; undefined where they are something else. */
export function ipv4At(bytes: Uint8Array, start: number, end: number): Address | undefined {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c === 0x2e) {
      if (octet < 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = -1;
    } else if (c >= 0x30 && c <= 0x39 && octet !== 0) {
      octet = octet < 0 ? c - 0x30 : octet * 10 + c - 0x30;
      if (octet > 255) return undefined;
    } else return undefined;
  }
  return octet < 0 || dots !== 3 ? undefined : ipv4Of(value * 256 + octet);
}

/** The dotted decimal text of an unsigned 32-bit number. */
export function ipv4Of(value: number): Address {
  const known = met.get(value);
  if (known !== undefined) return known;
  if (met.size >= MOST_MET) met.clear();
  const text = [value / 2 ** 24, value / 2 ** 16, value / 2 ** 8, value]
    .map((n) => Math.floor(n) % 256)
    .join('.');
  met.set(value, text);
  return text;
}

/** RFC 5952 text of an IPv6 literal; undefined where the literal is not valid (three colons, too many groups). */
function parseIPv6(text: string): Address | undefined {
  const groups = readIPv6(text);
  return groups === undefined ? undefined : formatGroups(groups);
}

function readIPv6(text: string): number[] | undefined {
  let rest = text;
  const groups: number[] = [];
  let tail: number[] | undefined;
  const lastColon = rest.lastIndexOf(':');
  let embedded: number | undefined;
  if (rest.includes('.')) {
    embedded = parseIPv4(rest.slice(lastColon + 1));
    if (embedded === undefined) return undefined;
    rest = `${rest.slice(0, lastColon + 1)}0:0`;
  }
  const halves = rest.split('::');
  if (halves.length > 2) return undefined;
  const readGroups = (part: string): number[] | undefined => {
    if (part === '') return [];
    const values: number[] = [];
    for (const group of part.split(':')) {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      values.push(Number.parseInt(group, 16));
    }
    return values;
  };
  const head = readGroups(halves[0] ?? '');
  if (head === undefined) return undefined;
  groups.push(...head);
  if (halves.length === 2) {
    tail = readGroups(halves[1] ?? '');
    if (tail === undefined || groups.length + tail.length > 7) return undefined;
    while (groups.length + tail.length < 8) groups.push(0);
    groups.push(...tail);
  }
  if (groups.length !== 8) return undefined;
  if (embedded !== undefined) {
    groups[6] = Math.floor(embedded / 65536);
    groups[7] = embedded % 65536;
  }
  return groups;
}

function formatGroups(groups: readonly number[]): Address {
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) {
      bestStart = i;
      bestLength = j - i;
    }
    i = j + 1;
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':');
  if (bestStart < 0) return hex(0, 8);
  return `${hex(0, bestStart)}::${hex(bestStart + bestLength, 8)}`;
}

/**
 * Whether an address is one that the Internet does not route: RFC 1918, RFC 6598 (100.64/10), loopback, link-local,
 * and their IPv6 twins. A hint for people and for preflight; never a reason to edit a message.
 */
export function isPrivate(address: Address): boolean {
  const v4 = parseIPv4(address);
  if (v4 === undefined) return /^(::1$|f[cd]|fe[89ab])/.test(address);
  const a = Math.floor(v4 / 2 ** 24);
  const b = Math.floor(v4 / 2 ** 16) % 256;
  return (
    a === 10 ||
    a === 127 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254)
  );
}

/** 0.0.0.0 or ::, which in an SDP means "no address" (RFC 3264 §8.4), never a place to send to. */
export function isUnspecified(address: Address): boolean {
  return address === '0.0.0.0' || address === '::';
}
