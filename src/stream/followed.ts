/**
 * SIP over TCP that others forward, followed from copies of its segments: nothing is sent, changed or held up here.
 *
 * A connection is followed from its first segment or not at all, and a direction in which anything came that is not SIP, or of
 * which a copy is missing, is left alone for good: whoever can have a host inside send octets of his choice (a web page, say)
 * must not have what stands in the middle of them taken for a message. So after a restart only new connections are followed.
 */
import type { PlaneHandler } from '../core/alg/io.ts';
import { type Address, type Endpoint, endpointKey, formatEndpoint } from '../core/net/address.ts';
import { type ConnectionId, over, type Side } from '../core/net/flow.ts';
import { Framer } from '../core/sip/framing.ts';
import { type ConnectionLimits, defaultConnectionLimits } from './connections.ts';
import { Reassembly } from './reassembly.ts';

export interface Segment {
  readonly sequence: number;
  /** Undefined: it acknowledges nothing. */
  readonly acknowledged: number | undefined;
  /** SYN, FIN, RST. */
  readonly opens: boolean;
  readonly ends: boolean;
  readonly breaks: boolean;
  readonly payload: Uint8Array;
}

export interface FollowedOptions {
  readonly handler: Pick<PlaneHandler, 'packet' | 'closed' | 'limit'>;
  readonly limits?: Partial<ConnectionLimits> | undefined;
  /** Something that came is not followed any further. */
  tell(text: string): void;
}

/** As long as a connection that crosses may be silent, or closed by one side (RFC 5382 §5). */
const IDLE_MS = 124 * 60_000;
const HALF_CLOSED_MS = 4 * 60_000;

interface Half {
  readonly octets: Reassembly;
  readonly framer: Framer;
  hasEnded: boolean;
  isTold: boolean;
}

interface Connection {
  /** Below zero: those that cross count from one on. */
  readonly id: ConnectionId;
  readonly phone: Endpoint;
  readonly peer: Endpoint;
  /** By who sends. */
  readonly halves: Readonly<Record<Side, Half>>;
  activeMs: number;
}

export class FollowedConnections {
  readonly #options: FollowedOptions;
  readonly #limits: ConnectionLimits;
  readonly #connections = new Map<string, Connection>();
  readonly #perPhone = new Map<Address, number>();
  #lastId: ConnectionId = 0;

  constructor(options: FollowedOptions) {
    this.#options = options;
    this.#limits = { ...defaultConnectionLimits, ...options.limits };
  }

  get size(): number {
    return this.#connections.size;
  }

  /** A copy of a segment between a phone and somebody outside; `side`: who has sent it. */
  segment(side: Side, phone: Endpoint, peer: Endpoint, segment: Segment, nowMs: number): void {
    const key = `${endpointKey(phone)} ${endpointKey(peer)}`;
    const { sequence, acknowledged, opens, ends, breaks, payload } = segment;
    if (opens && acknowledged === undefined) this.#open(key, phone, peer, sequence, nowMs);
    const connection = this.#connections.get(key);
    if (connection === undefined) return;
    if (breaks) return this.#close(key, connection);
    connection.activeMs = nowMs;
    const half = connection.halves[side];
    const other = connection.halves[side === 'internal' ? 'external' : 'internal'];
    const first = opens ? sequence + 1 : sequence;
    if (opens) half.octets.begin(first);
    // Closing counts one as an octet does, and is no octet.
    if (acknowledged !== undefined && !other.hasEnded) {
      other.octets.acknowledged(acknowledged);
      this.#tellIfLost(connection, other);
    }
    for (const octets of half.octets.take(first, payload)) this.#read(connection, side, half, octets);
    this.#tellIfLost(connection, half);
    if (!ends) return;
    half.hasEnded = true;
    if (other.hasEnded) this.#close(key, connection);
  }

  /** Forgets what has been silent for too long. */
  check(nowMs: number): void {
    for (const [key, connection] of this.#connections) {
      const { internal, external } = connection.halves;
      const limitMs = internal.hasEnded || external.hasEnded ? HALF_CLOSED_MS : IDLE_MS;
      if (nowMs - connection.activeMs > limitMs) this.#close(key, connection);
    }
  }

  #open(key: string, phone: Endpoint, peer: Endpoint, sequence: number, nowMs: number): void {
    const old = this.#connections.get(key);
    if (old !== undefined) {
      // The same SYN again, or the same two ports for another connection.
      if (isBegunAt(old, sequence)) return;
      this.#close(key, old);
    }
    const { connections, connectionsPerPhone } = this.#limits;
    const count = this.#perPhone.get(phone.address) ?? 0;
    if (this.#connections.size >= connections)
      return this.#options.handler.limit('connections', connections, phone.address);
    if (count >= connectionsPerPhone)
      return this.#options.handler.limit('connections-per-phone', connectionsPerPhone, phone.address);
    this.#perPhone.set(phone.address, count + 1);
    const half = (): Half => ({
      octets: new Reassembly(),
      framer: new Framer(),
      hasEnded: false,
      isTold: false,
    });
    const halves = { internal: half(), external: half() };
    this.#connections.set(key, { id: --this.#lastId, phone, peer, halves, activeMs: nowMs });
  }

  #close(key: string, { id, phone }: Connection): void {
    this.#connections.delete(key);
    const left = (this.#perPhone.get(phone.address) ?? 1) - 1;
    if (left === 0) this.#perPhone.delete(phone.address);
    else this.#perPhone.set(phone.address, left);
    this.#options.handler.closed(id);
  }

  #read(connection: Connection, side: Side, half: Half, octets: Uint8Array): void {
    const { id, phone, peer } = connection;
    for (const { kind, bytes } of half.framer.feed(octets)) {
      if (kind === 'raw') return half.octets.giveUp();
      if (kind === 'keepalive') continue;
      const [local, remote] = side === 'internal' ? [peer, phone] : [phone, peer];
      this.#options.handler.packet(
        over({ transport: 'tcp', side, local, remote }, id),
        bytes,
        phone.address,
        undefined,
        true,
      );
    }
  }

  #tellIfLost({ phone, peer }: Connection, half: Half): void {
    if (!half.octets.isLost || half.isTold) return;
    half.isTold = true;
    const why = half.framer.opaqueBecause ?? 'a copy of it was lost';
    this.#options.tell(
      `the TCP connection of ${formatEndpoint(phone)} with ${formatEndpoint(peer)} is not followed any further: ${why}`,
    );
  }
}

function isBegunAt({ halves }: Connection, sequence: number): boolean {
  return [halves.internal, halves.external].some(({ octets }) => octets.beganAt === (sequence + 1) >>> 0);
}
