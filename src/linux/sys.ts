/**
 * System calls: the only file that knows koffi.
 *
 * Facts relied on:
 * - 64-bit little-endian Linux: `struct msghdr` has 56 bytes, `struct mmsghdr` 64, `struct iovec` 16 (recvmmsg(2)).
 * - `koffi.node.poll` is uv_poll: level-triggered. Its handle must stay referenced, or events stop without an error.
 *   An exception that leaves its callback wedges the loop, so none may.
 * - On Node 24 promises and ticks made inside the callback run when it returns.
 * - errno is read right after the call; any other call in between may overwrite it.
 */
import { endianness } from 'node:os';
import koffi from 'koffi';
import { type Endpoint, formatEndpoint } from '../core/net/address.ts';
import { readSockaddr, SOCKADDR_SIZE, writeSockaddr } from './sockaddr.ts';
import { ERRNO, SystemError, systemError } from './system-error.ts';

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = 0x40;
const MADV_DONTNEED = 4;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

export type FileDescriptor = number;

type Pointer = bigint | Uint8Array | null;

interface Calls {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Pointer, length: number): number;
  connect(fd: number, address: Pointer, length: number): number;
  listen(fd: number, backlog: number): number;
  getsockname(fd: number, address: Pointer, length: Pointer): number;
  setsockopt(fd: number, level: number, name: number, value: Pointer, length: number): number;
  sendto(
    fd: number,
    bytes: Pointer,
    length: number,
    flags: number,
    address: Pointer,
    addressLength: number,
  ): number;
  recv(fd: number, bytes: Pointer, length: number, flags: number): number;
  recvmmsg(fd: number, messages: Pointer, count: number, flags: number, timeout: Pointer): number;
  sendmmsg(fd: number, messages: Pointer, count: number, flags: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(set: number, operation: number, fd: number, event: Pointer): number;
  epoll_wait(set: number, events: Pointer, count: number, timeoutMs: number): number;
  close(fd: number): number;
  madvise(start: bigint, length: number, advice: number): number;
}

let calls: Calls | undefined;

function libc(): Calls {
  if (calls !== undefined) return calls;
  if (process.platform !== 'linux' || endianness() !== 'LE' || koffi.sizeof('void *') !== 8)
    throw new SystemError(
      'linux/unsupported-platform',
      `the kernel data plane needs 64-bit little-endian Linux, this is ${process.platform} ${process.arch}`,
      'use the explicit mode (`sipalg gateway --listen`), which runs everywhere',
    );
  const lib = koffi.load(null);
  const pointer = 'void *';
  calls = {
    socket: lib.func('socket', 'int', ['int', 'int', 'int']),
    bind: lib.func('bind', 'int', ['int', pointer, 'uint32_t']),
    connect: lib.func('connect', 'int', ['int', pointer, 'uint32_t']),
    listen: lib.func('listen', 'int', ['int', 'int']),
    getsockname: lib.func('getsockname', 'int', ['int', pointer, pointer]),
    setsockopt: lib.func('setsockopt', 'int', ['int', 'int', 'int', pointer, 'uint32_t']),
    sendto: lib.func('sendto', 'intptr_t', ['int', pointer, 'size_t', 'int', pointer, 'uint32_t']),
    recv: lib.func('recv', 'intptr_t', ['int', pointer, 'size_t', 'int']),
    recvmmsg: lib.func('recvmmsg', 'int', ['int', pointer, 'uint32_t', 'int', pointer]),
    sendmmsg: lib.func('sendmmsg', 'int', ['int', pointer, 'uint32_t', 'int']),
    epoll_create1: lib.func('epoll_create1', 'int', ['int']),
    epoll_ctl: lib.func('epoll_ctl', 'int', ['int', 'int', 'int', pointer]),
    epoll_wait: lib.func('epoll_wait', 'int', ['int', pointer, 'int', 'int']),
    close: lib.func('close', 'int', ['int']),
    madvise: lib.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']),
  };
  return calls;
}

function check(result: number, call: string, subject = ''): number {
  if (result < 0) throw systemError(call, koffi.errno(), subject);
  return result;
}

const allocated: unknown[] = [];

/** Frees all that was allocated in this thread: the last that a thread does which ends before its process. */
export function free(): void {
  for (const one of allocated.splice(0)) koffi.free(one);
}

/** Memory outside the JavaScript heap: it never moves, so that structures may point into it. */
export interface Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: bigint;
}

export function allocate(size: number): Arena {
  libc();
  const reference: unknown = koffi.alloc('uint8_t', size);
  allocated.push(reference);
  const buffer = koffi.view(reference, size);
  const bytes = new Uint8Array(buffer);
  bytes.fill(0);
  return { bytes, view: new DataView(buffer), address: koffi.address(reference) };
}

export function socket(domain: number, type: number, protocol: number): FileDescriptor {
  return check(libc().socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), 'socket');
}

export function close(fd: FileDescriptor): void {
  libc().close(fd);
}

const scratch = new Uint8Array(64);
const scratchView = new DataView(scratch.buffer);

export function bindInet(fd: FileDescriptor, local: Endpoint): void {
  check(libc().bind(fd, scratch, writeSockaddr(scratchView, 0, local)), 'bind', formatEndpoint(local));
}

/** False where the address or port is taken or not ours. */
export function canBindInet(fd: FileDescriptor, local: Endpoint): boolean {
  return libc().bind(fd, scratch, writeSockaddr(scratchView, 0, local)) === 0;
}

export function connectInet(fd: FileDescriptor, remote: Endpoint): void {
  check(
    libc().connect(fd, scratch, writeSockaddr(scratchView, 0, remote)),
    'connect',
    formatEndpoint(remote),
  );
}

export function listen(fd: FileDescriptor, backlog: number, local: Endpoint): void {
  check(libc().listen(fd, backlog), 'listen', `${local.address}:${local.port}`);
}

/** Undoes a connect (connect(2): AF_UNSPEC), so that a datagram socket can be connected elsewhere. */
export function disconnect(fd: FileDescriptor): void {
  scratch.fill(0, 0, SOCKADDR_SIZE);
  libc().connect(fd, scratch, SOCKADDR_SIZE);
}

export function localEndpoint(fd: FileDescriptor): Endpoint {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, SOCKADDR_SIZE, true);
  check(libc().getsockname(fd, scratch, length), 'getsockname');
  const result = readSockaddr(scratchView, 0);
  if (result === undefined) throw systemError('getsockname', ERRNO.EINVAL);
  return result;
}

export function bindNetlink(fd: FileDescriptor, groups: number): void {
  scratch.fill(0, 0, 12);
  scratchView.setUint16(0, 16, true);
  scratchView.setUint32(8, groups, true);
  check(libc().bind(fd, scratch, 12), 'bind', 'netlink');
}

/** Sets an integer option; 0, or the errno. */
export function trySetOption(fd: FileDescriptor, level: number, name: number, value: number): number {
  scratchView.setInt32(0, value, true);
  return libc().setsockopt(fd, level, name, scratch, 4) === 0 ? 0 : koffi.errno();
}

export function setOption(
  fd: FileDescriptor,
  level: number,
  name: number,
  value: number,
  what: string,
): void {
  const errno = trySetOption(fd, level, name, value);
  if (errno !== 0) throw systemError('setsockopt', errno, what);
}

/** Sends one datagram; the count of bytes, or the negative errno. Never throws for what the kernel says. */
export function sendToInet(fd: FileDescriptor, bytes: Uint8Array, remote: Endpoint): number {
  const sent = libc().sendto(
    fd,
    bytes.byteLength === 0 ? null : bytes,
    bytes.byteLength,
    MSG_DONTWAIT,
    scratch,
    writeSockaddr(scratchView, 0, remote),
  );
  return sent < 0 ? -koffi.errno() : sent;
}

/** Sends one datagram to a Unix socket; a leading @ stands for the abstract namespace (unix(7)). As `sendToInet`. */
export function sendToUnix(fd: FileDescriptor, bytes: Uint8Array, path: string): number {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  const sent = libc().sendto(fd, bytes, bytes.byteLength, MSG_DONTWAIT, address, address.length);
  return sent < 0 ? -koffi.errno() : sent;
}

export function sendNetlink(fd: FileDescriptor, bytes: Uint8Array): number {
  scratch.fill(0, 0, 12);
  scratchView.setUint16(0, 16, true);
  const sent = libc().sendto(fd, bytes, bytes.byteLength, 0, scratch, 12);
  return sent < 0 ? -koffi.errno() : sent;
}

/** The count of bytes received into `into`, or the negative errno (-EAGAIN where there is nothing). */
export function receive(fd: FileDescriptor, into: Uint8Array): number {
  const received = libc().recv(fd, into, into.byteLength, MSG_DONTWAIT);
  return received < 0 ? -koffi.errno() : received;
}

/** The count of messages, or the negative errno. */
export function receiveMany(fd: FileDescriptor, headers: bigint, count: number, flags = 0): number {
  const received = libc().recvmmsg(fd, headers, count, MSG_DONTWAIT | flags, null);
  return received < 0 ? -koffi.errno() : received;
}

/** The count of messages that the kernel took of those at `headers`, or the negative errno of the first. */
export function sendMany(fd: FileDescriptor, headers: bigint, count: number): number {
  const sent = libc().sendmmsg(fd, headers, count, MSG_DONTWAIT);
  return sent < 0 ? -koffi.errno() : sent;
}

/** A set of descriptors that can be asked which of them have something to read; close it as any descriptor. */
export function epollCreate(): FileDescriptor {
  return check(libc().epoll_create1(SOCK_CLOEXEC), 'epoll_create1');
}

/** `event` is a `struct epoll_event`. */
export function epollAdd(set: FileDescriptor, fd: FileDescriptor, event: Uint8Array): void {
  check(libc().epoll_ctl(set, EPOLL_CTL_ADD, fd, event), 'epoll_ctl');
}

export function epollRemove(set: FileDescriptor, fd: FileDescriptor): void {
  libc().epoll_ctl(set, EPOLL_CTL_DEL, fd, null);
}

/** Writes what is ready now to `events`, without waiting: the count, or the negative errno. */
export function epollWait(set: FileDescriptor, events: bigint, count: number): number {
  const ready = libc().epoll_wait(set, events, count, 0);
  return ready < 0 ? -koffi.errno() : ready;
}

/** Has Node's loop call `ready` while a descriptor is readable, until closed. `ready` must not throw. */
export interface Poll {
  close(): void;
}

/** The collector takes a handle that nobody holds, and its events with it: this set holds all that are open. */
const polls = new Set<ReturnType<typeof koffi.node.poll>>();

export function poll(fd: FileDescriptor, ready: () => void): Poll {
  const handle = koffi.node.poll(fd, { readable: true }, () => ready());
  polls.add(handle);
  return {
    close() {
      if (!polls.delete(handle)) return;
      handle.stop();
      handle.close();
    },
  };
}

/** Pages of a file that is mapped are read from it again when they are needed; what was written in them is lost (madvise(2)). */
export function forgetPages(start: bigint, length: number): void {
  libc().madvise(start, length, MADV_DONTNEED);
}
