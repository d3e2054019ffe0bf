/** A connected socket to somebody else's SIP server: what is sent, and the messages that come from there. */
import { createSocket } from 'node:dgram';
import { connect as connectTcp } from 'node:net';
import { type Endpoint, isIPv6, parseAddress } from '../../core/net/address.ts';
import { Framer } from '../../core/sip/framing.ts';
import type { ServerTransport } from './target.ts';

export interface Leg {
  readonly transport: ServerTransport;
  readonly inside: Endpoint;
  readonly server: Endpoint;
  /** Why nothing more will come; undefined while it may. */
  readonly problem: string | undefined;
  send(bytes: Uint8Array): void;
  /** One listener: who asks now. Undefined: nobody does, and what comes is dropped. */
  listen(listener: LegListener | undefined): void;
  close(): void;
}

export interface LegListener {
  message(bytes: Uint8Array): void;
  failed(): void;
}

const CONNECT_MS = 5_000;

/** Port 0: one that is free. Rejects where there is no route, where the port is taken, and where a connection is refused. */
export function openLeg(transport: ServerTransport, server: Endpoint): Promise<Leg> {
  return transport === 'udp' ? openUdp(server) : openTcp(server);
}

/** Connected, so that the system says which address it sends from, and tells an ICMP error. */
function openUdp(server: Endpoint): Promise<Leg> {
  const socket = createSocket({ type: isIPv6(server.address) ? 'udp6' : 'udp4' });
  let listener: LegListener | undefined;
  let problem: string | undefined;
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.connect(server.port, server.address, () => {
      socket.removeListener('error', reject);
      const fail = (error: Error): void => {
        problem = reasonOf(error);
        listener?.failed();
      };
      socket.on('error', fail);
      socket.on('message', (bytes) => listener?.message(new Uint8Array(bytes)));
      resolve({
        transport: 'udp',
        inside: endpointOf(socket.address()),
        server,
        get problem() {
          return problem;
        },
        send(bytes) {
          problem = undefined;
          socket.send(bytes, (error) => {
            if (error !== null) fail(error);
          });
        },
        listen(next) {
          listener = next;
        },
        close: () => socket.close(),
      });
    });
  });
}

function openTcp(server: Endpoint): Promise<Leg> {
  const socket = connectTcp({ host: server.address, port: server.port });
  const framer = new Framer();
  let listener: LegListener | undefined;
  let problem: string | undefined;
  const fail = (why: string): void => {
    problem ??= why;
    socket.destroy();
    listener?.failed();
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error('no answer to the connection')), CONNECT_MS);
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeListener('error', reject);
      socket.on('error', (error) => fail(reasonOf(error)));
      socket.on('close', () => fail('the server has closed the connection'));
      socket.on('data', (chunk) => {
        for (const { kind, bytes } of framer.feed(chunk)) {
          if (kind === 'message') listener?.message(bytes);
          if (kind === 'raw') return fail('the server sends what is not SIP');
        }
      });
      resolve({
        transport: 'tcp',
        inside: endpointOf({ address: socket.localAddress ?? '', port: socket.localPort ?? 0 }),
        server,
        get problem() {
          return problem;
        },
        send: (bytes) => socket.write(bytes),
        listen(next) {
          listener = next;
        },
        close: () => socket.destroy(),
      });
    });
  });
}

function endpointOf({ address, port }: { address: string; port: number }): Endpoint {
  return { address: parseAddress(address) ?? address, port };
}

export function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return reasons[code ?? ''] ?? code ?? error.message;
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at that port',
  ECONNRESET: 'the server has reset the connection',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no route to that network',
  EMSGSIZE: 'the packet is too large for the path',
};
