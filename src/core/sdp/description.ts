/**
 * An SDP description (RFC 8866): the lines that name an address or a port, found in place.
 *
 * Facts: a line is one letter, "=", and a value; lines end in CRLF, and LF alone is seen and accepted (§5); session-level
 * connection data holds for every media description that has none of its own (§5.7); `m=` may carry a count of ports
 * (§5.14); port 0 rejects a media description (RFC 3264 §6); 0.0.0.0 is an old way to hold (RFC 3264 §8.4); `a=rtcp`
 * names the RTCP port, with or without an address (RFC 3605 §2.1).
 *
 * Does not judge what a description means for a call, and knows no attribute that names no address.
 */
import { type Address, ipv4At, parseAddress } from '../net/address.ts';
import type { Span } from '../net/span.ts';

/** An address in a description: `c=`, `o=`, or the end of `a=rtcp`. */
export interface ConnectionData {
  /** The address as written, without a TTL. */
  readonly span: Span;
  /** Canonical where it is a literal of the type that stands before it (IP4 or IP6); undefined for a name. */
  readonly address: Address | undefined;
}

/** One `a=candidate` (RFC 8839 §5.1): where ICE may reach the media. */
export interface Candidate {
  readonly transport: 'udp' | 'other';
  readonly connection: ConnectionData;
  readonly port: number;
  readonly portSpan: Span;
  /** raddr and rport, where both stand. */
  readonly related:
    | { readonly connection: ConnectionData; readonly port: number; readonly portSpan: Span }
    | undefined;
}

/** Who sends (RFC 8866 §6.7). */
export type StreamDirection = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

export interface MediaDescription {
  /** `audio`, `video`, `image`, … */
  readonly media: string;
  readonly port: number;
  /** The digits of the port. */
  readonly portSpan: Span;
  /** How many media streams the line asks for: `m=audio 4000/2` has 2 (§5.14). */
  readonly count: number;
  /** `RTP/AVP`, `udptl`, `TCP/MSRP`, … as written. */
  readonly protocol: string;
  /** Connection data of its own; several only for hierarchical multicast (§5.7), and then the first. */
  readonly connection: ConnectionData | undefined;
  readonly rtcp:
    | { readonly port: number; readonly portSpan: Span; readonly connection: ConnectionData | undefined }
    | undefined;
  readonly rtcpMux: boolean;
  /** Its own attribute; undefined where the session's holds. */
  readonly direction: StreamDirection | undefined;
  readonly candidates: readonly Candidate[];
}

export interface Description {
  readonly origin: ConnectionData | undefined;
  readonly connection: ConnectionData | undefined;
  readonly media: readonly MediaDescription[];
  /** Of every stream that has none of its own; undefined is sendrecv. */
  readonly direction: StreamDirection | undefined;
  /** Whether ICE is offered or answered anywhere in it (RFC 8839 §5). */
  readonly ice: boolean;
}

/** More candidates than this in one media description are no longer understood one by one. */
const MAX_CANDIDATES = 64;

const CR = 0x0d;

/**
 * The description that fills `body`, or undefined where it does not follow the grammar. Linear; never throws. `text`: the
 * octets as latin-1 text, where that exists already.
 */
export function scanDescription(
  bytes: Uint8Array,
  body: Span,
  text = latin1(bytes, 0, body.end),
): Description | undefined {
  let origin: ConnectionData | undefined;
  let session: ConnectionData | undefined;
  let ice = false;
  let sessionDirection: StreamDirection | undefined;
  const media: MediaDescription[] = [];
  let current:
    | ({ -readonly [K in keyof MediaDescription]: MediaDescription[K] } & { candidates: Candidate[] })
    | undefined;
  let first = true;
  let i = body.start;
  while (i < body.end) {
    let lf = text.indexOf('\n', i);
    if (lf < 0 || lf >= body.end) lf = body.end;
    const next = Math.min(lf + 1, body.end);
    const end = lf > i && bytes[lf - 1] === CR ? lf - 1 : lf;
    if (end === i) {
      // Empty lines are seen at the end of a description, and nowhere else.
      if (!onlyLineEnds(bytes, i, body.end)) return undefined;
      break;
    }
    if (end < i + 2 || bytes[i + 1] !== 0x3d) return undefined;
    const type = bytes[i]!;
    if (first && (type !== 0x76 || bytes[i + 2] !== 0x30 || end !== i + 3)) return undefined; // v=0
    first = false;
    const value = i + 2;
    if (type === 0x6f) {
      if (origin !== undefined || current !== undefined) return undefined;
      origin = scanTypedAddress(bytes, value, end, 3); // o=user id version IN IP4 address
      if (origin === undefined) return undefined;
    } else if (type === 0x63) {
      const connection = scanTypedAddress(bytes, value, end, 0);
      if (connection === undefined) return undefined;
      if (current !== undefined) current.connection ??= connection;
      else if (session !== undefined) return undefined;
      else session = connection;
    } else if (type === 0x6d) {
      current = scanMedia(bytes, text, value, end);
      if (current === undefined) return undefined;
      media.push(current);
    } else if (type === 0x61) {
      // Most attributes are told by their first letter: rtcp and rtcp-mux, candidate, ice-ufrag.
      const letter = bytes[value];
      if (letter !== 0x72 && letter !== 0x63 && letter !== 0x69) {
        // Names no address.
      } else if (startsWith(bytes, value, end, 'rtcp:')) {
        const rtcp = scanRtcp(bytes, value + 5, end);
        if (rtcp === undefined) return undefined;
        if (current !== undefined) current.rtcp ??= rtcp;
      } else if (startsWith(bytes, value, end, 'rtcp-mux')) {
        if (current !== undefined) current.rtcpMux = true;
      } else if (startsWith(bytes, value, end, 'candidate:')) {
        const candidate = scanCandidate(bytes, value + 10, end);
        if (candidate === undefined) return undefined;
        ice = true;
        if (current !== undefined && current.candidates.length < MAX_CANDIDATES)
          current.candidates.push(candidate);
      } else if (startsWith(bytes, value, end, 'ice-ufrag:')) ice = true;
      else {
        const direction = directionAt(bytes, value, end);
        if (direction !== undefined && current !== undefined) current.direction ??= direction;
        else if (direction !== undefined) sessionDirection ??= direction;
      }
    }
    i = next;
  }
  return first ? undefined : { origin, connection: session, media, direction: sessionDirection, ice };
}

const DIRECTIONS = ['sendrecv', 'sendonly', 'recvonly', 'inactive'] as const;

function directionAt(bytes: Uint8Array, start: number, end: number): StreamDirection | undefined {
  if (end - start !== 8) return undefined;
  return DIRECTIONS.find((one) => startsWith(bytes, start, end, one));
}

/** `skip` fields, then nettype addrtype address[/ttl[/count]]. */
function scanTypedAddress(
  bytes: Uint8Array,
  start: number,
  end: number,
  skip: number,
): ConnectionData | undefined {
  let i = start;
  for (let n = 0; n < skip; n++) {
    i = nextField(bytes, i, end);
    if (i < 0) return undefined;
  }
  if (!startsWith(bytes, i, end, 'IN IP')) return undefined;
  const version = bytes[i + 5];
  const from = i + 7;
  if ((version !== 0x34 && version !== 0x36) || bytes[i + 6] !== 0x20 || from >= end) return undefined;
  let to = from;
  while (to < end && bytes[to] !== 0x20 && bytes[to] !== 0x2f) to++;
  if (to === from || (to < end && bytes[to] === 0x20 && !onlySpaces(bytes, to, end))) return undefined;
  return connectionAt(bytes, from, to, version === 0x36);
}

function connectionAt(bytes: Uint8Array, start: number, end: number, v6: boolean): ConnectionData {
  return { span: { start, end }, address: v6 ? ipv6At(bytes, start, end) : ipv4At(bytes, start, end) };
}

function scanMedia(
  bytes: Uint8Array,
  text: string,
  start: number,
  end: number,
): (MediaDescription & { candidates: Candidate[] }) | undefined {
  const portStart = nextField(bytes, start, end);
  if (portStart < 0) return undefined;
  const portEnd = digitsEnd(bytes, portStart, end);
  const port = number(bytes, portStart, portEnd);
  if (port < 0 || port > 65535) return undefined;
  let count = 1;
  let after = portEnd;
  if (bytes[after] === 0x2f && after < end) {
    after = digitsEnd(bytes, portEnd + 1, end);
    count = number(bytes, portEnd + 1, after);
    if (count < 1 || count > 255) return undefined;
  }
  if (after >= end || bytes[after] !== 0x20) return undefined;
  let protocolEnd = after + 1;
  while (protocolEnd < end && bytes[protocolEnd] !== 0x20) protocolEnd++;
  if (protocolEnd === after + 1) return undefined;
  return {
    media: text.slice(start, portStart - 1),
    port,
    portSpan: { start: portStart, end: portEnd },
    count,
    protocol: text.slice(after + 1, protocolEnd),
    connection: undefined,
    rtcp: undefined,
    rtcpMux: false,
    direction: undefined,
    candidates: [],
  };
}

function scanRtcp(bytes: Uint8Array, start: number, end: number): MediaDescription['rtcp'] {
  const portEnd = digitsEnd(bytes, start, end);
  const port = number(bytes, start, portEnd);
  if (port < 0 || port > 65535) return undefined;
  const portSpan = { start, end: portEnd };
  if (portEnd === end) return { port, portSpan, connection: undefined };
  if (bytes[portEnd] !== 0x20) return undefined;
  const connection = scanTypedAddress(bytes, portEnd + 1, end, 0);
  return connection === undefined ? undefined : { port, portSpan, connection };
}

/** foundation component transport priority address port "typ" type [raddr address rport port] … */
function scanCandidate(bytes: Uint8Array, start: number, end: number): Candidate | undefined {
  const fields: Span[] = [];
  for (let i = start; i < end && fields.length < 12; ) {
    let j = i;
    while (j < end && bytes[j] !== 0x20) j++;
    if (j === i) return undefined;
    fields.push({ start: i, end: j });
    i = j + 1;
  }
  const [, , transport, , address, port, typ, type, raddr, relatedAddress, rport, relatedPort] = fields;
  if (
    transport === undefined ||
    address === undefined ||
    port === undefined ||
    typ === undefined ||
    type === undefined
  )
    return undefined;
  const portNumber = number(bytes, port.start, port.end);
  if (portNumber < 0 || portNumber > 65535 || !isText(bytes, typ, 'typ')) return undefined;
  const connection = anyConnection(bytes, address);
  let related: Candidate['related'];
  if (
    raddr !== undefined &&
    relatedAddress !== undefined &&
    rport !== undefined &&
    relatedPort !== undefined
  ) {
    const isRelated = isText(bytes, raddr, 'raddr') && isText(bytes, rport, 'rport');
    const relatedNumber = number(bytes, relatedPort.start, relatedPort.end);
    if (isRelated && relatedNumber >= 0)
      related = {
        connection: anyConnection(bytes, relatedAddress),
        port: relatedNumber,
        portSpan: relatedPort,
      };
  }
  const isUdp = latin1(bytes, transport.start, transport.end).toLowerCase() === 'udp';
  return { transport: isUdp ? 'udp' : 'other', connection, port: portNumber, portSpan: port, related };
}

function anyConnection(bytes: Uint8Array, span: Span): ConnectionData {
  return {
    span,
    address: ipv4At(bytes, span.start, span.end) ?? ipv6At(bytes, span.start, span.end),
  };
}

/** The canonical address where the range holds an IPv6 literal, which has 45 characters at most. */
function ipv6At(bytes: Uint8Array, start: number, end: number): Address | undefined {
  if (end - start > 45) return undefined;
  const address = parseAddress(latin1(bytes, start, end));
  return address?.includes(':') === true ? address : undefined;
}

function nextField(bytes: Uint8Array, from: number, end: number): number {
  for (let i = from; i < end; i++) if (bytes[i] === 0x20) return i > from && i + 1 < end ? i + 1 : -1;
  return -1;
}

function digitsEnd(bytes: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end && bytes[i]! >= 0x30 && bytes[i]! <= 0x39) i++;
  return i;
}

function number(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || end - start > 5) return -1;
  let value = 0;
  for (let i = start; i < end; i++) value = value * 10 + bytes[i]! - 0x30;
  return value;
}

function startsWith(bytes: Uint8Array, start: number, end: number, prefix: string): boolean {
  if (end - start < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[start + i] !== prefix.charCodeAt(i)) return false;
  return true;
}

function isText(bytes: Uint8Array, { start, end }: Span, text: string): boolean {
  return end - start === text.length && startsWith(bytes, start, end, text);
}

function onlyLineEnds(bytes: Uint8Array, from: number, end: number): boolean {
  for (let i = from; i < end; i++) if (bytes[i] !== CR && bytes[i] !== 0x0a) return false;
  return true;
}

function onlySpaces(bytes: Uint8Array, from: number, end: number): boolean {
  for (let i = from; i < end; i++) if (bytes[i] !== 0x20) return false;
  return true;
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  let result = '';
  for (let i = start; i < end; i++) result += String.fromCharCode(bytes[i]!);
  return result;
}
