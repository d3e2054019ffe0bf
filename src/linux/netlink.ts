/**
 * Netlink messages and the socket that carries them.
 *
 * Facts relied on:
 * - Header: length, type, flags, sequence, port, in host order; attributes: length, type, value, padded to 4 (netlink(7)).
 * - nfnetlink adds family (1), version (1), resource (2, network order).
 * - The kernel works on a request inside the sending call: when it returns, answers and errors are in the queue. A dump is
 *   continued by each receive until NLMSG_DONE.
 * - NLMSG_ERROR with error 0 is the acknowledgement.
 */
import { DatagramArena } from './datagram-arena.ts';
import { type Watch, watch } from './readiness.ts';
import * as sys from './sys.ts';
import { ERRNO, errnoName, type SystemError, systemError } from './system-error.ts';

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
export const NLMSG_HEADER = 16;
export const NFGEN_HEADER = 4;

const AF_NETLINK = 16;
export const NETLINK_ROUTE = 0;
const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;

/** Appends messages and attributes to one growing buffer. */
export class NetlinkWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #message = 0;

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  begin(type: number, flags: number, sequence: number, family: number, resource: number): void {
    this.#reserve(NLMSG_HEADER + NFGEN_HEADER);
    this.#message = this.#length;
    this.#view.setUint16(this.#message + 4, type, true);
    this.#view.setUint16(this.#message + 6, flags, true);
    this.#view.setUint32(this.#message + 8, sequence, true);
    this.#view.setUint32(this.#message + 12, 0, true);
    this.#view.setUint8(this.#message + 16, family);
    this.#view.setUint8(this.#message + 17, 0);
    this.#view.setUint16(this.#message + 18, resource, false);
    this.#length += NLMSG_HEADER + NFGEN_HEADER;
  }

  end(): void {
    this.#view.setUint32(this.#message, this.#length - this.#message, true);
  }

  attribute(type: number, value: Uint8Array): void {
    const size = 4 + value.byteLength;
    this.#reserve((size + 3) & ~3);
    this.#view.setUint16(this.#length, size, true);
    this.#view.setUint16(this.#length + 2, type, true);
    this.#bytes.set(value, this.#length + 4);
    for (let at = this.#length + size; (at & 3) !== 0; at++) this.#bytes[at] = 0;
    this.#length += (size + 3) & ~3;
  }

  /** Octets of a header that is longer than the common one. A multiple of 4. */
  raw(octets: Uint8Array): void {
    this.#reserve(octets.byteLength);
    this.#bytes.set(octets, this.#length);
    this.#length += octets.byteLength;
  }

  string(type: number, text: string): void {
    this.attribute(type, Buffer.from(`${text}\0`, 'latin1'));
  }

  u8(type: number, value: number): void {
    small[0] = value;
    this.attribute(type, small.subarray(0, 1));
  }

  /** Network order. */
  u16(type: number, value: number): void {
    smallView.setUint16(0, value, false);
    this.attribute(type, small.subarray(0, 2));
  }

  /** Network order. */
  u32(type: number, value: number): void {
    smallView.setUint32(0, value, false);
    this.attribute(type, small.subarray(0, 4));
  }

  u32host(type: number, value: number): void {
    smallView.setUint32(0, value, true);
    this.attribute(type, small.subarray(0, 4));
  }

  /** Network order; up to 2^53 - 1. */
  u64(type: number, value: number): void {
    smallView.setUint32(0, Math.floor(value / 2 ** 32), false);
    smallView.setUint32(4, value >>> 0, false);
    this.attribute(type, small.subarray(0, 8));
  }

  /** Opens a nested attribute; hand the result to `close`. */
  open(type: number): number {
    this.#reserve(4);
    const start = this.#length;
    this.#view.setUint16(start + 2, type | 0x8000, true);
    this.#length += 4;
    return start;
  }

  close(start: number): void {
    this.#view.setUint16(start, this.#length - start, true);
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.byteLength) return;
    const grown = new Uint8Array(Math.max(this.#bytes.byteLength * 2, this.#length + size));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

const small = new Uint8Array(8);
const smallView = new DataView(small.buffer);

/** Calls `each` with type (without the nested bit) and value of every attribute in `bytes`. */
export function eachAttribute(bytes: Uint8Array, each: (type: number, value: Uint8Array) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 4 <= bytes.byteLength) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > bytes.byteLength) return;
    each(view.getUint16(at + 2, true) & 0x3fff, bytes.subarray(at + 4, at + size));
    at += (size + 3) & ~3;
  }
}

/** Asks and is answered; or, with groups, listens to what the kernel tells everybody. */
export class NetlinkSocket {
  readonly #fd: sys.FileDescriptor;
  #watch: Watch | undefined;
  readonly #input = new Uint8Array(65_536);
  readonly #view = new DataView(this.#input.buffer);
  #sequence = 0;

  constructor(protocol = NETLINK_NETFILTER, groups = 0) {
    this.#fd = sys.socket(AF_NETLINK, sys.SOCK_RAW, protocol);
    sys.trySetOption(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    sys.trySetOption(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20);
    sys.bindNetlink(this.#fd, groups);
  }

  nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  close(): void {
    this.#watch?.close();
    sys.close(this.#fd);
  }

  /** Calls back when messages to the groups have come. They are read and thrown away: they may be incomplete (netlink(7)). */
  listen(told: () => void): void {
    this.#watch = watch(this.#fd, () => {
      for (;;) {
        const received = sys.receive(this.#fd, this.#input);
        if (received < 0 && received !== -ERRNO.EINTR && received !== -ERRNO.ENOBUFS) break;
      }
      told();
    });
  }

  /**
   * Sends `request`, whose last message asks for an acknowledgement or is a dump, and reads what the kernel answers: 0, or the
   * first error (positive errno). `message` gets the payload (after the netlink header) of each answer that is neither error nor
   * end.
   */
  exchange(request: Uint8Array, message?: (type: number, payload: Uint8Array) => void): number {
    const sent = sys.sendNetlink(this.#fd, request);
    if (sent < 0) return -sent;
    let error = 0;
    for (;;) {
      const received = sys.receive(this.#fd, this.#input);
      if (received === -ERRNO.EINTR) continue;
      if (received === -ERRNO.EAGAIN) return error;
      if (received < 0) return error === 0 ? -received : error;
      let at = 0;
      while (at + NLMSG_HEADER <= received) {
        const length = this.#view.getUint32(at, true);
        if (length < NLMSG_HEADER || at + length > received) break;
        const type = this.#view.getUint16(at + 4, true);
        if (type === NLMSG_ERROR || type === NLMSG_DONE) {
          const code = length >= NLMSG_HEADER + 4 ? -this.#view.getInt32(at + NLMSG_HEADER, true) : 0;
          // After the acknowledgement nothing comes; after an error more may.
          if (code === 0 && error === 0) return 0;
          if (code > 0 && error === 0) error = code;
        } else message?.(type, this.#input.subarray(at + NLMSG_HEADER, at + length));
        at += (length + 3) & ~3;
      }
    }
  }

  /**
   * Sends messages that are not one transaction, of which the last asks for an acknowledgement, and gives the errors that came
   * (positive errno) by the sequence number of their message.
   */
  exchangeEach(
    requests: Uint8Array,
    lastSequence: number,
    failed: (sequence: number, errno: number) => void,
  ): void {
    const sent = sys.sendNetlink(this.#fd, requests);
    if (sent < 0) throw systemError('netlink', -sent);
    answers ??= new DatagramArena(ANSWERS, ANSWER_SIZE, 0);
    const { view } = answers;
    for (;;) {
      answers.offer(false);
      const count = sys.receiveMany(this.#fd, answers.headers(), ANSWERS);
      answers.use(Math.max(count, 0));
      if (count === -ERRNO.EINTR) continue;
      if (count === -ERRNO.EAGAIN) return;
      if (count < 0) throw systemError('netlink', -count);
      for (let i = 0; i < count; i++) {
        const at = answers.dataOf(i);
        if (answers.lengthOf(i) < NLMSG_HEADER + 4 || view.getUint16(at + 4, true) !== NLMSG_ERROR) continue;
        const sequence = view.getUint32(at + 8, true);
        const code = -view.getInt32(at + NLMSG_HEADER, true);
        if (code > 0) failed(sequence, code);
        // The kernel works on them in order: what is answered last was sent last.
        if (sequence === lastSequence) return;
      }
    }
  }
}

/** Errors and acknowledgements are short; of longer answers only the beginning is of interest. */
const ANSWERS = 32;
const ANSWER_SIZE = 256;
let answers: DatagramArena | undefined;

/** The error of a netlink request, named after what was asked. */
export function netlinkError(what: string, errno: number): SystemError {
  return systemError(what, errno);
}

export { errnoName };
