/**
 * TCP sockets of the explicit mode. On Linux a connection to a provider leaves from the port at which the mapping listens, as
 * in the transparent mode, so that a provider finds the Contact's endpoint among the connections that it has; elsewhere it
 * leaves from any port.
 */
import { connect, createServer, type Socket } from 'node:net';
import { type Endpoint, endpoint, parseAddress } from '../../core/net/address.ts';

export type Accepted = (socket: Socket, local: Endpoint, remote: Endpoint) => void;

export interface TcpSockets {
  /** Rejects where it cannot be bound. */
  listen(at: Endpoint, accepted: Accepted): Promise<{ readonly local: Endpoint; close(): void }>;
  /** Being connected from `local`; port 0 is any. May throw. */
  connect(local: Endpoint, remote: Endpoint): Socket;
}

export async function loadTcpSockets(): Promise<TcpSockets> {
  if (process.platform !== 'linux') return portable;
  try {
    const { connectTcp, openTcpListener } = await import('../../linux/tcp-socket.ts');
    return {
      listen: async (at, accepted) =>
        openTcpListener({ local: at, transparent: false, accepted, fault: () => {} }),
      connect: (local, remote) => connectTcp(local, remote, false),
    };
  } catch {
    // Without the system-call binding (another machine, another libc) it goes the portable way.
    return portable;
  }
}

export const portable: TcpSockets = {
  listen: (at, accepted) =>
    new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        const local = endpointOf(socket.localAddress, socket.localPort);
        const remote = endpointOf(socket.remoteAddress, socket.remotePort);
        if (local === undefined || remote === undefined) socket.destroy();
        else accepted(socket, local, remote);
      });
      server.once('error', reject);
      server.listen({ host: at.address, port: at.port, exclusive: true, ipv6Only: true }, () => {
        server.off('error', reject).on('error', () => {});
        const bound = server.address();
        const port = typeof bound === 'object' && bound !== null ? bound.port : at.port;
        resolve({ local: endpoint(at.address, port), close: () => server.close() });
      });
    }),
  connect: (local, remote) =>
    connect({
      host: remote.address,
      port: remote.port,
      localAddress: local.address,
      allowHalfOpen: true,
      autoSelectFamily: false,
    }),
};

function endpointOf(address: string | undefined, port: number | undefined): Endpoint | undefined {
  const parsed = address === undefined ? undefined : parseAddress(address.replace(/%.*$/, ''));
  return parsed === undefined || port === undefined ? undefined : endpoint(parsed, port);
}
