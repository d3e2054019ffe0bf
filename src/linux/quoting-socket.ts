/**
 * A UDP socket that sends with a chosen time to live, and hears what routers say of what ended with them. No privilege is needed.
 *
 * Facts relied on:
 * - IP_RECVERR (11) keeps each ICMP error about what the socket sent in a queue that `recvmsg` with MSG_ERRQUEUE (0x2000) reads:
 *   the payload as far as the ICMP message quotes it, and a control message of level 0, type 11, which is a `struct
 *   sock_extended_err` (16 octets: errno, origin, type, code, …) and then the `sockaddr_in` of who sent the error (ip(7)).
 * - Routers quote eight octets of the datagram at least (RFC 792); they should quote up to 576 in all (RFC 1812 §4.3.2.3).
 * - IP_RECVERR_RFC4884 (26, Linux 5.9) makes the kernel tell where the quote ends and extensions begin (RFC 4884): in the last
 *   four octets of `sock_extended_err`, length first. Without extensions the length is 0.
 * - libuv takes POLLERR for the end of a descriptor, so that the queue cannot be waited for: who wants to know looks.
 */
import type { Address, Endpoint } from '../core/net/address.ts';
import { readSockaddr, SOCKADDR_SIZE } from './sockaddr.ts';
import * as sys from './sys.ts';

const AF_INET = 2;
const SOL_IP = 0;
const IP_TTL = 2;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IP_RECVERR_RFC4884 = 26;
const MSG_ERRQUEUE = 0x2000;
const ICMP_ORIGIN = 2;
const TIME_EXCEEDED = 11;

/** An Ethernet frame holds no more of a quote. */
const QUOTE_SIZE = 1500;
const CONTROL_SIZE = 256;
const MMSGHDR_SIZE = 64;
const IOVEC_SIZE = 16;
const CMSG_HEADER = 16;
/** Errors that are read at a time; more wait for the next time. */
const MOST = 16;

/** A router's word that a datagram has ended with it. */
export interface Quote {
  readonly router: Address;
  /** Of the datagram's payload, as the router got it: a beginning, or nothing. */
  readonly payload: Uint8Array;
}

export class QuotingSocket {
  readonly local: Endpoint;
  readonly #fd: sys.FileDescriptor;
  #isClosed = false;

  /** IPv4. Throws a `SystemError` where the kernel has no such socket. */
  constructor(local: Endpoint) {
    this.#fd = sys.socket(AF_INET, sys.SOCK_DGRAM, 0);
    try {
      sys.setOption(this.#fd, SOL_IP, IP_RECVERR, 1, 'IP_RECVERR');
      sys.trySetOption(this.#fd, SOL_IP, IP_RECVERR_RFC4884, 1);
      // Without DF: a message that is too long for some link goes on in fragments, as it would from a phone.
      sys.trySetOption(this.#fd, SOL_IP, IP_MTU_DISCOVER, 0);
      sys.bindInet(this.#fd, local);
      this.local = sys.localEndpoint(this.#fd);
    } catch (error) {
      sys.close(this.#fd);
      throw error;
    }
  }

  /** `hops`: how many routers it may pass, and one more than that (RFC 791 §3.2). False where the kernel did not take it. */
  send(bytes: Uint8Array, remote: Endpoint, hops: number): boolean {
    if (this.#isClosed || sys.trySetOption(this.#fd, SOL_IP, IP_TTL, hops) !== 0) return false;
    // An earlier error is told to the next call, once, in place of sending.
    return sys.sendToInet(this.#fd, bytes, remote) >= 0 || sys.sendToInet(this.#fd, bytes, remote) >= 0;
  }

  /** What routers have said since the last time. Never waits. */
  quotes(): Quote[] {
    const found: Quote[] = [];
    if (this.#isClosed) return found;
    const { arena, name, control, data } = errorArena();
    const { view, bytes, address } = arena;
    for (let i = 0; i < MOST; i++) {
      view.setUint32(8, SOCKADDR_SIZE, true);
      view.setBigUint64(40, BigInt(CONTROL_SIZE), true);
      view.setUint16(name, 0, true);
      if (sys.receiveMany(this.#fd, address, 1, MSG_ERRQUEUE) !== 1) break;
      const length = view.getUint32(56, true);
      const error = readError(view, control, Number(view.getBigUint64(40, true)));
      if (error === undefined) continue;
      const end = error.quoteLength === 0 ? length : Math.min(length, error.quoteLength);
      found.push({ router: error.router, payload: bytes.slice(data, data + end) });
    }
    return found;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    sys.close(this.#fd);
  }
}

interface ErrorArena {
  readonly arena: sys.Arena;
  readonly name: number;
  readonly control: number;
  readonly data: number;
}

let shared: ErrorArena | undefined;

/** Layout: one `struct mmsghdr`, its vector, name, control messages and data. */
function errorArena(): ErrorArena {
  if (shared !== undefined) return shared;
  const vector = MMSGHDR_SIZE;
  const name = vector + IOVEC_SIZE;
  const control = name + 32;
  const data = control + CONTROL_SIZE;
  const arena = sys.allocate(data + QUOTE_SIZE);
  const { view, address } = arena;
  view.setBigUint64(0, address + BigInt(name), true);
  view.setBigUint64(16, address + BigInt(vector), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, address + BigInt(control), true);
  view.setBigUint64(vector, address + BigInt(data), true);
  view.setBigUint64(vector + 8, BigInt(QUOTE_SIZE), true);
  shared = { arena, name, control, data };
  return shared;
}

/** That the time to live was exceeded; undefined for everything else. */
function readError(
  view: DataView,
  offset: number,
  length: number,
): { readonly router: Address; readonly quoteLength: number } | undefined {
  let at = offset;
  const end = offset + length;
  while (at + CMSG_HEADER <= end) {
    const size = Number(view.getBigUint64(at, true));
    if (size < CMSG_HEADER || at + size > end) return undefined;
    const isError = view.getInt32(at + 8, true) === SOL_IP && view.getInt32(at + 12, true) === IP_RECVERR;
    const error = at + CMSG_HEADER;
    if (isError && size >= CMSG_HEADER + 16 + 16) {
      const [origin, type] = [view.getUint8(error + 4), view.getUint8(error + 5)];
      const router = readSockaddr(view, error + 16)?.address;
      return origin === ICMP_ORIGIN && type === TIME_EXCEEDED && router !== undefined
        ? { router, quoteLength: view.getUint16(error + 12, true) }
        : undefined;
    }
    at += (size + 7) & ~7;
  }
  return undefined;
}
