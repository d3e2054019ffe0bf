/**
 * SIP over UDP at the external endpoints: a socket for each mapping, and in the kernel who may come in there and for how long.
 * The phone that is routed without NAT has a mapping too, and no socket: its packets pass by us.
 */
import type { MappingId, SignallingCommand } from '../core/alg/io.ts';
import { EndpointMap } from '../core/nat/endpoint-map.ts';
import { SmallMap } from '../core/nat/small-map.ts';
import { type Due, TimerQueue, UNQUEUED } from '../core/nat/timer-queue.ts';
import { type Address, type Endpoint, endpointKey, sameEndpoint } from '../core/net/address.ts';
import type { Transport } from '../core/net/flow.ts';
import { signallingOwner as owner, type WantedElement } from './element-store.ts';
import { named } from './family.ts';
import type { Kernel } from './kernel.ts';
import { endpointElement, sourceElement } from './nft-elements.ts';
import type { ArrivalQueue } from './overload.ts';
import { SETS } from './ruleset.ts';
import { UdpSocket } from './udp-socket.ts';

export interface UdpSignallingOptions {
  readonly receiveBufferBytes: number;
  /** One for each socket that opens. */
  arrivals(): ArrivalQueue;
  packet(bytes: Uint8Array, remote: Endpoint, external: Endpoint): void;
  fault(error: unknown): void;
}

/** `dueAt`: when the kernel's time has to be made longer, by `performance.now`; infinity while it is as long as is wanted. */
interface Mapping extends Due {
  readonly id: MappingId;
  readonly external: Endpoint;
  readonly transport: Transport;
  /** Undefined: the phone is routed. */
  readonly socket: UdpSocket | undefined;
  readonly peers: SmallMap<string, Held>;
}

/** Whom the firewall lets in without having been asked. */
interface Held {
  readonly peer: Endpoint;
  /** As the engine wants it. */
  untilMs: number;
  /** As the kernel has it. */
  heldMs: number;
}

/** What the kernel ends this share too early of the time that is left is renewed later, with all others. */
const EARLY = 1 / 8;
/** Then at the latest. */
const RENEW_BEFORE_MS = 10_000;

export class UdpSignalling {
  readonly #options: UdpSignallingOptions;
  readonly #mappings = new Map<MappingId, Mapping>();
  readonly #sockets = new EndpointMap<UdpSocket>();
  #size = 0;
  /** Those of which the kernel's time is shorter than what the engine wants. */
  readonly #owed = new TimerQueue<Mapping>();

  constructor(options: UdpSignallingOptions) {
    this.#options = options;
  }

  /** Open sockets. */
  get size(): number {
    return this.#size;
  }

  has(id: MappingId): boolean {
    return this.#mappings.has(id);
  }

  /** The socket of an external endpoint. */
  at(external: Endpoint): UdpSocket | undefined {
    return this.#sockets.get(external);
  }

  /** The endpoints whose address is not among these; those of routed phones are no addresses of ours. */
  without(present: ReadonlySet<Address>): Endpoint[] {
    return [...this.#mappings.values()]
      .filter(({ external, socket }) => socket !== undefined && !present.has(external.address))
      .map(({ external }) => external);
  }

  /** Throws a `SystemError` where the external endpoint cannot be had. It may be found out with the next flush of the store. */
  open(command: SignallingCommand & { readonly action: 'open' }, { store, sweep }: Kernel): void {
    const { id, internal, external } = command;
    if (sameEndpoint(internal, external)) {
      const mapping = mappingOf(command, undefined);
      store.put(owner(id), [endpointOf(mapping)]);
      this.#mappings.set(id, mapping);
      return;
    }
    const { receiveBufferBytes, arrivals, packet, fault } = this.#options;
    const socket = new UdpSocket(
      { local: external, freeBind: true, receiveBufferBytes, arrivals: arrivals() },
      { datagram: (bytes, remote) => packet(bytes, remote, external), fault },
    );
    const mapping = mappingOf(command, socket);
    try {
      store.put(owner(id), [endpointOf(mapping)]);
      // An ordinary NAT flow that sits on our port would have the kernel choose another for us.
      sweep.makeRoom(external);
    } catch (error) {
      store.drop(owner(id));
      socket.close();
      throw error;
    }
    this.#mappings.set(id, mapping);
    this.#sockets.set(external.address, external.port, socket);
    this.#size++;
  }

  /**
   * Phones register again long before their time has ended, and what changes with it is little: where the kernel has nearly as
   * long as is wanted, it is told later (`renew`).
   */
  hold(id: MappingId, peer: Endpoint, lifetimeMs: number, kernel: Kernel): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined || lifetimeMs <= 0) return;
    const now = performance.now();
    const untilMs = now + lifetimeMs;
    const key = endpointKey(peer);
    const known = mapping.peers.get(key);
    if (
      known !== undefined &&
      known.heldMs <= untilMs &&
      known.heldMs - now > Math.max(RENEW_BEFORE_MS, lifetimeMs * (1 - EARLY))
    ) {
      known.untilMs = untilMs;
      mapping.dueAt = Math.min(mapping.dueAt, known.heldMs - RENEW_BEFORE_MS);
      this.#owed.schedule(mapping);
      return;
    }
    for (const [other, { untilMs: end }] of mapping.peers) if (end <= now) mapping.peers.delete(other);
    const { external, transport } = mapping;
    mapping.peers.set(key, { peer, untilMs, heldMs: untilMs });
    // A connection is held by its own state.
    if (transport === 'udp') kernel.flows.hold({ kind: 'hold', local: external, peer, lifetimeMs });
    this.#put(id, mapping, kernel);
  }

  /** Has the kernel hold what it would end too early: to be called every second or so. */
  renew(kernel: Kernel): void {
    const now = performance.now();
    for (const mapping of this.#owed.due(now)) {
      mapping.dueAt = Number.POSITIVE_INFINITY;
      const owed = [...mapping.peers.values()].filter(({ untilMs, heldMs }) => untilMs > heldMs);
      if (owed.length === 0) continue;
      for (const one of owed) {
        const { peer, untilMs } = one;
        one.heldMs = untilMs;
        if (mapping.transport === 'udp')
          kernel.flows.hold({ kind: 'hold', local: mapping.external, peer, lifetimeMs: untilMs - now });
      }
      this.#put(mapping.id, mapping, kernel);
    }
  }

  /** The kernel does not hold, or will soon hold no more, what a hold asked for: the next one asks again, however little has changed. */
  lost(id: MappingId): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined) return;
    this.#owed.cancel(mapping);
    for (const one of mapping.peers.values()) one.heldMs = 0;
  }

  /** The same of all whose address is not among these: their flows are removed. */
  lostWithout(present: ReadonlySet<Address>): void {
    for (const [id, { external }] of this.#mappings) if (!present.has(external.address)) this.lost(id);
  }

  #put(id: MappingId, mapping: Mapping, { store }: Kernel): void {
    const { external, transport, peers } = mapping;
    store.put(owner(id), [
      endpointOf(mapping),
      // Of two ports at one address the longer one decides: the later element of a key replaces the earlier.
      ...[...peers.values()]
        .filter(({ heldMs }) => heldMs > 0)
        .sort((a, b) => a.heldMs - b.heldMs)
        .map(({ peer, heldMs }) => ({
          set: named(transport === 'tcp' ? SETS.peersTcp : SETS.peers, external.address),
          key: sourceElement(peer.address, external),
          untilMs: heldMs,
        })),
    ]);
  }

  close(id: MappingId, { store, flows, sweep }: Kernel): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined) return;
    const { external, transport, socket, peers } = mapping;
    this.#mappings.delete(id);
    if (socket !== undefined) {
      this.#sockets.delete(external.address, external.port);
      this.#size--;
      socket.close();
    }
    this.#owed.cancel(mapping);
    store.drop(owner(id));
    if (transport === 'tcp') return;
    for (const { peer } of peers.values()) flows.remove({ source: external, destination: peer });
    sweep.laterAt(external);
  }

  /** Closes all sockets. The flows of a routed phone are those of plain routing, before us and after us. */
  stop(kernel: Kernel | undefined): void {
    for (const { socket, external } of this.#mappings.values()) {
      if (socket === undefined) continue;
      this.#sockets.delete(external.address, external.port);
      socket.close();
      kernel?.sweep.laterAt(external);
    }
    this.#mappings.clear();
    this.#size = 0;
  }
}

function mappingOf(
  { id, external, transport }: SignallingCommand & { readonly action: 'open' },
  socket: UdpSocket | undefined,
): Mapping {
  const peers = new SmallMap<string, Held>();
  return { id, external, transport, socket, peers, dueAt: Number.POSITIVE_INFINITY, place: UNQUEUED };
}

/** Where a mapping is reached: at a socket of ours, or at the phone itself. */
function endpointOf({ external, transport, socket }: Mapping): WantedElement {
  const routed = transport === 'tcp' ? SETS.routedTcp : SETS.routed;
  const set = socket === undefined ? routed : SETS.signalling;
  return { set: named(set, external.address), key: endpointElement(external) };
}
