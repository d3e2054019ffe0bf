/**
 * The data plane of the explicit mode: phones name the gateway as their outbound proxy, and everything goes through
 * ordinary sockets, without root and without a kernel of a certain make.
 *
 * The engine knows a phone's flow by the provider's endpoint, because in the transparent mode the phone addresses the
 * provider. Here the phone addresses us, so the provider's endpoint is worked out from the message, and what the engine
 * sends "from the provider" leaves from the listen socket that the phone used.
 *
 * A phone's datagrams reach the engine in the order in which they came, also while a name is being looked up.
 */
import type { MappingId, MediaCommand, PlaneHandler, SignallingCommand } from '../../core/alg/io.ts';
import { ExpiringMap } from '../../core/nat/expiring-map.ts';
import {
  type Address,
  type Endpoint,
  endpoint,
  endpointKey,
  formatEndpoint,
  isIPv6,
  isUnspecified,
  parseAddress,
  sameEndpoint,
} from '../../core/net/address.ts';
import type { Flow, Side } from '../../core/net/flow.ts';
import { defaultConnectionLimits } from '../../stream/connections.ts';
import { costOf, Pace } from '../../stream/pace.ts';
import { Answers } from './answers.ts';
import { LocalAddresses } from './local-address.ts';
import { MediaRelay } from './media-relay.ts';
import { type HopTarget, readAddressee, requestTransaction } from './next-hop.ts';
import {
  defaultExplicitLimits,
  type ExplicitLimits,
  type ExplicitPlane,
  type ExplicitPlaneOptions,
  type ExplicitSnapshot,
} from './plane-options.ts';
import { familyOf, Resolver } from './resolver.ts';
import { Tally } from './tally.ts';
import { ExplicitTcp, type Sender } from './tcp.ts';
import { bestSockets, type Sockets, type UdpSocket } from './udp-socket.ts';

export type { ExplicitPlane, ExplicitPlaneOptions };

/** Longer than registrars grant, and every packet renews it. */
const PHONE_LIFETIME_MS = 24 * 3_600_000;
/** How often is looked whether media passes. */
const MEDIA_LOOK_MS = 30_000;
/** A phone may ring for minutes before it answers; proxies give up after three (timer C, RFC 3261 §16.6). */
const TRANSACTION_LIFETIME_MS = 10 * 60_000;

interface Phone extends Sender {
  listen: UdpSocket;
  /** Datagrams that came while an earlier one waits for a name. */
  waiting: Uint8Array[] | undefined;
}

interface External {
  readonly local: Endpoint;
  socket: UdpSocket | undefined;
}

/** Rejects where a listen endpoint cannot be bound. */
export async function createExplicitPlane(
  options: ExplicitPlaneOptions,
  handler: PlaneHandler,
): Promise<ExplicitPlane> {
  const plane = new Plane(options, handler, options.sockets ?? (await bestSockets()));
  await plane.listen(options.listen);
  return plane;
}

class Plane implements ExplicitPlane {
  readonly addresses: Endpoint[] = [];
  readonly #options: ExplicitPlaneOptions;
  readonly sockets: Sockets['make'];
  readonly #sockets: Sockets;
  readonly #limits: ExplicitLimits;
  readonly #handler: PlaneHandler;
  readonly #tally: Tally;
  readonly #resolver: Resolver;
  readonly #local = new LocalAddresses();
  readonly #media: MediaRelay;
  readonly #mediaTimer: NodeJS.Timeout;
  readonly #listening: UdpSocket[] = [];
  readonly #phones: ExpiringMap<Phone>;
  readonly #transactions: ExpiringMap<Endpoint>;
  readonly #externals = new Map<MappingId, External>();
  readonly #byLocal = new Map<string, External>();
  readonly #binding = new Set<Promise<void>>();
  #tcp: ExplicitTcp | undefined;
  readonly #answers: Answers;
  /** The kernel of the transparent mode has the same rates; here nobody stands in front of our sockets. */
  readonly #rates: Readonly<Record<Side, number>>;
  readonly #paces: Readonly<Record<Side, Pace>>;
  #waiting = 0;
  #stopped = false;

  constructor(options: ExplicitPlaneOptions, handler: PlaneHandler, sockets: Sockets) {
    this.#options = options;
    this.sockets = sockets.make;
    this.#sockets = sockets;
    this.#limits = { ...defaultExplicitLimits, ...options.limits };
    this.#answers = new Answers(handler);
    this.#handler = this.#answers.handler;
    this.#tally = new Tally((code, text) => handler.notice(code, text));
    this.#resolver = new Resolver(options.resolve, (address) => this.#local.towards(address) !== undefined);
    this.#media = new MediaRelay(this.#handler, this.#tally, {
      maxMappings: this.#limits.media,
      bindAt: (advertised) => this.#bindAt(advertised),
      sockets,
    });
    const limits = { ...defaultConnectionLimits, ...options.limits };
    this.#rates = {
      internal: limits.messagesPerSecondPerPhone,
      external: limits.messagesPerSecondPerProvider,
    };
    this.#paces = { internal: new Pace(this.#rates.internal), external: new Pace(this.#rates.external) };
    this.#mediaTimer = setInterval(() => {
      for (const pace of Object.values(this.#paces)) pace.sweep(performance.now());
      for (const [id, flow] of this.#media.look()) handler.mediaFlow?.(id, flow);
    }, options.mediaLookMs ?? MEDIA_LOOK_MS);
    this.#phones = new ExpiringMap(PHONE_LIFETIME_MS, this.#limits.phones);
    this.#transactions = new ExpiringMap(TRANSACTION_LIFETIME_MS, this.#limits.transactions);
  }

  async listen(endpoints: readonly Endpoint[]): Promise<void> {
    try {
      this.#tcp = await ExplicitTcp.open({
        handler: this.#handler,
        limits: this.#options.limits,
        bindAt: (advertised) => this.#bindAt(advertised),
        nextHop: (sender, bytes) => this.#nextHop(sender, bytes),
        externalAddress: (provider) => this.#externalAddress(provider),
        innerAddress: (phone) => this.innerAddress(phone),
        settled: () => this.#answers.settled(),
        notice: (code, text) => this.#tally.count(code, text),
      });
      for (const at of endpoints) {
        const socket = await this.#sockets.openUdp(at, {
          onDatagram: (bytes, remote) => this.#fromPhone(socket, bytes, remote),
          onSendError: (error) => this.#unsent(error),
        });
        this.#listening.push(socket);
        this.addresses.push(socket.local);
        await this.#tcp.listen(socket.local);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  send(flow: Flow, bytes: Uint8Array): void {
    if (flow.transport === 'tcp') {
      if (this.#tcp?.send(flow, bytes) !== true)
        this.#tally.count('explicit.unsent', `No connection leads to ${formatEndpoint(flow.remote)}.`);
      return;
    }
    if (flow.side === 'external') {
      const socket = this.#byLocal.get(endpointKey(flow.local))?.socket;
      if (socket === undefined)
        this.#tally.count('explicit.no-socket', `No socket is bound to ${formatEndpoint(flow.local)}.`);
      else socket.send(bytes, flow.remote);
      return;
    }
    const now = Date.now();
    const key = endpointKey(flow.remote);
    const transaction = requestTransaction(bytes);
    if (transaction !== undefined) this.#transactions.set(`${key} ${transaction}`, flow.local, now);
    const socket = this.#phones.get(key, now)?.listen ?? this.#listenSocketFor(flow.remote);
    if (socket === undefined)
      this.#tally.count('explicit.no-socket', `No listen endpoint has the family of ${key}.`);
    else socket.send(bytes, flow.remote);
  }

  signalling(command: SignallingCommand): void {
    if (command.action === 'open') {
      this.#answers.asked();
      this.#openExternal(command);
    } else if (command.action === 'close') this.#closeExternal(command.id);
    // `hold`: no firewall of ours stands in front of these sockets.
  }

  media(command: MediaCommand): void {
    if (command.action === 'open') this.#answers.asked();
    this.#media.command(command);
  }

  innerAddress(phone: Endpoint): Address | undefined {
    const known = this.#phones.get(endpointKey(phone), Date.now());
    const socket = known?.listen ?? this.#listenSocketFor(phone);
    if (socket !== undefined && !isUnspecified(socket.local.address)) return socket.local.address;
    return this.#local.towards(phone.address);
  }

  snapshot(): ExplicitSnapshot {
    return {
      phones: this.#phones.size,
      signalling: this.#externals.size,
      waiting: this.#waiting,
      connections: this.#tcp?.size ?? 0,
      dropped: this.#tally.snapshot(),
      media: this.#media.snapshot(),
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#mediaTimer);
    this.#tcp?.stop();
    const sockets = [...this.#listening, ...[...this.#externals.values()].flatMap((e) => e.socket ?? [])];
    this.#externals.clear();
    this.#byLocal.clear();
    await Promise.all([this.#media.stop(), ...this.#binding, ...sockets.map((socket) => socket.close())]);
  }

  #fromPhone(listen: UdpSocket, bytes: Uint8Array, remote: Endpoint): void {
    if (this.#isTooFast('internal', remote.address, bytes.length)) return;
    const key = endpointKey(remote);
    // A Route that names us by a name that we do not know comes back to us, from ourselves; it would do so forever.
    if (this.#byLocal.has(key)) {
      this.#tally.count(
        'explicit.loop',
        `A datagram came back from our own ${formatEndpoint(remote)}; dropped.`,
      );
      return;
    }
    const now = Date.now();
    const phone: Phone = this.#phones.get(key, now) ?? {
      endpoint: remote,
      listen,
      provider: undefined,
      waiting: undefined,
    };
    phone.listen = listen;
    this.#phones.set(key, phone, now);
    if (phone.waiting !== undefined) {
      if (phone.waiting.length < this.#limits.waitingPerPhone && this.#waiting < this.#limits.waiting) {
        phone.waiting.push(bytes);
        this.#waiting++;
      } else this.#tally.count('explicit.waiting', `Too many datagrams of ${key} wait for a name; dropped.`);
      return;
    }
    const provider = this.#nextHop(phone, bytes);
    if (provider instanceof Promise) {
      phone.waiting = [];
      void this.#deliverInOrder(phone, phone.waiting, bytes, provider);
    } else this.#deliver(phone, bytes, provider);
  }

  async #deliverInOrder(
    phone: Phone,
    waiting: Uint8Array[],
    first: Uint8Array,
    provider: Promise<Endpoint | undefined>,
  ): Promise<void> {
    try {
      this.#deliver(phone, first, await provider);
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        this.#waiting--;
        this.#deliver(phone, next, await this.#nextHop(phone, next));
      }
    } finally {
      this.#waiting -= waiting.length;
      phone.waiting = undefined;
    }
  }

  #deliver(phone: Phone, bytes: Uint8Array, provider: Endpoint | undefined): void {
    if (this.#stopped || provider === undefined) return;
    const external = this.#externalAddress(provider.address);
    if (external === undefined) return;
    this.#handler.packet(
      { transport: 'udp', side: 'internal', local: provider, remote: phone.endpoint },
      bytes,
      external,
      this.innerAddress(phone.endpoint),
    );
  }

  /** Whether a datagram is dropped because its sender has sent too many; he sends again what was worth it (RFC 3261 §17). */
  #isTooFast(side: Side, source: Address, octets: number): boolean {
    if (this.#paces[side].take(source, costOf(octets), performance.now()) === 0) return false;
    const [limit, phone] =
      side === 'internal'
        ? (['messages-per-second-per-phone', source] as const)
        : (['messages-per-second-per-provider', undefined] as const);
    this.#handler.limit(limit, this.#rates[side], phone);
    this.#tally.count('explicit.too-fast', `${source} sends faster than ${limit} allows; dropped.`);
    return true;
  }

  /** Ours, as the provider knows it. Undefined: there is no route, and it is counted. */
  #externalAddress(provider: Address): Address | undefined {
    const { advertise } = this.#options;
    if (advertise !== undefined && familyOf(advertise) === familyOf(provider)) return advertise;
    const own = this.#local.towards(provider);
    if (own === undefined) this.#tally.count('explicit.no-route', `There is no route to ${provider}.`);
    return own;
  }

  /** Undefined: nowhere, and counted. */
  #nextHop(phone: Sender, bytes: Uint8Array): Endpoint | undefined | Promise<Endpoint | undefined> {
    const addressee = readAddressee(bytes);
    switch (addressee.kind) {
      case 'request': {
        const { targets, complete } = addressee;
        const found = this.#firstNotOwn(phone, targets, 0, complete ? undefined : phone.provider);
        return found instanceof Promise
          ? found.then((provider) => this.#remember(phone, provider))
          : this.#remember(phone, found);
      }
      case 'response': {
        const key = `${endpointKey(phone.endpoint)} ${addressee.transaction}`;
        const asked = this.#transactions.get(key, Date.now());
        if (asked !== undefined) return asked;
        // A request from before a restart: its sent-by is where the response has to go (RFC 3261 §18.2.2).
        if (parseAddress(addressee.sentBy.host) === undefined && phone.provider !== undefined)
          return phone.provider;
        return this.#firstNotOwn(phone, [addressee.sentBy], 0);
      }
      case 'unknown':
        // Keepalives, STUN and what is broken beyond reading pass on to where the phone's SIP goes.
        if (phone.provider !== undefined) return phone.provider;
        if (addressee.target !== undefined) return this.#firstNotOwn(phone, [addressee.target], 0);
        this.#tally.count(
          'explicit.not-sip',
          `${formatEndpoint(phone.endpoint)} sends what is not SIP, and has sent no SIP before; dropped.`,
        );
        return undefined;
    }
  }

  #remember(phone: Sender, provider: Endpoint | undefined): Endpoint | undefined {
    if (provider !== undefined) phone.provider = provider;
    return provider;
  }

  #firstNotOwn(
    phone: Sender,
    targets: readonly HopTarget[],
    from: number,
    otherwise?: Endpoint,
  ): Endpoint | undefined | Promise<Endpoint | undefined> {
    for (let i = from; i < targets.length; i++) {
      const target = targets[i] as HopTarget;
      if (this.#isOwnName(target)) continue;
      const found = this.#resolver.resolve(target, familyOf(phone.endpoint.address));
      if (found instanceof Promise)
        return found.then((at) =>
          at !== undefined && this.#isOwn(at)
            ? this.#firstNotOwn(phone, targets, i + 1, otherwise)
            : this.#checked(phone, target, at),
        );
      if (found === undefined || !this.#isOwn(found)) return this.#checked(phone, target, found);
    }
    if (otherwise !== undefined) return otherwise;
    this.#tally.count(
      'explicit.addressed-to-us',
      `${formatEndpoint(phone.endpoint)} addresses the gateway itself: it has to name its provider as registrar, and the gateway as outbound proxy.`,
    );
    return undefined;
  }

  #checked(phone: Sender, target: HopTarget, found: Endpoint | undefined): Endpoint | undefined {
    if (found !== undefined && !isUnspecified(found.address)) return found;
    const name = target.port === undefined ? target.host : `${target.host}:${target.port}`;
    this.#tally.count(
      'explicit.no-such-host',
      `${formatEndpoint(phone.endpoint)} sends to ${name}, which has no address.`,
    );
    return undefined;
  }

  #isOwnName(target: HopTarget): boolean {
    return (
      this.#options.own?.some(
        (own) => own.host === target.host && (own.port ?? 5060) === (target.port ?? 5060),
      ) ?? false
    );
  }

  #isOwn(at: Endpoint): boolean {
    return this.addresses.some(
      (own) =>
        sameEndpoint(own, at) ||
        (own.port === at.port && isUnspecified(own.address) && this.#local.has(at.address)),
    );
  }

  #listenSocketFor(phone: Endpoint): UdpSocket | undefined {
    return this.#listening.find((socket) => isIPv6(socket.local.address) === isIPv6(phone.address));
  }

  #openExternal(command: Extract<SignallingCommand, { action: 'open' }>): void {
    const { id } = command;
    const refusal = this.#refusal(command);
    if (refusal !== undefined) {
      this.#handler.failed(id, refusal);
      return;
    }
    if (command.transport === 'tcp') {
      void this.#tcp?.openExternal(command);
      return;
    }
    const external: External = { local: command.external, socket: undefined };
    this.#externals.set(id, external);
    const bound = this.#bindExternal(id, external).finally(() => this.#binding.delete(bound));
    this.#binding.add(bound);
  }

  #refusal(command: Extract<SignallingCommand, { action: 'open' }>): string | undefined {
    if (this.#externals.has(command.id) || this.#tcp?.has(command.id) === true)
      return `mapping ${command.id} is open already`;
    if (this.#externals.size + (this.#tcp?.mappings ?? 0) >= this.#limits.signalling)
      return `${this.#limits.signalling} signalling mappings are open`;
    return undefined;
  }

  async #bindExternal(id: MappingId, external: External): Promise<void> {
    const { local } = external;
    let socket: UdpSocket;
    try {
      socket = await this.#sockets.openUdp(this.#bindAt(local), {
        onDatagram: (bytes, remote) => {
          if (this.#isTooFast('external', remote.address, bytes.length)) return;
          this.#handler.packet({ transport: 'udp', side: 'external', local, remote }, bytes);
        },
        onSendError: (error) => this.#unsent(error),
      });
    } catch (error) {
      if (this.#externals.get(id) === external) this.#externals.delete(id);
      this.#handler.failed(id, (error as Error).message);
      return;
    }
    if (this.#externals.get(id) !== external) {
      this.#handler.failed(id, 'closed before it was open');
      await socket.close();
      return;
    }
    external.socket = socket;
    this.#byLocal.set(endpointKey(local), external);
    this.#handler.opened(id);
  }

  #closeExternal(id: MappingId): void {
    const external = this.#externals.get(id);
    if (external === undefined) return this.#tcp?.closeExternal(id);
    this.#externals.delete(id);
    if (this.#byLocal.get(endpointKey(external.local)) === external)
      this.#byLocal.delete(endpointKey(external.local));
    void external.socket?.close();
  }

  /** The advertised address need not be one of ours; then whatever is forwarded to the port has to arrive. */
  #bindAt(advertised: Endpoint): Endpoint {
    if (advertised.address !== this.#options.advertise || this.#local.has(advertised.address))
      return advertised;
    return endpoint(isIPv6(advertised.address) ? '::' : '0.0.0.0', advertised.port);
  }

  #unsent(error: Error): void {
    this.#tally.count('explicit.unsent', `A datagram could not be sent: ${error.message}`);
  }
}
