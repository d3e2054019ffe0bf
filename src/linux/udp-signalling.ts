/**
 * SIP over UDP at the external endpoints: a socket for each mapping, and in the kernel who may come in there and for how long.
 * The phone that is routed without NAT has a mapping too, and no socket: its packets pass by us.
 */
import type { MappingId, SignallingCommand } from '../core/alg/io.ts';
import { type Address, type Endpoint, endpointKey, sameEndpoint } from '../core/net/address.ts';
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

interface Mapping {
  readonly external: Endpoint;
  /** Undefined: the phone is routed. */
  readonly socket: UdpSocket | undefined;
  readonly peers: Map<string, { readonly peer: Endpoint; readonly untilMs: number }>;
}

export class UdpSignalling {
  readonly #options: UdpSignallingOptions;
  readonly #mappings = new Map<MappingId, Mapping>();
  readonly #sockets = new Map<string, UdpSocket>();

  constructor(options: UdpSignallingOptions) {
    this.#options = options;
  }

  /** Open sockets. */
  get size(): number {
    return this.#sockets.size;
  }

  has(id: MappingId): boolean {
    return this.#mappings.has(id);
  }

  /** The socket of an external endpoint. */
  at(external: Endpoint): UdpSocket | undefined {
    return this.#sockets.get(endpointKey(external));
  }

  /** The endpoints whose address is not among these; those of routed phones are no addresses of ours. */
  without(present: ReadonlySet<Address>): Endpoint[] {
    return [...this.#mappings.values()]
      .filter(({ external, socket }) => socket !== undefined && !present.has(external.address))
      .map(({ external }) => external);
  }

  /** Throws a `SystemError` where the external endpoint cannot be had. */
  open(command: SignallingCommand & { readonly action: 'open' }, { store, sweep }: Kernel): void {
    const { id, internal, external } = command;
    if (sameEndpoint(internal, external)) {
      store.put(owner(id), [endpointOf(external, undefined)]);
      this.#mappings.set(id, { external, socket: undefined, peers: new Map() });
      return;
    }
    const { receiveBufferBytes, arrivals, packet, fault } = this.#options;
    const socket = new UdpSocket(
      { local: external, freeBind: true, receiveBufferBytes, arrivals: arrivals() },
      { datagram: (bytes, remote) => packet(bytes, remote, external), fault },
    );
    try {
      store.put(owner(id), [endpointOf(external, socket)]);
      // An ordinary NAT flow that sits on our port would have the kernel choose another for us.
      sweep.makeRoom(external);
    } catch (error) {
      socket.close();
      throw error;
    }
    this.#mappings.set(id, { external, socket, peers: new Map() });
    this.#sockets.set(endpointKey(external), socket);
  }

  hold(id: MappingId, peer: Endpoint, lifetimeMs: number, { store, conntrack, sweep }: Kernel): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined || lifetimeMs <= 0) return;
    const { external, socket, peers } = mapping;
    conntrack.hold(external, peer, lifetimeMs, peers.size === 0 && !sweep.knows(external, peer));
    const now = performance.now();
    for (const [key, { untilMs }] of peers) if (untilMs <= now) peers.delete(key);
    peers.set(endpointKey(peer), { peer, untilMs: now + lifetimeMs });
    store.put(owner(id), [
      endpointOf(external, socket),
      // Of two ports at one address the longer one decides: the later element of a key replaces the earlier.
      ...[...peers.values()]
        .sort((a, b) => a.untilMs - b.untilMs)
        .map(({ peer: known, untilMs }) => ({
          set: named(SETS.peers, external.address),
          key: sourceElement(known.address, external),
          untilMs,
        })),
    ]);
  }

  close(id: MappingId, { store, conntrack, sweep }: Kernel): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined) return;
    const { external, socket, peers } = mapping;
    this.#mappings.delete(id);
    this.#sockets.delete(endpointKey(external));
    socket?.close();
    try {
      store.drop(owner(id));
    } finally {
      for (const { peer } of peers.values())
        conntrack.remove({ original: { source: external, destination: peer } });
      sweep.laterAt(external);
    }
  }

  /** Closes all sockets. The flows of a routed phone are those of plain routing, before us and after us. */
  stop(kernel: Kernel | undefined): void {
    for (const { socket, external } of this.#mappings.values()) {
      if (socket === undefined) continue;
      socket.close();
      kernel?.sweep.laterAt(external);
    }
    this.#mappings.clear();
    this.#sockets.clear();
  }
}

/** Where a mapping is reached: at a socket of ours, or at the phone itself. */
function endpointOf(external: Endpoint, socket: UdpSocket | undefined): WantedElement {
  const set = socket === undefined ? SETS.routed : SETS.signalling;
  return { set: named(set, external.address), key: endpointElement(external) };
}
