/**
 * An exchange as octets.
 *
 * Nearly all of them are one message that came and one that left, and are kept packed: the octets as they came, behind them the
 * flow that they came by, the one that they left by, and the edits. From these everything else can be told when somebody looks;
 * that what left is what came with the edits made is what the gateway promises. Thousands of live objects would cost the collector
 * more than the engine costs.
 */
import type { AlgEvent, ExplainedEdit } from '../core/alg/event.ts';
import { type RuleId, ruleById, rules } from '../core/alg/rules.ts';
import { sizeOf, summaryOf } from '../core/alg/summary.ts';
import type { Endpoint } from '../core/net/address.ts';
import type { Flow, Side } from '../core/net/flow.ts';
import type { TimeMs } from '../core/net/time.ts';
import { applyEdits } from '../core/sip/edit.ts';
import { scanMessage } from '../core/sip/message.ts';
import { textOf } from '../core/sip/octets.ts';
import { callIdOf } from './call-id.ts';
import type { Exchange, MessageEvent, PlainExchange, SentMessage } from './exchange.ts';

const NOTHING: readonly never[] = [];

/** Numbers of the rules. */
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

/** Octets of a message that came, of at most one that left and of the event about it; undefined where it does not fit this form. */
export function packedLength(
  received: Uint8Array,
  left: SentMessage | undefined,
  event: MessageEvent,
): number | undefined {
  const came = received.length;
  if (came > MOST_OCTETS) return undefined;
  let need = came + flowLength(event.flow);
  if (left !== undefined) need += flowLength(left.flow);
  let growth = 0;
  if (event.kind === 'message.translated') {
    const { edits } = event;
    if (left === undefined && edits.length > 0) return undefined;
    for (let i = 0; i < edits.length; i++) {
      const { length, after } = edits[i]!;
      need += EDIT_HEAD + after.length;
      growth += after.length - length;
    }
  }
  return left === undefined || left.bytes.length === came + growth ? need : undefined;
}

/** Writes them to `octets`, from `start`. */
export function pack(
  octets: Uint8Array,
  start: number,
  received: Uint8Array,
  left: SentMessage | undefined,
  event: MessageEvent,
): void {
  octets.set(received, start);
  let at = writeFlow(octets, start + received.length, event.flow);
  if (left !== undefined) at = writeFlow(octets, at, left.flow);
  if (event.kind !== 'message.translated') return;
  const { edits } = event;
  for (let n = 0; n < edits.length; n++) {
    const { offset, length, after, rule } = edits[n]!;
    octets[at++] = offset >> 8;
    octets[at++] = offset;
    octets[at++] = length >> 8;
    octets[at++] = length;
    octets[at++] = after.length >> 8;
    octets[at++] = after.length;
    octets[at++] = ruleNumbers.get(rule)!;
    for (let i = 0; i < after.length; i++) octets[at++] = after.charCodeAt(i);
  }
}

/** What is kept of one, in octets of its own. */
export interface PackedRow {
  readonly atMs: TimeMs;
  readonly handledMs: TimeMs;
  readonly octets: Uint8Array;
  /** Of them: those that came. */
  readonly length: number;
  readonly edits: number;
  readonly isSent: boolean;
  readonly kind: MessageEvent['kind'];
  readonly why: string | undefined;
  readonly besides: Besides | undefined;
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
    return readFlow(this.row.octets, this.row.length).flow;
  }

  get side(): Side {
    return sideAt(this.row.octets, this.row.length);
  }

  get hasLeft(): boolean {
    return this.row.isSent || (this.row.besides?.after?.hasLeft ?? false);
  }

  get received(): Uint8Array {
    return this.row.octets.subarray(0, this.row.length);
  }

  get sent(): readonly SentMessage[] {
    const more = this.row.besides?.after?.sent ?? NOTHING;
    const { left } = this.#flows();
    return left === undefined ? more : [new EditedMessage(left, this), ...more];
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

  get edits(): readonly ExplainedEdit[] {
    const { octets, edits: count } = this.row;
    const edits: ExplainedEdit[] = [];
    let at = this.#flows().end;
    for (let i = 0; i < count; i++) {
      const offset = octets[at]! * 256 + octets[at + 1]!;
      const length = octets[at + 2]! * 256 + octets[at + 3]!;
      const written = octets[at + 4]! * 256 + octets[at + 5]!;
      const rule = rules[octets[at + 6]!]!.id;
      at += EDIT_HEAD;
      edits.push({
        offset,
        length,
        before: textOf(octets, offset, offset + length),
        after: textOf(octets, at, at + written),
        rule,
        source: ruleById(rule).source,
      });
      at += written;
    }
    return edits;
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
          edits: this.edits,
          ...(why === undefined ? {} : { left: why }),
        };
      }
    }
  }

  /** Both, and where the octets go on behind them. */
  #flows(): { readonly left: Flow | undefined; readonly end: number } {
    const { octets, length, isSent } = this.row;
    const came = readFlow(octets, length);
    if (!isSent) return { left: undefined, end: came.end };
    const left = readFlow(octets, came.end);
    return { left: left.flow, end: left.end };
  }
}

/** What left, made when somebody reads it. */
class EditedMessage implements SentMessage {
  readonly flow: Flow;
  readonly #exchange: PackedExchange;

  constructor(flow: Flow, exchange: PackedExchange) {
    this.flow = flow;
    this.#exchange = exchange;
  }

  get bytes(): Uint8Array {
    const edits = this.#exchange.edits.map(({ offset, length, after, rule }) => ({
      span: { start: offset, end: offset + length },
      replacement: after,
      rule,
    }));
    return applyEdits(this.#exchange.received, edits);
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

function sideAt(octets: Uint8Array, start: number): Side {
  return (octets[start]! & IS_EXTERNAL) === 0 ? 'internal' : 'external';
}

function readFlow(octets: Uint8Array, start: number): { readonly flow: Flow; readonly end: number } {
  const flags = octets[start]!;
  const local = readEndpoint(octets, start + 1);
  const remote = readEndpoint(octets, local.end);
  const flow: Flow = {
    transport: (flags & IS_TCP) === 0 ? 'udp' : 'tcp',
    side: sideAt(octets, start),
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
