/**
 * A UDP socket whose datagrams leave again by another one: what the user-space relay of media is made of.
 *
 * While a passage is set, what its sender sends is received and sent on as one batch, in the memory that the kernel wrote it to: the
 * name in front of it is overwritten, and nothing is copied, allocated or looked up. Everything else is handed to the receiver, one
 * datagram after the other, in the order in which it came.
 *
 * Facts relied on:
 * - recvmmsg(2) leaves in each `struct mmsghdr` what sendmmsg(2) wants, but for the length of the data: the lengths of name and
 *   control are those of what came.
 * - sendmmsg(2) stops at the first datagram that fails; the error is told when it stands first.
 * - Level-triggered (`watch`): one batch for each socket in turn, so that none waits for another that has more.
 */
import { type Endpoint, isIPv6 } from '../core/net/address.ts';
import { DatagramArena } from './datagram-arena.ts';
import { familyOf } from './family.ts';
import { type Watch, watch } from './readiness.ts';
import { readSockaddr, SOCKADDR_SIZE, writeSockaddr } from './sockaddr.ts';
import * as sys from './sys.ts';
import { ERRNO, type SystemError, systemError } from './system-error.ts';

const BATCH = 32;
/** The longest datagram there is, and a cache line: the beginnings of two do not compete for the same place in a cache. */
const DATAGRAM_SIZE = 65_536 + 64;
const IPV6 = 41;
const IPV6_V6ONLY = 26;

export interface RelayReceiver {
  /** `bytes` is the receiver's own. An exception is thrown again outside of the turn. */
  datagram(bytes: Uint8Array, source: Endpoint): void;
  /** A datagram could not be sent, or not be received. */
  fault(error: SystemError): void;
}

export interface Passage {
  readonly source: Endpoint;
  /** What `source` sends goes there, and leaves by this socket. */
  readonly to: Endpoint;
  readonly by: RelaySocket;
  /** After each batch. */
  readonly passed: (packets: number, octets: number) => void;
}

let received: DatagramArena | undefined;
/** Places that are not as they were offered. */
let used = 0;

/** A name as the kernel writes it: the words that are compared, and their number. */
class Name {
  readonly length: number;
  readonly #words: DataView;

  constructor(endpoint: Endpoint) {
    this.#words = new DataView(new ArrayBuffer(SOCKADDR_SIZE));
    this.length = writeSockaddr(this.#words, 0, endpoint);
  }

  /** Family, port and address; no flow label and no scope. */
  stands(view: DataView, at: number): boolean {
    const words = this.#words;
    if (view.getUint32(at, true) !== words.getUint32(0, true)) return false;
    if (this.length !== SOCKADDR_SIZE) return view.getUint32(at + 4, true) === words.getUint32(4, true);
    for (let i = 8; i < 24; i += 4)
      if (view.getUint32(at + i, true) !== words.getUint32(i, true)) return false;
    return true;
  }

  write(view: DataView, at: number): void {
    for (let i = 0; i < this.length; i += 4) view.setUint32(at + i, this.#words.getUint32(i, true), true);
  }
}

interface Way extends Passage {
  readonly from: Name;
  readonly name: Name;
}

export class RelaySocket {
  readonly local: Endpoint;
  readonly #fd: sys.FileDescriptor;
  readonly #watch: Watch;
  readonly #receiver: RelayReceiver;
  #way: Way | undefined;
  #closed = false;

  /** Throws a `SystemError` (`linux/EADDRINUSE`, …) where the socket cannot be had. */
  constructor(local: Endpoint, receiver: RelayReceiver) {
    this.#receiver = receiver;
    const fd = sys.socket(familyOf(local.address).domain, sys.SOCK_DGRAM, 0);
    try {
      if (isIPv6(local.address)) sys.trySetOption(fd, IPV6, IPV6_V6ONLY, 1);
      sys.bindInet(fd, local);
      this.local = local.port === 0 ? sys.localEndpoint(fd) : local;
      this.#watch = watch(fd, () => this.#drain());
    } catch (error) {
      sys.close(fd);
      throw error;
    }
    this.#fd = fd;
  }

  send(bytes: Uint8Array, to: Endpoint): void {
    if (this.#closed) return;
    const sent = sys.sendToInet(this.#fd, bytes, to);
    if (sent < 0) this.#receiver.fault(systemError('sendto', -sent));
  }

  /** Until another one is set; undefined: everything is handed to the receiver. */
  setPassage(passage: Passage | undefined): void {
    this.#way = passage && { ...passage, from: new Name(passage.source), name: new Name(passage.to) };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    sys.close(this.#fd);
  }

  #drain(): void {
    received ??= offered(new DatagramArena(BATCH, DATAGRAM_SIZE, 0));
    const arena = received;
    arena.renew(used);
    const count = sys.receiveMany(this.#fd, arena.headers(), BATCH);
    used = Math.max(0, count);
    if (count < 0) {
      if (count !== -ERRNO.EAGAIN && count !== -ERRNO.EINTR)
        this.#receiver.fault(systemError('recvmmsg', -count));
      return;
    }
    let first = 0;
    for (let i = 0; i < count && !this.#closed; i++) {
      const way = this.#way;
      if (way?.from.stands(arena.view, arena.nameOf(i)) === true) continue;
      this.#sendOn(arena, first, i);
      first = i + 1;
      // It may set another passage, for those that follow.
      this.#handOver(arena, i);
    }
    this.#sendOn(arena, first, count);
  }

  #handOver(arena: DatagramArena, i: number): void {
    const source = readSockaddr(arena.view, arena.nameOf(i));
    if (source === undefined) return;
    const start = arena.dataOf(i);
    const bytes = new Uint8Array(arena.bytes.subarray(start, start + arena.lengthOf(i)));
    try {
      this.#receiver.datagram(bytes, source);
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
  }

  /** Those of a batch from one place up to another, all of them from who has the passage. */
  #sendOn(arena: DatagramArena, from: number, to: number): void {
    const way = this.#way;
    if (from >= to || way === undefined || this.#closed) return;
    let octets = 0;
    for (let i = from; i < to; i++) {
      const length = arena.lengthOf(i);
      way.name.write(arena.view, arena.nameOf(i));
      arena.sendOn(i, way.name.length, length);
      octets += length;
    }
    way.by.#sendMany(arena, from, to);
    way.passed(to - from, octets);
  }

  #sendMany(arena: DatagramArena, from: number, to: number): void {
    for (let next = from; next < to && !this.#closed; ) {
      const sent = sys.sendMany(this.#fd, arena.headers(next), to - next);
      if (sent > 0) next += sent;
      else {
        // The first was refused; those behind it may still leave.
        this.#receiver.fault(systemError('sendmmsg', -sent));
        next++;
      }
    }
  }
}

function offered(arena: DatagramArena): DatagramArena {
  arena.offer(false);
  return arena;
}
