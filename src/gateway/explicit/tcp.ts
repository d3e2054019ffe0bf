/**
 * SIP over TCP in the explicit mode: listeners for phones beside the UDP sockets, and one at each TCP mapping's external
 * endpoint. The next hop of each message is worked out as for UDP; the transport stays the one that the phone has chosen
 * and written into its Via (RFC 3261 §18.2.2: the response comes back over it).
 */
import type { MappingId, PlaneHandler, SignallingCommand } from '../../core/alg/io.ts';
import { type Address, type Endpoint, endpointKey, isIPv6 } from '../../core/net/address.ts';
import type { ConnectionId, Flow } from '../../core/net/flow.ts';
import { equalsIgnoreCase } from '../../core/sip/octets.ts';
import { type ConnectionLimits, Connections, type PhoneConnection } from '../../stream/connections.ts';
import { loadTcpSockets, type TcpSockets } from './tcp-sockets.ts';

/** Whoever sends to us: where it is, and the provider that it last sent to. */
export interface Sender {
  readonly endpoint: Endpoint;
  provider: Endpoint | undefined;
}

export interface ExplicitTcpOptions {
  readonly handler: PlaneHandler;
  readonly limits: Partial<ConnectionLimits> | undefined;
  /** Where what is bound for an advertised endpoint is bound. */
  bindAt(advertised: Endpoint): Endpoint;
  /** Where a message goes; undefined: nowhere, and counted. */
  nextHop(sender: Sender, bytes: Uint8Array): Endpoint | undefined | Promise<Endpoint | undefined>;
  externalAddress(provider: Address): Address | undefined;
  innerAddress(phone: Endpoint): Address | undefined;
  /** Fulfilled when every `open` has been answered, so that nothing overtakes what waits for one. */
  settled(): Promise<void> | undefined;
  notice(code: string, text: string): void;
}

interface Mapping {
  readonly internal: Endpoint;
  close: (() => void) | undefined;
}

export class ExplicitTcp {
  readonly #options: ExplicitTcpOptions;
  readonly #sockets: TcpSockets;
  readonly #connections: Connections;
  readonly #senders = new Map<ConnectionId, Sender>();
  readonly #mappings = new Map<MappingId, Mapping>();
  readonly #externals = new Set<string>();
  readonly #listening: { close(): void }[] = [];
  #isStopped = false;

  private constructor(options: ExplicitTcpOptions, sockets: TcpSockets) {
    this.#options = options;
    this.#sockets = sockets;
    const { handler } = options;
    this.#connections = new Connections({
      handler: {
        packet: (flow, bytes) => handler.packet(flow, bytes),
        admits: (local, remote) => handler.admits(local, remote),
        limit: (limit, value, phone) => handler.limit(limit, value, phone),
        closed: (connection) => {
          this.#senders.delete(connection);
          handler.closed(connection);
        },
      },
      limits: options.limits,
      connect: (side, local, remote) => sockets.connect(this.#from(side, local, remote), remote),
      fromPhone: (connection, bytes) => this.#fromPhone(connection, bytes),
      // What is not SIP from its first octet on names nobody to whom it could go.
      externalAddress: () => undefined,
      notice: options.notice,
    });
  }

  static async open(options: ExplicitTcpOptions): Promise<ExplicitTcp> {
    return new ExplicitTcp(options, await loadTcpSockets());
  }

  get size(): number {
    return this.#connections.size;
  }

  get mappings(): number {
    return this.#mappings.size;
  }

  has(id: MappingId): boolean {
    return this.#mappings.has(id);
  }

  /** Rejects where it cannot be bound. */
  async listen(at: Endpoint): Promise<void> {
    const listener = await this.#sockets.listen(at, (socket, local, remote) => {
      // A Route that names us by a name that we do not know comes back to us, from ourselves.
      if (this.#externals.has(endpointKey(remote))) socket.resetAndDestroy();
      else this.#connections.acceptPhone(socket, local, remote);
    });
    this.#listening.push(listener);
  }

  /** Answers by the handler. */
  async openExternal({ id, internal, external }: SignallingCommand & { action: 'open' }): Promise<void> {
    const { handler, bindAt } = this.#options;
    const mapping: Mapping = { internal, close: undefined };
    this.#mappings.set(id, mapping);
    try {
      const listener = await this.#sockets.listen(bindAt(external), (socket, _local, remote) =>
        this.#connections.acceptProvider(socket, external, remote),
      );
      if (this.#isStopped || this.#mappings.get(id) !== mapping) {
        listener.close();
        handler.failed(id, 'closed before it was open');
        return;
      }
      mapping.close = () => {
        listener.close();
        this.#externals.delete(endpointKey(external));
        this.#connections.unmap(internal);
      };
      this.#externals.add(endpointKey(external));
      this.#connections.map(internal, external);
      handler.opened(id);
    } catch (error) {
      this.#mappings.delete(id);
      handler.failed(id, (error as Error).message);
    }
  }

  closeExternal(id: MappingId): void {
    const mapping = this.#mappings.get(id);
    this.#mappings.delete(id);
    mapping?.close?.();
  }

  send(flow: Flow, bytes: Uint8Array): boolean {
    return this.#connections.send(flow, bytes);
  }

  stop(): void {
    this.#isStopped = true;
    for (const listener of this.#listening) listener.close();
    for (const mapping of this.#mappings.values()) mapping.close?.();
    this.#mappings.clear();
    this.#connections.stop();
  }

  #from(side: 'internal' | 'external', local: Endpoint, remote: Endpoint): Endpoint {
    if (side === 'external') return this.#options.bindAt(local);
    // The engine knows the provider as our end; here the phone hears from ourselves.
    return { address: isIPv6(remote.address) ? '::' : '0.0.0.0', port: 0 };
  }

  #fromPhone(connection: PhoneConnection, bytes: Uint8Array): Promise<void> | undefined {
    let sender = this.#senders.get(connection.id);
    if (sender === undefined) {
      sender = { endpoint: connection.phone, provider: undefined };
      this.#senders.set(connection.id, sender);
    }
    // The engine knows which request a response belongs to, and the connection that it came on.
    const isResponse = equalsIgnoreCase(bytes, 0, Math.min(4, bytes.length), 'sip/');
    const hop = isResponse ? (sender.provider ?? connection.local) : this.#options.nextHop(sender, bytes);
    if (hop instanceof Promise) return hop.then((provider) => this.#deliver(connection, bytes, provider));
    return this.#deliver(connection, bytes, hop);
  }

  #deliver(
    { id, phone }: PhoneConnection,
    bytes: Uint8Array,
    provider: Endpoint | undefined,
  ): Promise<void> | undefined {
    if (provider === undefined || this.#isStopped) return undefined;
    const { handler, externalAddress, innerAddress, settled } = this.#options;
    handler.packet(
      { transport: 'tcp', side: 'internal', local: provider, remote: phone, connection: id },
      bytes,
      externalAddress(provider.address),
      innerAddress(phone),
    );
    return settled();
  }
}
