/**
 * TCP sockets that `node:net` cannot make: transparent ones, and connections from a port on which we listen too.
 *
 * Facts relied on:
 * - IP_TRANSPARENT (19; for IPv6 IPV6_TRANSPARENT, 75), set before the bind, allows an address that is not ours; accepted sockets inherit it, and their
 *   local address is where the other side connected to (Documentation/networking/tproxy.rst).
 * - A connection may be bound to the port of a listener where both have SO_REUSEPORT (15); a bind without it fails where
 *   anybody listens, which tells a port that another program holds (socket(7)).
 * - IP_FREEBIND (15; IPV6_FREEBIND, 78) allows an address that is not there now: it may come back (ip(7)).
 * - A socket buffer that is set stops growing by itself (tcp(7)): what a peer that does not read can bind has a bound.
 * - `net.Server` and `net.Socket` take a descriptor over, and close it.
 */
import { createServer, Socket } from 'node:net';
import { type Endpoint, isIPv6, parseAddress } from '../core/net/address.ts';
import { familyOf } from './family.ts';
import * as sys from './sys.ts';

const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const IP_FREEBIND = 15;
const SOL_IPV6 = 41;
const IPV6_FREEBIND = 78;
const IPV6_TRANSPARENT = 75;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const BACKLOG = 511;
/** Octets in each direction that the kernel keeps; it takes twice that for its own needs. */
const BUFFER = 128 * 1024;

export interface TcpListener {
  readonly local: Endpoint;
  close(): void;
}

function bound(local: Endpoint, transparent: boolean): sys.FileDescriptor {
  const fd = sys.socket(familyOf(local.address).domain, sys.SOCK_STREAM, 0);
  try {
    const [level, name] = isIPv6(local.address) ? [SOL_IPV6, IPV6_TRANSPARENT] : [SOL_IP, IP_TRANSPARENT];
    if (transparent) sys.setOption(fd, level, name, 1, 'IP_TRANSPARENT');
    sys.trySetOption(fd, level, isIPv6(local.address) ? IPV6_FREEBIND : IP_FREEBIND, 1);
    sys.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'SO_REUSEADDR');
    sys.setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT');
    sys.trySetOption(fd, SOL_SOCKET, SO_SNDBUF, BUFFER);
    sys.trySetOption(fd, SOL_SOCKET, SO_RCVBUF, BUFFER);
    sys.bindInet(fd, local);
    return fd;
  } catch (error) {
    sys.close(fd);
    throw error;
  }
}

/** Throws `linux/EADDRINUSE` where another program listens there. */
function mustBeFree(local: Endpoint): void {
  const fd = sys.socket(familyOf(local.address).domain, sys.SOCK_STREAM, 0);
  try {
    const [level, name] = isIPv6(local.address) ? [SOL_IPV6, IPV6_FREEBIND] : [SOL_IP, IP_FREEBIND];
    sys.trySetOption(fd, level, name, 1);
    sys.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'SO_REUSEADDR');
    sys.bindInet(fd, local);
  } finally {
    sys.close(fd);
  }
}

export interface TcpListenerOptions {
  /** Port 0 takes any free port; `local` of the listener then says which. */
  readonly local: Endpoint;
  readonly transparent: boolean;
  /** `local`: where the other side connected to, which is not ours on a transparent listener. */
  accepted(socket: Socket, local: Endpoint, remote: Endpoint): void;
  fault(error: Error): void;
}

/** Listens when it returns; throws a `SystemError` where that cannot be had. */
export function openTcpListener(options: TcpListenerOptions): TcpListener {
  if (options.local.port !== 0) mustBeFree(options.local);
  const fd = bound(options.local, options.transparent);
  let local: Endpoint;
  try {
    local = sys.localEndpoint(fd);
    sys.listen(fd, BACKLOG, local);
  } catch (error) {
    sys.close(fd);
    throw error;
  }
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const to = endpointOf(socket.localAddress, socket.localPort);
    const from = endpointOf(socket.remoteAddress, socket.remotePort);
    // Whoever is gone before it was taken in has no address any more.
    if (to === undefined || from === undefined) socket.destroy();
    else options.accepted(socket, to, from);
  });
  server.on('error', (error) => options.fault(error));
  server.listen({ fd });
  return { local, close: () => server.close() };
}

/** A socket that is being connected; throws a `SystemError` where `local` cannot be had. */
export function connectTcp(local: Endpoint, remote: Endpoint, transparent: boolean): Socket {
  const fd = bound(local, transparent);
  return new Socket({ fd, allowHalfOpen: true }).connect({ host: remote.address, port: remote.port });
}

function endpointOf(address: string | undefined, port: number | undefined): Endpoint | undefined {
  const parsed = address === undefined ? undefined : parseAddress(address);
  return parsed === undefined || port === undefined ? undefined : { address: parsed, port };
}
