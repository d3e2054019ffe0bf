/**
 * Keepalives through a NAT upstream of us. Our own NAT needs none: the kernel holds the way in without a packet.
 *
 * Sent from the mapping's external endpoint, only to an endpoint that granted a registration of that mapping or carries a
 * confirmed dialog, only as long as that lasts, and only when the phone has sent nothing there itself in the meantime.
 *
 * Facts: double CRLF is for streams, every 95 to 120 s, and is answered by one CRLF within 10 s (RFC 5626 §3.5.1, §4.4.1);
 * for UDP it is a STUN Binding request, every 24 to 29 s, to a server that does outbound or has agreed to keep
 * (§3.5.2, §4.4.2; RFC 6223). A UDP server of which nothing is known gets one CRLF: that is no ping, so there is no
 * answer to keep from the phone, and an empty line before a start line means nothing anyway (RFC 3261 §7.5).
 */
import { type Due, TimerQueue, UNQUEUED } from '../nat/timer-queue.ts';
import { type Endpoint, endpointKey, isPrivate, sameEndpoint } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import { SECOND_MS, type TimeMs } from '../net/time.ts';
import type { MappingId, Output } from './io.ts';
import type { SignallingMapping } from './mappings.ts';
import type { Limits } from './policy.ts';

export type UpstreamNat = 'auto' | 'yes' | 'no';

/** A NAT may count only what goes out (RFC 4787 REQ-6), and forget after 30 s what it should keep for two minutes. */
const UDP_MS = { least: 24 * SECOND_MS, spread: 5 * SECOND_MS } as const;
const STREAM_MS = { least: 95 * SECOND_MS, spread: 25 * SECOND_MS } as const;
/** An answer that comes later is not taken for one (RFC 5626 §4.4.1). */
export const ANSWER_MS = 10 * SECOND_MS;

const CR = 0x0d;
const LF = 0x0a;
const CRLF: Uint8Array = new Uint8Array([CR, LF]);
const PING: Uint8Array = new Uint8Array([CR, LF, CR, LF]);
const STUN_HEADER = 20;

interface KeptFlow extends Due {
  readonly key: string;
  readonly mapping: SignallingMapping;
  readonly peer: Endpoint;
  /** When ours was sent last, 0 before the first. */
  sentAt: TimeMs;
  sent: number;
  /** The one answer that is nobody's but ours is still to come. */
  isAnswerDue: boolean;
}

export interface KeepaliveFacts {
  /** Whether there is a reason to keep this flow open: a registration there, or a confirmed dialog. */
  readonly isWanted: (mapping: SignallingMapping, peer: Endpoint, now: TimeMs) => boolean;
  /** Whether its external address is there at this moment. */
  readonly isPresent: (mapping: SignallingMapping) => boolean;
  /** Whether the far end is known to answer STUN on its SIP port. */
  readonly answersStun: (mapping: SignallingMapping, peer: Endpoint) => boolean;
}

export class Keepalives {
  readonly #byKey = new Map<string, KeptFlow>();
  readonly #upstream: UpstreamNat;
  readonly #facts: KeepaliveFacts;
  readonly #limits: Limits;
  readonly timers = new TimerQueue<KeptFlow>();
  #second: TimeMs = 0;
  #inSecond = 0;

  constructor(upstream: UpstreamNat, facts: KeepaliveFacts, limits: Limits) {
    this.#upstream = upstream;
    this.#facts = facts;
    this.#limits = limits;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Begins to keep a flow, where there is a NAT upstream of it. To be called whenever the peer has granted something. */
  keep(mapping: SignallingMapping, peer: Endpoint, now: TimeMs, out: Output[]): void {
    if (!this.#isBehindNat(mapping, peer)) return;
    const key = flowKey(mapping.id, peer);
    if (this.#byKey.has(key)) return;
    if (this.#byKey.size >= this.#limits.mappings) {
      const value = this.#limits.mappings;
      out.push({ kind: 'event', event: { kind: 'limit.reached', limit: 'kept-flows', value } });
      return;
    }
    const flow: KeptFlow = {
      key,
      mapping,
      peer,
      sentAt: 0,
      sent: 0,
      isAnswerDue: false,
      dueAt: now + intervalMs(mapping.transport, mapping.id, 0),
      place: UNQUEUED,
    };
    this.#byKey.set(key, flow);
    this.timers.schedule(flow);
  }

  /** Sends what is due. */
  run(now: TimeMs, out: Output[]): void {
    for (const flow of this.timers.due(now)) {
      const { mapping, peer } = flow;
      if (mapping.state === 'closed' || !this.#facts.isWanted(mapping, peer, now)) {
        this.#byKey.delete(flow.key);
        continue;
      }
      const every = intervalMs(mapping.transport, mapping.id, flow.sent);
      const quietSince = Math.max(flow.sentAt, sentByPhone(mapping, peer));
      if (quietSince + every > now) flow.dueAt = quietSince + every;
      else if (mapping.state === 'opening' || !this.#facts.isPresent(mapping)) flow.dueAt = now + SECOND_MS;
      else if (!this.#mayNow(now, out)) flow.dueAt = now + SECOND_MS;
      else {
        this.#send(flow, now, out);
        flow.dueAt = now + intervalMs(mapping.transport, mapping.id, flow.sent);
      }
      this.timers.schedule(flow);
    }
  }

  /** Whether octets that are no SIP answer a keepalive of ours, so that the phone has no business with them. */
  answers(now: TimeMs, mapping: SignallingMapping, peer: Endpoint, bytes: Uint8Array): boolean {
    const flow = this.#byKey.get(flowKey(mapping.id, peer));
    if (flow === undefined || !flow.isAnswerDue || now - flow.sentAt > ANSWER_MS) return false;
    // The pong of a stream never comes here: whoever holds the connections keeps it.
    const isAnswer = isStunAnswer(bytes, mapping.id, flow.sent);
    if (isAnswer) flow.isAnswerDue = false;
    return isAnswer;
  }

  /** `auto`: our external address is a private one, and the peer's is not, so somebody translates in between. */
  #isBehindNat({ external }: SignallingMapping, peer: Endpoint): boolean {
    return this.#upstream === 'auto'
      ? isPrivate(external.address) && !isPrivate(peer.address)
      : this.#upstream === 'yes';
  }

  /** Not all at once, however many there are: what is too much waits for a second. */
  #mayNow(now: TimeMs, out: Output[]): boolean {
    if (now - this.#second >= SECOND_MS) {
      this.#second = now;
      this.#inSecond = 0;
    }
    const { keepalivesPerSecond: value } = this.#limits;
    if (++this.#inSecond <= value) return true;
    if (this.#inSecond === value + 1)
      out.push({ kind: 'event', event: { kind: 'limit.reached', limit: 'keepalives-per-second', value } });
    return false;
  }

  #send(flow: KeptFlow, now: TimeMs, out: Output[]): void {
    const { mapping, peer } = flow;
    const { transport, external } = mapping;
    flow.sent++;
    flow.sentAt = now;
    const how = transport === 'tcp' ? 'ping' : this.#facts.answersStun(mapping, peer) ? 'stun' : 'crlf';
    flow.isAnswerDue = how === 'stun';
    out.push({
      kind: 'send',
      flow: { transport, side: 'external', local: external, remote: peer },
      bytes: how === 'stun' ? stunRequest(mapping.id, flow.sent) : how === 'ping' ? PING : CRLF,
    });
    out.push({ kind: 'event', event: { kind: 'keepalive.sent', external, peer, how } });
  }
}

/** When the phone itself last sent to this peer, as far as that is known: to whom it sent last, and when. */
function sentByPhone({ lastPeer, lastUsed }: SignallingMapping, peer: Endpoint): TimeMs {
  return lastPeer !== undefined && sameEndpoint(lastPeer, peer) ? lastUsed : 0;
}

/** Spread over the interval, and never the same twice: the mapping and the count choose, for there is no chance here. */
function intervalMs(transport: Transport, id: MappingId, sent: number): number {
  const { least, spread } = transport === 'udp' ? UDP_MS : STREAM_MS;
  return least + (((Math.imul(id, 2_654_435_761) + Math.imul(sent, 1_597_334_677)) >>> 0) % spread);
}

/** RFC 8489 §5: a Binding request without attributes; mapping and count are its transaction. */
function stunRequest(id: MappingId, sent: number): Uint8Array {
  const bytes = new Uint8Array(STUN_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x0001);
  view.setUint32(4, 0x2112_a442);
  view.setUint32(8, 0x7369_7061); // "sipa"
  view.setUint32(12, id);
  view.setUint32(16, sent);
  return bytes;
}

/** A success or error response (RFC 8489 §5) to the request above. */
function isStunAnswer(bytes: Uint8Array, id: MappingId, sent: number): boolean {
  if (bytes.length < STUN_HEADER || bytes[0] !== 0x01 || (bytes[1] !== 0x01 && bytes[1] !== 0x11))
    return false;
  const request = stunRequest(id, sent);
  for (let i = 4; i < STUN_HEADER; i++) if (bytes[i] !== request[i]) return false;
  return true;
}

function flowKey(id: MappingId, peer: Endpoint): string {
  return `${id} ${endpointKey(peer)}`;
}
