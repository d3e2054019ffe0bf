/**
 * The exchanges that are kept, the oldest overwritten first: a column for each number of a packed one and slabs for the octets, so
 * that thousands of them are a few arrays and no objects.
 *
 * A slab whose exchanges have all gone is the next to be written. So a ring that is full makes nothing new, and what is given out of it
 * is a copy.
 */
import type { AlgEvent } from '../core/alg/event.ts';
import type { TimeMs } from '../core/net/time.ts';
import { type MessageEvent, PlainExchange, type SentMessage } from './exchange.ts';
import { type Besides, PackedExchange, type PackedRow, pack, packedLength } from './packed-exchange.ts';

/** An exchange that is kept as it is has no kind. */
const KINDS = [undefined, 'message.translated', 'message.passed', 'message.dropped'] as const;
const IS_SENT = 8;
/** Of a packed one: its place in the columns. */
const OVERHEAD = 60;
/** The longest datagram with both its flows, and as much again for edits. */
const SLAB = 131_072;
const NOTHING: readonly never[] = [];

/** As they are kept, and not only as they are shown. */
export type KeptExchange = PackedExchange | PlainExchange;

interface Slab {
  readonly octets: Uint8Array;
  /** The newest exchange in it. */
  lastId: number;
}

export class ExchangeRing {
  readonly #capacity: number;
  readonly #atMs: Float64Array;
  readonly #handledMs: Float64Array;
  readonly #start: Uint32Array;
  readonly #length: Uint16Array;
  readonly #edits: Uint16Array;
  readonly #kind: Uint8Array;
  /** Octets that it takes. */
  readonly #held: Uint32Array;
  readonly #slab: (Slab | undefined)[] = [];
  readonly #why: (string | undefined)[] = [];
  readonly #besides: (Besides | PlainExchange | undefined)[] = [];
  /** The one that is written, last; the one whose exchanges are the oldest, first. */
  readonly #slabs: Slab[] = [];
  #used = SLAB;
  #count = 0;
  #lastId = 0;
  #total = 0;

  /** `lastId`: of the exchange before the first. */
  constructor(capacity: number, lastId: number) {
    this.#capacity = capacity;
    this.#lastId = lastId;
    this.#atMs = new Float64Array(capacity);
    this.#handledMs = new Float64Array(capacity);
    this.#start = new Uint32Array(capacity);
    this.#length = new Uint16Array(capacity);
    this.#edits = new Uint16Array(capacity);
    this.#kind = new Uint8Array(capacity);
    this.#held = new Uint32Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /** Octets that all of them take, about. */
  get octets(): number {
    return this.#total;
  }

  /** Octets of its slabs, whether somebody's or not. */
  get reserved(): number {
    return this.#slabs.length * SLAB;
  }

  get lastId(): number {
    return this.#lastId;
  }

  get firstId(): number {
    return this.#lastId - this.#count + 1;
  }

  /** Keeps one as it is, and names it. Returns its id. The oldest goes where there is no room. */
  put(one: PlainExchange): number {
    const at = this.#next();
    one.id = this.#lastId;
    this.#kind[at] = 0;
    this.#slab[at] = undefined;
    this.#why[at] = undefined;
    this.#besides[at] = one;
    this.#hold(at, one.held);
    return one.id;
  }

  /**
   * Keeps one message that came, at most one that left, and one event about it. Returns its id; undefined where it does not fit
   * this form.
   */
  pack(
    atMs: TimeMs,
    handledMs: TimeMs,
    received: Uint8Array,
    left: SentMessage | undefined,
    before: readonly AlgEvent[],
    event: MessageEvent,
  ): number | undefined {
    const need = packedLength(received, left, event);
    if (need === undefined || need > SLAB) return undefined;
    const at = this.#next();
    pack(this.#room(at, need), this.#start[at]!, received, left, event);
    this.#atMs[at] = atMs;
    this.#handledMs[at] = handledMs;
    this.#length[at] = received.length;
    const isSent = left === undefined ? 0 : IS_SENT;
    if (event.kind === 'message.translated') {
      this.#kind[at] = 1 | isSent;
      this.#edits[at] = event.edits.length;
      this.#why[at] = event.left;
      this.#besides[at] = before.length === 0 ? undefined : { before, defects: NOTHING, after: undefined };
    } else {
      const defects = event.kind === 'message.passed' ? event.defects : NOTHING;
      this.#kind[at] = (event.kind === 'message.passed' ? 2 : 3) | isSent;
      this.#edits[at] = 0;
      this.#why[at] = event.why;
      this.#besides[at] =
        before.length === 0 && defects.length === 0 ? undefined : { before, defects, after: undefined };
    }
    return this.#lastId;
  }

  /** Keeps what another ring has kept. */
  keep(one: KeptExchange): void {
    if (one instanceof PlainExchange) {
      this.put(one);
      return;
    }
    const { atMs, handledMs, octets, length, edits, isSent, kind, why, besides } = one.row;
    const at = this.#next();
    this.#room(at, octets.length).set(octets, this.#start[at]);
    this.#atMs[at] = atMs;
    this.#handledMs[at] = handledMs;
    this.#length[at] = length;
    this.#edits[at] = edits;
    this.#kind[at] = KINDS.indexOf(kind) | (isSent ? IS_SENT : 0);
    this.#why[at] = why;
    this.#besides[at] = besides;
  }

  /** Lets the oldest go. */
  drop(): void {
    const at = this.firstId % this.#capacity;
    this.#total -= this.#held[at]!;
    this.#slab[at] = undefined;
    this.#besides[at] = undefined;
    this.#count--;
  }

  /** The same without a copy: good until the next one is kept. */
  glance(id: number): KeptExchange | undefined {
    return this.#get(id, false);
  }

  /** Undefined where it has gone, or has not come yet. */
  get(id: number): KeptExchange | undefined {
    return this.#get(id, true);
  }

  /** Of what is there; what is not given out is not copied. */
  callIdOf(id: number): string | undefined {
    return this.#get(id, false)?.callId;
  }

  /** What belongs to an exchange as well, and came after it. */
  extend(id: number, more: PlainExchange): void {
    if (id < this.firstId || id > this.#lastId) return;
    const at = id % this.#capacity;
    const besides = this.#besides[at];
    if (besides instanceof PlainExchange) besides.extend(more.sent, more.events);
    else if (besides?.after !== undefined) besides.after.extend(more.sent, more.events);
    else
      this.#besides[at] = {
        before: besides?.before ?? NOTHING,
        defects: besides?.defects ?? NOTHING,
        after: more,
      };
  }

  /** The place of the next one. */
  #next(): number {
    if (this.#count >= this.#capacity) this.drop();
    this.#count++;
    this.#lastId++;
    return this.#lastId % this.#capacity;
  }

  /** The slab that takes so many octets of the one in this place, from its start on. */
  #room(at: number, need: number): Uint8Array {
    let slab = this.#slabs.at(-1);
    if (slab === undefined || this.#used + need > SLAB) {
      const oldest = this.#slabs[0];
      if (oldest !== undefined && oldest.lastId < this.firstId) {
        this.#slabs.shift();
        slab = oldest;
      } else slab = { octets: new Uint8Array(SLAB), lastId: 0 };
      this.#slabs.push(slab);
      this.#used = 0;
    }
    this.#start[at] = this.#used;
    this.#used += need;
    slab.lastId = this.#lastId;
    this.#slab[at] = slab;
    this.#hold(at, OVERHEAD + need);
    return slab.octets;
  }

  #hold(at: number, octets: number): void {
    this.#held[at] = octets;
    this.#total += octets;
  }

  #get(id: number, copy: boolean): KeptExchange | undefined {
    if (id < this.firstId || id > this.#lastId) return undefined;
    const at = id % this.#capacity;
    const besides = this.#besides[at];
    if (besides instanceof PlainExchange) return besides;
    const kind = this.#kind[at]!;
    const start = this.#start[at]!;
    const end = start + this.#held[at]! - OVERHEAD;
    const { octets } = this.#slab[at]!;
    const row: PackedRow = {
      atMs: this.#atMs[at]!,
      handledMs: this.#handledMs[at]!,
      octets: copy ? octets.slice(start, end) : octets.subarray(start, end),
      length: this.#length[at]!,
      edits: this.#edits[at]!,
      isSent: (kind & IS_SENT) !== 0,
      kind: KINDS[kind & (IS_SENT - 1)]!,
      why: this.#why[at],
      besides,
    };
    return new PackedExchange(id, row);
  }
}
