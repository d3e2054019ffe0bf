/**
 * What the gateway has handled of late, message by message: what came, what left, and why. The ladder, captures, metrics and
 * the console look here.
 *
 * It reads nothing in them until somebody asks, and keeps its own copy of the octets, so that it costs the message path next to
 * nothing and holds no buffer of anybody's; only of a message that waits it keeps what the engine keeps, until it is answered.
 */
import type { AlgEvent } from '../core/alg/event.ts';
import type { Input, Output } from '../core/alg/io.ts';
import type { Flow } from '../core/net/flow.ts';
import type { TimeMs } from '../core/net/time.ts';
import { type Exchange, type MessageEvent, PlainExchange, type SentMessage } from './exchange.ts';
import { ExchangeRing, type KeptExchange } from './exchange-ring.ts';

export interface ExchangeFilter {
  readonly callId?: string;
  /** Those with a greater id than this one. */
  readonly since?: number;
  /** The newest so many. */
  readonly limit?: number;
}

/** An exchange as another recorder tells it. */
export type RecordedExchange = Pick<Exchange, 'atMs' | 'handledMs' | 'flow' | 'received' | 'sent' | 'events'>;

export interface RecorderLimits {
  /** Exchanges that are kept; 0: none, and then also nobody who subscribes is told anything. */
  readonly messages: number;
  /** Octets that they may take, as far as they can be told. */
  readonly octets: number;
}

export const defaultRecorderLimits: RecorderLimits = { messages: 10_000, octets: 8 * 1024 * 1024 };

/** Messages that wait for an endpoint; the engine has a limit for each mapping, this is one for all. */
const MOST_WAITING = 4_096;
/** Those who subscribe: captures, streams of events, metrics. */
const MOST_LISTENERS = 64;
/** What has to be fetched is fetched so often while somebody looks. */
const FETCH_MS = 25;

type Packet = Extract<Input, { readonly kind: 'packet' }>;

interface Waiting {
  readonly atMs: TimeMs;
  readonly packet: Packet;
  readonly events: readonly AlgEvent[];
}

const NOTHING: readonly never[] = [];

export class Recorder {
  #limits: RecorderLimits;
  #ring: ExchangeRing;
  readonly #waiting = new Map<Flow, Waiting>();
  readonly #listeners = new Set<(exchange: Exchange) => void>();
  readonly #glancers = new Set<(exchange: KeptExchange) => void>();
  readonly #sleepers = new Set<() => void>();
  /** One is complete only when the whole input has been looked at, and told then. */
  readonly #untold: number[] = [];
  #fetch: (() => void) | undefined;
  #fetchedAtMs = Number.NEGATIVE_INFINITY;
  #fetching: NodeJS.Timeout | undefined;

  constructor(limits: RecorderLimits = defaultRecorderLimits) {
    this.#limits = limits;
    this.#ring = new ExchangeRing(limits.messages, 0);
  }

  /**
   * What is recorded is elsewhere, and `fetch` brings it here (`add`): called when somebody looks, and every now and then while
   * somebody listens. Undefined: it is recorded here.
   */
  fetchWith(fetch: (() => void) | undefined): void {
    this.#fetch = fetch;
    this.#fetchWhileHeard();
  }

  /** What another recorder has told, in the order in which it was handled. */
  add(exchanges: readonly RecordedExchange[]): void {
    if (this.#limits.messages === 0 || exchanges.length === 0) return;
    for (const { atMs, handledMs, flow, received, sent, events } of exchanges)
      this.#add(new PlainExchange(atMs, handledMs, flow, received, sent, events));
    if (this.#untold.length > 0) this.#tell();
    callEach(this.#sleepers, undefined);
  }

  #look(): void {
    if (this.#fetch === undefined || performance.now() - this.#fetchedAtMs < FETCH_MS) return;
    // Set first, because whoever is told of what was fetched looks again.
    this.#fetchedAtMs = performance.now();
    this.#fetch();
    this.#fetchedAtMs = performance.now();
  }

  get #heard(): number {
    return this.#listeners.size + this.#glancers.size + this.#sleepers.size;
  }

  #fetchWhileHeard(): void {
    const wanted = this.#fetch !== undefined && this.#heard > 0;
    if (!wanted) clearInterval(this.#fetching);
    this.#fetching = wanted ? (this.#fetching ?? setInterval(() => this.#look(), FETCH_MS)) : undefined;
  }

  /** Exchanges and octets that are held. */
  get size(): { readonly messages: number; readonly octets: number } {
    this.#look();
    return { messages: this.#ring.count, octets: this.#ring.octets };
  }

  get lastId(): number {
    this.#look();
    return this.#ring.lastId;
  }

  /** Takes other limits; the oldest go first. */
  limit(limits: RecorderLimits): void {
    const { firstId, lastId } = this.#ring;
    const old = this.#ring;
    this.#limits = limits;
    this.#ring = new ExchangeRing(limits.messages, limits.messages === 0 ? lastId : firstId - 1);
    if (limits.messages === 0) return;
    for (let id = firstId; id <= lastId; id++) {
      this.#ring.keep(old.get(id)!);
      this.#bound();
    }
  }

  /** The oldest first. */
  exchanges(filter: ExchangeFilter = {}): readonly Exchange[] {
    this.#look();
    const { callId, since = 0, limit = Number.POSITIVE_INFINITY } = filter;
    const { firstId, lastId } = this.#ring;
    const found: Exchange[] = [];
    for (let id = lastId; id >= firstId && id > since && found.length < limit; id--)
      if (callId === undefined || this.#ring.callIdOf(id) === callId) found.push(this.#ring.get(id)!);
    return found.reverse();
  }

  /** The oldest after this id that is still there, and those that follow, at most so many. */
  next(since: number, limit: number): readonly Exchange[] {
    this.#look();
    const { firstId, lastId } = this.#ring;
    const found: Exchange[] = [];
    for (let id = Math.max(firstId, since + 1); id <= lastId && found.length < limit; id++)
      found.push(this.#ring.get(id)!);
    return found;
  }

  /**
   * Tells of each exchange as it is recorded, until what it returns is called. One that throws is told nothing any more. Throws
   * RangeError where too many listen. It costs each message a copy: whoever fetches asks to be woken instead.
   */
  subscribe(listener: (exchange: Exchange) => void): () => void {
    // The same function twice is two subscriptions.
    return this.#enter(this.#listeners, (exchange) => listener(exchange));
  }

  /** The same without a copy, for whoever counts: what it is told is good until it returns. */
  glance(glancer: (exchange: KeptExchange) => void): () => void {
    return this.#enter(this.#glancers, (exchange) => glancer(exchange));
  }

  /** Calls back when there is something more, until what it returns is called. Throws as `subscribe` does. */
  wake(sleeper: () => void): () => void {
    return this.#enter(this.#sleepers, () => sleeper());
  }

  /**
   * Records what the engine made of one input, once it has been carried out: `handledMs` is when. The message of an event is
   * known by its flow, which the engine hands through as it got it.
   */
  take(atMs: TimeMs, input: Input, outputs: readonly Output[], handledMs: TimeMs): void {
    if (this.#limits.messages === 0) return;
    const before = this.#ring.lastId;
    if (!this.#takeOne(atMs, input, outputs, handledMs)) this.#takeAll(atMs, input, outputs, handledMs);
    if (this.#untold.length > 0) this.#tell();
    if (this.#sleepers.size > 0 && this.#ring.lastId > before) callEach(this.#sleepers, undefined);
  }

  /** Nearly always a message came, at most one left, and one event says why. False: it is something else, or more. */
  #takeOne(atMs: TimeMs, input: Input, outputs: readonly Output[], handledMs: TimeMs): boolean {
    if (input.kind !== 'packet') return false;
    let left: SentMessage | undefined;
    let event: MessageEvent | undefined;
    for (let i = 0; i < outputs.length; i++) {
      const output = outputs[i]!;
      if (output.kind === 'send') {
        if (left !== undefined || event !== undefined) return false;
        left = output;
      } else if (output.kind === 'event') {
        if (event !== undefined || !isMessageEvent(output.event)) return false;
        event = output.event;
      }
    }
    if (event === undefined || event.flow !== input.flow) return false;
    return this.#pack(atMs, handledMs, input.bytes, left, NOTHING, event) !== undefined;
  }

  #takeAll(atMs: TimeMs, input: Input, outputs: readonly Output[], handledMs: TimeMs): void {
    let sent: SentMessage[] | undefined;
    let events: AlgEvent[] | undefined;
    let last: number | undefined;
    let isAnswered = false;
    for (const output of outputs) {
      if (output.kind === 'send') {
        if (sent === undefined) sent = [output];
        else sent.push(output);
      } else if (output.kind === 'event') {
        const { event } = output;
        if (events === undefined) events = [event];
        else events.push(event);
        if (event.kind === 'keepalive.sent') {
          const flow = sent?.at(-1)?.flow;
          this.#add(new PlainExchange(atMs, handledMs, flow, undefined, sent ?? NOTHING, events));
        } else if (isMessageEvent(event) || event.kind === 'keepalive.answered') {
          const { flow } = event;
          const waited = this.#waiting.size === 0 ? undefined : this.#waiting.get(flow);
          if (input.kind === 'packet' && input.flow === flow) {
            isAnswered = true;
            last = this.#message(atMs, handledMs, input.bytes, sent ?? NOTHING, events);
          } else if (waited !== undefined) {
            this.#waiting.delete(flow);
            const all = waited.events.length === 0 ? events : [...waited.events, ...events];
            last = this.#message(waited.atMs, handledMs, waited.packet.bytes, sent ?? NOTHING, all);
          } else if (last !== undefined) {
            // From one phone of ours to another: the second half of the same message's way.
            this.#extend(last, handledMs, sent, events);
            sent = undefined;
            events = undefined;
            continue;
          } else
            last = this.#add(new PlainExchange(atMs, handledMs, flow, undefined, sent ?? NOTHING, events));
        } else continue;
        sent = undefined;
        events = undefined;
      }
    }
    if (input.kind === 'packet' && !isAnswered) {
      // After a fault of ours there is a send and nothing that says so.
      if (sent === undefined) this.#wait(atMs, input, events ?? NOTHING);
      else this.#add(new PlainExchange(atMs, handledMs, input.flow, input.bytes, sent, events ?? NOTHING));
    } else if (events !== undefined || sent !== undefined) {
      if (last !== undefined) this.#extend(last, handledMs, sent, events);
      else
        this.#add(
          new PlainExchange(atMs, handledMs, sent?.[0]?.flow, undefined, sent ?? NOTHING, events ?? NOTHING),
        );
    }
  }

  /** The engine has ended: what waited in it will never be answered. */
  abandon(): void {
    this.#waiting.clear();
  }

  /** The last of `events` is the one about the message. Returns the id. */
  #message(
    atMs: TimeMs,
    handledMs: TimeMs,
    received: Uint8Array,
    sent: readonly SentMessage[],
    events: AlgEvent[],
  ): number {
    const event = events.at(-1)!;
    if (isMessageEvent(event) && sent.length <= 1) {
      const before = events.length === 1 ? NOTHING : events.slice(0, -1);
      const id = this.#pack(atMs, handledMs, received, sent[0], before, event);
      if (id !== undefined) return id;
    }
    const flow = 'flow' in event ? event.flow : undefined;
    return this.#add(new PlainExchange(atMs, handledMs, flow, received, sent, events));
  }

  #extend(
    id: number,
    handledMs: TimeMs,
    sent: readonly SentMessage[] | undefined,
    events: readonly AlgEvent[] | undefined,
  ): void {
    const more = new PlainExchange(
      handledMs,
      handledMs,
      undefined,
      undefined,
      sent ?? NOTHING,
      events ?? NOTHING,
    );
    this.#ring.extend(id, more);
  }

  #wait(atMs: TimeMs, packet: Packet, events: readonly AlgEvent[]): void {
    if (this.#waiting.size >= MOST_WAITING) {
      const oldest = this.#waiting.keys().next().value;
      if (oldest !== undefined) this.#waiting.delete(oldest);
    }
    this.#waiting.set(packet.flow, { atMs, packet, events });
  }

  #add(one: PlainExchange): number {
    return this.#added(this.#ring.put(one));
  }

  /** Undefined where it does not fit the packed form. */
  #pack(
    atMs: TimeMs,
    handledMs: TimeMs,
    received: Uint8Array,
    left: SentMessage | undefined,
    before: readonly AlgEvent[],
    event: MessageEvent,
  ): number | undefined {
    const id = this.#ring.pack(atMs, handledMs, received, left, before, event);
    return id === undefined ? undefined : this.#added(id);
  }

  #added(id: number): number {
    this.#bound();
    if (this.#listeners.size > 0 || this.#glancers.size > 0) this.#untold.push(id);
    return id;
  }

  #bound(): void {
    while (this.#ring.octets > this.#limits.octets && this.#ring.count > 1) this.#ring.drop();
  }

  #enter<Listener>(listeners: Set<Listener>, own: Listener): () => void {
    if (this.#heard >= MOST_LISTENERS) throw new RangeError(`${MOST_LISTENERS} already follow the messages`);
    // What was recorded before is no news.
    this.#look();
    listeners.add(own);
    this.#fetchWhileHeard();
    return () => {
      listeners.delete(own);
      this.#fetchWhileHeard();
    };
  }

  #tell(): void {
    for (const id of this.#untold) {
      const seen = this.#glancers.size === 0 ? undefined : this.#ring.glance(id);
      if (seen !== undefined) callEach(this.#glancers, seen);
      const one = this.#listeners.size === 0 ? undefined : this.#ring.get(id);
      if (one !== undefined) callEach(this.#listeners, one);
    }
    this.#untold.length = 0;
  }
}

/** Whoever looks on never costs a message: one that throws is called no more. */
function callEach<Told>(listeners: Set<(told: Told) => void>, told: Told): void {
  for (const listener of listeners) {
    try {
      listener(told);
    } catch {
      listeners.delete(listener);
    }
  }
}

function isMessageEvent(event: AlgEvent): event is MessageEvent {
  return (
    event.kind === 'message.translated' || event.kind === 'message.passed' || event.kind === 'message.dropped'
  );
}
