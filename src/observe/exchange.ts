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

/** An exchange as the recorder keeps it. */
export interface KeptExchange extends Exchange {
  id: number;
  /** Octets that it takes, about. */
  readonly held: number;
  /** What belongs to it as well, and came after it. */
  extend(sent: readonly SentMessage[], events: readonly AlgEvent[]): void;
}

/** Objects of one exchange besides its octets. */
const OVERHEAD = 600;
const NOTHING: readonly never[] = [];

/** Any exchange, as it is. */
export class PlainExchange implements KeptExchange {
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
    let held = 2 * OVERHEAD + 2 * (received?.length ?? 0);
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

type MessageEvent = Extract<
  AlgEvent,
  { readonly kind: 'message.translated' | 'message.passed' | 'message.dropped' }
>;

/** Numbers of the rules, for edits that are kept packed. */
const ruleNumbers: ReadonlyMap<RuleId, number> = new Map(rules.map(({ id }, i) => [id, i]));
/** Offset, length, length of the replacement: two octets each; rule: one. */
const EDIT_HEAD = 7;
const MOST_OCTETS = 65_535;

/** One message that came, at most one that left, and one event about it. */
export class PackedExchange implements KeptExchange {
  id = 0;
  readonly atMs: TimeMs;
  readonly handledMs: TimeMs;
  readonly flow: Flow;
  readonly held: number;
  readonly #octets: Uint8Array;
  readonly #start: number;
  readonly #length: number;
  readonly #edits: number;
  readonly #to: Flow | undefined;
  readonly #kind: MessageEvent['kind'];
  readonly #why: string | undefined;
  readonly #defects: readonly string[];
  /** What happened before it was sent, and after. */
  readonly #before: readonly AlgEvent[];
  #after: PlainExchange | undefined;

  /** Undefined where it does not fit this form; then it has to be kept plainly. */
  static pack(
    slabs: Slabs,
    atMs: TimeMs,
    handledMs: TimeMs,
    received: Uint8Array,
    sent: readonly SentMessage[],
    before: readonly AlgEvent[],
    event: MessageEvent,
  ): PackedExchange | undefined {
    if (sent.length > 1 || received.length > MOST_OCTETS) return undefined;
    const edits = event.kind === 'message.translated' ? event.edits : NOTHING;
    let need = received.length;
    let growth = 0;
    for (const { length, after } of edits) {
      need += EDIT_HEAD + after.length;
      growth += after.length - length;
    }
    const left = sent[0];
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
    return new PackedExchange(
      atMs,
      handledMs,
      octets,
      start,
      received.length,
      edits.length,
      left?.flow,
      before,
      event,
      need,
    );
  }

  private constructor(
    atMs: TimeMs,
    handledMs: TimeMs,
    octets: Uint8Array,
    start: number,
    length: number,
    edits: number,
    to: Flow | undefined,
    before: readonly AlgEvent[],
    event: MessageEvent,
    need: number,
  ) {
    this.atMs = atMs;
    this.handledMs = handledMs;
    this.flow = event.flow;
    this.#octets = octets;
    this.#start = start;
    this.#length = length;
    this.#edits = edits;
    this.#to = to;
    this.#kind = event.kind;
    this.#why = event.kind === 'message.translated' ? event.left : event.why;
    this.#defects = event.kind === 'message.passed' && event.defects.length > 0 ? event.defects : NOTHING;
    this.#before = before;
    this.held = OVERHEAD + need;
  }

  get received(): Uint8Array {
    return this.#octets.subarray(this.#start, this.#start + this.#length);
  }

  get sent(): readonly SentMessage[] {
    const more = this.#after?.sent ?? NOTHING;
    if (this.#to === undefined) return more;
    const edits = this.#explained().map(({ offset, length, after, rule }) => ({
      span: { start: offset, end: offset + length },
      replacement: after,
      rule,
    }));
    return [{ flow: this.#to, bytes: applyEdits(this.received, edits) }, ...more];
  }

  get events(): readonly AlgEvent[] {
    return [...this.#before, this.#event(), ...(this.#after?.events ?? NOTHING)];
  }

  get verdict(): MessageEvent['kind'] {
    return this.#kind;
  }

  get callId(): string | undefined {
    return callIdOf(this.received);
  }

  extend(sent: readonly SentMessage[], events: readonly AlgEvent[]): void {
    this.#after ??= new PlainExchange(this.atMs, this.handledMs, undefined, undefined, NOTHING, NOTHING);
    this.#after.extend(sent, events);
  }

  #event(): MessageEvent {
    const { flow, received } = this;
    const why = this.#why ?? '';
    switch (this.#kind) {
      case 'message.dropped':
        return { kind: 'message.dropped', flow, why };
      case 'message.passed':
        return { kind: 'message.passed', flow, summary: sizeOf(received), why, defects: this.#defects };
      case 'message.translated': {
        const scan = scanMessage(received);
        return {
          kind: 'message.translated',
          flow,
          summary: scan.ok ? summaryOf(scan.message) : sizeOf(received),
          callId: scan.ok ? scan.message.callId : '',
          edits: this.#explained(),
          ...(this.#why === undefined ? {} : { left: this.#why }),
        };
      }
    }
  }

  #explained(): ExplainedEdit[] {
    const octets = this.#octets;
    const edits: ExplainedEdit[] = [];
    let at = this.#start + this.#length;
    for (let i = 0; i < this.#edits; i++) {
      const offset = octets[at]! * 256 + octets[at + 1]!;
      const length = octets[at + 2]! * 256 + octets[at + 3]!;
      const written = octets[at + 4]! * 256 + octets[at + 5]!;
      const rule = rules[octets[at + 6]!]!.id;
      at += EDIT_HEAD;
      edits.push({
        offset,
        length,
        before: textOf(octets, this.#start + offset, this.#start + offset + length),
        after: textOf(octets, at, at + written),
        rule,
        source: ruleById(rule).source,
      });
      at += written;
    }
    return edits;
  }
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
