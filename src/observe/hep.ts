/**
 * HEP3: a message as a capture agent hands it to Homer and others that collect signalling.
 *
 * Facts (HEP3/EEP, revision 12): "HEP3" and the length of the whole, then chunks of vendor (0: generic), type, length with its
 * head of six octets, and value, all in network order. Generic types used here: 1 family (2 IPv4, 10 IPv6), 2 IP protocol,
 * 3 to 6 addresses, 7 and 8 ports, 9 and 10 time in seconds and microseconds, 11 protocol (1: SIP), 12 capture agent,
 * 14 authentication key, 15 payload, 17 correlation.
 */
import { addressOctets, type Endpoint } from '../core/net/address.ts';
import type { Transport } from '../core/net/flow.ts';
import type { TimeMs } from '../core/net/time.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './capture/ip.ts';

export interface HepMessage {
  readonly transport: Transport;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly atMs: TimeMs;
  /** What belongs together on both sides of the gateway. */
  readonly correlation: string | undefined;
  /** SIP. */
  readonly bytes: Uint8Array;
}

export interface HepAgent {
  /** Says which agent has seen it, from 0 to 2^32 - 1. */
  readonly captureId: number;
  readonly password: string | undefined;
}

const HEAD = 6;
const LONGEST = 65_535;
const IPV4 = 2;
const IPV6 = 10;
const SIP = 1;

const text = new TextEncoder();

/** Undefined where it is longer than the format can say. */
export function encodeHep(message: HepMessage, { captureId, password }: HepAgent): Uint8Array | undefined {
  const { transport, source, destination, atMs, correlation, bytes } = message;
  const from = addressOctets(source.address);
  const to = addressOctets(destination.address);
  if (from === undefined || to === undefined || from.length !== to.length) return undefined;
  const isSixth = from.length === 16;
  const microseconds = Math.round(atMs * 1_000);
  const chunks: (readonly [type: number, value: Uint8Array])[] = [
    [1, Uint8Array.of(isSixth ? IPV6 : IPV4)],
    [2, Uint8Array.of(transport === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP)],
    [isSixth ? 5 : 3, from],
    [isSixth ? 6 : 4, to],
    [7, number(source.port, 2)],
    [8, number(destination.port, 2)],
    [9, number(Math.floor(microseconds / 1_000_000), 4)],
    [10, number(microseconds % 1_000_000, 4)],
    [11, Uint8Array.of(SIP)],
    [12, number(captureId, 4)],
    ...(password === undefined ? [] : [[14, text.encode(password)] as const]),
    ...(correlation === undefined ? [] : [[17, text.encode(correlation)] as const]),
    [15, bytes],
  ];
  const length = chunks.reduce((sum, [, value]) => sum + HEAD + value.length, HEAD);
  if (length > LONGEST) return undefined;
  const packet = new Uint8Array(length);
  const view = new DataView(packet.buffer);
  packet.set(text.encode('HEP3'));
  view.setUint16(4, length);
  let at = HEAD;
  for (const [type, value] of chunks) {
    view.setUint16(at + 2, type);
    view.setUint16(at + 4, HEAD + value.length);
    packet.set(value, at + HEAD);
    at += HEAD + value.length;
  }
  return packet;
}

function number(value: number, octets: 2 | 4): Uint8Array {
  const view = new DataView(new ArrayBuffer(octets));
  if (octets === 2) view.setUint16(0, value);
  else view.setUint32(0, value);
  return new Uint8Array(view.buffer);
}
