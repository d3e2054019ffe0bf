/**
 * What the gateway would do to several messages, one after another: one engine over all of them, so that transactions,
 * dialogs, media and retransmissions are as in the gateway.
 *
 * Messages of a capture have addresses and times, which say where they went. Messages of a text have neither: their
 * direction is what they say themselves (explain-flow.ts), and no time passes between them.
 */
import { type Address, type Endpoint, endpointKey, isPrivate } from '../net/address.ts';
import { type ConnectionId, type Flow, over, type Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { applyEdits } from '../sip/edit.ts';
import type { Message } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { SIP_PORT } from './classify.ts';
import type { AlgEvent } from './event.ts';
import { type ExplainOptions, type Explanation, engineOptions, lookInto } from './explain.ts';
import { ExplainDriver } from './explain-driver.ts';
import {
  contactPhone,
  type Direction,
  directionOf,
  EXTERNAL,
  flowOf,
  guessMapping,
  internalOf,
  PROVIDER,
  somebody,
  target,
} from './explain-flow.ts';
import type { Output } from './io.ts';
import type { StaticMapping } from './policy.ts';

export interface CallPacket {
  readonly bytes: Uint8Array;
  /** Where and when it was seen; a text knows none of this. */
  readonly seen?: Seen;
}

export interface Seen {
  readonly timeMs: TimeMs;
  readonly transport: Transport;
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

/** A TCP connection of a capture, and the external endpoint by which messages of it have left last. */
interface Connection {
  readonly id: ConnectionId;
  external: Endpoint | undefined;
}

export interface ExplainedMessage extends Explanation {
  /** Which of the packets it was, from 0. */
  readonly packet: number;
  /** The message as it came; what stays inside goes out first, and comes in as that. */
  readonly before: Uint8Array;
  readonly direction: Direction;
  /** `INVITE sip:…`, `200 to INVITE`, or how long it is. */
  readonly summary: string;
  readonly flow: Flow;
  /** What else happened because of it, or while time passed before it. */
  readonly events: readonly AlgEvent[];
}

export interface ExplainedCall {
  readonly messages: readonly ExplainedMessage[];
  /** Packets that do not cross the gateway: neither end is a phone or its external address. */
  readonly skipped: number;
}

export function explainCall(packets: readonly CallPacket[], options: ExplainOptions): ExplainedCall {
  return new CallExplainer(packets, options).run();
}

/** The phones of a capture, where nobody says who they are: private addresses that send to others. */
export function guessPhones(packets: readonly CallPacket[]): Set<Address> {
  const phones = new Set<Address>();
  for (const { seen } of packets)
    if (seen !== undefined && isPrivate(seen.source.address) && !isPrivate(seen.destination.address))
      phones.add(seen.source.address);
  if (phones.size > 0) return phones;
  const first = packets.find(({ bytes }) => lookInto(bytes).message?.kind === 'request')?.seen;
  return new Set(first === undefined ? [] : [first.source.address]);
}

class CallExplainer {
  readonly #packets: readonly CallPacket[];
  readonly #options: ExplainOptions;
  readonly #mappings: readonly StaticMapping[];
  readonly #external: Address;
  readonly #internals: ReadonlySet<Address>;
  readonly #externals: ReadonlySet<Address>;
  /** Which sides of the NAT a capture shows. */
  readonly #showsInside: boolean;
  readonly #showsArrivals: boolean;
  readonly #driver: ExplainDriver;
  /** Call-ID → the phone, for responses that do not name it. */
  readonly #phones = new Map<string, Endpoint>();
  readonly #messages: ExplainedMessage[] = [];
  /** By their two ends. */
  readonly #connections = new Map<string, Connection>();
  #events: AlgEvent[] = [];

  constructor(packets: readonly CallPacket[], options: ExplainOptions) {
    this.#packets = packets;
    this.#options = options;
    this.#external = options.externalAddress ?? EXTERNAL;
    this.#mappings = options.mappings.length > 0 ? options.mappings : this.#guess();
    const isGuess = this.#mappings.length === 0;
    this.#internals = isGuess
      ? guessPhones(packets)
      : new Set(this.#mappings.map(({ internal }) => internal.address));
    this.#externals = new Set(
      isGuess ? [this.#external] : this.#mappings.map(({ external }) => external.address),
    );
    this.#showsInside = packets.some(
      ({ seen }) => seen !== undefined && this.#internals.has(seen.source.address),
    );
    this.#showsArrivals = packets.some(
      ({ seen }) => seen !== undefined && this.#externals.has(seen.destination.address),
    );
    this.#driver = new ExplainDriver(engineOptions(options, this.#mappings));
  }

  run(): ExplainedCall {
    let skipped = 0;
    for (const [index, packet] of this.#packets.entries()) {
      const { message } = lookInto(packet.bytes);
      this.#tell(this.#driver.advance(packet.seen?.timeMs ?? 0));
      const flow = packet.seen === undefined ? this.#flowOfText(message) : this.#flowOfSeen(packet.seen);
      if (flow === undefined) skipped++;
      else this.#explain(index, packet.bytes, message, flow);
    }
    return { messages: this.#messages, skipped };
  }

  #explain(index: number, bytes: Uint8Array, message: Message | undefined, flow: Flow): void {
    const phone =
      flow.side === 'internal'
        ? flow.remote
        : (this.#driver.internalOf(flow.transport, flow.local) ?? somebody());
    if (message !== undefined) this.#phones.set(message.callId, phone);
    const provider = this.#packets[index]?.seen === undefined ? undefined : this.#providerOf(flow);
    const left = this.#options.leftAlone?.(phone.address, provider);
    if (left !== undefined) return this.#push(index, bytes, flow, { verdict: 'pass', why: left });

    const { innerAddress } = this.#options;
    const outputs = this.#driver.feed({
      kind: 'packet',
      flow,
      bytes,
      externalAddress: this.#externalAddressOf(phone),
      ...(innerAddress === undefined ? {} : { innerAddress }),
    });
    // Usually one verdict; a message from one phone to another behind the same gateway has one for each leg.
    let current = bytes;
    const legs: [Flow, Pick<Explanation, 'verdict'> & Partial<Explanation>, before: Uint8Array][] = [];
    const events: AlgEvent[] = [];
    for (const output of outputs) {
      if (output.kind === 'send') this.#noteExternal(flow, output.flow);
      if (output.kind !== 'event') continue;
      const { event } = output;
      if (event.kind === 'message.translated') {
        const after = applyEdits(
          current,
          event.edits.map(({ offset, length, after: replacement, rule }) => ({
            span: { start: offset, end: offset + length },
            replacement,
            rule,
          })),
        );
        legs.push([event.flow, { verdict: 'translate', edits: event.edits, bytes: after }, current]);
        current = after;
      } else if (event.kind === 'message.passed')
        legs.push([event.flow, { verdict: 'pass', why: event.why }, current]);
      else if (event.kind === 'message.dropped')
        legs.push([event.flow, { verdict: 'drop', why: event.why }, current]);
      else events.push(event);
    }
    if (legs.length === 0) legs.push([flow, { verdict: 'drop', why: 'nothing was sent' }, bytes]);
    for (const [at, [where, found, before]] of legs.entries()) {
      if (at === legs.length - 1) this.#events.push(...events);
      this.#push(index, before, where, found);
    }
  }

  #push(
    packet: number,
    before: Uint8Array,
    flow: Flow,
    found: Pick<Explanation, 'verdict'> & Partial<Explanation>,
  ): void {
    const { message, defects } = lookInto(before);
    this.#messages.push({
      packet,
      before,
      direction: flow.side === 'internal' ? 'out' : 'in',
      summary: summaryOf(before, message),
      flow,
      events: this.#events,
      why: undefined,
      edits: [],
      bytes: before,
      defects,
      ...found,
    });
    this.#events = [];
  }

  #tell(outputs: readonly Output[]): void {
    for (const output of outputs) if (output.kind === 'event') this.#events.push(output.event);
  }

  /** A text: the first request that goes out says who the phone is. A capture has addresses. */
  #guess(): StaticMapping[] {
    for (const { bytes, seen } of this.#packets) {
      if (seen !== undefined) return [];
      const found = guessMapping(lookInto(bytes).message, this.#options.direction, this.#external);
      if (found.length > 0) return found;
    }
    return [];
  }

  #flowOfText(message: Message | undefined): Flow {
    const direction = directionOf(message, this.#mappings, this.#options.direction);
    const flow = flowOf(message, direction, this.#mappings, this.#external);
    if (direction === 'out') {
      // A response does not name its sender in the Via: its Contact may, and the request before it has.
      if (message?.kind !== 'response') return flow;
      const phone = contactPhone(message, this.#mappings) ?? this.#phones.get(message.callId);
      return phone === undefined ? flow : { ...flow, remote: phone };
    }
    const named = message === undefined ? undefined : target(message);
    if (named !== undefined && this.#internals.has(named.address))
      return { ...flow, local: this.#openedFor('udp', named, PROVIDER) ?? flow.local };
    this.#openBehind('udp', flow.local, PROVIDER);
    return flow;
  }

  #flowOfSeen({ transport, source, destination }: Seen): Flow | undefined {
    const connection = transport === 'tcp' ? this.#connectionOf(source, destination) : undefined;
    const id = connection?.id;
    const toInside = this.#internals.has(destination.address);
    if (this.#internals.has(source.address)) {
      // From phone to phone, past the gateway.
      if (toInside) return undefined;
      return over({ transport, side: 'internal', local: destination, remote: source }, id);
    }
    if (this.#externals.has(destination.address)) {
      // A connection may have left from another port than the one that the mapping has.
      const known = connection?.external ?? destination;
      this.#openBehind(transport, known, source, id);
      return over({ transport, side: 'external', local: known, remote: source }, id);
    }
    // A capture of both sides shows every message twice; one of the outside alone shows what left the NAT.
    if (this.#externals.has(source.address)) {
      const phone = this.#showsInside ? undefined : internalOf(this.#mappings, source);
      return phone && over({ transport, side: 'internal', local: destination, remote: phone }, id);
    }
    if (!toInside || this.#showsArrivals) return undefined;
    const local = connection?.external ?? this.#openedFor(transport, destination, source, id);
    return local && over({ transport, side: 'external', local, remote: source }, id);
  }

  #connectionOf(source: Endpoint, destination: Endpoint): Connection {
    const key = [source, destination].map(endpointKey).sort().join(' ');
    const known = this.#connections.get(key) ?? { id: this.#connections.size + 1, external: undefined };
    this.#connections.set(key, known);
    return known;
  }

  /** A phone's connection comes from any port; what leaves by it says which mapping it belongs to. */
  #noteExternal(from: Flow, sent: Flow): void {
    if (from.side !== 'internal' || from.connection === undefined || sent.side !== 'external') return;
    const connection = this.#connectionOf(from.remote, from.local);
    if (sent.local.port !== 0) connection.external = sent.local;
  }

  /** The external endpoint of a phone's endpoint, opened where it is not yet. */
  #openedFor(
    transport: Transport,
    internal: Endpoint,
    peer: Endpoint,
    connection?: ConnectionId,
  ): Endpoint | undefined {
    if (this.#driver.externalOf(transport, internal) === undefined)
      this.#driver.open(transport, internal, this.#externalAddressOf(internal), peer, connection);
    return this.#driver.externalOf(transport, internal);
  }

  /** Opens the mapping that has been laid down for an external endpoint. */
  #openBehind(transport: Transport, external: Endpoint, peer: Endpoint, connection?: ConnectionId): void {
    if (this.#driver.internalOf(transport, external) !== undefined) return;
    const internal =
      internalOf(this.#mappings, external) ?? (this.#mappings.length === 0 ? somebody() : undefined);
    if (internal !== undefined) this.#driver.open(transport, internal, external.address, peer, connection);
  }

  #externalAddressOf(internal: Endpoint): Address {
    const own = this.#mappings.find((one) => one.internal.address === internal.address);
    return own?.external.address ?? this.#mappings[0]?.external.address ?? this.#external;
  }

  #providerOf(flow: Flow): Address {
    return flow.side === 'internal' ? flow.local.address : flow.remote.address;
  }
}

function summaryOf(bytes: Uint8Array, message: Message | undefined): string {
  if (message?.kind === 'response') return `${message.status} to ${message.method}`;
  if (message !== undefined)
    return `${message.method} ${textOf(bytes, message.requestUri.start, message.requestUri.end)}`;
  return `${bytes.length} ${bytes.length === 1 ? 'octet' : 'octets'}`;
}

/** Whether a packet is likely to be signalling: by its ports, or by how it begins. */
export function isSignalling(
  source: Endpoint,
  destination: Endpoint,
  bytes: Uint8Array,
  ports: ReadonlySet<number> = new Set([SIP_PORT]),
): boolean {
  if (ports.has(source.port) || ports.has(destination.port)) return true;
  const line = textOf(bytes, 0, Math.min(bytes.length, 1_024)).split('\r\n', 1)[0] ?? '';
  return / sip\/2\.0$/i.test(line) || /^sip\/2\.0 \d{3}/i.test(line);
}
