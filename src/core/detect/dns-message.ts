/**
 * As much of DNS (RFC 1035) as a probe needs: one question for a service (SRV, RFC 2782) and its answer, with addresses beside it, as a
 * phone asks it (RFC 3263 §4). Only written, never read: what arrives is compared octet by octet.
 */
import { type Address, addressOctets } from '../net/address.ts';

const SRV = 33;
const A = 1;
const INTERNET = 1;
const TTL_S = 60;
/** The first name of the message, as other names point to it (RFC 1035 §4.1.4). */
const QUESTION_NAME = Uint8Array.of(0xc0, 12);

/** `name` is dotted; each label has at most 63 octets. */
export function dnsQuestion(id: number, name: string): Uint8Array {
  return concat([header(id, 0x0100, 0, 0), nameOctets(name), words(SRV, INTERNET)]);
}

/** Of a server that is the authority for it: the service is at `target`, which has these IPv4 addresses. */
export function dnsAnswer(question: Uint8Array, target: string, addresses: readonly Address[]): Uint8Array {
  const id = question[0]! * 256 + question[1]!;
  const service = concat([words(10, 5, 5060), nameOctets(target)]);
  return concat([
    header(id, 0x8580, 1, addresses.length),
    question.subarray(12),
    record(QUESTION_NAME, SRV, service),
    ...addresses.map((address) => record(nameOctets(target), A, addressOctets(address)!)),
  ]);
}

/** Whether it could be an answer to that question: the same number, and the bit of answers. */
export function isDnsAnswer(bytes: Uint8Array, question: Uint8Array): boolean {
  return (
    bytes.length >= 12 && bytes[0] === question[0] && bytes[1] === question[1] && (bytes[2]! & 0x80) !== 0
  );
}

function header(id: number, flags: number, answers: number, additional: number): Uint8Array {
  return words(id, flags, 1, answers, 0, additional);
}

function record(name: Uint8Array, type: number, data: Uint8Array): Uint8Array {
  return concat([name, words(type, INTERNET, 0, TTL_S, data.length), data]);
}

function nameOctets(name: string): Uint8Array {
  const labels = name
    .split('.')
    .map((label) => Uint8Array.from([label.length, ...Array.from(label, codeOf)]));
  return concat([...labels, Uint8Array.of(0)]);
}

function codeOf(character: string): number {
  return character.charCodeAt(0);
}

function words(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
