/**
 * As much of STUN as finding out about a NAT needs: Binding requests and their answers (RFC 8489), with what RFC 5780 adds to them.
 *
 * Facts:
 * - A message begins with two zero bits, has the magic cookie in octets 4 to 7, and a length that is a multiple of 4 and counts all
 *   behind the 20 octets of the header (RFC 8489 §5). So it can share a port with SIP (§6.3).
 * - Attributes are padded to 4 octets; those below 0x8000 have to be understood (§14).
 * - XOR-MAPPED-ADDRESS hides the address from boxes that replace addresses wherever they find them (§14.2).
 *
 * What is not a whole message is none. Keys, credentials and everything of TURN are not read.
 */
import { type Address, addressOctets, addressOf, type Endpoint, isIPv6 } from './address.ts';

export type StunKind = 'request' | 'indication' | 'success' | 'error';

export interface StunMessage {
  readonly kind: StunKind;
  /** 1 is Binding (RFC 8489 §18.2). */
  readonly method: number;
  /** 12 octets. */
  readonly transaction: Uint8Array;
  /** XOR-MAPPED-ADDRESS: where the request came from. */
  readonly mapped?: Endpoint;
  /** MAPPED-ADDRESS, the same in plain octets (RFC 8489 §14.1). */
  readonly plainMapped?: Endpoint;
  /** RESPONSE-ORIGIN and OTHER-ADDRESS (RFC 5780 §7.3, §7.4). */
  readonly origin?: Endpoint;
  readonly other?: Endpoint;
  /** CHANGE-REQUEST (RFC 5780 §7.2). */
  readonly change?: StunChange;
  /** RESPONSE-PORT (RFC 5780 §7.5). */
  readonly responsePort?: number;
  /** SOFTWARE, as latin1: what the sender calls itself. */
  readonly software?: string;
  readonly errorCode?: number;
  /** Of FINGERPRINT, which has to be the last attribute (RFC 8489 §14.7). */
  readonly fingerprint: 'none' | 'right' | 'wrong';
  /** Attributes that would have to be understood, and are not. */
  readonly unknown: readonly number[];
}

/** From where the answer is to come: from the server's other address, from its other port. */
export interface StunChange {
  readonly address: boolean;
  readonly port: boolean;
}

const HEADER = 20;
const COOKIE = 0x2112a442;
const BINDING = 1;
const FINGERPRINT_XOR = 0x5354554e;
/** More attributes than any Binding message has. */
const MOST_ATTRIBUTES = 64;

const attribute = {
  mapped: 0x0001,
  changeRequest: 0x0003,
  username: 0x0006,
  integrity: 0x0008,
  errorCode: 0x0009,
  unknown: 0x000a,
  integritySha256: 0x001c,
  xorMapped: 0x0020,
  responsePort: 0x0027,
  software: 0x8022,
  fingerprint: 0x8028,
  origin: 0x802b,
  other: 0x802c,
} as const;

/** What is understood, or may be passed over without harm where nobody asks for credentials. */
const understood = new Set<number>(Object.values(attribute));

/** Whether a datagram is STUN, by its first octets: two zero bits, the length of the rest, and the cookie. */
export function isStun(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER || bytes[0]! > 0x3f) return false;
  const view = viewOf(bytes);
  const length = view.getUint16(2);
  return length % 4 === 0 && HEADER + length === bytes.length && view.getUint32(4) === COOKIE;
}

/** Undefined for what is no STUN message, or a broken one. */
export function readStun(bytes: Uint8Array): StunMessage | undefined {
  if (!isStun(bytes)) return undefined;
  const view = viewOf(bytes);
  const type = view.getUint16(0);
  const found: { -readonly [K in keyof StunMessage]?: StunMessage[K] } = {};
  const unknown: number[] = [];
  let fingerprint: StunMessage['fingerprint'] = 'none';
  let attributes = 0;
  for (let at = HEADER; at < bytes.length; ) {
    if (bytes.length - at < 4 || ++attributes > MOST_ATTRIBUTES) return undefined;
    const name = view.getUint16(at);
    const length = view.getUint16(at + 2);
    const start = at + 4;
    if (start + length > bytes.length) return undefined;
    const value = bytes.subarray(start, start + length);
    at = start + length + padded(length);
    // What stands behind it is not covered by it, and is not looked at.
    if (name === attribute.fingerprint) {
      if (length !== 4 || at !== bytes.length) return undefined;
      fingerprint = view.getUint32(start) === fingerprintOf(bytes.subarray(0, start - 4)) ? 'right' : 'wrong';
      continue;
    }
    switch (name) {
      case attribute.xorMapped:
      case attribute.mapped:
      case attribute.origin:
      case attribute.other: {
        const endpoint = readAddress(
          value,
          name === attribute.xorMapped ? bytes.subarray(4, HEADER) : undefined,
        );
        if (endpoint === undefined) return undefined;
        // Of several the first counts (RFC 8489 §14).
        if (name === attribute.xorMapped) found.mapped ??= endpoint;
        else if (name === attribute.mapped) found.plainMapped ??= endpoint;
        else if (name === attribute.origin) found.origin ??= endpoint;
        else found.other ??= endpoint;
        break;
      }
      case attribute.changeRequest:
        if (length !== 4) return undefined;
        found.change ??= { address: (value[3]! & 0x04) !== 0, port: (value[3]! & 0x02) !== 0 };
        break;
      case attribute.responsePort:
        if (length !== 2 && length !== 4) return undefined;
        found.responsePort ??= view.getUint16(start);
        break;
      case attribute.software:
        found.software ??= String.fromCharCode(...value.subarray(0, MOST_SOFTWARE));
        break;
      case attribute.errorCode:
        if (length < 4) return undefined;
        found.errorCode ??= (value[2]! & 0x07) * 100 + (value[3]! % 100);
        break;
      default:
        if (name < 0x8000 && !understood.has(name)) unknown.push(name);
    }
  }
  return {
    kind: kinds[((type >> 7) & 0x02) | ((type >> 4) & 0x01)]!,
    method: (type & 0x000f) | ((type & 0x00e0) >> 1) | ((type & 0x3e00) >> 2),
    transaction: new Uint8Array(bytes.subarray(8, HEADER)),
    ...found,
    fingerprint,
    unknown,
  };
}

/** The class is in bits 4 and 8 of the type (RFC 8489 §5). */
const kinds: readonly StunKind[] = ['request', 'indication', 'success', 'error'];
/** RFC 8489 §14.14: fewer than 128 characters, which can be as long as 509 octets. */
const MOST_SOFTWARE = 509;

export interface StunRequest {
  /** 12 octets by chance. */
  readonly transaction: Uint8Array;
  readonly change?: StunChange;
  /** Printable ASCII, at most 127 characters. */
  readonly software?: string;
}

export function bindingRequest({ transaction, change, software }: StunRequest): Uint8Array {
  const parts: Uint8Array[] = [];
  if (software !== undefined)
    parts.push(
      attributeOf(
        attribute.software,
        Uint8Array.from(software, (c) => c.charCodeAt(0)),
      ),
    );
  if (change !== undefined)
    parts.push(
      attributeOf(
        attribute.changeRequest,
        Uint8Array.of(0, 0, 0, (change.address ? 4 : 0) | (change.port ? 2 : 0)),
      ),
    );
  return withFingerprint(messageOf(0x0001, transaction, parts));
}

export interface StunAnswer {
  readonly mapped: Endpoint;
  readonly origin?: Endpoint;
  readonly other?: Endpoint | undefined;
}

/** What a server answers; with FINGERPRINT where the request has one. */
export function bindingSuccess(request: StunMessage, { mapped, origin, other }: StunAnswer): Uint8Array {
  const parts = [attributeOf(attribute.xorMapped, addressValue(mapped, request.transaction))];
  if (origin !== undefined) parts.push(attributeOf(attribute.origin, addressValue(origin)));
  if (other !== undefined) parts.push(attributeOf(attribute.other, addressValue(other)));
  const message = messageOf(0x0101, request.transaction, parts);
  return request.fingerprint === 'none' ? message : withFingerprint(message);
}

/** 420, with the attributes that are not understood or cannot be granted (RFC 8489 §6.3.1). */
export function unknownAttributes(request: StunMessage, names: readonly number[]): Uint8Array {
  const list = new Uint8Array(names.length * 2);
  for (const [i, name] of names.entries()) viewOf(list).setUint16(i * 2, name);
  const message = messageOf(0x0111, request.transaction, [
    attributeOf(attribute.errorCode, Uint8Array.of(0, 0, 4, 20)),
    attributeOf(attribute.unknown, list),
  ]);
  return request.fingerprint === 'none' ? message : withFingerprint(message);
}

export const CHANGE_REQUEST = attribute.changeRequest;

/** Whether it is a Binding request that a server has to answer: one with a wrong FINGERPRINT is something else by chance. */
export function isBindingRequest({ kind, method, fingerprint }: StunMessage): boolean {
  return kind === 'request' && method === BINDING && fingerprint !== 'wrong';
}

export function sameTransaction(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((octet, i) => octet === b[i]);
}

function messageOf(type: number, transaction: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(HEADER + length);
  const view = viewOf(bytes);
  view.setUint16(0, type);
  view.setUint16(2, length);
  view.setUint32(4, COOKIE);
  bytes.set(transaction.subarray(0, 12), 8);
  let at = HEADER;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function attributeOf(name: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + value.length + padded(value.length));
  const view = viewOf(bytes);
  view.setUint16(0, name);
  view.setUint16(2, value.length);
  bytes.set(value, 4);
  return bytes;
}

function padded(length: number): number {
  return (4 - (length % 4)) % 4;
}

/** The length in the header counts the attribute itself (RFC 8489 §14.7). */
function withFingerprint(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(message.length + 8);
  bytes.set(message);
  const view = viewOf(bytes);
  view.setUint16(2, message.length + 8 - HEADER);
  view.setUint16(message.length, attribute.fingerprint);
  view.setUint16(message.length + 2, 4);
  view.setUint32(message.length + 4, fingerprintOf(bytes.subarray(0, message.length)));
  return bytes;
}

function fingerprintOf(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const octet of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ octet) & 0xff]!;
  return (crc ^ 0xffff_ffff ^ FINGERPRINT_XOR) >>> 0;
}

/** CRC-32 as in ITU V.42, the one of Ethernet. */
const crcTable = Uint32Array.from({ length: 256 }, (_, octet) => {
  let crc = octet;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb8_8320;
  return crc;
});

/** `mask`: cookie and transaction, where the address is XORed with them. */
function readAddress(value: Uint8Array, mask: Uint8Array | undefined): Endpoint | undefined {
  const size = value[1] === 1 ? 4 : value[1] === 2 ? 16 : 0;
  if (size === 0 || value.length !== 4 + size) return undefined;
  // A copy also of what is a Buffer: its slice would be the message itself.
  const clear = new Uint8Array(value.subarray(2));
  if (mask !== undefined) {
    clear[0]! ^= mask[0]!;
    clear[1]! ^= mask[1]!;
    for (let i = 0; i < size; i++) clear[2 + i]! ^= mask[i]!;
  }
  const port = clear[0]! * 256 + clear[1]!;
  return port === 0 ? undefined : { address: addressOf(clear.subarray(2)), port };
}

/** With a transaction: XORed. Throws where the address is none, which is our own mistake. */
function addressValue(
  { address, port }: { address: Address; port: number },
  transaction?: Uint8Array,
): Uint8Array {
  const octets = addressOctets(address);
  if (octets === undefined) throw new TypeError(`${address} is no address`);
  const value = new Uint8Array(4 + octets.length);
  value[1] = isIPv6(address) ? 2 : 1;
  viewOf(value).setUint16(2, port);
  value.set(octets, 4);
  if (transaction !== undefined) {
    const mask = messageOf(0, transaction, []).subarray(4);
    value[2]! ^= mask[0]!;
    value[3]! ^= mask[1]!;
    for (let i = 0; i < octets.length; i++) value[4 + i]! ^= mask[i]!;
  }
  return value;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
