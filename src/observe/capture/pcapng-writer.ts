/**
 * Writes what the gateway has handled as a pcapng capture: an interface for each side, each message as it came and as it left,
 * and as comments why it was changed and what became of its call.
 *
 * Facts (draft-ietf-opsawg-pcapng): options are code, length and value, padded to 32 bits, and end with code 0; any option
 * list may hold comments (code 1, UTF-8); the flags of an enhanced packet block (code 2) say in their lowest two bits whether
 * the packet came in (1) or went out (2).
 *
 * The packets are made: the gateway sees messages, not packets. A message over TCP is one segment, and the segments of a
 * connection follow one another without handshake, end, or loss.
 */
import type { AlgEvent } from '../../core/alg/event.ts';
import { endpointKey } from '../../core/net/address.ts';
import type { Flow, Side } from '../../core/net/flow.ts';
import type { TimeMs } from '../../core/net/time.ts';
import type { Exchange } from '../exchange.ts';
import { plainText } from '../plain-text.ts';
import { eventSentence } from '../sentence.ts';
import { LINK_RAW } from './link-layer.ts';
import { ipPacket, type Payload, tcpPacket } from './packet.ts';

const SECTION = 0x0a0d_0d0a;
const BYTE_ORDER = 0x1a2b_3c4d;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const OPTION_COMMENT = 1;
const OPTION_APPLICATION = 4;
const OPTION_INTERFACE_NAME = 2;
const OPTION_INTERFACE_DESCRIPTION = 3;
const OPTION_FLAGS = 2;
const CAME_IN = 1;
const WENT_OUT = 2;
const SNAP_LENGTH = 262_144;
/** Of one comment; a reader shows them as a line. */
const LONGEST_COMMENT = 2_000;
/** Of one packet. */
const MOST_COMMENTS = 100;
/** Directions of connections whose next sequence number is remembered; one that was forgotten begins anew. */
const MOST_STREAMS = 8_192;

const sides: readonly Side[] = ['internal', 'external'];
const descriptions: Readonly<Record<Side, string>> = {
  internal: 'between the phones and the gateway',
  external: 'between the gateway and the providers',
};

const ascii = new TextEncoder();

export class PcapngWriter {
  /** Of each direction of a connection: the next sequence number. */
  readonly #sequences = new Map<string, number>();

  /** What stands first in a file. `remark` says what a reader has to know of the whole. */
  head(application: string, remark: string): Uint8Array {
    const section = new Uint8Array(16);
    const view = new DataView(section.buffer);
    view.setUint32(0, BYTE_ORDER, true);
    view.setUint16(4, 1, true);
    // The length of the section is not known before its end.
    view.setBigInt64(8, -1n, true);
    const blocks = [
      block(SECTION, section, [
        [OPTION_APPLICATION, ascii.encode(application)],
        [OPTION_COMMENT, ascii.encode(plainText(remark))],
      ]),
    ];
    for (const side of sides) {
      const fixed = new Uint8Array(8);
      const fields = new DataView(fixed.buffer);
      fields.setUint16(0, LINK_RAW, true);
      fields.setUint32(4, SNAP_LENGTH, true);
      blocks.push(
        block(INTERFACE, fixed, [
          [OPTION_INTERFACE_NAME, ascii.encode(side)],
          [OPTION_INTERFACE_DESCRIPTION, ascii.encode(descriptions[side])],
        ]),
      );
    }
    return joined(blocks);
  }

  /** The packets of one exchange; empty where nothing came and nothing left. `remarks` stand beside the first. */
  packets(exchange: Exchange, remarks: readonly string[] = []): Uint8Array {
    const { received, sent, flow, events, atMs, handledMs } = exchange;
    const blocks: Uint8Array[] = [];
    const comments = events.flatMap(commentsOf);
    if (received !== undefined && flow !== undefined) {
      const beside = sent.length === 0 ? comments : [fate(exchange)];
      blocks.push(this.#packet(flow, 'in', atMs, received, [...remarks, ...beside]));
    }
    for (const [i, message] of sent.entries()) {
      const beside = [...(blocks.length === 0 ? remarks : []), ...(i === 0 ? comments : [])];
      blocks.push(this.#packet(message.flow, 'out', handledMs, message.bytes, beside));
    }
    return joined(blocks);
  }

  #packet(
    flow: Flow,
    way: 'in' | 'out',
    atMs: TimeMs,
    bytes: Uint8Array,
    comments: readonly string[],
  ): Uint8Array {
    const [source, destination] = way === 'in' ? [flow.remote, flow.local] : [flow.local, flow.remote];
    let packet: Uint8Array;
    try {
      packet =
        flow.transport === 'udp'
          ? ipPacket({ source, destination, bytes })
          : this.#segment(flow.side, { source, destination, bytes });
    } catch {
      // Longer than any packet: it could not leave as one either.
      return new Uint8Array(0);
    }
    const fixed = new Uint8Array(20 + padded(packet.length));
    const view = new DataView(fixed.buffer);
    const microseconds = BigInt(Math.round(atMs * 1_000));
    view.setUint32(0, sides.indexOf(flow.side), true);
    view.setUint32(4, Number(microseconds >> 32n), true);
    view.setUint32(8, Number(microseconds & 0xffff_ffffn), true);
    view.setUint32(12, packet.length, true);
    view.setUint32(16, packet.length, true);
    fixed.set(packet, 20);
    const flags = new Uint8Array(4);
    new DataView(flags.buffer).setUint32(0, way === 'in' ? CAME_IN : WENT_OUT, true);
    return block(ENHANCED_PACKET, fixed, [
      ...comments
        .slice(0, MOST_COMMENTS)
        .map((text): Option => [OPTION_COMMENT, ascii.encode(plainText(text).slice(0, LONGEST_COMMENT))]),
      [OPTION_FLAGS, flags],
    ]);
  }

  #segment(side: Side, payload: Payload): Uint8Array {
    const { source, destination, bytes } = payload;
    const from = endpointKey(source);
    const to = endpointKey(destination);
    const key = `${side} ${from} ${to}`;
    const sequence = this.#sequences.get(key) ?? 1;
    const acknowledgement = this.#sequences.get(`${side} ${to} ${from}`) ?? 1;
    const packet = tcpPacket(payload, { sequence, acknowledgement });
    if (!this.#sequences.has(key) && this.#sequences.size >= MOST_STREAMS) {
      const oldest = this.#sequences.keys().next().value;
      if (oldest !== undefined) this.#sequences.delete(oldest);
    }
    this.#sequences.set(key, (sequence + bytes.length) >>> 0);
    return packet;
  }
}

/** Beside what came, in a few words; the reasons stand beside what left. */
function fate({ events }: Exchange): string {
  for (const event of events) {
    if (event.kind === 'message.translated')
      return `translated: ${event.edits.length} ${event.edits.length === 1 ? 'edit' : 'edits'}, explained beside the packet that left`;
    if (event.kind === 'message.passed') return `passed untouched: ${event.why}`;
  }
  return '';
}

function commentsOf(event: AlgEvent): string[] {
  if (event.kind !== 'message.translated') return [eventSentence(event)];
  return [
    ...event.edits.map(
      ({ rule, source, before, after, offset }) =>
        `${rule} (${source}): ${before.trimEnd() || '(nothing)'} → ${after.trimEnd() || '(nothing)'}, at octet ${offset} of what came`,
    ),
    ...(event.left === undefined ? [] : [`left alone: ${event.left}`]),
  ];
}

type Option = readonly [code: number, value: Uint8Array];

function block(type: number, fixed: Uint8Array, options: readonly Option[]): Uint8Array {
  const kept = options.filter(([, value]) => value.length > 0);
  const optionBytes = kept.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);
  const length = 12 + fixed.length + optionBytes;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(fixed, 8);
  let at = 8 + fixed.length;
  for (const [code, value] of kept) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint32(length - 4, length, true);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
