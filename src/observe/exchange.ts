/**
 * One message that the gateway handled: what came, what left, and why.
 *
 * Nearly all of them are one message that came and one that left, and are kept packed: the octets as they came, and the edits
 * behind them. From these everything else can be told when somebody looks; that what left is what came with the edits made is
 * what the gateway promises. Thousands of live objects would cost the collector more than the engine costs.
 */
import type { AlgEvent, ExplainedEdit } from '../core/alg/event.ts';
import { type RuleId, ruleById, rules } from '../core/alg/rules.ts';
import { sizeOf, summaryOf } from '../core/alg/summary.ts';
import type { Endpoint } from '../core/net/address.ts';
import type { Flow } from '../core/net/flow.ts';
import type { TimeMs } from '../core/net/time.ts';
import { applyEdits } from '../core/sip/edit.ts';
import { scanMessage } from '../core/sip/message.ts';
import { textOf } from '../core/sip/octets.ts';
import { callIdOf } from './call-id.ts';

/** Something that left. */
export interface SentMessage {
  readonly flow: Flow;
  readonly bytes: Uint8Array;
}

/**
 * A message that waited for an endpoint to be opened is one exchange, told when it has been sent.
 *
 * What is not about a message that came is an exchange without `received`: with `sent` a keepalive of our own, without it
 * only events (a registration or a call that ended by time, a mapping that closed).
 */
export interface Exchange {
  /** Ascending from 1, in the order in which messages left. */
  readonly id: number;
  /** When it came, by the wall clock. */
  readonly atMs: TimeMs;
  /** When everything that follows from it had been sent. */
  readonly handledMs: TimeMs;
  /** Of what came; of a keepalive, where it went; undefined where there are only events. */
  readonly flow: Flow | undefined;
  readonly received: Uint8Array | undefined;
  readonly sent: readonly SentMessage[];
  /** In their order; `message.translated` carries the edits, with spans in `received`, rules and sources. */
  readonly events: readonly AlgEvent[];
  /** What became of what came; undefined where nothing came, or where it was for us. */
  readonly verdict: MessageEvent['kind'] | undefined;
  /** Found when it is asked for. */
  readonly callId: string | undefined;
}

/** Objects of one exchange besides its octets. */
const OVERHEAD = 100;
const PLAIN_OVERHEAD = 1_200;
const NOTHING: readonly never[] = [];

/** Any exchange, as it is. */
export class PlainExchange implements Exchange {
  id = 0;
  readonly held: number;
  readonly atMs: TimeMs;
  readonly handledMs: TimeMs;
  readonly flow: Flow | undefined;
  readonly received: Uint8Array | undefined;
  sent: readonly SentMessage[];
  events: readonly AlgEvent[];

  constructor(
    atMs: TimeMs,
    handledMs: TimeMs,
    flow: Flow | undefined,
    received: Uint8Array | undefined,
    sent: readonly SentMessage[],
    events: readonly AlgEvent[],
  ) {
    this.atMs = atMs;
    this.handledMs = handledMs;
    this.flow = flow;
    this.received = received;
    this.sent = sent;
    this.events = events;
    // The text of what was edited is held beside its octets: the edits are cut from it.
    let held = PLAIN_OVERHEAD + 2 * (received?.length ?? 0);
    for (const { bytes } of sent) held += bytes.length;
    this.held = held;
  }

  get verdict(): MessageEvent['kind'] | undefined {
    for (const { kind } of this.events)
      if (kind === 'message.translated' || kind === 'message.passed' || kind === 'message.dropped')
        return kind;
    return undefined;
  }

  get callId(): string | undefined {
    const bytes = this.received ?? this.sent[0]?.bytes;
    if (bytes !== undefined) return callIdOf(bytes);
    for (const event of this.events) if ('callId' in event) return event.callId;
    return undefined;
  }

  extend(sent: readonly SentMessage[], events: readonly AlgEvent[]): void {
    this.sent = [...this.sent, ...sent];
    this.events = [...this.events, ...events];
  }
}

export type MessageEvent = Extract<
  AlgEvent,
  { readonly kind: 'message.translated' | 'message.passed' | 'message.dropped' }
>;

/** Numbers of the rules, for edits that are kept packed. */
const ruleNumbers: ReadonlyMap<RuleId, number> = new Map(rules.map(({ id }, i) => [id, i]));
/** Offset, length, length of the replacement: two octets each; rule: one. */
const EDIT_HEAD = 7;
const MOST_OCTETS = 65_535;

/** What happened besides: only few messages have any of it. */
export interface Besides {
  readonly before: readonly AlgEvent[];
  readonly defects: readonly string[];
  after: PlainExchange | undefined;
}

/** An exchange as it is kept: numbers and octets, and nothing that the collector would have to carry about. */
export interface PackedRow {
  readonly atMs: TimeMs;
  readonly handledMs: TimeMs;
  /** From `start`: the octets as they came, the edits, the flow that they came by, and the one that they left by. */
  readonly octets: Uint8Array;
  readonly start: number;
  readonly length: number;
  readonly edits: number;
  readonly isSent: boolean;
  readonly kind: MessageEvent['kind'];
  readonly why: string | undefined;
  readonly besides: Besides | undefined;
  readonly held: number;
}

/** One message that came, at most one that left, and one event about it; undefined where it does not fit this form. */
export function packed(
  slabs: Slabs,
  atMs: TimeMs,
  handledMs: TimeMs,
  received: Uint8Array,
  sent: readonly SentMessage[],
  before: readonly AlgEvent[],
  event: MessageEvent,
): PackedRow | undefined {
  if (sent.length > 1 || received.length > MOST_OCTETS) return undefined;
  const edits = event.kind === 'message.translated' ? event.edits : NOTHING;
  const left = sent[0];
  let need = received.length + flowLength(event.flow) + (left === undefined ? 0 : flowLength(left.flow));
  let growth = 0;
  for (const { length, after } of edits) {
    need += EDIT_HEAD + after.length;
    growth += after.length - length;
  }
  if (left === undefined ? edits.length > 0 : left.bytes.length !== received.length + growth)
    return undefined;
  const { octets, start } = slabs.cut(need);
  octets.set(received, start);
  let at = start + received.length;
  for (const { offset, length, after, rule } of edits) {
    octets[at++] = offset >> 8;
    octets[at++] = offset;
    octets[at++] = length >> 8;
    octets[at++] = length;
    octets[at++] = after.length >> 8;
    octets[at++] = after.length;
    octets[at++] = ruleNumbers.get(rule)!;
    for (let i = 0; i < after.length; i++) octets[at++] = after.charCodeAt(i);
  }
  at = writeFlow(octets, at, event.flow);
  if (left !== undefined) writeFlow(octets, at, left.flow);
  const defects = event.kind === 'message.passed' ? event.defects : NOTHING;
  return {
    atMs,
    handledMs,
    octets,
    start,
    length: received.length,
    edits: edits.length,
    isSent: left !== undefined,
    kind: event.kind,
    why: event.kind === 'message.translated' ? event.left : event.why,
    besides: before.length === 0 && defects.length === 0 ? undefined : { before, defects, after: undefined },
    held: OVERHEAD + need,
  };
}

/** A packed exchange, told when somebody looks. */
export class PackedExchange implements Exchange {
  readonly id: number;
  readonly row: PackedRow;

  constructor(id: number, row: PackedRow) {
    this.id = id;
    this.row = row;
  }

  get atMs(): TimeMs {
    return this.row.atMs;
  }

  get handledMs(): TimeMs {
    return this.row.handledMs;
  }

  get flow(): Flow {
    return this.#flows().came;
  }

  get received(): Uint8Array {
    const { octets, start, length } = this.row;
    return octets.subarray(start, start + length);
  }

  get sent(): readonly SentMessage[] {
    const more = this.row.besides?.after?.sent ?? NOTHING;
    const { left } = this.#flows();
    if (left === undefined) return more;
    const edits = this.#explained().edits.map(({ offset, length, after, rule }) => ({
      span: { start: offset, end: offset + length },
      replacement: after,
      rule,
    }));
    return [{ flow: left, bytes: applyEdits(this.received, edits) }, ...more];
  }

  get events(): readonly AlgEvent[] {
    const { besides } = this.row;
    return [...(besides?.before ?? NOTHING), this.#event(), ...(besides?.after?.events ?? NOTHING)];
  }

  get verdict(): MessageEvent['kind'] {
    return this.row.kind;
  }

  get callId(): string | undefined {
    return callIdOf(this.received);
  }

  #event(): MessageEvent {
    const { flow, received } = this;
    const { kind, why, besides } = this.row;
    switch (kind) {
      case 'message.dropped':
        return { kind, flow, why: why ?? '' };
      case 'message.passed':
        return {
          kind,
          flow,
          summary: sizeOf(received),
          why: why ?? '',
          defects: besides?.defects ?? NOTHING,
        };
      case 'message.translated': {
        const scan = scanMessage(received);
        return {
          kind,
          flow,
          summary: scan.ok ? summaryOf(scan.message) : sizeOf(received),
          callId: scan.ok ? scan.message.callId : '',
          edits: this.#explained().edits,
          ...(why === undefined ? {} : { left: why }),
        };
      }
    }
  }

  /** The edits, and where the octets go on behind them. */
  #explained(): { readonly edits: ExplainedEdit[]; readonly end: number } {
    const { octets, start, length: received, edits: count } = this.row;
    const edits: ExplainedEdit[] = [];
    let at = start + received;
    for (let i = 0; i < count; i++) {
      const offset = octets[at]! * 256 + octets[at + 1]!;
      const length = octets[at + 2]! * 256 + octets[at + 3]!;
      const written = octets[at + 4]! * 256 + octets[at + 5]!;
      const rule = rules[octets[at + 6]!]!.id;
      at += EDIT_HEAD;
      edits.push({
        offset,
        length,
        before: textOf(octets, start + offset, start + offset + length),
        after: textOf(octets, at, at + written),
        rule,
        source: ruleById(rule).source,
      });
      at += written;
    }
    return { edits, end: at };
  }

  #flows(): { readonly came: Flow; readonly left: Flow | undefined } {
    const { octets, isSent } = this.row;
    const came = readFlow(octets, this.#explained().end);
    return { came: came.flow, left: isSent ? readFlow(octets, came.end).flow : undefined };
  }
}

const IS_TCP = 1;
const IS_EXTERNAL = 2;
const HAS_CONNECTION = 4;

/** Flags, two endpoints (length of the address, address, port), and where there is one the connection in four octets. */
function flowLength({ local, remote, connection }: Flow): number {
  return 7 + local.address.length + remote.address.length + (connection === undefined ? 0 : 4);
}

function writeFlow(octets: Uint8Array, start: number, flow: Flow): number {
  const { transport, side, local, remote, connection } = flow;
  let at = start;
  octets[at++] =
    (transport === 'tcp' ? IS_TCP : 0) |
    (side === 'external' ? IS_EXTERNAL : 0) |
    (connection === undefined ? 0 : HAS_CONNECTION);
  at = writeEndpoint(octets, at, local);
  at = writeEndpoint(octets, at, remote);
  if (connection === undefined) return at;
  for (let shift = 24; shift >= 0; shift -= 8) octets[at++] = connection >>> shift;
  return at;
}

function writeEndpoint(octets: Uint8Array, start: number, { address, port }: Endpoint): number {
  let at = start;
  octets[at++] = address.length;
  for (let i = 0; i < address.length; i++) octets[at++] = address.charCodeAt(i);
  octets[at++] = port >> 8;
  octets[at++] = port;
  return at;
}

function readFlow(octets: Uint8Array, start: number): { readonly flow: Flow; readonly end: number } {
  const flags = octets[start]!;
  const local = readEndpoint(octets, start + 1);
  const remote = readEndpoint(octets, local.end);
  const flow: Flow = {
    transport: (flags & IS_TCP) === 0 ? 'udp' : 'tcp',
    side: (flags & IS_EXTERNAL) === 0 ? 'internal' : 'external',
    local: local.endpoint,
    remote: remote.endpoint,
  };
  const at = remote.end;
  if ((flags & HAS_CONNECTION) === 0) return { flow, end: at };
  const connection =
    octets[at]! * 0x100_0000 + octets[at + 1]! * 0x1_0000 + octets[at + 2]! * 0x100 + octets[at + 3]!;
  return { flow: { ...flow, connection }, end: at + 4 };
}

function readEndpoint(
  octets: Uint8Array,
  start: number,
): { readonly endpoint: Endpoint; readonly end: number } {
  const end = start + 1 + octets[start]!;
  const address = textOf(octets, start + 1, end);
  return { endpoint: { address, port: octets[end]! * 256 + octets[end + 1]! }, end: end + 2 };
}

const SLAB = 65_536;

/** Octets are cut from slabs; a slab lives as long as an exchange in it. */
export class Slabs {
  #slab = new Uint8Array(0);
  #used = 0;

  cut(length: number): { readonly octets: Uint8Array; readonly start: number } {
    if (length > SLAB / 4) return { octets: new Uint8Array(length), start: 0 };
    if (this.#used + length > this.#slab.length) {
      this.#slab = new Uint8Array(SLAB);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    return { octets: this.#slab, start };
  }
}
