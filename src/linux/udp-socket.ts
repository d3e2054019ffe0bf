/**
 * A UDP socket that receives in batches and knows where a datagram was sent to.
 *
 * Facts relied on:
 * - IP_TRANSPARENT (19) allows binding to an address that is not ours; it takes CAP_NET_ADMIN or CAP_NET_RAW (ip(7)).
 * - IP_FREEBIND (15) allows binding to an address that is not there (yet). A UDP socket stays bound when its address is taken
 *   away: sending fails until it is there again (ip(7)).
 * - IP_RECVORIGDSTADDR (20) delivers the destination as control message of level 0, type 20, a `sockaddr_in`.
 * - IPv6 has options of the same meaning at level 41 (linux/in6.h): IPV6_TRANSPARENT (75), IPV6_RECVORIGDSTADDR (74, a
 *   `sockaddr_in6`), IPV6_FREEBIND (78), IPV6_MTU_DISCOVER (23); a socket with IPV6_V6ONLY (26) never carries IPv4.
 * - SO_RCVBUFFORCE (33) exceeds net.core.rmem_max with CAP_NET_ADMIN; SO_RCVBUF (8) does not.
 * - IP_MTU_DISCOVER (10) = IP_PMTUDISC_DONT (0): a SIP message larger than the path's MTU is fragmented, without DF, so that it
 *   crosses networks that swallow ICMP (RFC 3261 §18.1.1 leaves no other way for a message that must stay on UDP).
 * - SO_TIMESTAMPNS (35) delivers the time of arrival as control message of level 1, type 35, a `struct timespec`.
 * - Neither SO_REUSEADDR nor SO_REUSEPORT is set: a port that another program holds must be reported, never shared. Only engines
 *   that share the phones have a socket each of the same provider, at which nothing arrives: SO_REUSEADDR (2), set on all of them,
 *   allows that (socket(7)).
 *
 * All sockets receive into one arena: a datagram is copied out of it before the receiver sees it, and receivers run one after
 * the other on the loop. Copies share blocks of memory, because a block for each costs more than the copying.
 */
import { type Endpoint, formatEndpoint, isIPv6 } from '../core/net/address.ts';
import { DatagramArena } from './datagram-arena.ts';
import { familyOf } from './family.ts';
import type { ArrivalQueue } from './overload.ts';
import { type Watch, watch } from './readiness.ts';
import { readSockaddr } from './sockaddr.ts';
import * as sys from './sys.ts';
import { ERRNO } from './system-error.ts';

interface SocketOptions {
  readonly level: number;
  readonly mtuDiscover: number;
  readonly transparent: number;
  readonly originalDestination: number;
  readonly freeBind: number;
}

const IP_OPTIONS: SocketOptions = {
  level: 0,
  mtuDiscover: 10,
  transparent: 19,
  originalDestination: 20,
  freeBind: 15,
};
const IPV6_OPTIONS: SocketOptions = {
  level: 41,
  mtuDiscover: 23,
  transparent: 75,
  originalDestination: 74,
  freeBind: 78,
};
const IPV6_V6ONLY = 26;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SO_TIMESTAMPNS = 35;

const BATCH = 32;
/** Batches in one go before other sockets get their turn. */
const BUDGET = 2;
const DATAGRAM_SIZE = 65_536;
const CONTROL_SIZE = 128;
/** A block that copies share; what is longer than an eighth of it gets one of its own. */
const BLOCK_SIZE = 65_536;
/** `struct cmsghdr` is length (8), level (4), type (4); data follows. */
const CMSG_HEADER = 16;

export interface UdpSocketOptions {
  /** Port 0 takes any free port; `local` of the socket then says which. */
  readonly local: Endpoint;
  /** Bind to an address that is not ours. */
  readonly transparent?: boolean;
  /** Other sockets of ours are bound to the same endpoint, and it does not matter which of them receives. */
  readonly shared?: boolean;
  /** Bind to an address that may come later, or go and come again: the socket outlives it. */
  readonly freeBind?: boolean;
  /** Report where each datagram was sent to; otherwise the socket's own endpoint is reported. */
  readonly originalDestination?: boolean;
  readonly receiveBufferBytes?: number;
  /** Drops what has waited too long (overload.ts). */
  readonly arrivals?: ArrivalQueue | undefined;
}

export interface UdpReceiver {
  /** `bytes` is the receiver's own. An exception is handed to `fault`. */
  datagram(bytes: Uint8Array, remote: Endpoint, destination: Endpoint): void;
  fault(error: unknown): void;
}

let received: DatagramArena | undefined;
let block = new Uint8Array(0);
let blockUsed = 0;

/** Octets that are the receiver's own for as long as it likes. */
function copyOf(bytes: Buffer, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > BLOCK_SIZE / 8) return new Uint8Array(bytes.subarray(start, end));
  if (blockUsed + length > block.byteLength) {
    block = new Uint8Array(BLOCK_SIZE);
    blockUsed = 0;
  }
  const copy = block.subarray(blockUsed, blockUsed + length);
  bytes.copy(copy, 0, start, end);
  blockUsed += length;
  return copy;
}

export class UdpSocket {
  readonly local: Endpoint;
  /** Datagrams that the kernel did not take. */
  sendFailures = 0;
  readonly #fd: sys.FileDescriptor;
  readonly #watch: Watch;
  readonly #receiver: UdpReceiver;
  readonly #originalDestination: boolean;
  readonly #arrivals: ArrivalQueue | undefined;
  #closed = false;

  /** Throws a `SystemError` (`linux/EADDRINUSE`, `linux/EPERM`, …) where the socket cannot be had. */
  constructor(options: UdpSocketOptions, receiver: UdpReceiver) {
    this.#receiver = receiver;
    this.#originalDestination = options.originalDestination === true;
    this.#arrivals = options.arrivals;
    const fd = open(options.local);
    try {
      const names = optionsOf(options.local);
      if (options.transparent === true)
        sys.setOption(fd, names.level, names.transparent, 1, 'IP_TRANSPARENT');
      if (options.freeBind === true) sys.setOption(fd, names.level, names.freeBind, 1, 'IP_FREEBIND');
      if (this.#originalDestination)
        sys.setOption(fd, names.level, names.originalDestination, 1, 'IP_RECVORIGDSTADDR');
      sys.trySetOption(fd, names.level, names.mtuDiscover, 0);
      if (options.arrivals !== undefined) sys.trySetOption(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
      const size = options.receiveBufferBytes;
      if (size !== undefined && sys.trySetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, size) !== 0)
        sys.trySetOption(fd, SOL_SOCKET, SO_RCVBUF, size);
      if (options.shared === true) sys.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'SO_REUSEADDR');
      sys.bindInet(fd, options.local);
      this.local = options.local.port === 0 ? sys.localEndpoint(fd) : options.local;
      this.#watch = watch(fd, () => this.#drain());
    } catch (error) {
      sys.close(fd);
      throw error;
    }
    this.#fd = fd;
  }

  /** Whether the kernel took the datagram. Its failures are counted, never thrown. */
  send(bytes: Uint8Array, remote: Endpoint): boolean {
    if (this.#closed) return false;
    if (sys.sendToInet(this.#fd, bytes, remote) >= 0) return true;
    this.sendFailures++;
    return false;
  }

  /** Sends the first datagrams, as many as the kernel takes in one go: their count, or the negative errno of the first. */
  sendMany(headers: bigint, count: number): number {
    return this.#closed ? -ERRNO.EBADF : sys.sendMany(this.#fd, headers, count);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    sys.close(this.#fd);
  }

  #drain(): void {
    received ??= new DatagramArena(BATCH, DATAGRAM_SIZE, CONTROL_SIZE);
    const arena = received;
    const { view, bytes } = arena;
    const control = this.#originalDestination || this.#arrivals !== undefined;
    for (let batch = 0; batch < BUDGET && !this.#closed; batch++) {
      arena.offer(control);
      const count = sys.receiveMany(this.#fd, arena.headers(), BATCH);
      arena.use(Math.max(count, 0));
      if (count <= 0) {
        // EINTR comes again by itself (level-triggered); anything but "nothing there" is worth telling.
        if (count < 0 && count !== -ERRNO.EAGAIN && count !== -ERRNO.EINTR)
          this.#receiver.fault(new Error(`recvmmsg on ${formatEndpoint(this.local)}: errno ${-count}`));
        return;
      }
      for (let i = 0; i < count && !this.#closed; i++) {
        const remote = readSockaddr(view, arena.nameOf(i));
        if (remote === undefined) continue;
        const start = arena.dataOf(i);
        const end = start + arena.lengthOf(i);
        const datagram = copyOf(bytes, start, end);
        if (this.#arrivals !== undefined) {
          const ageMs = readAge(view, arena.controlOf(i), arena.controlLengthOf(i));
          if (this.#arrivals.drops(datagram, ageMs, performance.now())) continue;
        }
        const destination = this.#originalDestination
          ? readDestination(view, arena.controlOf(i), arena.controlLengthOf(i))
          : this.local;
        try {
          this.#receiver.datagram(datagram, remote, destination ?? this.local);
        } catch (error) {
          this.#receiver.fault(error);
        }
      }
      if (count < BATCH) return;
    }
  }
}

function readDestination(view: DataView, offset: number, length: number): Endpoint | undefined {
  let destination: Endpoint | undefined;
  eachControl(view, offset, length, (level, type, at) => {
    for (const known of [IP_OPTIONS, IPV6_OPTIONS])
      if (level === known.level && type === known.originalDestination) destination = readSockaddr(view, at);
  });
  return destination;
}

/** Milliseconds since the datagram arrived; 0 where the kernel does not say. */
function readAge(view: DataView, offset: number, length: number): number {
  const end = offset + length;
  for (let at = offset; at + CMSG_HEADER <= end; ) {
    const size = view.getUint32(at, true);
    if (size < CMSG_HEADER || at + size > end) break;
    if (view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SO_TIMESTAMPNS) {
      const data = at + CMSG_HEADER;
      // Seconds have 64 bits; read as two halves, which makes no object.
      const seconds = view.getInt32(data + 4, true) * 2 ** 32 + view.getUint32(data, true);
      return Date.now() - seconds * 1000 - view.getUint32(data + 8, true) / 1e6;
    }
    at += (size + 7) & ~7;
  }
  return 0;
}

/** Calls `each` with level, type and the place of the data of every control message that is whole. */
function eachControl(
  view: DataView,
  offset: number,
  length: number,
  each: (level: number, type: number, at: number) => void,
): void {
  let at = offset;
  const end = offset + length;
  while (at + CMSG_HEADER <= end) {
    const size = Number(view.getBigUint64(at, true));
    if (size < CMSG_HEADER || at + size > end) return;
    each(view.getInt32(at + 8, true), view.getInt32(at + 12, true), at + CMSG_HEADER);
    at += (size + 7) & ~7;
  }
}

function optionsOf(local: Endpoint): SocketOptions {
  return isIPv6(local.address) ? IPV6_OPTIONS : IP_OPTIONS;
}

/** A UDP socket of the endpoint's family, and of no other. */
function open(local: Endpoint): sys.FileDescriptor {
  const fd = sys.socket(familyOf(local.address).domain, sys.SOCK_DGRAM, 0);
  if (isIPv6(local.address)) sys.trySetOption(fd, IPV6_OPTIONS.level, IPV6_V6ONLY, 1);
  return fd;
}

/** Whether no local program holds this UDP endpoint. */
export function isFree(local: Endpoint): boolean {
  const fd = open(local);
  try {
    const names = optionsOf(local);
    // The question is the port; an address that is just coming up must not look like a taken port.
    sys.trySetOption(fd, names.level, names.freeBind, 1);
    return sys.canBindInet(fd, local);
  } finally {
    sys.close(fd);
  }
}
