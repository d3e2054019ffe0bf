/**
 * The transparent data plane: carries the engine's outputs out on sockets and netfilter, and brings packets in.
 *
 * Sockets: one wildcard transparent socket for first packets, one transparent socket for each provider endpoint (to the
 * phones we are the provider), one external socket for each signalling mapping (to the provider we are the phone).
 * What is in the kernel is held in `ElementStore` too, so that it can be written again when somebody flushes the ruleset.
 *
 * What the engine asks for in one turn of the loop is carried out at the turn's end, all of it together: first what changes in
 * the kernel's tables, then the answers to what was opened (with what these lead to), then what is sent. So nothing is
 * advertised before it works, and a busy gateway makes one system call where an idle one makes one for each message.
 */
import type { MappingId, MediaCommand, SignallingCommand } from '../core/alg/io.ts';
import { type Endpoint, sameEndpoint } from '../core/net/address.ts';
import type { Flow } from '../core/net/flow.ts';
import { AddressMonitor } from './address-monitor.ts';
import { signallingOwner } from './element-store.ts';
import { FAMILIES, IPV4, IPV6 } from './family.ts';
import {
  DEFAULT_SIP_PORTS,
  HEARTBEAT_MS,
  Interception,
  LOOK_MS,
  refuseFilteredBridge,
  removeInterception,
} from './interception.ts';
import { ExternalAddresses } from './interfaces.ts';
import { type Kernel, openKernel } from './kernel.ts';
import { MEDIA_TIMEOUT_MS, mediaOwner } from './kernel-media.ts';
import { Overload } from './overload.ts';
import type { LinuxPlane, LinuxPlaneHandler, LinuxPlaneOptions, LinuxPlaneStats } from './plane-options.ts';
import { returnProgramPages, STARTED_MS } from './program-pages.ts';
import { ProviderSockets } from './provider-sockets.ts';
import { describe, RareNotices } from './rare-notices.ts';
import { atTurnsEnd } from './readiness.ts';
import { RoutedPhones } from './routed-phones.ts';
import type { ListenPorts } from './ruleset.ts';
import { SendQueue } from './send-queue.ts';
import { isFlowAt } from './signalling-flows.ts';
import { SystemError } from './system-error.ts';
import { TcpSignalling } from './tcp-signalling.ts';
import { UdpSignalling } from './udp-signalling.ts';

const DEFAULT_RECEIVE_BUFFER = 4 * 1024 * 1024;

export type { LinuxPlane, LinuxPlaneOptions, LinuxPlaneStats };

export function createLinuxPlane(options: LinuxPlaneOptions, handler: LinuxPlaneHandler): LinuxPlane {
  return new Plane(options, handler);
}

class Plane implements LinuxPlane {
  readonly #options: LinuxPlaneOptions;
  readonly #handler: LinuxPlaneHandler;
  readonly #externalAddresses: ExternalAddresses;
  readonly #providers: ProviderSockets;
  readonly #udp: UdpSignalling;
  #kernel: Kernel | undefined;
  #monitor: AddressMonitor | undefined;
  readonly #routed: RoutedPhones;
  #tcp: TcpSignalling | undefined;
  #timers: NodeJS.Timeout[] = [];
  /** Undefined where somebody else has it. */
  #interception: Interception | undefined;
  #sendFailures = 0;
  readonly #sends = new SendQueue(() => this.#sendFailures++);
  /** What is answered when the kernel has taken it, by whose elements these are. */
  readonly #opening = new Map<string, { readonly id: MappingId; readonly kind: 'signalling' | 'media' }>();
  /** Whether the end of this turn has something to do. */
  #isTurnArmed = false;
  readonly #turnsEnd = (): void => {
    if (this.#isTurnArmed) this.#endTurn();
  };
  readonly #notices: RareNotices;
  readonly #overload: Overload;

  constructor(options: LinuxPlaneOptions, handler: LinuxPlaneHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#notices = new RareNotices((code, text) => handler.notice(code, text));
    this.#overload = new Overload((text) => this.#tell('linux.overload', text));
    this.#externalAddresses = new ExternalAddresses(options.external);
    this.#routed = new RoutedPhones(options, handler, (code, error) => this.#tell(code, error));
    const receiveBufferBytes = options.receiveBufferBytes ?? DEFAULT_RECEIVE_BUFFER;
    this.#udp = new UdpSignalling({
      receiveBufferBytes,
      arrivals: () => this.#overload.queue(),
      packet: (bytes, remote, local) =>
        handler.packet({ transport: 'udp', side: 'external', local, remote }, bytes),
      fault: (error) => this.#tell('linux.receive', error),
    });
    this.#providers = new ProviderSockets(
      {
        ...options,
        families: options.ipv6 === 'off' ? [IPV4] : FAMILIES,
        shared: options.shared === true,
        receiveBufferBytes,
        overload: this.#overload,
      },
      {
        packet: (bytes, remote, local) => this.#fromPhone(bytes, remote, local),
        fault: (code, error) => this.#tell(code, error),
      },
    );
  }

  start(): void {
    refuseFilteredBridge(this.#options.internal);
    try {
      this.#providers.open();
      this.#tcp = new TcpSignalling({
        handler: this.#handler,
        limits: this.#options.connections,
        families: this.#providers.families,
        externalAddress: (provider) => this.#externalAddresses.towards(provider, performance.now()),
        uplinks: (phone, provider, ours) => this.#monitor?.choose(phone, provider, ours, performance.now()),
        isOurs: (address) => this.#monitor?.has(address) ?? true,
        tell: (code, what) => this.#tell(code, what),
      });
      this.#kernel = openKernel(
        this.#providers.families,
        this.#options.sipPorts ?? DEFAULT_SIP_PORTS,
        (code, error) => this.#tell(code, error),
        () => this.#endTurn(),
      );
      if (this.#options.shared !== true) {
        if (this.#providers.port(IPV6) !== undefined) this.#routed.open();
        this.#interception = this.#newInterception(this.#kernel);
        this.#interception.install();
      }
      this.#monitor = new AddressMonitor(
        this.#options.external,
        () => this.#followAddresses(),
        (error) => this.#tell('linux.addresses', error),
      );
      this.#followAddresses();
    } catch (error) {
      this.#tearDown();
      throw error;
    }
    const { media, floods } = this.#running();
    this.#timers = [
      setInterval(() => this.#beat(), HEARTBEAT_MS),
      setInterval(() => this.#renew(), MEDIA_TIMEOUT_MS / 3),
      media.watch(
        this.#options.mediaLookMs,
        (id, flow) => this.#handler.mediaFlow?.(id, flow),
        (error) => this.#tell('linux.media-look', error),
      ),
    ];
    const interception = this.#interception;
    if (interception === undefined) return;
    this.#timers.push(
      setTimeout(returnProgramPages, STARTED_MS),
      setInterval(() => interception.look(), LOOK_MS),
      floods.watch((code, what) => this.#tell(code, what)),
    );
  }

  #newInterception({ elements, conntrack, store }: Kernel): Interception {
    return new Interception(this.#options, {
      elements,
      conntrack,
      routed: this.#routed,
      families: this.#providers.families,
      listening: () => [this.listening()],
      restore: () => store.restoreAll(),
      obstacle: () => undefined,
      gap: () => this.#externalAddresses.clear(),
      tell: (code, what) => this.#tell(code, what),
      notice: (code, text) => this.#handler.notice(code, text),
    });
  }

  listening(): ListenPorts {
    return {
      listenPort: this.#providers.port(IPV4) ?? 0,
      listenPort6: this.#providers.port(IPV6),
      tcpListenPort: this.#tcp?.port(IPV4),
      tcpListenPort6: this.#tcp?.port(IPV6),
    };
  }

  restoreElements(): void {
    this.#attempt('linux.elements', () => this.#running().store.restoreAll());
  }

  stats(): LinuxPlaneStats {
    return {
      providerSockets: this.#providers.size,
      externalSockets: this.#udp.size,
      connections: this.#tcp?.connections ?? 0,
      mediaMappings: this.#kernel?.media.size ?? 0,
      elements: this.#kernel?.store.size ?? 0,
      sendFailures: this.#sendFailures,
      heartbeats: this.#interception?.heartbeats ?? 0,
      shed: this.#overload.dropped,
      dropped: this.#kernel?.floods.dropped,
    };
  }

  resting(): string | undefined {
    return this.#interception?.resting();
  }

  mediaTraffic(): Map<MappingId, { fromPhone: number; toPhone: number }> {
    if (this.#kernel === undefined) return new Map();
    return this.#kernel.media.traffic(this.#kernel.elements);
  }

  ipv6(): string {
    return this.#routed.describe();
  }

  send(flow: Flow, bytes: Uint8Array): void {
    if (flow.transport === 'tcp') {
      if (this.#tcp?.send(flow, bytes) !== true) this.#sendFailures++;
      return;
    }
    // A phone that is called by another one of ours hears from the other's external endpoint, which is bound already.
    const external = this.#udp.at(flow.local);
    const socket = external ?? (flow.side === 'external' ? undefined : this.#providers.at(flow.local));
    if (socket === undefined) this.#sendFailures++;
    else {
      this.#sends.add(socket, bytes, flow.remote);
      this.#armTurn();
    }
  }

  signalling(command: SignallingCommand): void {
    this.#armTurn();
    switch (command.action) {
      case 'open':
        this.#open('signalling', command.id, () => this.#openSignalling(command));
        return;
      case 'hold':
        this.#attempt('linux.hold', () => this.#hold(command.id, command.peer, command.lifetimeMs));
        return;
      case 'close':
        this.#attempt('linux.close', () => this.#close(command.id));
    }
  }

  media(command: MediaCommand): void {
    this.#armTurn();
    switch (command.action) {
      case 'open':
        this.#open('media', command.id, () => this.#running().media.open(command));
        return;
      case 'update':
        this.#attempt('linux.media', () => this.#running().media.update(command));
        return;
      case 'close':
        this.#attempt('linux.media', () => this.#running().media.close(command.id));
    }
  }

  together(work: () => void): void {
    work();
    this.#endTurn();
  }

  #armTurn(): void {
    if (this.#isTurnArmed) return;
    this.#isTurnArmed = true;
    atTurnsEnd(this.#turnsEnd);
  }

  #endTurn(): void {
    // An answer may lead to more; the engine asks for nothing twice, so that this ends.
    do this.#commit();
    while (this.#opening.size > 0);
    this.#sends.flush();
    this.#isTurnArmed = false;
  }

  /** Brings the kernel's tables in line with what was asked for, and answers what was opened. */
  #commit(): void {
    const { store, flows, media } = this.#running();
    if (this.#opening.size === 0 && !store.isDirty && flows.size === 0) return;
    const refused = store.flush();
    // The flows that are removed have to find the new elements, not a moment without any.
    this.#attempt('linux.flows', () => flows.flush());
    const answered = [...this.#opening];
    this.#opening.clear();
    for (const [owner, error] of refused) {
      const opening = answered.find(([one]) => one === owner)?.[1];
      if (opening === undefined) this.#tell('linux.elements', error);
      const id = Number(owner.split(' ')[1]);
      if (opening === undefined && owner.startsWith('signalling')) this.#udp.lost(id);
    }
    for (const [owner, { id, kind }] of answered) {
      const error = refused.get(owner);
      if (error === undefined) this.#handler.opened(id);
      else {
        if (kind === 'media') media.forget(id);
        else this.#attempt('linux.close', () => this.#close(id));
        this.#handler.failed(id, describe(error));
      }
    }
  }

  async stop(): Promise<void> {
    this.#tearDown();
  }

  #tearDown(): void {
    this.#kernel?.media.finishClosings();
    if (this.#kernel !== undefined) this.#attempt('linux.stop', () => this.#endTurn());
    this.#isTurnArmed = false;
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#monitor?.close();
    this.#monitor = undefined;
    this.#tcp?.stop();
    this.#tcp = undefined;
    // Rules first: a packet that comes now finds the router's ordinary NAT, not a closed socket.
    if (this.#options.shared !== true) removeInterception(this.#options);
    this.#interception = undefined;
    this.#providers.close();
    this.#routed.close();
    this.#udp.stop(this.#kernel);
    this.#kernel?.sweep.run();
    this.#kernel?.sweep.close();
    this.#kernel?.elements.close();
    this.#kernel?.conntrack.close();
    this.#kernel = undefined;
  }

  #running(): Kernel {
    if (this.#kernel === undefined)
      throw new SystemError('linux/stopped', 'the data plane is not running', 'call start() first');
    return this.#kernel;
  }

  #beat(): void {
    if (this.#interception?.beat() === false) return;
    this.#attempt('linux.renew', () => this.#udp.renew(this.#running()));
    this.#armTurn();
  }

  #renew(): void {
    this.#attempt('linux.renew', () => this.#running().store.renewAll());
  }

  /** What is mapped to an external address that is not there rests; the engine says for how long. */
  #followAddresses(): void {
    const present = new Set((this.#monitor?.addresses ?? []).map(({ address }) => address));
    this.#externalAddresses.clear();
    const { media, sweep } = this.#running();
    // Also where none is gone any more: what an address that is back has now, must not go.
    sweep.later('gone addresses', isFlowAt(...this.#udp.without(present)));
    this.#udp.lostWithout(present);
    this.#attempt('linux.media', () => media.follow(present));
    this.#handler.externalAddresses([...present]);
  }

  #fromPhone(bytes: Uint8Array, remote: Endpoint, local: Endpoint): void {
    const flow: Flow = { transport: 'udp', side: 'internal', local, remote };
    const now = performance.now();
    const ours = this.#externalAddresses.towards(local.address, now);
    const choice = this.#monitor?.choose(remote.address, local.address, ours, now);
    this.#handler.packet(flow, bytes, choice?.preferred ?? ours, undefined, undefined, choice?.others);
  }

  #openSignalling(command: SignallingCommand & { readonly action: 'open' }): string | undefined {
    const { id, internal, external, transport } = command;
    if (this.#udp.has(id) || this.#tcp?.has(id) === true) return `mapping ${id} is open already`;
    // What is routed has no socket, whatever its transport.
    const isTcp = transport === 'tcp' && !sameEndpoint(internal, external);
    if (isTcp) this.#tcp?.open(command, this.#running().store);
    else this.#udp.open(command, this.#running());
    return undefined;
  }

  #hold(id: MappingId, peer: Endpoint, lifetimeMs: number): void {
    if (this.#udp.has(id)) this.#udp.hold(id, peer, lifetimeMs, this.#running());
    else this.#tcp?.hold(id, peer, lifetimeMs, this.#running().store);
  }

  #close(id: MappingId): void {
    // What it has still to send, leaves by it.
    this.#sends.flush();
    if (this.#udp.has(id)) this.#udp.close(id, this.#running());
    else this.#tcp?.close(id, this.#running().store);
  }

  /** An `open` is answered exactly once: now where it cannot be, otherwise when the kernel has taken its elements. */
  #open(kind: 'signalling' | 'media', id: MappingId, open: () => string | undefined): void {
    let reason: string | undefined;
    try {
      reason = open();
    } catch (error) {
      reason = describe(error);
    }
    if (reason !== undefined) this.#handler.failed(id, reason);
    else this.#opening.set(kind === 'media' ? mediaOwner(id) : signallingOwner(id), { id, kind });
  }

  #attempt(code: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#tell(code, error);
    }
  }

  #tell(code: string, what: unknown): void {
    this.#notices.tell(code, what);
  }
}
