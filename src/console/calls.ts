/**
 * Conversations: what the recorder has kept, put together by Call-ID, with what the gateway knows of calls that live. Read
 * when somebody asks; of an exchange that was read once the digest is kept as long as the exchange.
 */
import type { AlgEvent } from '../core/alg/event.ts';
import { lookInto } from '../core/alg/explain.ts';
import { formatEndpoint } from '../core/net/address.ts';
import type { Side } from '../core/net/flow.ts';
import { textOf } from '../core/sip/octets.ts';
import type { CallStatus, MediaStatus } from '../gateway/status-report.ts';
import type { Exchange } from '../observe/exchange.ts';
import { maskExchange } from '../observe/masking.ts';
import type { Recorder } from '../observe/recorder.ts';
import { hearing } from './hearing.ts';
import { type ShownLines, shownMessage } from './shown-message.ts';

export type CallState = 'ringing' | 'talking' | 'ending' | 'ended' | 'failed' | 'cancelled';

export interface Conversation {
  readonly callId: string;
  readonly kind: 'call' | 'registration' | 'other';
  readonly from: string;
  readonly to: string;
  readonly startedAt: number;
  readonly lastAt: number;
  readonly messages: number;
  readonly edits: number;
  /** Of a call. */
  readonly state?: CallState;
  /** Why it failed, as the last response said. */
  readonly outcome?: string;
  readonly phone?: string;
  readonly provider?: string;
  /** `out`: the phone began it. */
  readonly direction?: 'out' | 'in';
  readonly media?: readonly MediaStatus[];
  /** Who hears whom, in words. */
  readonly hearing?: { readonly good: boolean; readonly text: string };
}

/** One message on the ladder. */
export interface Rung {
  readonly id: number;
  readonly atMs: number;
  /** From where it came to the gateway; `gateway`: it sent something by itself. */
  readonly from: 'phone' | 'provider' | 'gateway';
  /** Where it went on to; empty where it was dropped or is kept waiting. */
  readonly to: readonly ('phone' | 'provider')[];
  readonly summary: string;
  readonly kind: 'request' | 'response' | 'other';
  readonly verdict: 'translated' | 'passed' | 'dropped' | 'sent';
  readonly edits: number;
  readonly why?: string;
  /** From the first octet that came to the last that left. */
  readonly tookMs: number;
}

export interface MessageDetail extends Rung {
  readonly received: { readonly from: string; readonly to: string; readonly transport: string } | undefined;
  readonly sent: readonly { readonly from: string; readonly to: string; readonly transport: string }[];
  readonly octets: number;
  readonly octetsSent: number;
  readonly lines: readonly ShownLines[];
  readonly defects: readonly string[];
}

/** What is told of an exchange again and again; made once. */
interface Digest {
  readonly edits: number;
  readonly verdict: Rung['verdict'];
  readonly why: string | undefined;
  readonly kind: 'request' | 'response' | 'other';
  readonly method: string;
  readonly status: number;
  readonly reason: string;
  readonly from: string;
  readonly to: string;
  readonly summary: string;
}

/** Calls whose audio is remembered after they have ended; the oldest go first. */
const MOST_REMEMBERED = 500;
/** In one answer. */
const MOST_ROWS = 500;
/** The newest exchanges, of which conversations are made. Reading one takes some 20 µs, once. */
const MOST_READ = 3_000;

type MessageEvent = Extract<
  AlgEvent,
  { readonly kind: 'message.translated' | 'message.passed' | 'message.dropped' }
>;

export class CallBook {
  readonly #recorder: Recorder;
  readonly #digests = new WeakMap<Exchange, Digest>();
  readonly #remembered = new Map<string, CallStatus>();
  /** Those that have been read, the oldest first, and the same by Call-ID. */
  readonly #read: Exchange[] = [];
  readonly #groups = new Map<string, Exchange[]>();
  #lastId = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  /** What the gateway says of living calls, so that it can still be told when they have ended. */
  remember(calls: readonly CallStatus[]): void {
    for (const call of calls) {
      const before = this.#remembered.get(call.callId);
      // At the end the kernel's counters go first.
      if (before !== undefined && call.media.length === 0) continue;
      this.#remembered.delete(call.callId);
      this.#remembered.set(call.callId, call);
    }
    while (this.#remembered.size > MOST_REMEMBERED)
      this.#remembered.delete(this.#remembered.keys().next().value!);
  }

  /** The newest first. */
  conversations(living: readonly CallStatus[], now: number): Conversation[] {
    const groups = this.#refreshed();
    const alive = new Map(living.map((call) => [call.callId, call]));
    const found = [...groups].map(([callId, group]) =>
      this.#conversation(callId, group, alive.get(callId), now),
    );
    // Calls that began before what is kept.
    for (const call of living)
      if (!groups.has(call.callId)) found.push(this.#conversation(call.callId, [], call, now));
    return found.sort((a, b) => b.startedAt - a.startedAt).slice(0, MOST_ROWS);
  }

  conversation(callId: string, living: readonly CallStatus[], now: number): Conversation | undefined {
    const call = living.find((one) => one.callId === callId);
    const group = this.#recorder.exchanges({ callId }).filter((one) => one.received !== undefined);
    if (group.length === 0 && call === undefined) return undefined;
    return this.#conversation(callId, group, call, now);
  }

  ladder(callId: string): Rung[] {
    return this.#recorder
      .exchanges({ callId })
      .filter((one) => one.received !== undefined || one.sent.length > 0)
      .map((one) => this.rung(one));
  }

  rung(exchange: Exchange): Rung {
    const { kind, summary, verdict, edits, why } = this.#digest(exchange);
    return {
      id: exchange.id,
      atMs: exchange.atMs,
      from: exchange.received === undefined ? 'gateway' : who(exchange.flow?.side),
      to: [...new Set(exchange.sent.map(({ flow }) => who(flow.side)))],
      summary,
      kind,
      verdict,
      edits,
      ...(why === undefined ? {} : { why }),
      tookMs: Math.max(0, exchange.handledMs - exchange.atMs),
    };
  }

  message(id: number, reveal: boolean): MessageDetail | undefined {
    const found = this.#recorder.exchanges({ since: id - 1 })[0];
    if (found?.id !== id) return undefined;
    // Hidden octets leave lengths and places as they were.
    const exchange = reveal ? found : maskExchange(found);
    const bytes = exchange.received ?? exchange.sent[0]?.bytes ?? new Uint8Array();
    const edits = exchange.events.find((one) => one.kind === 'message.translated')?.edits ?? [];
    const event = messageEvent(exchange.events);
    const { flow } = exchange;
    return {
      ...this.rung(found),
      received:
        flow === undefined || exchange.received === undefined
          ? undefined
          : {
              from: formatEndpoint(flow.remote),
              to: formatEndpoint(flow.local),
              transport: flow.transport.toUpperCase(),
            },
      sent: exchange.sent.map(({ flow: { local, remote, transport } }) => ({
        from: formatEndpoint(local),
        to: formatEndpoint(remote),
        transport: transport.toUpperCase(),
      })),
      octets: bytes.length,
      octetsSent: exchange.sent[0]?.bytes.length ?? 0,
      lines: shownMessage(bytes, edits),
      defects: event?.kind === 'message.passed' ? event.defects : [],
    };
  }

  #conversation(
    callId: string,
    group: readonly Exchange[],
    alive: CallStatus | undefined,
    now: number,
  ): Conversation {
    const digests = group.map((one) => this.#digest(one));
    const first = digests.find((one) => one.kind === 'request') ?? digests[0];
    const isCall = alive !== undefined || digests.some((one) => one.method === 'INVITE');
    const known = alive ?? this.#remembered.get(callId);
    const startedAt = alive?.openedAt ?? group[0]?.atMs ?? now;
    const common = {
      callId,
      from: known?.from ?? first?.from ?? '',
      to: known?.to ?? first?.to ?? '',
      startedAt,
      lastAt: group.at(-1)?.atMs ?? startedAt,
      messages: group.length,
      edits: digests.reduce((sum, one) => sum + one.edits, 0),
      ...endpoints(group, known),
      ...directionOf(group[0], known),
    };
    if (!isCall)
      return {
        ...common,
        kind: first?.method === 'REGISTER' ? 'registration' : 'other',
        ...registered(digests),
      };
    const { state, outcome } = stateOf(digests, alive);
    const media = known?.media ?? [];
    const heard = hearing(media, state, alive?.answeredAt ?? known?.answeredAt ?? undefined, now);
    return {
      ...common,
      kind: 'call',
      state,
      ...(outcome === undefined ? {} : { outcome }),
      media,
      ...(heard === undefined ? {} : { hearing: heard }),
    };
  }

  /** With what has come since, and without what the recorder has let go. */
  #refreshed(): ReadonlyMap<string, readonly Exchange[]> {
    const { lastId, size } = this.#recorder;
    for (const exchange of this.#recorder.exchanges({ since: this.#lastId, limit: MOST_READ })) {
      const { callId, received } = exchange;
      if (callId === undefined || received === undefined) continue;
      this.#read.push(exchange);
      const group = this.#groups.get(callId);
      if (group === undefined) this.#groups.set(callId, [exchange]);
      else group.push(exchange);
    }
    this.#lastId = lastId;
    const oldest = lastId - size.messages + 1;
    let gone = 0;
    while (
      gone < this.#read.length &&
      (this.#read[gone]!.id < oldest || this.#read.length - gone > MOST_READ)
    ) {
      const callId = this.#read[gone++]!.callId!;
      const group = this.#groups.get(callId);
      group?.shift();
      if (group?.length === 0) this.#groups.delete(callId);
    }
    this.#read.splice(0, gone);
    return this.#groups;
  }

  #digest(exchange: Exchange): Digest {
    let digest = this.#digests.get(exchange);
    if (digest === undefined) {
      digest = digestOf(exchange);
      this.#digests.set(exchange, digest);
    }
    return digest;
  }
}

function digestOf(exchange: Exchange): Digest {
  const bytes = exchange.received ?? exchange.sent[0]?.bytes ?? new Uint8Array();
  const { events } = exchange;
  const event = messageEvent(events);
  const edits = events.reduce(
    (sum, one) => sum + (one.kind === 'message.translated' ? one.edits.length : 0),
    0,
  );
  const judged = {
    edits,
    verdict: event === undefined ? ('sent' as const) : verdicts[event.kind],
    why: event === undefined ? undefined : event.kind === 'message.translated' ? event.left : event.why,
  };
  const { message } = lookInto(bytes);
  if (message === undefined) {
    const isKeepalive = events.some((one) => one.kind === 'keepalive.sent');
    const summary = isKeepalive
      ? 'keepalive of the gateway'
      : event !== undefined && 'summary' in event
        ? event.summary
        : `${bytes.length} octets`;
    return { ...judged, kind: 'other', method: '', status: 0, reason: '', from: '', to: '', summary };
  }
  const { kind, method, status, requestUri, from, to, text } = message;
  const reason = kind === 'response' ? (/^SIP\/2\.0 \d{3} ([^\r\n]*)/i.exec(text)?.[1] ?? '') : '';
  return {
    ...judged,
    kind,
    method,
    status,
    reason,
    from: textOf(bytes, from.uri.start, from.uri.end),
    to: textOf(bytes, to.uri.start, to.uri.end),
    summary:
      kind === 'response'
        ? `${status} ${reason}`.trim()
        : `${method} ${textOf(bytes, requestUri.start, requestUri.end)}`,
  };
}

const verdicts = {
  'message.translated': 'translated',
  'message.passed': 'passed',
  'message.dropped': 'dropped',
} as const;

function messageEvent(events: readonly AlgEvent[]): MessageEvent | undefined {
  const found = events.filter(
    (one): one is MessageEvent =>
      one.kind === 'message.translated' || one.kind === 'message.passed' || one.kind === 'message.dropped',
  );
  return found.find((one) => one.kind === 'message.translated') ?? found[0];
}

function who(side: Side | undefined): 'phone' | 'provider' {
  return side === 'internal' ? 'phone' : 'provider';
}

function endpoints(
  group: readonly Exchange[],
  known: CallStatus | undefined,
): { readonly phone?: string; readonly provider?: string } {
  let phone: string | undefined = known?.phone;
  let provider = known === undefined ? undefined : formatEndpoint(known.peer);
  for (const { flow, sent } of group)
    for (const one of [flow, ...sent.map((message) => message.flow)]) {
      if (one === undefined) continue;
      if (one.side === 'internal') phone ??= one.remote.address;
      else provider ??= formatEndpoint(one.remote);
    }
  return { ...(phone === undefined ? {} : { phone }), ...(provider === undefined ? {} : { provider }) };
}

function directionOf(
  first: Exchange | undefined,
  known: CallStatus | undefined,
): { readonly direction?: 'out' | 'in' } {
  const side = known?.initiator ?? first?.flow?.side;
  return side === undefined ? {} : { direction: side === 'internal' ? 'out' : 'in' };
}

/** Of a registration: what the registrar said last. */
function registered(digests: readonly Digest[]): { readonly outcome?: string } {
  const last = digests.findLast((one) => one.kind === 'response' && one.status >= 200);
  return last === undefined ? {} : { outcome: `${last.status} ${last.reason}`.trim() };
}

function stateOf(
  digests: readonly Digest[],
  alive: CallStatus | undefined,
): { readonly state: CallState; readonly outcome?: string } {
  if (alive !== undefined)
    return {
      state: alive.state === 'early' ? 'ringing' : alive.state === 'confirmed' ? 'talking' : 'ending',
    };
  const final = digests.findLast(
    (one) => one.kind === 'response' && one.method === 'INVITE' && one.status >= 200,
  );
  if (digests.some((one) => one.method === 'BYE')) return { state: 'ended' };
  if (digests.some((one) => one.method === 'CANCEL')) return { state: 'cancelled' };
  if (final !== undefined && final.status >= 300)
    return { state: 'failed', outcome: `${final.status} ${final.reason}`.trim() };
  return { state: 'ended' };
}
