/**
 * The sockets with which we are the providers: a wildcard socket of each family for the first packet to a provider not met
 * before, and one transparent socket for each provider endpoint, bound to its own address and port.
 */
import { EndpointMap } from '../core/nat/endpoint-map.ts';
import type { Endpoint } from '../core/net/address.ts';

import { type Family, familyOf, IPV4 } from './family.ts';
import type { Overload } from './overload.ts';

import { ERRNO, SystemError } from './system-error.ts';
import { UdpSocket } from './udp-socket.ts';

const DEFAULT_PROVIDER_SOCKETS = 1_024;

export interface ProviderSocketsOptions {
  readonly families: readonly Family[];
  /** The wildcard sockets' port on the loopback addresses; by default any free one. */
  readonly listenPort?: number;
  /** Provider endpoints with a socket at one time; the one unused longest goes first. Default 1024. */
  readonly maxProviderSockets?: number;
  /** Other engines have sockets of the same providers; then all packets of phones come to the wildcard sockets. */
  readonly shared: boolean;
  readonly receiveBufferBytes: number;
  readonly overload: Overload;
}

export interface ProviderSocketsHandler {
  /** What a phone (`remote`) has sent to a provider (`local`). */
  packet(bytes: Uint8Array, remote: Endpoint, local: Endpoint): void;
  fault(code: string, error: unknown): void;
}

interface ProviderSocket {
  readonly local: Endpoint;
  readonly socket: UdpSocket;
  /** Grows with every use. */
  used: number;
}

export class ProviderSockets {
  readonly #options: ProviderSocketsOptions;
  readonly #handler: ProviderSocketsHandler;
  readonly #wildcards = new Map<Family, UdpSocket>();
  readonly #sockets = new Set<ProviderSocket>();
  readonly #byEndpoint = new EndpointMap<ProviderSocket>();
  #uses = 0;

  constructor(options: ProviderSocketsOptions, handler: ProviderSocketsHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Those that this kernel has. */
  get families(): readonly Family[] {
    return [...this.#wildcards.keys()];
  }

  /** Where first packets of a family have to be sent; undefined where this kernel does not have it. */
  port(family: Family): number | undefined {
    return this.#wildcards.get(family)?.local.port;
  }

  /** Opens the wildcard sockets. Throws a `SystemError`. */
  open(): void {
    for (const family of this.#options.families) {
      try {
        this.#wildcards.set(family, this.#openWildcard(family));
      } catch (error) {
        // A kernel without IPv6 is a router for IPv4.
        if (family === IPV4 || !(error instanceof SystemError)) throw error;
        if (error.errno !== ERRNO.EAFNOSUPPORT && error.errno !== ERRNO.EADDRNOTAVAIL) throw error;
      }
    }
  }

  close(): void {
    for (const socket of [...[...this.#sockets].map(({ socket: one }) => one), ...this.#wildcards.values()])
      socket.close();
    for (const one of this.#sockets) this.#byEndpoint.delete(one.local.address, one.local.port);
    this.#sockets.clear();
    this.#wildcards.clear();
  }

  /** The socket of a provider endpoint, a new one where there is none; undefined where none can be had. */
  at(local: Endpoint): UdpSocket | undefined {
    const known = this.#byEndpoint.get(local);
    if (known !== undefined) {
      known.used = ++this.#uses;
      return known.socket;
    }
    if (this.#wildcards.size === 0) return undefined;
    const limit = Math.max(1, this.#options.maxProviderSockets ?? DEFAULT_PROVIDER_SOCKETS);
    while (this.#sockets.size >= limit) this.#closeOldest();
    try {
      const socket: UdpSocket = new UdpSocket(
        {
          local,
          transparent: true,
          shared: this.#options.shared,
          receiveBufferBytes: this.#options.receiveBufferBytes,
          arrivals: this.#options.overload.queue(),
        },
        {
          datagram: (bytes, remote) => {
            one.used = ++this.#uses;
            this.#handler.packet(bytes, remote, local);
          },
          fault: (error) => this.#handler.fault('linux.receive', error),
        },
      );
      const one: ProviderSocket = { local, socket, used: ++this.#uses };
      this.#sockets.add(one);
      this.#byEndpoint.set(local.address, local.port, one);
      return socket;
    } catch (error) {
      this.#handler.fault('linux.provider-socket', error);
      return undefined;
    }
  }

  #closeOldest(): void {
    let oldest: ProviderSocket | undefined;
    for (const one of this.#sockets) if (oldest === undefined || one.used < oldest.used) oldest = one;
    if (oldest === undefined) return;
    this.#sockets.delete(oldest);
    this.#byEndpoint.delete(oldest.local.address, oldest.local.port);
    oldest.socket.close();
  }

  #openWildcard(family: Family): UdpSocket {
    return new UdpSocket(
      {
        local: { address: family.loopback, port: this.#options.listenPort ?? 0 },
        transparent: true,
        originalDestination: true,
        receiveBufferBytes: this.#options.receiveBufferBytes,
        arrivals: this.#options.overload.queue(),
      },
      {
        datagram: (bytes, remote, destination) => {
          // Only packets that were intercepted carry another destination than our own.
          if (destination.address === familyOf(destination.address).loopback) return;
          // The next ones find the provider's own socket, where it is one engine's alone.
          this.at(destination);
          this.#handler.packet(bytes, remote, destination);
        },
        fault: (error) => this.#handler.fault('linux.receive', error),
      },
    );
  }
}
