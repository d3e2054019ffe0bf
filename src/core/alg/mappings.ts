/**
 * Signalling mappings: one external endpoint for each phone endpoint, the same for every provider (RFC 4787 REQ-1), and
 * what the phone wrote, so that it gets back exactly that.
 */

import { EndpointMap } from '../nat/endpoint-map.ts';
import { PortPool, type PortRange } from '../nat/port-pool.ts';
import { SmallMap, SmallSet } from '../nat/small-map.ts';
import { type Due, TimerQueue, UNQUEUED } from '../nat/timer-queue.ts';
import { type Address, type Endpoint, endpointKey } from '../net/address.ts';
import type { ConnectionId, Transport } from '../net/flow.ts';
import type { Span } from '../net/span.ts';
import { MINUTE_MS, SECOND_MS, type TimeMs } from '../net/time.ts';
import type { MappingId } from './io.ts';
import { type Limits, type StaticMapping, staticExternal } from './policy.ts';

/** A mapping without a registration or a dialog lives this long after the phone last sent (RFC 4787 REQ-5: ≥ 2 min). */
export const IDLE_MS = 5 * MINUTE_MS;
/** Of one that nothing else keeps, the row may know so much less. */
export const USE_UNWRITTEN_MS = MINUTE_MS;
/** A registration is held this much longer than granted, for a refresh that is on its way. */
export const REGISTRATION_MARGIN_MS = 30 * SECOND_MS;
/** The longest registration that is believed; a registrar that grants more is refreshed long before (RFC 3261 §10.2). */
export const REGISTRATION_MAX_MS = 24 * 60 * MINUTE_MS;

/** One contact binding that a registrar has granted to the phone (RFC 3261 §10). */
export interface Registration {
  readonly aor: string;
  peer: Endpoint;
  expiresAt: TimeMs;
  /** When it ends according to its row, which may be later by `rowLeadMs`: so that not every refresh has to be written. */
  storedUntil: TimeMs;
}

/** A registration as its row has it. */
export type StoredRegistration = Omit<Registration, 'storedUntil'>;

/** A Contact of a phone, and what was read in it: nearly every message of a phone has the same one. */
export interface WrittenContact {
  /** The URI. */
  readonly uri: string;
  readonly user: string;
  /** The host and port. */
  readonly written: string;
  /** Where the host begins and ends in the URI. */
  readonly host: Span;
  readonly port: number | undefined;
  readonly internal: Endpoint;
  readonly transport: Transport;
}

export interface SignallingMapping extends Due {
  readonly id: MappingId;
  readonly transport: Transport;
  readonly internal: Endpoint;
  external: Endpoint;
  /** The phone is routed without NAT: its external endpoint is its own, for good. */
  readonly routed: boolean;
  state: 'opening' | 'open' | 'closed';
  attempts: number;
  /** Addresses that the phone has sent to, with the endpoint it used last: whom the filter admits (RFC 4787 §5). */
  readonly peers: SmallMap<Address, Endpoint>;
  lastPeer: Endpoint | undefined;
  /** The port from which the phone last sent, which need not be the one it listens on. */
  sourcePort: number;
  /** userinfo → the host and port that the phone wrote in the Contact; the newest stands last. */
  readonly contacts: SmallMap<string, string>;
  /** The Contact that the phone wrote last; it stands in `contacts` too. */
  newestContact: WrittenContact | undefined;
  /** The sent-by that the phone wrote last. */
  sentBy: string;
  /** The host and port that a declared proxy wrote in its Record-Route. */
  recordRoute: string | undefined;
  /** address-of-record and userinfo → what the registrar granted. */
  readonly registrations: SmallMap<string, Registration>;
  /** Live dialogs, which keep the mapping. */
  readonly dialogs: SmallSet<string>;
  /** Connections over which the phone has sent, which keep it too (RFC 5382 §5: a live connection keeps its mapping). */
  readonly connections: SmallSet<ConnectionId>;
  /** It was open in a former run. */
  readonly restored: boolean;
  /** Since when the phone's requests have gone out and nothing has come in; undefined while they are answered. */
  silentSince: TimeMs | undefined;
  lastUsed: TimeMs;
  /** As its row has it. */
  storedUse: TimeMs;
  /** When a request last came in from outside. */
  lastIncoming: TimeMs | undefined;
  /** Other reasons to stay, such as a subscription. */
  keepUntil: TimeMs;
}

export interface MappingRow {
  readonly transport: Transport;
  readonly internal: Endpoint;
  readonly external: Endpoint;
  readonly routed?: boolean;
  readonly peers: readonly Endpoint[];
  readonly lastPeer: Endpoint | undefined;
  readonly sourcePort: number;
  readonly contacts: readonly (readonly [string, string])[];
  readonly recordRoute: string | undefined;
  readonly registrations: readonly (readonly [string, Readonly<StoredRegistration>])[];
  readonly lastUsed: TimeMs;
  readonly keepUntil: TimeMs;
}

export class Mappings {
  readonly #byExternal: Readonly<Record<Transport, EndpointMap<SignallingMapping>>> = {
    udp: new EndpointMap(),
    tcp: new EndpointMap(),
  };
  readonly #byId = new Map<MappingId, SignallingMapping>();
  readonly #byPhone = new Map<Address, SignallingMapping[]>();
  /** Ports that a phone had before, so that it gets the same one again. */
  readonly #remembered = new Map<string, number>();
  /** The newest of them for each phone endpoint, whatever the address: a new address begins with the same port. */
  readonly #latest = new Map<string, number>();
  readonly #byConnection = new Map<ConnectionId, Set<SignallingMapping>>();
  readonly #pools: Readonly<Record<Transport, PortPool>>;
  readonly #statics: readonly StaticMapping[];
  readonly #limits: Limits;
  readonly timers = new TimerQueue<SignallingMapping>();

  constructor(ports: PortRange, statics: readonly StaticMapping[], limits: Limits) {
    this.#pools = { udp: new PortPool(ports), tcp: new PortPool(ports) };
    this.#statics = statics;
    this.#limits = limits;
  }

  get size(): number {
    return this.#byId.size;
  }

  values(): Iterable<SignallingMapping> {
    return this.#byId.values();
  }

  byId(id: MappingId): SignallingMapping | undefined {
    return this.#byId.get(id);
  }

  /** The mapping of a phone endpoint on one external address; the static mappings lay the address down. */
  byInternal(
    transport: Transport,
    internal: Endpoint,
    externalAddress: Address,
  ): SignallingMapping | undefined {
    const laidDown = staticExternal(this.#statics, internal);
    return this.#having(transport, internal, laidDown?.address ?? externalAddress);
  }

  byExternal(transport: Transport, external: Endpoint): SignallingMapping | undefined {
    return this.#byExternal[transport].get(external);
  }

  /** The mapping of a routed phone that an endpoint of its own belongs to: where it listens, or from where it sends. */
  ofRouted(transport: Transport, own: Endpoint): SignallingMapping | undefined {
    const listening = this.byExternal(transport, own);
    if (listening !== undefined) return listening;
    for (const one of this.ofPhone(own.address))
      if (one.routed && one.transport === transport && one.sourcePort === own.port) return one;
    return undefined;
  }

  /** Every mapping of one phone. */
  ofPhone(phone: Address): readonly SignallingMapping[] {
    return this.#byPhone.get(phone) ?? NO_MAPPINGS;
  }

  /** Whether the static mappings lay an external endpoint down for it. */
  isStatic(internal: Endpoint): boolean {
    return staticExternal(this.#statics, internal) !== undefined;
  }

  /** A new mapping that wants to be opened; undefined where the table or the pool is full. */
  create(
    id: MappingId,
    now: TimeMs,
    transport: Transport,
    internal: Endpoint,
    externalAddress: Address,
    routed = false,
  ): SignallingMapping | undefined {
    if (
      this.#byId.size >= this.#limits.mappings ||
      this.ofPhone(internal.address).length >= this.#limits.mappingsPerPhone
    )
      return undefined;
    const laidDown = routed ? internal : staticExternal(this.#statics, internal);
    const external = laidDown ?? this.#choose(transport, internal, externalAddress, 0);
    if (external === undefined) return undefined;
    const mapping: SignallingMapping = {
      id,
      transport,
      internal,
      external,
      routed,
      state: 'opening',
      attempts: 1,
      peers: new SmallMap(),
      lastPeer: undefined,
      sourcePort: internal.port,
      contacts: new SmallMap(),
      newestContact: undefined,
      sentBy: '',
      recordRoute: undefined,
      registrations: new SmallMap(),
      dialogs: new SmallSet(),
      connections: new SmallSet(),
      restored: false,
      lastUsed: now,
      storedUse: now,
      silentSince: undefined,
      lastIncoming: undefined,
      keepUntil: 0,
      dueAt: Number.POSITIVE_INFINITY,
      place: UNQUEUED,
    };
    this.#insert(mapping);
    return mapping;
  }

  /** The next external endpoint to try after one could not be had; false where there is none left to try. */
  retry(mapping: SignallingMapping): boolean {
    if (mapping.routed || this.isStatic(mapping.internal) || mapping.attempts >= 16) return false;
    const byExternal = this.#byExternal[mapping.transport];
    byExternal.delete(mapping.external.address, mapping.external.port);
    const refused = mapping.external;
    // Chosen before the refused port is given back, so that it is another one.
    const next = this.#choose(mapping.transport, mapping.internal, refused.address, mapping.attempts);
    this.#pools[mapping.transport].release(refused.address, refused.port);
    if (next === undefined) return false;
    mapping.attempts++;
    mapping.external = next;
    byExternal.set(next.address, next.port, mapping);
    return true;
  }

  remove(mapping: SignallingMapping): void {
    mapping.state = 'closed';
    this.timers.cancel(mapping);
    this.#byId.delete(mapping.id);
    const { transport, internal, external } = mapping;
    // A list of its own: whoever goes through the phone's mappings goes on through those that there were.
    const left = this.ofPhone(internal.address).filter((one) => one !== mapping);
    if (left.length === 0) this.#byPhone.delete(internal.address);
    else this.#byPhone.set(internal.address, left);
    this.#byExternal[transport].delete(external.address, external.port);
    this.#pools[transport].release(external.address, external.port);
    for (const connection of mapping.connections) this.#byConnection.get(connection)?.delete(mapping);
    mapping.connections.clear();
  }

  /** Remembers the port for the phone's next mapping; returns the row to keep. */
  remember(mapping: SignallingMapping): { key: string; port: number } {
    const key = internalKey(mapping.transport, mapping.internal, mapping.external.address);
    this.#remembered.delete(key);
    this.#note(key, mapping.external.port);
    return { key, port: mapping.external.port };
  }

  /** Drops the oldest remembered ports beyond the bound; returns their keys. */
  forget(): string[] {
    const gone: string[] = [];
    for (const key of this.#remembered.keys()) {
      if (this.#remembered.size <= this.#limits.mappings * 2) break;
      this.#remembered.delete(key);
      this.#latest.delete(withoutAddress(key));
      gone.push(key);
    }
    return gone;
  }

  restorePort(key: string, port: number): void {
    this.#note(key, port);
  }

  restore(id: MappingId, row: MappingRow, now: TimeMs): SignallingMapping | undefined {
    if (
      this.#byId.size >= this.#limits.mappings ||
      !this.#pools[row.transport].isFree(row.external.address, row.external.port) ||
      this.#having(row.transport, row.internal, row.external.address) !== undefined
    )
      return undefined;
    // A clock that was set back since (a router without a battery) must not make a registration eternal.
    const latest = now + REGISTRATION_MAX_MS + REGISTRATION_MARGIN_MS;
    this.#pools[row.transport].claim(row.external.address, row.external.port);
    this.#note(internalKey(row.transport, row.internal, row.external.address), row.external.port);
    const mapping: SignallingMapping = {
      id,
      transport: row.transport,
      internal: row.internal,
      external: row.external,
      routed: row.routed === true,
      state: 'opening',
      attempts: 1,
      peers: new SmallMap(row.peers.map((peer) => [peer.address, peer])),
      lastPeer: row.lastPeer,
      sourcePort: row.sourcePort,
      contacts: new SmallMap(row.contacts),
      newestContact: undefined,
      sentBy: '',
      recordRoute: row.recordRoute,
      registrations: new SmallMap(
        row.registrations.map(([key, { aor, peer, expiresAt: until }]) => {
          const expiresAt = Math.min(until, latest);
          return [key, { aor, peer, expiresAt, storedUntil: expiresAt }];
        }),
      ),
      dialogs: new SmallSet(),
      connections: new SmallSet(),
      restored: true,
      lastUsed: Math.min(row.lastUsed + USE_UNWRITTEN_MS, now),
      storedUse: Math.min(row.lastUsed, now),
      silentSince: undefined,
      lastIncoming: undefined,
      keepUntil: Math.min(row.keepUntil, latest),
      dueAt: Number.POSITIVE_INFINITY,
      place: UNQUEUED,
    };
    this.#insert(mapping);
    return mapping;
  }

  /** Works out when the mapping has to be looked at next, and puts it into the queue. */
  schedule(mapping: SignallingMapping): void {
    let earliest = endsAt(mapping);
    for (const one of mapping.registrations.values()) earliest = Math.min(earliest, one.expiresAt);
    mapping.dueAt = earliest;
    this.timers.schedule(mapping);
  }

  #note(key: string, port: number): void {
    this.#remembered.set(key, port);
    this.#latest.set(withoutAddress(key), port);
  }

  #insert(mapping: SignallingMapping): void {
    this.#byId.set(mapping.id, mapping);
    const ofPhone = this.#byPhone.get(mapping.internal.address);
    if (ofPhone === undefined) this.#byPhone.set(mapping.internal.address, [mapping]);
    else ofPhone.push(mapping);
    this.#byExternal[mapping.transport].set(mapping.external.address, mapping.external.port, mapping);
  }

  /** A phone has one or two mappings as a rule, and `mappingsPerPhone` at most. */
  #having(
    transport: Transport,
    { address, port }: Endpoint,
    externalAddress: Address,
  ): SignallingMapping | undefined {
    const mappings = this.ofPhone(address);
    for (let i = 0; i < mappings.length; i++) {
      const one = mappings[i]!;
      if (
        one.internal.port === port &&
        one.transport === transport &&
        one.external.address === externalAddress
      )
        return one;
    }
    return undefined;
  }

  /** The phone has sent over this connection by this mapping. */
  join(mapping: SignallingMapping, connection: ConnectionId): void {
    if (mapping.connections.has(connection)) return;
    mapping.connections.add(connection);
    const known = this.#byConnection.get(connection);
    if (known === undefined) this.#byConnection.set(connection, new Set([mapping]));
    else known.add(mapping);
  }

  /** The connection is gone: the mappings that it has kept are looked at again. */
  leave(connection: ConnectionId, now: TimeMs): void {
    for (const mapping of this.#byConnection.get(connection) ?? []) {
      mapping.connections.delete(connection);
      mapping.lastUsed = now;
      this.schedule(mapping);
    }
    this.#byConnection.delete(connection);
  }

  /**
   * The port that the phone had before, here or at another address; then the one that it has on the other transport (a URI
   * without a transport is then right for both), then its own, then the next one of the pool.
   */
  #choose(transport: Transport, internal: Endpoint, address: Address, attempt: number): Endpoint | undefined {
    const pool = this.#pools[transport];
    const key = internalKey(transport, internal, address);
    const before = this.#remembered.get(key) ?? this.#latest.get(withoutAddress(key));
    const other = this.byInternal(transport === 'udp' ? 'tcp' : 'udp', internal, address)?.external.port;
    const wanted = new Set([before, other, internal.port].filter((port) => port !== undefined));
    for (const port of [...wanted].slice(attempt)) {
      if (port < 1024 || !pool.isFree(address, port)) continue;
      pool.claim(address, port);
      return { address, port };
    }
    const port = pool.take(address, 1);
    return port === undefined ? undefined : { address, port };
  }
}

const NO_MAPPINGS: readonly SignallingMapping[] = [];

/** When nothing keeps the mapping any more. */
export function endsAt(mapping: SignallingMapping): TimeMs {
  if (mapping.dialogs.size > 0 || mapping.connections.size > 0) return Number.POSITIVE_INFINITY;
  let end = Math.max(mapping.lastUsed + IDLE_MS, mapping.keepUntil);
  for (const one of mapping.registrations.values()) end = Math.max(end, one.expiresAt);
  return end;
}

/**
 * How the phone wrote the host and port of its Contact: for this user, or else as it did last. A provider may put a dialled
 * number in the place of the user, or nobody.
 */
export function writtenContact(mapping: SignallingMapping, user: string): string | undefined {
  const exact = mapping.contacts.get(user);
  if (exact !== undefined) return exact;
  let last: string | undefined;
  for (const written of mapping.contacts.values()) last = written;
  return last;
}

/**
 * How much later than granted a row may say that a registration ends, where the phone refreshes it more often than that. A gateway
 * that was killed believes the row, which must not say too little: what was refreshed unwritten has its whole time. Five minutes is
 * what a mapping without any registration has (`IDLE_MS`); of a long one, an eighth.
 */
export function rowLeadMs(lifetimeMs: number): number {
  return Math.max(IDLE_MS, lifetimeMs / 8);
}

/** As it is at this moment; `until`: what it says of the ends of registrations. */
export function mappingRow(
  mapping: SignallingMapping,
  until: (one: Registration) => TimeMs = ({ expiresAt }) => expiresAt,
): MappingRow {
  return {
    transport: mapping.transport,
    internal: mapping.internal,
    external: mapping.external,
    ...(mapping.routed ? { routed: true } : {}),
    peers: [...mapping.peers.values()],
    lastPeer: mapping.lastPeer,
    sourcePort: mapping.sourcePort,
    contacts: [...mapping.contacts],
    recordRoute: mapping.recordRoute,
    registrations: Array.from(mapping.registrations, ([key, one]) => [
      key,
      { aor: one.aor, peer: one.peer, expiresAt: until(one) },
    ]),
    lastUsed: mapping.lastUsed,
    keepUntil: mapping.keepUntil,
  };
}

/** The row's key, which is the same before and after a restart. */
export function mappingKey(mapping: SignallingMapping): string {
  return internalKey(mapping.transport, mapping.internal, mapping.external.address);
}

function internalKey(transport: Transport, internal: Endpoint, externalAddress: Address): string {
  return `${transport} ${endpointKey(internal)} ${externalAddress}`;
}

/** The key of a mapping without its external address, which stands last. */
function withoutAddress(key: string): string {
  return key.slice(0, key.lastIndexOf(' '));
}
