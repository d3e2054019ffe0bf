/** IP packets that carry UDP or TCP, read and written anew with true checksums (RFC 791, RFC 768, RFC 9293 §3.1, RFC 8200). */
import { addressOctets, addressOf, type Endpoint, isIPv6 } from '../../../src/core/net/address.ts';

export interface Packet {
  readonly protocol: 'udp' | 'tcp';
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly payload: Buffer;
  /** Of TCP: the header as it came; ports, numbers and checksum in it are written anew. */
  readonly tcp?: TcpHeader;
  /** Held back by so many milliseconds. */
  readonly lateMs?: number;
}

export interface TcpHeader {
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  readonly bytes: Buffer;
}

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

const V4_HEADER = 20;
const V6_HEADER = 40;
const UDP_HEADER = 8;
const PROTOCOL = { udp: 17, tcp: 6 } as const;

/** Undefined for everything else. */
export function readPacket(bytes: Buffer): Packet | undefined {
  const version = bytes[0]! >> 4;
  const isV4 = version === 4 && bytes.length >= V4_HEADER;
  if (!isV4 && !(version === 6 && bytes.length >= V6_HEADER)) return undefined;
  const start = isV4 ? (bytes[0]! & 0x0f) * 4 : V6_HEADER;
  const end = isV4 ? bytes.readUInt16BE(2) : V6_HEADER + bytes.readUInt16BE(4);
  const number = isV4 ? bytes[9]! : bytes[6]!;
  const segment = bytes.subarray(start, end);
  const [from, to, size] = isV4 ? [12, 16, 4] : [8, 24, 16];
  const endpoint = (at: number, port: number): Endpoint => ({
    address: addressOf(bytes.subarray(at, at + size)),
    port,
  });
  if (segment.length < UDP_HEADER) return undefined;
  const ends = {
    source: endpoint(from, segment.readUInt16BE(0)),
    destination: endpoint(to, segment.readUInt16BE(2)),
  };
  if (number === PROTOCOL.udp)
    return { protocol: 'udp', ...ends, payload: segment.subarray(UDP_HEADER, segment.readUInt16BE(4)) };
  if (number !== PROTOCOL.tcp || segment.length < 20) return undefined;
  const length = (segment[12]! >> 4) * 4;
  return {
    protocol: 'tcp',
    ...ends,
    payload: segment.subarray(length),
    tcp: {
      sequence: segment.readUInt32BE(4),
      acknowledgement: segment.readUInt32BE(8),
      flags: segment[13]!,
      bytes: segment.subarray(0, length),
    },
  };
}

export function writePacket(packet: Packet): Buffer {
  const { source, destination, payload, tcp, protocol } = packet;
  const header = tcp === undefined ? Buffer.alloc(UDP_HEADER) : Buffer.from(tcp.bytes);
  const segment = Buffer.concat([header, payload]);
  segment.writeUInt16BE(source.port, 0);
  segment.writeUInt16BE(destination.port, 2);
  if (tcp === undefined) segment.writeUInt16BE(segment.length, 4);
  else {
    segment.writeUInt32BE(tcp.sequence >>> 0, 4);
    segment.writeUInt32BE(tcp.acknowledgement >>> 0, 8);
    segment[13] = tcp.flags;
  }
  const checksumAt = tcp === undefined ? 6 : 16;
  segment.writeUInt16BE(0, checksumAt);
  const [from, to] = [addressOctets(source.address)!, addressOctets(destination.address)!];
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(segment.length, 0);
  pseudo.writeUInt32BE(PROTOCOL[protocol], 4);
  const sum = checksum(Buffer.concat([from, to, pseudo, segment]));
  // An UDP checksum of 0 means none (RFC 768).
  segment.writeUInt16BE(sum === 0 && tcp === undefined ? 0xffff : sum, checksumAt);
  const ip = isIPv6(source.address)
    ? sixthHeader(from, to, segment.length, PROTOCOL[protocol])
    : fourthHeader(from, to, segment.length, PROTOCOL[protocol]);
  return Buffer.concat([ip, segment]);
}

let identification = 1;

/** Without DF: what is too long for the next link travels in fragments. */
function fourthHeader(from: Uint8Array, to: Uint8Array, length: number, protocol: number): Buffer {
  const header = Buffer.alloc(V4_HEADER);
  header[0] = 0x45;
  header.writeUInt16BE(V4_HEADER + length, 2);
  identification = (identification + 1) & 0xffff;
  header.writeUInt16BE(identification, 4);
  header[8] = 64;
  header[9] = protocol;
  header.set(from, 12);
  header.set(to, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function sixthHeader(from: Uint8Array, to: Uint8Array, length: number, protocol: number): Buffer {
  const header = Buffer.alloc(V6_HEADER);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header[6] = protocol;
  header[7] = 64;
  header.set(from, 8);
  header.set(to, 24);
  return header;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  if (bytes.length % 2 === 1) sum += bytes.at(-1)! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return ~sum & 0xffff;
}
