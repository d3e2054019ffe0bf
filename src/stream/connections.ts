/**
 * The TCP connections that cross the gateway: a phone's connection and the ones of ours that go on from it, and those that
 * a provider opens to a mapping.
 *
 * Facts: a response goes back on the connection that its request came on, and over another one where that is gone (RFC
 * 3261 §18.2.2); a connection that is there is used again for requests in the other direction (RFC 5626 §5.3; RFC 5923 is for TLS alone);
 * what is not SIP goes on raw for good, in its direction; a live connection may be silent for long (RFC 5382 §5).
 *
 * Messages go by way of the engine, which says where they go on; the rest goes straight across, in its order.
 */
import type { Socket } from 'node:net';
import type { PlaneHandler } from '../core/alg/io.ts';
import {
  type Address,
  type Endpoint,
  endpointKey,
  formatEndpoint,
  sameEndpoint,
} from '../core/net/address.ts';
import type { ConnectionId, Flow, Side } from '../core/net/flow.ts';
import { Leg, type LegOwner } from './leg.ts';
import { costOf, Pace } from './pace.ts';
import { isPing, PING_MS, PONG, PONG_MS, withoutPong } from './ping.ts';

export interface ConnectionLimits {
  /** Connections of phones and of providers, in all. */
  readonly connections: number;
  /** Of one phone, or to one mapping. */
  readonly connectionsPerPhone: number;
  /** On all connections of one address; a message longer than 1500 octets counts as its datagrams would. */
  readonly messagesPerSecondPerPhone: number;
  readonly messagesPerSecondPerProvider: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  connections: 2048,
  connectionsPerPhone: 64,
  messagesPerSecondPerPhone: 1_000,
  messagesPerSecondPerProvider: 5_000,
};

/** A silent connection is given up after this (RFC 5382 §5: not before 2 h 4 min). */
const IDLE_MS = 124 * 60_000;
/** One that one side has closed already (RFC 5382 §5: not before 4 min). */
const HALF_CLOSED_MS = 4 * 60_000;
const CHECK_MS = 10_000;
/** Octets of keepalives that a phone sends before its first message, kept until it is known where they go. */
const MAX_EARLY = 1024;

export interface ConnectionsOptions {
  readonly handler: Pick<PlaneHandler, 'packet' | 'admits' | 'closed' | 'limit'>;
  readonly limits?: Partial<ConnectionLimits> | undefined;
  /** A socket that is being connected from `local` (port 0: any) to `remote`. May throw. */
  connect(side: Side, local: Endpoint, remote: Endpoint): Socket;
  /** Where the phone's message goes; it is handed to the engine before, or when, the promise is fulfilled. */
  fromPhone(connection: PhoneConnection, bytes: Uint8Array): Promise<void> | undefined;
  /** Our own address towards a provider, for what no mapping carries. */
  externalAddress(provider: Address): Address | undefined;
  notice(code: string, text: string): void;
}

/** What a phone's message comes by. */
export interface PhoneConnection {
  readonly id: ConnectionId;
  readonly phone: Endpoint;
  /** Our end of it: in the transparent mode, the provider that the phone addresses. */
  readonly local: Endpoint;
}

interface Crossing {
  readonly id: ConnectionId;
  /** Under which its number is bounded. */
  readonly party: string;
  readonly openedBy: Side;
  phone: Leg | undefined;
  /** Towards providers, by their endpoint; in the transparent mode, one at most. */
  readonly providers: Map<string, Leg>;
  /** The one that was used last. */
  current: Leg | undefined;
  early: Uint8Array[];
  /** When the phone last sent a keepalive of its own. */
  pingedMs: number;
  /** External endpoints under which it is known. */
  readonly externals: Set<string>;
  activeMs: number;
  isHalfClosed: boolean;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #limits: ConnectionLimits;
  readonly #crossings = new Map<ConnectionId, Crossing>();
  readonly #parties = new Map<string, number>();
  /** Of each external endpoint the crossings that lead to its phone, the newest last. */
  readonly #byExternal = new Map<string, Set<Crossing>>();
  readonly #byPhone = new Map<string, Crossing>();
  /** The mappings: internal endpoint → external endpoint. */
  readonly #externals = new Map<string, string>();
  readonly #paces: Readonly<Record<Side, Pace>>;
  readonly #timer: NodeJS.Timeout;
  #lastId: ConnectionId = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#limits = { ...defaultConnectionLimits, ...options.limits };
    this.#paces = {
      internal: new Pace(this.#limits.messagesPerSecondPerPhone),
      external: new Pace(this.#limits.messagesPerSecondPerProvider),
    };
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref();
  }

  get size(): number {
    return this.#crossings.size;
  }

  /** A mapping is open: what has to reach `internal` may take a connection that is known by `external`. */
  map(internal: Endpoint, external: Endpoint): void {
    this.#externals.set(endpointKey(internal), endpointKey(external));
  }

  /** The mapping is closed. With `external`, another one of the same phone endpoint at another address stays. */
  unmap(internal: Endpoint, external?: Endpoint): void {
    const key = endpointKey(internal);
    if (external === undefined || this.#externals.get(key) === endpointKey(external))
      this.#externals.delete(key);
  }

  /** The address is not ours any more: phones see their connections by it break, and make new ones. */
  leave(address: Address): void {
    for (const { id, providers } of [...this.#crossings.values()])
      if ([...providers.values()].some(({ local }) => local.address === address))
        this.#breakOff(id, new Error(`${address} is not ours any more`));
  }

  /** A phone has connected. `local`: our end, which in the transparent mode is the provider's endpoint. */
  acceptPhone(socket: Socket, local: Endpoint, phone: Endpoint): void {
    const crossing = this.#admit(socket, phone.address, phone.address, 'internal');
    if (crossing !== undefined) this.#setPhone(crossing, socket, local, phone);
  }

  /** Somebody has connected to the external endpoint `external` of a mapping. */
  acceptProvider(socket: Socket, external: Endpoint, remote: Endpoint): void {
    if (!this.#options.handler.admits(external, remote)) {
      socket.resetAndDestroy();
      const who = `${formatEndpoint(remote)} connected to ${formatEndpoint(external)}`;
      this.#options.notice('stream.stranger', `${who}, and is no provider of that phone; refused`);
      return;
    }
    const crossing = this.#admit(socket, `to ${endpointKey(external)}`, remote.address, 'external');
    if (crossing !== undefined) this.#addProvider(crossing, socket, external, remote);
  }

  /** Writes to the connection that the flow names, or to one that leads there. False where there is none. */
  send(flow: Flow, bytes: Uint8Array): boolean {
    if (flow.connection === undefined && flow.side === 'external' && isPing(bytes))
      return this.#ping(flow, bytes);
    try {
      const leg = flow.side === 'internal' ? this.#phoneLeg(flow) : this.#providerLeg(flow);
      return leg?.write(bytes, this.#reading) ?? false;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#options.notice('stream.connect', `no connection to ${formatEndpoint(flow.remote)}: ${text}`);
      if (flow.connection !== undefined) this.#breakOff(flow.connection, error as Error);
      return false;
    }
  }

  /** Phones see their connection break, and make a new one; providers see it end. */
  stop(): void {
    clearInterval(this.#timer);
    for (const crossing of [...this.#crossings.values()]) {
      for (const leg of [...crossing.providers.values()]) leg.finish();
      crossing.phone?.reset(new Error('the gateway stops'));
    }
  }

  // ---- crossings

  #admit(socket: Socket, party: string, source: Address, openedBy: Side): Crossing | undefined {
    const { connections, connectionsPerPhone } = this.#limits;
    const { handler } = this.#options;
    const phone = openedBy === 'internal' ? source : undefined;
    const isFull = this.#crossings.size >= connections;
    if (!isFull && (this.#parties.get(party) ?? 0) < connectionsPerPhone)
      return this.#create(party, openedBy);
    socket.resetAndDestroy();
    if (isFull) handler.limit('connections', connections, phone);
    else handler.limit('connections-per-phone', connectionsPerPhone, phone);
    return undefined;
  }

  #create(party: string, openedBy: Side): Crossing {
    const crossing: Crossing = {
      id: ++this.#lastId,
      party,
      openedBy,
      phone: undefined,
      providers: new Map(),
      current: undefined,
      early: [],
      pingedMs: Number.NEGATIVE_INFINITY,
      externals: new Set(),
      activeMs: performance.now(),
      isHalfClosed: false,
    };
    this.#crossings.set(crossing.id, crossing);
    this.#parties.set(party, (this.#parties.get(party) ?? 0) + 1);
    return crossing;
  }

  #forgetIfOver(crossing: Crossing): void {
    if (crossing.phone !== undefined || crossing.providers.size > 0) return;
    if (!this.#crossings.delete(crossing.id)) return;
    const count = (this.#parties.get(crossing.party) ?? 1) - 1;
    if (count === 0) this.#parties.delete(crossing.party);
    else this.#parties.set(crossing.party, count);
    for (const key of crossing.externals) {
      const known = this.#byExternal.get(key);
      known?.delete(crossing);
      if (known?.size === 0) this.#byExternal.delete(key);
    }
    this.#options.handler.closed(crossing.id);
  }

  #breakOff(id: ConnectionId, error: Error): void {
    const crossing = this.#crossings.get(id);
    if (crossing === undefined) return;
    crossing.phone?.reset(error);
    for (const leg of [...crossing.providers.values()]) leg.reset(error);
  }

  #know(crossing: Crossing, external: string): void {
    crossing.externals.add(external);
    const known = this.#byExternal.get(external);
    if (known === undefined) this.#byExternal.set(external, new Set([crossing]));
    else known.add(crossing);
  }

  #setPhone(crossing: Crossing, socket: Socket, local: Endpoint, phone: Endpoint, again?: () => Socket): Leg {
    const leg = new Leg(socket, local, phone, this.#phoneOwner(crossing), again);
    crossing.phone = leg;
    this.#byPhone.set(endpointKey(phone), crossing);
    return leg;
  }

  #addProvider(
    crossing: Crossing,
    socket: Socket,
    local: Endpoint,
    remote: Endpoint,
    again?: () => Socket,
  ): Leg {
    const leg = new Leg(socket, local, remote, this.#providerOwner(crossing), again);
    crossing.providers.set(endpointKey(remote), leg);
    crossing.current = leg;
    if (local.port !== 0) this.#know(crossing, endpointKey(local));
    for (const bytes of crossing.early) leg.write(bytes);
    crossing.early = [];
    return leg;
  }

  // ---- where it goes

  #phoneLeg(flow: Flow): Leg | undefined {
    const own = flow.connection === undefined ? undefined : this.#crossings.get(flow.connection);
    if (own?.phone?.isOpen === true) return own.phone;
    // A phone that has connected to another one's external endpoint is answered there.
    const direct = own?.current;
    if (direct?.isOpen === true && direct.remote.address === flow.remote.address) return direct;
    const known = this.#byPhone.get(endpointKey(flow.remote));
    if (known !== undefined && leadsToPhone(known)) return known.phone;
    const external = this.#externals.get(endpointKey(flow.remote));
    let newest: Crossing | undefined;
    if (external !== undefined)
      for (const crossing of this.#byExternal.get(external) ?? [])
        if (leadsToPhone(crossing)) newest = crossing;
    if (newest !== undefined) return newest.phone;
    const connect = (port: number): Socket =>
      this.#options.connect('internal', { address: flow.local.address, port }, flow.remote);
    const socket = connect(flow.local.port);
    const crossing =
      own !== undefined && own.phone === undefined ? own : this.#create(flow.remote.address, 'external');
    if (external !== undefined) this.#know(crossing, external);
    return this.#setPhone(crossing, socket, flow.local, flow.remote, () => connect(0));
  }

  /**
   * A ping of ours goes over every connection that leads there, where the phone sends none itself; never into a stream that
   * is not SIP. Its pong is not the phone's (RFC 5626 §4.4.1). Without a connection there is nothing to keep.
   */
  #ping(flow: Flow, bytes: Uint8Array): boolean {
    const now = performance.now();
    for (const crossing of this.#byExternal.get(endpointKey(flow.local)) ?? []) {
      if (crossing.phone?.isOpaque === true || now - crossing.pingedMs < PING_MS) continue;
      for (const leg of crossing.providers.values())
        if (!leg.isOpaque && sameEndpoint(leg.remote, flow.remote) && leg.write(bytes))
          leg.pongUntilMs = now + PONG_MS;
    }
    return true;
  }

  #providerLeg(flow: Flow): Leg | undefined {
    const own = flow.connection === undefined ? undefined : this.#crossings.get(flow.connection);
    const leg = own?.providers.get(endpointKey(flow.remote));
    if (own !== undefined && leg?.isOpen === true) {
      own.current = leg;
      return leg;
    }
    if (own?.openedBy === 'internal' && own.phone?.isOpen === true)
      return this.#goOn(own, flow.local, flow.remote);
    for (const crossing of this.#byExternal.get(endpointKey(flow.local)) ?? [])
      for (const other of crossing.providers.values())
        if (other.isOpen && other.remote.address === flow.remote.address) return other;
    return undefined;
  }

  /** A connection of ours towards the provider, from the mapping's external endpoint where that is free. */
  #goOn(crossing: Crossing, local: Endpoint, remote: Endpoint): Leg {
    const connect = (port: number): Socket =>
      this.#options.connect('external', { address: local.address, port }, remote);
    const isTaken = [...(this.#byExternal.get(endpointKey(local)) ?? [])].some((other) =>
      [...other.providers.values()].some((leg) => sameEndpoint(leg.remote, remote)),
    );
    return this.#addProvider(crossing, connect(isTaken ? 0 : local.port), local, remote, () => connect(0));
  }

  // ---- what legs bring

  /** The leg whose message the engine is handling now. */
  #reading: Leg | undefined;

  #whileReading(leg: Leg, action: () => Promise<void> | undefined): Promise<void> | undefined {
    this.#reading = leg;
    try {
      return action();
    } finally {
      this.#reading = undefined;
    }
  }

  /** One phone, on however many connections, cannot keep the others waiting. */
  #pace(side: Side, { remote: { address } }: Leg, octets: number): number {
    const waitMs = this.#paces[side].take(address, costOf(octets), performance.now());
    if (waitMs === 0) return 0;
    const { messagesPerSecondPerPhone, messagesPerSecondPerProvider } = this.#limits;
    const { handler } = this.#options;
    if (side === 'internal')
      handler.limit('messages-per-second-per-phone', messagesPerSecondPerPhone, address);
    else handler.limit('messages-per-second-per-provider', messagesPerSecondPerProvider);
    return waitMs;
  }

  #phoneOwner(crossing: Crossing): LegOwner {
    return {
      pace: (leg, octets) => this.#pace('internal', leg, octets),
      message: (leg, bytes) =>
        this.#whileReading(leg, () =>
          this.#options.fromPhone({ id: crossing.id, phone: leg.remote, local: leg.local }, bytes),
        ),
      raw: (leg, bytes, kind) => this.#rawFromPhone(crossing, leg, bytes, kind),
      opaque: (leg, why) => this.#tellOpaque(leg, why),
      ended: (leg) => {
        crossing.isHalfClosed = true;
        if (crossing.providers.size === 0) leg.finish();
        for (const provider of crossing.providers.values()) provider.end();
      },
      closed: (leg, error) => {
        crossing.phone = undefined;
        const key = endpointKey(leg.remote);
        if (this.#byPhone.get(key) === crossing) this.#byPhone.delete(key);
        for (const provider of [...crossing.providers.values()]) {
          if (error === undefined) provider.finish();
          else provider.reset(error);
        }
        this.#forgetIfOver(crossing);
      },
      active: () => {
        crossing.activeMs = performance.now();
      },
    };
  }

  #providerOwner(crossing: Crossing): LegOwner {
    return {
      pace: (leg, octets) => this.#pace('external', leg, octets),
      message: (leg, bytes) => {
        if (leg.local.port === 0) {
          crossing.phone?.write(bytes, leg);
          return undefined;
        }
        const { local, remote } = leg;
        return this.#whileReading(leg, () => {
          this.#options.handler.packet(
            { transport: 'tcp', side: 'external', local, remote, connection: crossing.id },
            bytes,
          );
          return undefined;
        });
      },
      raw: (leg, received, kind) => {
        const bytes = kind === 'keepalive' ? withoutPong(leg, received) : received;
        if (bytes.length === 0) return;
        if (crossing.phone !== undefined) crossing.phone.write(bytes, leg);
        // Nobody else can answer the keepalives of a connection that ends here (RFC 5626 §4.4.1).
        else if (kind === 'keepalive') {
          if (bytes.length >= 4) leg.write(PONG);
        } else leg.reset(new Error('it is not SIP, and leads to no phone'));
      },
      opaque: (leg, why) => this.#tellOpaque(leg, why),
      ended: (leg) => {
        if (crossing.providers.size > 1 || crossing.phone === undefined) leg.finish();
        else {
          crossing.isHalfClosed = true;
          crossing.phone.end();
        }
      },
      closed: (leg, error) => {
        const key = endpointKey(leg.remote);
        if (crossing.providers.get(key) === leg) crossing.providers.delete(key);
        if (crossing.current === leg) crossing.current = [...crossing.providers.values()].at(-1);
        if (error !== undefined)
          this.#options.notice(
            'stream.broken',
            `the connection to ${formatEndpoint(leg.remote)}: ${error.message}`,
          );
        if (crossing.providers.size === 0) {
          if (error === undefined) crossing.phone?.finish();
          else crossing.phone?.reset(error);
        }
        this.#forgetIfOver(crossing);
      },
      active: () => {
        crossing.activeMs = performance.now();
      },
    };
  }

  #rawFromPhone(crossing: Crossing, leg: Leg, bytes: Uint8Array, kind: 'keepalive' | 'raw'): void {
    if (kind === 'keepalive') crossing.pingedMs = performance.now();
    if (crossing.current !== undefined) {
      crossing.current.write(bytes, leg);
      return;
    }
    if (kind === 'keepalive') {
      // More than that is let go. To go on for its sake would be without a mapping, and so would be the messages after it.
      const early = crossing.early.reduce((sum, one) => sum + one.length, bytes.length);
      if (early <= MAX_EARLY) crossing.early.push(bytes);
      return;
    }
    const address = this.#options.externalAddress(leg.local.address);
    try {
      if (address === undefined) throw new Error('there is no route');
      this.#goOn(crossing, { address, port: 0 }, leg.local).write(bytes, leg);
    } catch (error) {
      leg.reset(error as Error);
    }
  }

  #tellOpaque(leg: Leg, why: string): void {
    this.#options.notice(
      'stream.opaque',
      `what ${formatEndpoint(leg.remote)} sends passes untouched from here on: ${why}`,
    );
  }

  // ---- time

  #check(): void {
    const now = performance.now();
    for (const pace of Object.values(this.#paces)) pace.sweep(now);
    for (const crossing of [...this.#crossings.values()]) {
      crossing.phone?.check(now);
      for (const leg of [...crossing.providers.values()]) leg.check(now);
      const limit = crossing.isHalfClosed ? HALF_CLOSED_MS : IDLE_MS;
      if (now - crossing.activeMs > limit)
        this.#breakOff(crossing.id, new Error('it was silent for too long'));
    }
  }
}

/** Whether messages of other connections may be written to this one's phone. */
function leadsToPhone(crossing: Crossing): boolean {
  const isOpaque = [...crossing.providers.values()].some((leg) => leg.isOpaque);
  return crossing.phone?.isOpen === true && !crossing.phone.isOpaque && !isOpaque;
}
