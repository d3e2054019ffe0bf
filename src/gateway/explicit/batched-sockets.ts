/** The sockets of the explicit mode on Linux: what comes is read in batches, and media is sent on without entering the heap. */

import { type Endpoint, formatEndpoint } from '../../core/net/address.ts';
import { RelaySocket } from '../../linux/relay-socket.ts';
import { UdpSocket as LinuxUdpSocket } from '../../linux/udp-socket.ts';
import type { MediaSocket, Passage, Sockets, UdpHandler, UdpSocket } from './udp-socket.ts';

/** Throws on a machine that it is not for, or that does not let us (a sandbox without epoll): one socket is tried. */
export function batchedSockets(): Sockets {
  new RelaySocket({ address: '0.0.0.0', port: 0 }, { datagram() {}, fault() {} }).close();
  return {
    make: 'batched',
    openUdp,
    openMedia: async (at, handler) => new BatchedMediaSocket(at, handler),
  };
}

async function openUdp(at: Endpoint, handler: UdpHandler): Promise<UdpSocket> {
  const socket = new LinuxUdpSocket(
    { local: at },
    {
      datagram: (bytes, remote) => {
        try {
          handler.onDatagram(bytes, remote);
        } catch (error) {
          // Ours, and not the socket's: it ends where every mistake of ours does.
          setImmediate(() => {
            throw error;
          });
        }
      },
      fault: (error) => handler.onSendError(error as Error),
    },
  );
  return {
    local: socket.local,
    send: (bytes, to) => {
      if (!socket.send(bytes, to))
        handler.onSendError(new Error(`the system did not take it (to ${formatEndpoint(to)})`));
    },
    close: async () => socket.close(),
  };
}

class BatchedMediaSocket implements MediaSocket {
  readonly #socket: RelaySocket;

  constructor(at: Endpoint, handler: UdpHandler) {
    this.#socket = new RelaySocket(at, { datagram: handler.onDatagram, fault: handler.onSendError });
  }

  get local(): Endpoint {
    return this.#socket.local;
  }

  send(bytes: Uint8Array, to: Endpoint): void {
    this.#socket.send(bytes, to);
  }

  setPassage(passage: Passage | undefined): void {
    const by = passage?.by;
    this.#socket.setPassage(
      passage !== undefined && by instanceof BatchedMediaSocket
        ? { source: passage.source, to: passage.to, by: by.#socket, passed: passage.passed }
        : undefined,
    );
  }

  async close(): Promise<void> {
    this.#socket.close();
  }
}
