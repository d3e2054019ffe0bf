/**
 * UDP sockets on address literals, in two makes: in batches by the kernel's own calls where this is Linux (`batched-sockets.ts`),
 * and `node:dgram`, which runs everywhere.
 *
 * `node:dgram` asks the resolver for every datagram, literal or not; a `lookup` of our own answers at once, which makes a
 * send cheaper and binding and connecting take effect before the call returns.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { type Endpoint, endpoint, isIPv6, parseAddress } from '../../core/net/address.ts';

export interface UdpSocket {
  /** Where it is bound: the port that the system chose, if 0 was asked for. */
  readonly local: Endpoint;
  /** Never throws; what cannot be sent goes to `onSendError`. */
  send(bytes: Uint8Array, to: Endpoint): void;
  /** Nothing arrives once this has been called. */
  close(): Promise<void>;
}

/** What one sender sends is sent on, and not handed to `onDatagram`. */
export interface Passage {
  readonly source: Endpoint;
  readonly to: Endpoint;
  /** The socket by which it leaves, of the same make. */
  readonly by: MediaSocket;
  /** Called after each datagram or batch that was sent on. */
  readonly passed: (packets: number, octets: number) => void;
}

export interface MediaSocket extends UdpSocket {
  /** Until another one is set; undefined: everything is handed to `onDatagram`. */
  setPassage(passage: Passage | undefined): void;
}

export interface UdpHandler {
  readonly onDatagram: (bytes: Uint8Array, source: Endpoint) => void;
  readonly onSendError: (error: Error) => void;
}

/** Both functions reject where the socket cannot be bound. */
export interface Sockets {
  /** As the log says it at the start. */
  readonly make: 'batched' | 'node:dgram';
  readonly openUdp: (at: Endpoint, handler: UdpHandler) => Promise<UdpSocket>;
  readonly openMedia: (at: Endpoint, handler: UdpHandler) => Promise<MediaSocket>;
}

export const portableSockets: Sockets = { make: 'node:dgram', openUdp: openDgram, openMedia: openDgram };

/** Those in batches where this machine can, unless `SIPALG_SOCKETS=portable` is in the environment. */
export async function bestSockets(): Promise<Sockets> {
  if (process.platform !== 'linux' || process.env.SIPALG_SOCKETS === 'portable') return portableSockets;
  try {
    const { batchedSockets } = await import('./batched-sockets.ts');
    return batchedSockets();
  } catch {
    // A C library or a processor that there is no koffi for.
    return portableSockets;
  }
}

function openDgram(at: Endpoint, handler: UdpHandler): Promise<MediaSocket> {
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
      let passage: Passage | undefined;
      socket.on('message', (bytes, source) => {
        if (!open) return;
        const from = source.family === 'IPv6' ? canonical(source) : source;
        if (passage?.source.port === from.port && passage.source.address === from.address) {
          passage.by.send(bytes, passage.to);
          passage.passed(1, bytes.length);
        } else handler.onDatagram(bytes, endpoint(from.address, from.port));
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
        setPassage: (next) => {
          passage = next;
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

/** The system writes IPv6 with a zone where there is one, and mapped addresses in its own way. */
function canonical(source: RemoteInfo): Endpoint {
  const bare = source.address.replace(/%.*$/, '');
  return endpoint(parseAddress(bare) ?? bare, source.port);
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
