/**
 * What the gateway has handled of late, message by message: what came, what left, and why. The ladder, captures, metrics and
 * the console look here.
 *
 * It keeps references to the octets and reads nothing in them until somebody asks, so that it costs the message path next to
 * nothing. The contract that makes it possible is that of the engine (io.ts): whoever gives octets to the engine never writes
 * to them again; a receiver with a buffer that is used again copies them out first.
 */
import type { AlgEvent } from '../core/alg/event.ts';
import type { Input, Output } from '../core/alg/io.ts';
import type { Flow } from '../core/net/flow.ts';
import type { TimeMs } from '../core/net/time.ts';
import { callIdOf } from './call-id.ts';

/** Something that left. `bytes` is the very same buffer as what was received where nothing was changed. */
export interface SentMessage {
  readonly flow: Flow;
  readonly bytes: Uint8Array;
}

/**
 * One message that the gateway handled. A message that waited for an endpoint to be opened is one exchange, told when it has
 * been sent.
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
  /** Found when it is asked for. */
  readonly callId: string | undefined;
}

export interface ExchangeFilter {
  readonly callId?: string;
  /** Those with a greater id than this one. */
  readonly since?: number;
  /** The newest so many. */
  readonly limit?: number;
}

export interface RecorderLimits {
  /** Exchanges that are kept; 0: none, and then also nobody who subscribes is told anything. */
  readonly messages: number;
  /** Octets that they may take, as far as they can be told. */
  readonly octets: number;
}

export const defaultRecorderLimits: RecorderLimits = { messages: 10_000, octets: 16 * 1024 * 1024 };

/** Objects and texts of one exchange besides the octets: measured, rounded up. */
const OVERHEAD = 1_200;
/** Messages that wait for an endpoint; the engine has a limit for each mapping, this is one for all. */
const MOST_WAITING = 4_096;
/** Those who subscribe: captures, streams of events, metrics. */
const MOST_LISTENERS = 64;

type Packet = Extract<Input, { readonly kind: 'packet' }>;

interface Waiting {
  readonly atMs: TimeMs;
  readonly packet: Packet;
  readonly events: readonly AlgEvent[];
}

const NOTHING: readonly never[] = [];

export class Recorder {
  #limits: RecorderLimits;
  /** A ring: the oldest is at `#first`. */
  #ring: (Handled | undefined)[] = [];
  #first = 0;
  #count = 0;
  #octets = 0;
  #lastId = 0;
  readonly #waiting = new Map<Flow, Waiting>();
  readonly #listeners = new Set<(exchange: Exchange) => void>();
  /** One is complete only when the whole input has been looked at, and told then. */
  readonly #untold: Handled[] = [];

  constructor(limits: RecorderLimits = defaultRecorderLimits) {
    this.#limits = limits;
  }

  /** Exchanges and octets that are held. */
  get size(): { readonly messages: number; readonly octets: number } {
    return { messages: this.#count, octets: this.#octets };
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** Takes other limits; the oldest go first. */
  limit(limits: RecorderLimits): void {
    const kept = this.exchanges() as Handled[];
    this.#limits = limits;
    this.#ring = [];
    this.#first = 0;
    this.#count = 0;
    this.#octets = 0;
    if (limits.messages > 0) for (const one of kept) this.#keep(one);
  }

  /** The oldest first. */
  exchanges(filter: ExchangeFilter = {}): readonly Exchange[] {
    const { callId, since = 0, limit = Number.POSITIVE_INFINITY } = filter;
    const found: Exchange[] = [];
    for (let i = this.#count - 1; i >= 0 && found.length < limit; i--) {
      const one = this.#at(i);
      if (one.id <= since) break;
      if (callId === undefined || one.callId === callId) found.push(one);
    }
    return found.reverse();
  }

  /**
   * Tells of each exchange as it is recorded, until what it returns is called. One that throws is told nothing any more. Throws
   * RangeError where too many listen.
   */
  subscribe(listener: (exchange: Exchange) => void): () => void {
    if (this.#listeners.size >= MOST_LISTENERS)
      throw new RangeError(`${MOST_LISTENERS} already follow the messages`);
    // The same function twice is two subscriptions.
    const own = (exchange: Exchange): void => listener(exchange);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /**
   * Records what the engine made of one input, once it has been carried out: `handledMs` is when. The message of an event is
   * known by its flow, which the engine hands through as it got it.
   */
  take(atMs: TimeMs, input: Input, outputs: readonly Output[], handledMs: TimeMs): void {
    if (this.#limits.messages === 0) return;
    let sent: SentMessage[] | undefined;
    let events: AlgEvent[] | undefined;
    let last: Handled | undefined;
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
          this.#add(new Handled(atMs, handledMs, flow, undefined, sent ?? NOTHING, events));
        } else if (
          event.kind === 'message.translated' ||
          event.kind === 'message.passed' ||
          event.kind === 'message.dropped' ||
          event.kind === 'keepalive.answered'
        ) {
          const { flow } = event;
          const waited = this.#waiting.size === 0 ? undefined : this.#waiting.get(flow);
          if (input.kind === 'packet' && input.flow === flow) {
            isAnswered = true;
            last = new Handled(atMs, handledMs, flow, input.bytes, sent ?? NOTHING, events);
          } else if (waited !== undefined) {
            this.#waiting.delete(flow);
            last = new Handled(waited.atMs, handledMs, flow, waited.packet.bytes, sent ?? NOTHING, [
              ...waited.events,
              ...events,
            ]);
          } else if (last !== undefined) {
            // From one phone of ours to another: the second half of the same message's way.
            last.extend(sent ?? NOTHING, events);
            sent = undefined;
            events = undefined;
            continue;
          } else last = new Handled(atMs, handledMs, flow, undefined, sent ?? NOTHING, events);
          this.#add(last);
        } else continue;
        sent = undefined;
        events = undefined;
      }
    }
    if (input.kind === 'packet' && !isAnswered) {
      // After a fault of ours there is a send and nothing that says so.
      if (sent === undefined) this.#wait(atMs, input, events ?? NOTHING);
      else this.#add(new Handled(atMs, handledMs, input.flow, input.bytes, sent, events ?? NOTHING));
    } else if (events !== undefined || sent !== undefined) {
      if (last !== undefined) last.extend(sent ?? NOTHING, events ?? NOTHING);
      else
        this.#add(
          new Handled(atMs, handledMs, sent?.[0]?.flow, undefined, sent ?? NOTHING, events ?? NOTHING),
        );
    }
    if (this.#untold.length > 0) this.#tell();
  }

  /** The engine has ended: what waited in it will never be answered. */
  abandon(): void {
    this.#waiting.clear();
  }

  #wait(atMs: TimeMs, packet: Packet, events: readonly AlgEvent[]): void {
    if (this.#waiting.size >= MOST_WAITING) {
      const oldest = this.#waiting.keys().next().value;
      if (oldest !== undefined) this.#waiting.delete(oldest);
    }
    this.#waiting.set(packet.flow, { atMs, packet, events });
  }

  #add(one: Handled): void {
    one.id = ++this.#lastId;
    this.#keep(one);
    if (this.#listeners.size > 0) this.#untold.push(one);
  }

  #keep(one: Handled): void {
    const { messages, octets } = this.#limits;
    one.held = heldBy(one);
    this.#octets += one.held;
    while (this.#count > 0 && (this.#count >= messages || this.#octets > octets)) {
      const oldest = this.#at(0);
      this.#octets -= oldest.held;
      this.#ring[this.#first] = undefined;
      this.#first = (this.#first + 1) % messages;
      this.#count--;
    }
    this.#ring[(this.#first + this.#count) % messages] = one;
    this.#count++;
  }

  #at(i: number): Handled {
    return this.#ring[(this.#first + i) % this.#limits.messages]!;
  }

  #tell(): void {
    for (const one of this.#untold)
      for (const listener of this.#listeners) {
        try {
          listener(one);
        } catch {
          // Whoever looks on never costs a message.
          this.#listeners.delete(listener);
        }
      }
    this.#untold.length = 0;
  }
}

/** The text of what was edited is held beside its octets: the edits are cut from it. */
function heldBy({ received, sent }: Exchange): number {
  let octets = OVERHEAD + 2 * (received?.length ?? 0);
  for (const { bytes } of sent) if (bytes !== received) octets += bytes.length;
  return octets;
}

class Handled implements Exchange {
  id = 0;
  /** What it was counted for when it was kept. */
  held = 0;
  readonly atMs: TimeMs;
  readonly handledMs: TimeMs;
  readonly flow: Flow | undefined;
  readonly received: Uint8Array | undefined;
  sent: readonly SentMessage[];
  events: readonly AlgEvent[];
  #callId: string | undefined;
  #isSought = false;

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
  }

  get callId(): string | undefined {
    if (this.#isSought) return this.#callId;
    this.#isSought = true;
    const bytes = this.received ?? this.sent[0]?.bytes;
    if (bytes !== undefined) this.#callId = callIdOf(bytes);
    else
      for (const event of this.events) {
        if (!('callId' in event)) continue;
        this.#callId = event.callId;
        break;
      }
    return this.#callId;
  }

  extend(sent: readonly SentMessage[], events: readonly AlgEvent[]): void {
    this.sent = [...this.sent, ...sent];
    this.events = [...this.events, ...events];
  }
}
