/**
 * The user-space media relay: two sockets for each port of a media mapping, one towards the phone and one towards the
 * provider. What arrives on one leaves from the other, where core/relay allows it and says to whom. What was decided for a
 * sender holds for its packets to come, so that the sockets carry it out by themselves (a passage) until a latch, an SDP or any
 * mapping changes.
 *
 * Every socket is bound to the exact address that an SDP names, so that what the other end sees as our source is what
 * was advertised.
 *
 * Two phones behind this gateway that call each other have a mapping each, and each one's source is the other's external
 * endpoint, or the other phone itself. The relay then hands a packet from the one stream to the other inside the process
 * (hairpinning, RFC 4787 §6): nothing leaves the machine, and each phone hears its own inner endpoint, which is the only
 * one that it knows.
 */
import type { MappingId, MediaCommand, MediaFlow, MediaMapping } from '../../core/alg/io.ts';
import { type Endpoint, endpointKey, formatEndpoint } from '../../core/net/address.ts';
import type { Side } from '../../core/net/flow.ts';
import {
  type AdvertisedEndpoints,
  endpointAt,
  RelayStream,
  type StreamReport,
} from '../../core/relay/stream.ts';
import type { Tally } from './tally.ts';
import { type MediaSocket, portableSockets, type Sockets } from './udp-socket.ts';

export interface MediaRelayOptions {
  /** Mappings at once; default 512, which is 256 calls through the gateway between two phones behind it. */
  readonly maxMappings?: number;
  /** Ports of one mapping; default 16. */
  readonly maxPorts?: number;
  /** Where to bind what is advertised as this endpoint; default: there. */
  readonly bindAt?: (advertised: Endpoint) => Endpoint;
  /** Default: the portable ones. */
  readonly sockets?: Sockets;
}

export interface MediaRelayHandler {
  opened(id: MappingId): void;
  failed(id: MappingId, reason: string): void;
}

export interface MediaSnapshot {
  readonly id: MappingId;
  readonly external: Endpoint;
  readonly inner: Endpoint;
  /** One for each port, in order. */
  readonly streams: readonly StreamReport[];
}

const MAX_MAPPINGS = 512;
const MAX_PORTS = 16;

interface Stream {
  readonly relay: RelayStream;
  /** As advertised, which is where it is bound unless `bindAt` says otherwise. */
  external: Endpoint | undefined;
  sockets: Readonly<Record<Side, MediaSocket>> | undefined;
  phone: Endpoint | undefined;
}

interface OpenMapping {
  mapping: MediaMapping;
  readonly inner: Endpoint;
  readonly streams: readonly Stream[];
  closed: boolean;
  /** As it was looked at last. */
  packets: number;
  flow: MediaFlow | undefined;
}

export class MediaRelay {
  readonly #handler: MediaRelayHandler;
  readonly #tally: Tally;
  readonly #maxMappings: number;
  readonly #maxPorts: number;
  readonly #bindAt: (advertised: Endpoint) => Endpoint;
  readonly #sockets: Sockets;
  readonly #mappings = new Map<MappingId, OpenMapping>();
  /** Streams by their phone's port, to find the other phone's stream in a hairpin. */
  readonly #byPhonePort = new Map<number, Set<Stream>>();
  readonly #byExternal = new Map<string, Stream>();
  /** Our own inner endpoints: nothing may be sent to one, or a lie in an SDP would make a loop. */
  readonly #inner = new Set<string>();
  /** Sockets that are being bound or closed. */
  readonly #underWay = new Set<Promise<void>>();

  constructor(handler: MediaRelayHandler, tally: Tally, options: MediaRelayOptions = {}) {
    this.#handler = handler;
    this.#tally = tally;
    this.#maxMappings = options.maxMappings ?? MAX_MAPPINGS;
    this.#maxPorts = options.maxPorts ?? MAX_PORTS;
    this.#bindAt = options.bindAt ?? ((advertised) => advertised);
    this.#sockets = options.sockets ?? portableSockets;
  }

  command(command: MediaCommand): void {
    if (command.action === 'open') this.#open(command);
    else if (command.action === 'update') this.#update(command);
    else this.#close(command.id);
  }

  snapshot(): readonly MediaSnapshot[] {
    return [...this.#mappings.values()].map((open) => ({
      id: open.mapping.id,
      external: open.mapping.external,
      inner: open.inner,
      streams: open.streams.map((stream) => stream.relay.report()),
    }));
  }

  /** The mappings on which packets pass now and did not when it was looked last, or the other way round. */
  look(): Map<MappingId, MediaFlow> {
    const news = new Map<MappingId, MediaFlow>();
    for (const open of this.#mappings.values()) {
      const packets = open.streams.reduce((sum, { relay }) => {
        const { internal, external } = relay.report();
        return sum + internal.packets + external.packets;
      }, 0);
      const flow: MediaFlow = packets > open.packets ? 'flowing' : 'idle';
      if (flow !== open.flow) news.set(open.mapping.id, flow);
      open.packets = packets;
      open.flow = flow;
    }
    return news;
  }

  async stop(): Promise<void> {
    for (const id of [...this.#mappings.keys()]) this.#close(id);
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #open(mapping: MediaMapping): void {
    const { id, inner } = mapping;
    const refusal = this.#refusal(mapping);
    if (refusal !== undefined || inner === undefined) {
      this.#handler.failed(id, refusal ?? 'the relay needs an inner endpoint');
      return;
    }
    const streams: Stream[] = [];
    for (let offset = 0; offset < mapping.ports; offset++)
      streams.push({
        relay: new RelayStream(advertised(mapping, offset)),
        external: undefined,
        sockets: undefined,
        phone: undefined,
      });
    const open: OpenMapping = { mapping, inner, streams, closed: false, packets: 0, flow: undefined };
    this.#mappings.set(id, open);
    this.#findPhones(open);
    this.#wait(this.#bindAll(open));
  }

  #refusal(mapping: MediaMapping): string | undefined {
    if (this.#mappings.has(mapping.id)) return `mapping ${mapping.id} is open already`;
    if (this.#mappings.size >= this.#maxMappings) return `${this.#maxMappings} media mappings are open`;
    if (mapping.ports < 1 || mapping.ports > this.#maxPorts)
      return `${mapping.ports} ports are not within 1 and ${this.#maxPorts}`;
    return undefined;
  }

  async #bindAll(open: OpenMapping): Promise<void> {
    const { id } = open.mapping;
    const results = await Promise.allSettled(
      open.streams.map((stream, offset) => this.#bind(open, stream, offset)),
    );
    const problem = results.find((result) => result.status === 'rejected');
    if (open.closed) this.#handler.failed(id, 'closed before it was open');
    else if (problem === undefined) this.#handler.opened(id);
    else {
      this.#close(id);
      this.#handler.failed(id, (problem.reason as Error).message);
    }
  }

  async #bind(open: OpenMapping, stream: Stream, offset: number): Promise<void> {
    const external = endpointAt(open.mapping.external, offset);
    const inner = endpointAt(open.inner, offset);
    if (external === undefined || inner === undefined) throw new Error('the ports go beyond 65535');
    const [outside, inside] = await Promise.allSettled([
      this.#socket(this.#bindAt(external), stream, 'external'),
      this.#socket(inner, stream, 'internal'),
    ]);
    if (outside.status === 'fulfilled' && inside.status === 'fulfilled' && !open.closed) {
      stream.sockets = { external: outside.value, internal: inside.value };
      stream.external = external;
      this.#byExternal.set(endpointKey(external), stream);
      this.#inner.add(endpointKey(inner));
      this.#endPassages();
      return;
    }
    for (const one of [outside, inside]) if (one.status === 'fulfilled') this.#closeSocket(one.value);
    for (const one of [outside, inside]) if (one.status === 'rejected') throw one.reason;
  }

  #socket(at: Endpoint, stream: Stream, side: Side): Promise<MediaSocket> {
    return this.#sockets.openMedia(at, {
      onDatagram: (bytes, source) => this.#relay(stream, side, bytes, source),
      onSendError: (error) =>
        this.#tally.count('media.send', `A media packet could not be sent: ${error.message}`),
    });
  }

  #relay(stream: Stream, side: Side, bytes: Uint8Array, from: Endpoint): void {
    const { sockets } = stream;
    if (sockets === undefined) return;
    const now = Date.now();
    const to = this.#admit(stream, side, from, bytes, now);
    if (to === undefined) return;
    if (side === 'external') {
      if (this.#isOwn(to)) this.#loop(to);
      else this.#pass(stream, sockets, side, from, bytes, to);
      return;
    }
    const external = this.#byExternal.get(endpointKey(to));
    if (external === stream || this.#inner.has(endpointKey(to))) {
      this.#loop(to);
      return;
    }
    const phone = external === undefined ? this.#streamOfPhone(stream, to) : undefined;
    const peer = external ?? phone;
    if (peer === undefined) {
      this.#pass(stream, sockets, side, from, bytes, to);
      return;
    }
    // What the other stream was told to expect: our phone itself, or our external endpoint.
    const seen = phone === undefined ? stream.external : from;
    const through = seen && this.#admit(peer, 'external', seen, bytes, now);
    if (through === undefined) return;
    if (this.#isOwn(through)) this.#loop(through);
    else peer.sockets?.internal.send(bytes, through);
  }

  /** Where a packet goes; undefined where it is dropped. */
  #admit(stream: Stream, side: Side, from: Endpoint, bytes: Uint8Array, now: number): Endpoint | undefined {
    const { relay } = stream;
    const before = relay.revision;
    const decision = relay.packet(side, from, bytes, now);
    if (relay.revision !== before) endPassages(stream);
    return decision.kind === 'forward' ? decision.to : undefined;
  }

  /** Sends a packet on, and lets those that follow it go the same way by themselves. */
  #pass(
    { relay }: Stream,
    sockets: Readonly<Record<Side, MediaSocket>>,
    side: Side,
    from: Endpoint,
    bytes: Uint8Array,
    to: Endpoint,
  ): void {
    const by = sockets[side === 'internal' ? 'external' : 'internal'];
    by.send(bytes, to);
    const passed = (packets: number, octets: number): void => relay.passed(side, packets, octets, Date.now());
    sockets[side].setPassage({ source: from, to, by, passed });
  }

  /** Of all streams: whose endpoint is whose may be another matter now. */
  #endPassages(): void {
    for (const { streams } of this.#mappings.values()) streams.forEach(endPassages);
  }

  #loop(to: Endpoint): void {
    this.#tally.count(
      'media.loop',
      `An SDP sends media back to the relay itself (${formatEndpoint(to)}); dropped.`,
    );
  }

  /** The stream of the phone at `to`, if that phone is behind this gateway and expects this one's. */
  #streamOfPhone(stream: Stream, to: Endpoint): Stream | undefined {
    const candidates = this.#byPhonePort.get(to.port);
    if (candidates === undefined || stream.phone === undefined) return undefined;
    for (const peer of candidates)
      if (
        peer !== stream &&
        peer.phone?.address === to.address &&
        peer.relay.advertises('external', stream.phone.address)
      )
        return peer;
    return undefined;
  }

  #isOwn(to: Endpoint): boolean {
    const key = endpointKey(to);
    return this.#inner.has(key) || this.#byExternal.has(key);
  }

  #update(mapping: MediaMapping): void {
    const open = this.#mappings.get(mapping.id);
    if (open === undefined) return;
    // The sockets stay: external, inner and ports of an id do not change.
    open.mapping = {
      ...mapping,
      external: open.mapping.external,
      inner: open.inner,
      ports: open.mapping.ports,
    };
    open.streams.forEach((stream, offset) => {
      stream.relay.update(advertised(mapping, offset));
    });
    this.#findPhones(open);
    this.#endPassages();
  }

  #findPhones(open: OpenMapping): void {
    open.streams.forEach((stream, offset) => {
      this.#forgetPhone(stream);
      const phone = open.mapping.internal && endpointAt(open.mapping.internal, offset);
      if (phone === undefined) return;
      stream.phone = phone;
      let streams = this.#byPhonePort.get(phone.port);
      if (streams === undefined) {
        streams = new Set();
        this.#byPhonePort.set(phone.port, streams);
      }
      streams.add(stream);
    });
  }

  #forgetPhone(stream: Stream): void {
    if (stream.phone === undefined) return;
    const streams = this.#byPhonePort.get(stream.phone.port);
    streams?.delete(stream);
    if (streams?.size === 0) this.#byPhonePort.delete(stream.phone.port);
    stream.phone = undefined;
  }

  #close(id: MappingId): void {
    const open = this.#mappings.get(id);
    if (open === undefined) return;
    open.closed = true;
    this.#mappings.delete(id);
    this.#endPassages();
    open.streams.forEach((stream, offset) => {
      this.#forgetPhone(stream);
      const { sockets } = stream;
      if (sockets === undefined) return;
      stream.sockets = undefined;
      const inner = endpointAt(open.inner, offset);
      if (stream.external !== undefined) this.#byExternal.delete(endpointKey(stream.external));
      if (inner !== undefined) this.#inner.delete(endpointKey(inner));
      this.#closeSocket(sockets.external);
      this.#closeSocket(sockets.internal);
    });
  }

  #closeSocket(socket: MediaSocket): void {
    this.#wait(socket.close());
  }

  #wait(work: Promise<void>): void {
    const waited = work.finally(() => this.#underWay.delete(waited));
    this.#underWay.add(waited);
  }
}

function advertised(mapping: MediaMapping, offset: number): AdvertisedEndpoints {
  const at = (first: Endpoint): readonly Endpoint[] => {
    const one = endpointAt(first, offset);
    return one === undefined ? [] : [one];
  };
  return {
    internal: mapping.internal === undefined ? [] : at(mapping.internal),
    external: mapping.sources.flatMap(at),
  };
}

function endPassages({ sockets }: Stream): void {
  sockets?.internal.setPassage(undefined);
  sockets?.external.setPassage(undefined);
}
