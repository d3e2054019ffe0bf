/**
 * One UDP socket on an address literal.
 *
 * `node:dgram` asks the resolver for every datagram, literal or not; a `lookup` of our own answers at once, which makes a
 * send cheaper and binding and connecting take effect before the call returns.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { type Endpoint, endpoint, isIPv6 } from '../../core/net/address.ts';

export interface UdpSocket {
  /** Where it is bound: the port that the system chose, if 0 was asked for. */
  readonly local: Endpoint;
  /** Never throws; what cannot be sent goes to `onSendError`. */
  send(bytes: Uint8Array, to: Endpoint): void;
  /** Nothing arrives once this has been called. */
  close(): Promise<void>;
}

export interface UdpHandler {
  readonly onDatagram: (bytes: Uint8Array, source: RemoteInfo) => void;
  readonly onSendError: (error: Error) => void;
}

/** Rejects where the socket cannot be bound. */
export function openUdpSocket(at: Endpoint, handler: UdpHandler): Promise<UdpSocket> {
  const socket = createLiteralSocket(at.address);
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.once('listening', () => {
      socket.removeAllListeners('error');
      socket.on('error', handler.onSendError);
      let open = true;
      socket.on('message', (bytes, source) => {
        if (open) handler.onDatagram(bytes, source);
      });
      resolve({
        local: endpoint(at.address, socket.address().port),
        send: (bytes, to) => {
          if (!open) return;
          try {
            socket.send(bytes, to.port, to.address);
          } catch (error) {
            handler.onSendError(error as Error);
          }
        },
        close: () => {
          if (!open) return Promise.resolve();
          open = false;
          return new Promise((closed) => socket.close(() => closed()));
        },
      });
    });
    socket.bind({ address: at.address, port: at.port, exclusive: true });
  });
}

/** A socket of the address's family that takes literals only. */
export function createLiteralSocket(address: string): Socket {
  const family = isIPv6(address) ? 6 : 4;
  return createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    ipv6Only: family === 6,
    lookup: (host, _options, callback) => callback(null, host, family),
  });
}
