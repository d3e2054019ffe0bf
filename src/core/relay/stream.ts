/**
 * One media stream of the user-space relay: who may send into it, and where what they send goes.
 *
 * A stream is one port of a media mapping: a socket towards the phone (the internal side) and a socket towards the
 * provider (the external side). What one side receives, the other sends. Pure: packets and times come in, decisions
 * come out.
 *
 * Facts:
 * - Latching is to send media to where media came from instead of to what the SDP says. Unrestricted, whoever sends
 *   first owns the stream; restricted latching admits only an address known from the signalling (RFC 7362).
 * - It works only where the other end sends and receives on one port, symmetric RTP (RFC 4961).
 * - Connection data of 0.0.0.0 or :: is a hold in the old manner, and no place to send to (RFC 3264 §8.4).
 *
 * Rules, for each side on its own:
 * - A generation is what one offer or answer advertised. It begins when the advertised endpoints change.
 * - Only an advertised address may send. Which of its ports does is learnt (latched) once in a generation.
 * - A latch can only move to a better one: an advertised endpoint beats a mere advertised address, the endpoint that
 *   stands first beats the others, and anything beats what only the generation before used. So a late packet from the
 *   old port cannot win a stream back after a re-INVITE, and no order of packets makes a stream flap.
 * - Until a latch is made, media goes to the first advertised endpoint. An endpoint of the generation before is heard,
 *   but does not decide where media goes: the new endpoint may be waiting for our first packet.
 * - The protocol is looked at only to decide whether an endpoint that nobody advertised may latch. It never decides
 *   what passes from one that was: T.38 and protocols not known here go through.
 */
import { type Address, type Endpoint, isUnspecified } from '../net/address.ts';
import type { Side } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { peekMedia } from './peek.ts';

export const dropReasons = [
  /** The source's address stands in no offer or answer of this generation. */
  'source-not-advertised',
  /** An advertised address, but another endpoint holds the latch. */
  'latched-elsewhere',
  /** An advertised address from a port that nobody advertised, with bytes that are no media protocol. */
  'not-media',
  /** Nobody has said where the other side wants its media, or it said 0.0.0.0. */
  'no-destination',
] as const;

export type DropReason = (typeof dropReasons)[number];

export type RelayDecision =
  /** Send the bytes to `to` from the socket of the other side. */
  | { readonly kind: 'forward'; readonly to: Endpoint }
  | { readonly kind: 'drop'; readonly reason: DropReason };

/** Who takes part, in order of preference. Port 0: this address may send, but nothing goes there before it has. */
export interface AdvertisedEndpoints {
  readonly internal: readonly Endpoint[];
  readonly external: readonly Endpoint[];
}

export interface SideReport {
  /** Counts the changes of the advertised endpoints, from 1. */
  readonly generation: number;
  /** Where media to this side goes at present. */
  readonly destination: Endpoint | undefined;
  readonly latched: Endpoint | undefined;
  /** What this side sent us and we passed on. */
  readonly packets: number;
  readonly bytes: number;
  readonly drops: Readonly<Record<DropReason, number>>;
  /** When this side last sent something that was passed on. */
  readonly lastMs: TimeMs | undefined;
}

export type StreamReport = Readonly<Record<Side, SideReport>>;

type Forward = Extract<RelayDecision, { kind: 'forward' }>;

/** One object for each, because one is made for every packet of a flood. */
const drops: Readonly<Record<DropReason, RelayDecision>> = {
  'source-not-advertised': { kind: 'drop', reason: 'source-not-advertised' },
  'latched-elsewhere': { kind: 'drop', reason: 'latched-elsewhere' },
  'not-media': { kind: 'drop', reason: 'not-media' },
  'no-destination': { kind: 'drop', reason: 'no-destination' },
};

const NO_LATCH = Number.POSITIVE_INFINITY;

class StreamSide {
  generation = 1;
  packets = 0;
  bytes = 0;
  lastMs: TimeMs | undefined;
  readonly drops: Record<DropReason, number> = {
    'source-not-advertised': 0,
    'latched-elsewhere': 0,
    'not-media': 0,
    'no-destination': 0,
  };
  /** The decision for what goes to this side, kept so that a packet costs no allocation. */
  forward: Forward | undefined;
  latched: Endpoint | undefined;
  #rank = NO_LATCH;
  #advertised: readonly Endpoint[];
  /** What the generation before used: packets from there may be late ones. */
  #previous: readonly Endpoint[] = [];
  /** The last endpoint learnt that nobody advertised, and what was advertised for its address then. */
  #learnt: { readonly source: Endpoint; readonly advertised: readonly Endpoint[] } | undefined;

  constructor(advertised: readonly Endpoint[]) {
    this.#advertised = advertised.filter(isUsable);
    this.#aim();
  }

  update(advertised: readonly Endpoint[]): boolean {
    const next = advertised.filter(isUsable);
    if (sameEndpoints(next, this.#advertised)) return false;
    const before = this.#advertised;
    this.#advertised = next;
    this.generation++;
    // An endpoint that now stands first keeps its latch: there is nothing to learn. In any other place it would keep
    // media away from the endpoint that is preferred now.
    if (this.latched === undefined || !matches(next[0], this.latched)) {
      if (before.length > 0) this.#previous = this.latched ? [...before, this.latched] : before;
      this.latched = undefined;
      this.#rank = NO_LATCH;
    } else this.#rank = 0;
    this.#aim();
    return true;
  }

  /** Undefined where the source may send. */
  admit(source: Endpoint, bytes: Uint8Array): DropReason | undefined {
    const { latched } = this;
    if (latched !== undefined && latched.port === source.port && latched.address === source.address)
      return undefined;
    const rank = this.#rankOf(source);
    if (rank === NO_LATCH) return 'source-not-advertised';
    if (rank >= this.#rank) return 'latched-elsewhere';
    if (rank >= this.#advertised.length && peekMedia(bytes) === 'other') return 'not-media';
    this.latched = { address: source.address, port: source.port };
    this.#rank = rank;
    if (rank === this.#advertised.length)
      this.#learnt = {
        source: this.latched,
        advertised: this.#advertised.filter((a) => a.address === source.address),
      };
    this.#aim();
    return undefined;
  }

  advertises(address: Address): boolean {
    return this.#advertised.some((a) => a.address === address);
  }

  /** Lower is better: an advertised endpoint by its place, then another port of its address, then the old latch. */
  #rankOf(source: Endpoint): number {
    const advertised = this.#advertised;
    let known = false;
    for (let i = 0; i < advertised.length; i++) {
      const a = advertised[i] as Endpoint;
      if (a.address !== source.address) continue;
      if (a.port === source.port) return i;
      known = true;
    }
    if (!known) return NO_LATCH;
    return advertised.length + (this.#isLate(source) ? 1 : 0);
  }

  /** An old port is late, unless it was learnt as the port of an endpoint that is advertised again (after a hold). */
  #isLate(source: Endpoint): boolean {
    if (!this.#previous.some((p) => matches(p, source))) return false;
    const learnt = this.#learnt;
    if (learnt === undefined || !matches(learnt.source, source)) return true;
    return !learnt.advertised.some((then) => this.#advertised.some((a) => matches(then, a)));
  }

  #aim(): void {
    const first = this.#advertised.find((a) => a.port !== 0);
    const to = this.#rank <= this.#advertised.length ? this.latched : first;
    this.forward = to === undefined ? undefined : { kind: 'forward', to };
  }
}

export class RelayStream {
  readonly #internal: StreamSide;
  readonly #external: StreamSide;
  #revision = 0;

  constructor(advertised: AdvertisedEndpoints) {
    this.#internal = new StreamSide(advertised.internal);
    this.#external = new StreamSide(advertised.external);
  }

  /** Another one than before: what `packet` has decided may be decided differently now. */
  get revision(): number {
    return this.#revision;
  }

  /** A new offer or answer. A side whose endpoints have changed begins a new generation. */
  update(advertised: AdvertisedEndpoints): void {
    const internal = this.#internal.update(advertised.internal);
    const external = this.#external.update(advertised.external);
    if (internal || external) this.#revision++;
  }

  /** `side` is where the packet arrived; it leaves on the other one. */
  packet(side: Side, source: Endpoint, bytes: Uint8Array, now: TimeMs): RelayDecision {
    const from = side === 'internal' ? this.#internal : this.#external;
    const to = side === 'internal' ? this.#external : this.#internal;
    const { latched } = from;
    const refused = from.admit(source, bytes);
    if (from.latched !== latched) this.#revision++;
    const reason = refused ?? (to.forward === undefined ? 'no-destination' : undefined);
    if (reason !== undefined) {
      from.drops[reason]++;
      return drops[reason];
    }
    from.packets++;
    from.bytes += bytes.length;
    from.lastMs = now;
    return to.forward as Forward;
  }

  /** Packets of the endpoint that is latched on this side were passed on, as decided in this revision. */
  passed(side: Side, packets: number, bytes: number, now: TimeMs): void {
    const from = side === 'internal' ? this.#internal : this.#external;
    from.packets += packets;
    from.bytes += bytes;
    from.lastMs = now;
  }

  /** Whether this address may send on this side, in this generation. */
  advertises(side: Side, address: Address): boolean {
    return (side === 'internal' ? this.#internal : this.#external).advertises(address);
  }

  report(): StreamReport {
    return { internal: reportSide(this.#internal), external: reportSide(this.#external) };
  }
}

/** The endpoint `offset` ports further on; undefined beyond the last port. */
export function endpointAt(first: Endpoint, offset: number): Endpoint | undefined {
  // Port 0 says that the port is not known, and so is none of those that follow it.
  if (first.port === 0 || offset === 0) return first;
  const port = first.port + offset;
  return port > 65535 ? undefined : { address: first.address, port };
}

function reportSide(side: StreamSide): SideReport {
  return {
    generation: side.generation,
    destination: side.forward?.to,
    latched: side.latched,
    packets: side.packets,
    bytes: side.bytes,
    drops: { ...side.drops },
    lastMs: side.lastMs,
  };
}

function isUsable(e: Endpoint): boolean {
  return !isUnspecified(e.address);
}

function matches(a: Endpoint | undefined, b: Endpoint): boolean {
  return a !== undefined && a.port === b.port && a.address === b.address;
}

function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a.length === b.length && a.every((e, i) => matches(e, b[i] as Endpoint));
}
