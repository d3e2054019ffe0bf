/**
 * The exchanges that are kept, the oldest overwritten first: a column for each number of a packed one, so that thousands of them
 * are a few arrays and no objects.
 */
import { PackedExchange, type PackedRow, PlainExchange } from './exchange.ts';

/** An exchange that is kept as it is has no kind. */
const KINDS = [undefined, 'message.translated', 'message.passed', 'message.dropped'] as const;
const numbers: ReadonlyMap<string | undefined, number> = new Map(KINDS.map((kind, i) => [kind, i]));
const IS_SENT = 8;
const NO_OCTETS = new Uint8Array(0);

export class ExchangeRing {
  readonly #capacity: number;
  readonly #atMs: Float64Array;
  readonly #handledMs: Float64Array;
  readonly #start: Uint32Array;
  readonly #length: Uint32Array;
  readonly #edits: Uint16Array;
  readonly #kind: Uint8Array;
  readonly #held: Float64Array;
  readonly #octets: Uint8Array[] = [];
  readonly #why: (string | undefined)[] = [];
  readonly #besides: (PackedRow['besides'] | PlainExchange)[] = [];
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
    this.#length = new Uint32Array(capacity);
    this.#edits = new Uint16Array(capacity);
    this.#kind = new Uint8Array(capacity);
    this.#held = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /** Octets that all of them take, about. */
  get octets(): number {
    return this.#total;
  }

  get lastId(): number {
    return this.#lastId;
  }

  get firstId(): number {
    return this.#lastId - this.#count + 1;
  }

  /** Returns its id. The oldest goes where there is no room. */
  put(one: PackedRow | PlainExchange): number {
    if (this.#count >= this.#capacity) this.drop();
    const id = ++this.#lastId;
    const at = id % this.#capacity;
    this.#count++;
    this.#total += one.held;
    this.#held[at] = one.held;
    if (one instanceof PlainExchange) {
      one.id = id;
      this.#kind[at] = 0;
      this.#octets[at] = NO_OCTETS;
      this.#why[at] = undefined;
      this.#besides[at] = one;
      return id;
    }
    this.#atMs[at] = one.atMs;
    this.#handledMs[at] = one.handledMs;
    this.#start[at] = one.start;
    this.#length[at] = one.length;
    this.#edits[at] = one.edits;
    this.#kind[at] = numbers.get(one.kind)! | (one.isSent ? IS_SENT : 0);
    this.#octets[at] = one.octets;
    this.#why[at] = one.why;
    this.#besides[at] = one.besides;
    return id;
  }

  /** Lets the oldest go. */
  drop(): void {
    const at = this.firstId % this.#capacity;
    this.#total -= this.#held[at]!;
    this.#octets[at] = NO_OCTETS;
    this.#besides[at] = undefined;
    this.#count--;
  }

  /** Undefined where it has gone, or has not come yet. */
  get(id: number): PackedExchange | PlainExchange | undefined {
    if (id < this.firstId || id > this.#lastId) return undefined;
    const at = id % this.#capacity;
    const besides = this.#besides[at];
    if (besides instanceof PlainExchange) return besides;
    const kind = this.#kind[at]!;
    return new PackedExchange(id, {
      atMs: this.#atMs[at]!,
      handledMs: this.#handledMs[at]!,
      octets: this.#octets[at]!,
      start: this.#start[at]!,
      length: this.#length[at]!,
      edits: this.#edits[at]!,
      isSent: (kind & IS_SENT) !== 0,
      kind: KINDS[kind & (IS_SENT - 1)]!,
      why: this.#why[at],
      besides,
      held: this.#held[at]!,
    });
  }

  /** What belongs to an exchange as well, and came after it. */
  extend(id: number, more: PlainExchange): void {
    if (id < this.firstId || id > this.#lastId) return;
    const at = id % this.#capacity;
    const besides = this.#besides[at];
    if (besides instanceof PlainExchange) besides.extend(more.sent, more.events);
    else if (besides?.after !== undefined) besides.after.extend(more.sent, more.events);
    else this.#besides[at] = { before: besides?.before ?? [], defects: besides?.defects ?? [], after: more };
  }
}
