/**
 * The sockets with which we are the providers: a wildcard socket of each family for the first packet to a provider not met
 * before, and one transparent socket for each provider endpoint, bound to its own address and port.
 */
import { type Endpoint, endpointKey } from '../core/net/address.ts';

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
  readonly receiveBufferBytes: number;
  readonly overload: Overload;
}

export interface ProviderSocketsHandler {
  /** What a phone (`remote`) has sent to a provider (`local`). */
  packet(bytes: Uint8Array, remote: Endpoint, local: Endpoint): void;
  fault(code: string, error: unknown): void;
}

export class ProviderSockets {
  readonly #options: ProviderSocketsOptions;
  readonly #handler: ProviderSocketsHandler;
  readonly #wildcards = new Map<Family, UdpSocket>();
  /** What was used last stands last. */
  readonly #sockets = new Map<string, UdpSocket>();

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
    for (const socket of [...this.#sockets.values(), ...this.#wildcards.values()]) socket.close();
    this.#sockets.clear();
    this.#wildcards.clear();
  }

  /** The socket of a provider endpoint, a new one where there is none; undefined where none can be had. */
  at(local: Endpoint): UdpSocket | undefined {
    const key = endpointKey(local);
    const known = this.#sockets.get(key);
    if (known !== undefined) {
      this.#sockets.delete(key);
      this.#sockets.set(key, known);
      return known;
    }
    if (this.#wildcards.size === 0) return undefined;
    const limit = this.#options.maxProviderSockets ?? DEFAULT_PROVIDER_SOCKETS;
    for (const [oldKey, old] of this.#sockets) {
      if (this.#sockets.size < limit) break;
      this.#sockets.delete(oldKey);
      old.close();
    }
    try {
      const socket: UdpSocket = new UdpSocket(
        {
          local,
          transparent: true,
          receiveBufferBytes: this.#options.receiveBufferBytes,
          arrivals: this.#options.overload.queue(),
        },
        {
          datagram: (bytes, remote) => {
            this.#sockets.delete(key);
            this.#sockets.set(key, socket);
            this.#handler.packet(bytes, remote, local);
          },
          fault: (error) => this.#handler.fault('linux.receive', error),
        },
      );
      this.#sockets.set(key, socket);
      return socket;
    } catch (error) {
      this.#handler.fault('linux.provider-socket', error);
      return undefined;
    }
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
          // The next ones find the provider's own socket.
          this.at(destination);
          this.#handler.packet(bytes, remote, destination);
        },
        fault: (error) => this.#handler.fault('linux.receive', error),
      },
    );
  }
}
