/**
 * The other engines, as one of them sees them: which phones and external endpoints are theirs, and the way there. Two phones of one
 * gateway that talk to each other may belong to two engines.
 *
 * What an engine has opened it tells the others before anything that names it leaves: whoever hears of an endpoint by a message
 * reads what it was told first (`catchUp`), so that nobody meets a neighbour's endpoint without knowing whose it is. Datagrams
 * that go from phone to phone are handed over; those are bounded, and lost like any other where a neighbour is too slow.
 *
 * Facts relied on: a message is in the other port's queue when `postMessage` returns, and `receiveMessageOnPort` takes it from
 * there at once, while 'message' events come with a later turn of the loop (nodejs.org/api/worker_threads.html).
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { MediaCommand, SignallingCommand } from '../../core/alg/io.ts';
import type { Neighbours } from '../../core/alg/policy.ts';
import { EndpointMap } from '../../core/nat/endpoint-map.ts';
import { type Address, type Endpoint, sameEndpoint } from '../../core/net/address.ts';
import type { Flow, Transport } from '../../core/net/flow.ts';
import { LANE, laneOf, type ToNeighbour } from './protocol.ts';

/** Datagrams that wait for a neighbour; what comes on top of them is lost. */
export const MOST_QUEUED = 4_096;

export interface ElsewhereHandler {
  /** `externalAddress`: from the phone's side. */
  packet(flow: Flow, bytes: Uint8Array, externalAddress: Address | undefined): void;
  send(flow: Flow, bytes: Uint8Array): void;
  /** A neighbour is too slow: told each time. */
  full(queued: number): void;
}

interface Mapped {
  readonly internal: Endpoint;
  readonly engine: number;
}

type Told = Extract<ToNeighbour, { readonly kind: 'signalling' | 'media' }>;

export class Elsewhere implements Neighbours {
  readonly #me: number;
  readonly #counters: Int32Array;
  readonly #ports: readonly (MessagePort | undefined)[];
  readonly #handler: ElsewhereHandler;
  readonly #signalling: Readonly<Record<Transport, EndpointMap<Mapped>>> = {
    udp: new EndpointMap(),
    tcp: new EndpointMap(),
  };
  readonly #media = new EndpointMap<Mapped>();
  /** Address → its mappings. */
  readonly #phones = new Map<Address, { readonly engine: number; mappings: number }>();
  /** Of this engine: what is being opened or open, by what names it. */
  readonly #mine = new Map<string, { readonly told: Told; isTold: boolean }>();
  #handled = 0;

  constructor(
    me: number,
    counters: SharedArrayBuffer,
    ports: readonly (MessagePort | undefined)[],
    handler: ElsewhereHandler,
  ) {
    this.#me = me;
    this.#counters = new Int32Array(counters);
    this.#ports = ports;
    this.#handler = handler;
    for (const [engine, port] of ports.entries())
      port?.on('message', (message: ToNeighbour) => this.#take(engine, message));
  }

  signalling(transport: Transport, external: Endpoint): Endpoint | undefined {
    return this.#signalling[transport].get(external)?.internal;
  }

  media(external: Endpoint): Endpoint | undefined {
    return this.#media.get(external)?.internal;
  }

  close(): void {
    for (const port of this.#ports) port?.close();
  }

  /** Reads what neighbours have posted so far: to be called before anything that came after it is handled. */
  catchUp(): void {
    if (Atomics.load(this.#counters, laneOf(this.#me, LANE.posted)) === this.#handled) return;
    for (const [engine, port] of this.#ports.entries()) {
      if (port === undefined) continue;
      for (let one = receiveMessageOnPort(port); one !== undefined; one = receiveMessageOnPort(port))
        this.#take(engine, one.message as ToNeighbour);
    }
  }

  command(kind: 'signalling' | 'media', command: SignallingCommand | MediaCommand): void {
    const key = `${kind} ${command.id}`;
    if (command.action === 'close') {
      const mine = this.#mine.get(key);
      this.#mine.delete(key);
      if (mine?.isTold === true) this.#tellAll({ ...mine.told, internal: undefined });
    } else if (command.action === 'open') {
      const { internal, external } = command;
      // What is routed is reached at its own address.
      if (internal === undefined || sameEndpoint(internal, external)) return;
      const told: Told =
        'transport' in command
          ? { kind: 'signalling', transport: command.transport, external, internal }
          : { kind: 'media', external, ports: command.ports, internal };
      this.#mine.set(key, { told, isTold: false });
    }
  }

  /** The data plane has opened it: it may be named outside from now on. */
  opened(id: number): void {
    for (const kind of ['signalling', 'media']) {
      const mine = this.#mine.get(`${kind} ${id}`);
      if (mine === undefined || mine.isTold) continue;
      mine.isTold = true;
      this.#tellAll(mine.told);
    }
  }

  failed(id: number): void {
    for (const kind of ['signalling', 'media']) this.#mine.delete(`${kind} ${id}`);
  }

  /** What is to be sent to a neighbour's phone, or from a neighbour's endpoint, is the neighbour's: then true. */
  takes({ transport, side, local, remote }: Flow, bytes: Uint8Array): boolean {
    if (side === 'external') {
      const called = this.#signalling[transport].get(remote);
      if (called === undefined) return false;
      // As it would arrive there. The connection is the sender's.
      const flow: Flow = { transport, side, local: remote, remote: local };
      this.#post(called.engine, { kind: 'packet', flow, bytes: bytes.slice(), externalAddress: undefined });
      return true;
    }
    // Over TCP it goes over a connection of the phone's, and that is here.
    const calling = transport === 'udp' ? this.#signalling.udp.get(local) : undefined;
    if (calling === undefined) return false;
    this.#post(calling.engine, {
      kind: 'send',
      flow: { transport, side, local, remote },
      bytes: bytes.slice(),
    });
    return true;
  }

  /**
   * What a neighbour's phone has sent straight to an external endpoint of this engine's, from inside: the neighbour knows the phone. Only
   * datagrams: a connection is where it was accepted.
   */
  takesDirect({ transport, side, local, remote }: Flow, bytes: Uint8Array): boolean {
    const phone = side === 'external' && transport === 'udp' ? this.#phones.get(remote.address) : undefined;
    if (phone === undefined) return false;
    this.#post(phone.engine, {
      kind: 'packet',
      flow: { transport, side: 'internal', local, remote },
      bytes: bytes.slice(),
      externalAddress: local.address,
    });
    return true;
  }

  #tellAll(told: Told): void {
    for (const engine of this.#ports.keys()) this.#post(engine, told);
  }

  #post(engine: number, message: ToNeighbour): void {
    const port = this.#ports[engine];
    if (port === undefined) return;
    const posted = laneOf(engine, LANE.posted);
    if (message.kind === 'packet' || message.kind === 'send') {
      const handled = Atomics.load(this.#counters, laneOf(engine, LANE.handled));
      const queued = Atomics.load(this.#counters, posted) - handled;
      if (queued >= MOST_QUEUED) return this.#handler.full(queued);
    }
    port.postMessage(message);
    Atomics.add(this.#counters, posted, 1);
  }

  #take(engine: number, message: ToNeighbour): void {
    this.#handled = (this.#handled + 1) | 0;
    Atomics.store(this.#counters, laneOf(this.#me, LANE.handled), this.#handled);
    switch (message.kind) {
      case 'signalling':
        return this.#note(engine, message);
      case 'media':
        return this.#noteMedia(engine, message);
      case 'packet':
        return this.#handler.packet(message.flow, message.bytes, message.externalAddress);
      case 'send':
        return this.#handler.send(message.flow, message.bytes);
    }
  }

  #noteMedia(
    engine: number,
    { external, internal, ports }: Extract<ToNeighbour, { readonly kind: 'media' }>,
  ): void {
    for (let k = 0; k < ports; k++) {
      const { address } = external;
      const port = external.port + k;
      if (internal !== undefined)
        this.#media.set(address, port, {
          internal: { address: internal.address, port: internal.port + k },
          engine,
        });
      else if (this.#media.at(address, port)?.engine === engine) this.#media.delete(address, port);
    }
  }

  /** Engines are not read in the order in which they spoke: what one gives back another may have taken already. */
  #note(
    engine: number,
    { transport, external, internal }: Extract<ToNeighbour, { readonly kind: 'signalling' }>,
  ): void {
    const table = this.#signalling[transport];
    const before = table.get(external);
    if (internal === undefined && before?.engine !== engine) return;
    if (before !== undefined) {
      table.delete(external.address, external.port);
      const phone = this.#phones.get(before.internal.address);
      if (phone !== undefined && --phone.mappings <= 0) this.#phones.delete(before.internal.address);
    }
    if (internal === undefined) return;
    table.set(external.address, external.port, { internal, engine });
    const phone = this.#phones.get(internal.address);
    if (phone === undefined) this.#phones.set(internal.address, { engine, mappings: 1 });
    else phone.mappings++;
  }
}
