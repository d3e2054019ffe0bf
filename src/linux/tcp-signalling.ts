/**
 * SIP over TCP in the transparent mode: the listener to which the kernel brings the phones' connections, and a listener at
 * the external endpoint of each TCP mapping.
 *
 * Nothing has to be held in the kernel: an established connection is known to it for as long as keepalives cross it. A
 * provider that opens a new one needs the operator's firewall to let it in; for that the peers stand in a set.
 */
import type { MappingId, PlaneHandler, SignallingCommand } from '../core/alg/io.ts';
import type { Address, Endpoint } from '../core/net/address.ts';
import type { Flow } from '../core/net/flow.ts';
import { type ConnectionLimits, Connections } from '../stream/connections.ts';
import { type ElementStore, signallingOwner as owner, type WantedElement } from './element-store.ts';
import { type Family, named } from './family.ts';
import { endpointElement, sourceElement } from './nft-elements.ts';
import { SETS } from './ruleset.ts';
import { connectTcp, openTcpListener, type TcpListener } from './tcp-socket.ts';
import type { UplinkChoice } from './uplinks.ts';

export interface TcpSignallingOptions {
  readonly handler: PlaneHandler;
  readonly families: readonly Family[];
  readonly limits: Partial<ConnectionLimits> | undefined;
  externalAddress(provider: Address): Address | undefined;
  /** Where there are several uplinks, the one for this phone, and the others. `ours`: our address towards the provider. */
  uplinks(phone: Address, provider: Address, ours: Address | undefined): UplinkChoice | undefined;
  /** Whether an external address is there. */
  isOurs(address: Address): boolean;
  tell(code: string, what: unknown): void;
}

interface Mapping {
  readonly internal: Endpoint;
  readonly external: Endpoint;
  readonly listener: TcpListener;
  /** Address → until when it may come in by itself (`performance.now()`). */
  readonly peers: Map<Address, number>;
}

export class TcpSignalling {
  readonly #options: TcpSignallingOptions;
  readonly #connections: Connections;
  readonly #mappings = new Map<MappingId, Mapping>();
  readonly #listeners = new Map<Family, TcpListener>();

  /** Throws a `SystemError` where a listener cannot be had. */
  constructor(options: TcpSignallingOptions) {
    this.#options = options;
    const { handler, externalAddress, uplinks, tell, limits } = options;
    this.#connections = new Connections({
      handler,
      limits,
      connect: (side, local, remote) => connectTcp(local, remote, side === 'internal'),
      fromPhone: ({ id, phone, local }, bytes) => {
        const ours = externalAddress(local.address);
        const choice = uplinks(phone.address, local.address, ours);
        handler.packet(
          { transport: 'tcp', side: 'internal', local, remote: phone, connection: id },
          bytes,
          choice?.preferred ?? ours,
          undefined,
          undefined,
          choice?.others,
        );
        return undefined;
      },
      externalAddress,
      notice: tell,
    });
    for (const family of options.families) {
      const listener = openTcpListener({
        local: { address: family.loopback, port: 0 },
        transparent: true,
        accepted: (socket, local, phone) => {
          // Only what was intercepted has another destination than our own.
          if (local.address === family.loopback) socket.destroy();
          else this.#connections.acceptPhone(socket, local, phone);
        },
        fault: (error) => tell('linux.tcp', error),
      });
      this.#listeners.set(family, listener);
    }
  }

  /** Where a phone's first packet of that family has to go. */
  port(family: Family): number | undefined {
    return this.#listeners.get(family)?.local.port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  has(id: MappingId): boolean {
    return this.#mappings.has(id);
  }

  send(flow: Flow, bytes: Uint8Array): boolean {
    return this.#connections.send(flow, bytes);
  }

  /** Throws a `SystemError` where the external endpoint cannot be had. */
  open(command: SignallingCommand & { readonly action: 'open' }, store: ElementStore): void {
    const { id, internal, external } = command;
    const listener = openTcpListener({
      local: external,
      transparent: false,
      accepted: (socket, _local, remote) => this.#connections.acceptProvider(socket, external, remote),
      fault: (error) => this.#options.tell('linux.tcp', error),
    });
    const mapping: Mapping = { internal, external, listener, peers: new Map() };
    store.put(owner(id), elements(mapping));
    this.#mappings.set(id, mapping);
    this.#connections.map(internal, external);
  }

  hold(id: MappingId, peer: Endpoint, lifetimeMs: number, store: ElementStore): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined || lifetimeMs <= 0) return;
    const now = performance.now();
    for (const [address, untilMs] of mapping.peers) if (untilMs <= now) mapping.peers.delete(address);
    mapping.peers.set(peer.address, Math.max(now + lifetimeMs, mapping.peers.get(peer.address) ?? 0));
    store.put(owner(id), elements(mapping));
  }

  /** Connections of the mapping live on: they belong to the phone. But those from an address that is gone are dead. */
  close(id: MappingId, store: ElementStore): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined) return;
    this.#mappings.delete(id);
    this.#connections.unmap(mapping.internal, mapping.external);
    if (!this.#options.isOurs(mapping.external.address)) this.#connections.leave(mapping.external.address);
    mapping.listener.close();
    store.drop(owner(id));
  }

  /** Before the rules go: a phone whose connection breaks comes again, and then finds ordinary NAT. */
  stop(): void {
    for (const listener of this.#listeners.values()) listener.close();
    for (const { listener } of this.#mappings.values()) listener.close();
    this.#mappings.clear();
    this.#connections.stop();
  }
}

function elements({ external, peers }: Mapping): WantedElement[] {
  return [
    { set: named(SETS.signallingTcp, external.address), key: endpointElement(external) },
    ...[...peers].map(([address, untilMs]) => ({
      set: named(SETS.peersTcp, external.address),
      key: sourceElement(address, external),
      untilMs,
    })),
  ];
}
