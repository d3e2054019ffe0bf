/** One message that the gateway handled: what came, what left, and why. */
import type { AlgEvent } from '../core/alg/event.ts';
import type { Flow, Side } from '../core/net/flow.ts';
import type { TimeMs } from '../core/net/time.ts';
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
const PLAIN_OVERHEAD = 1_200;
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

  get side(): Side | undefined {
    return this.flow?.side;
  }

  get hasLeft(): boolean {
    return this.sent.length > 0;
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
