/**
 * From a captured frame to the IP packet in it.
 *
 * Facts: link types are numbers of tcpdump.org/linktypes.html. NULL is the address family in the byte order of the machine
 * that captured, and IPv6 has another number on every BSD; the cooked headers of Linux end with (SLL) or begin with
 * (SLL2) the EtherType; VLAN tags (IEEE 802.1Q, 802.1ad) and PPPoE (RFC 2516) stand between Ethernet and IP.
 */

export const LINK_NULL = 0;
export const LINK_ETHERNET = 1;
export const LINK_RAW = 101;
export const LINK_LOOP = 108;
export const LINK_SLL = 113;
export const LINK_IPV4 = 228;
export const LINK_IPV6 = 229;
export const LINK_SLL2 = 276;
/** DLT_RAW as some systems write it into files. */
const LINK_RAW_BSD = 12;
const LINK_RAW_OPENBSD = 14;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_PPPOE = 0x8864;
const TAGS: readonly number[] = [0x8100, 0x88a8, 0x9100];
/** More tags than anybody stacks. */
const MAX_TAGS = 4;

/** Where the IP packet begins in the frame, or why there is none. */
export function ipOffset(linkType: number, bytes: Uint8Array): number | 'other' | 'link-type' | 'malformed' {
  switch (linkType) {
    case LINK_ETHERNET:
      return afterEtherType(bytes, 12);
    case LINK_SLL:
      return afterEtherType(bytes, 14);
    case LINK_SLL2:
      // Twenty octets, of which the first two are the EtherType.
      if (bytes.length < 20) return 'malformed';
      return byEtherType(bytes, short(bytes, 0), 20);
    case LINK_NULL:
    case LINK_LOOP:
      return bytes.length < 4 ? 'malformed' : 4;
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_IPV4:
    case LINK_IPV6:
      return 0;
    default:
      return 'link-type';
  }
}

function afterEtherType(bytes: Uint8Array, at: number): number | 'other' | 'malformed' {
  return bytes.length < at + 2 ? 'malformed' : byEtherType(bytes, short(bytes, at), at + 2);
}

function byEtherType(bytes: Uint8Array, first: number, next: number): number | 'other' | 'malformed' {
  let type = first;
  let at = next;
  for (let tags = 0; TAGS.includes(type); tags++) {
    if (tags >= MAX_TAGS || bytes.length < at + 4) return 'malformed';
    type = short(bytes, at + 2);
    at += 4;
  }
  if (type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6) return at;
  if (type !== ETHERTYPE_PPPOE) return 'other';
  if (bytes.length < at + 8) return 'malformed';
  const protocol = short(bytes, at + 6);
  return protocol === 0x0021 || protocol === 0x0057 ? at + 8 : 'other';
}

function short(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 256 + bytes[at + 1]!;
}
