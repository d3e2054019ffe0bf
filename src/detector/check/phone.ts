/**
 * The phone's side of a check: UDP sockets of this machine, each of which keeps what it sent and what came.
 */
import { createSocket, type Socket } from 'node:dgram';
import { type Address, type Endpoint, isIPv6, parseAddress } from '../../core/net/address.ts';

export interface Sighting {
  /** Of this machine's monotonic clock. */
  readonly at: number;
  readonly remote: Endpoint;
  readonly bytes: Uint8Array;
}

/** Datagrams that one socket keeps; beyond, they are only counted. A flood must not fill the memory. */
const MOST_KEPT = 20_000;

export class Phone {
  readonly local: Endpoint;
  readonly received: Sighting[] = [];
  dropped = 0;
  #isClosed = false;
  readonly #socket: Socket;
  readonly #listeners = new Set<(sighting: Sighting) => void>();

  private constructor(socket: Socket, local: Endpoint) {
    this.#socket = socket;
    this.local = local;
    socket.on('message', (bytes, from) => {
      if (this.received.length >= MOST_KEPT) {
        this.dropped++;
        return;
      }
      const sighting: Sighting = {
        at: performance.now(),
        remote: { address: parseAddress(from.address) ?? from.address, port: from.port },
        bytes: new Uint8Array(bytes),
      };
      this.received.push(sighting);
      for (const listener of [...this.#listeners]) listener(sighting);
    });
  }

  /** Port 0: one that is free. Rejects with the system's error where the port is taken. */
  static open(address: Address, port = 0): Promise<Phone> {
    const v6 = isIPv6(address);
    const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6, recvBufferSize: 1 << 20 });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, address, () => {
        socket.removeAllListeners('error');
        // ICMP errors are part of what is looked for; silence shows them as well.
        socket.on('error', () => {});
        resolve(new Phone(socket, { address, port: socket.address().port }));
      });
    });
  }

  /** The moment at which it was sent. */
  send(to: Endpoint, bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const at = performance.now();
      this.#socket.send(bytes, to.port, to.address, (error) =>
        error === null ? resolve(at) : reject(error),
      );
    });
  }

  /** Of the packets that are sent from now on: how many routers they pass (RFC 791 §3.2). */
  reach(hops: number): void {
    this.#socket.setTTL(hops);
  }

  listen(listener: (sighting: Sighting) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}
