/**
 * Memory for `recvmmsg` and `sendmmsg`: headers, vectors, names, controls and data for a batch of datagrams, laid out once and
 * used again, so that a packet costs no structure of its own.
 *
 * Facts relied on (recvmmsg(2), 64-bit little-endian): `struct mmsghdr` is a `struct msghdr` (name and its length at 0 and 8,
 * vectors and their count at 16 and 24, control and its length at 32 and 40) with the length of the message at 56.
 */
import { SOCKADDR_SIZE } from './sockaddr.ts';
import * as sys from './sys.ts';

const MMSGHDR_SIZE = 64;
const IOVEC_SIZE = 16;
const NAME_SIZE = 32;
const UPPER_HALF = 2 ** 32;

export class DatagramArena {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly #address: bigint;
  /** The same as a number: addresses of a process have 47 bits (x86-64) or 52 at most (arm64). */
  readonly #base: number;
  readonly #vectors: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #controlSize: number;
  readonly #data: number;
  readonly #dataSize: number;
  readonly #count: number;
  #used = 0;
  #offeredControl = -1;

  /** `count` datagrams; `dataSize` and `controlSize` octets for each. */
  constructor(count: number, dataSize: number, controlSize: number) {
    this.#count = count;
    this.#vectors = count * MMSGHDR_SIZE;
    this.#names = this.#vectors + count * IOVEC_SIZE;
    this.#controls = this.#names + count * NAME_SIZE;
    this.#controlSize = controlSize;
    this.#data = this.#controls + count * controlSize;
    this.#dataSize = dataSize;
    const { bytes, view, address } = sys.allocate(this.#data + count * dataSize);
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = view;
    this.#address = address;
    this.#base = Number(address);
    for (let i = 0; i < count; i++) {
      const header = i * MMSGHDR_SIZE;
      const vector = this.#vectors + i * IOVEC_SIZE;
      view.setBigUint64(header, address + BigInt(this.nameOf(i)), true);
      view.setBigUint64(header + 16, address + BigInt(vector), true);
      view.setBigUint64(header + 24, 1n, true);
      if (controlSize > 0) view.setBigUint64(header + 32, address + BigInt(this.controlOf(i)), true);
      view.setBigUint64(vector, address + BigInt(this.dataOf(i)), true);
      view.setBigUint64(vector + 8, BigInt(dataSize), true);
    }
  }

  /** Of the first header, and of those behind it. */
  headers(from = 0): bigint {
    return from === 0 ? this.#address : this.#address + BigInt(from * MMSGHDR_SIZE);
  }

  nameOf(i: number): number {
    return this.#names + i * NAME_SIZE;
  }

  controlOf(i: number): number {
    return this.#controls + i * this.#controlSize;
  }

  dataOf(i: number): number {
    return this.#data + i * this.#dataSize;
  }

  /** Offers all places to the kernel, which writes what it uses into the fields of the first. */
  offer(control: boolean): void {
    const length = control ? this.#controlSize : 0;
    // What was not used since is as it was offered.
    const count = length === this.#offeredControl ? this.#used : this.#count;
    const { view } = this;
    for (let i = 0; i < count; i++) {
      const header = i * MMSGHDR_SIZE;
      view.setUint32(header + 8, SOCKADDR_SIZE, true);
      // The upper half of a size_t: nothing here is that long.
      view.setUint32(header + 40, length, true);
    }
    this.#offeredControl = length;
    this.#used = 0;
  }

  /** So many were received. */
  use(count: number): void {
    this.#used = count;
  }

  /** Of a datagram that was received. */
  lengthOf(i: number): number {
    return this.view.getUint32(i * MMSGHDR_SIZE + 56, true);
  }

  controlLengthOf(i: number): number {
    return this.view.getUint32(i * MMSGHDR_SIZE + 40, true);
  }

  /** What was received is to be sent as it lies there, to the name that stands in its place now. */
  sendOn(i: number, nameLength: number, length: number): void {
    this.view.setUint32(i * MMSGHDR_SIZE + 8, nameLength, true);
    this.view.setUint32(this.#vectors + i * IOVEC_SIZE + 8, length, true);
  }

  /** Offers the first places again, also those that were sent on. */
  renew(count: number): void {
    for (let i = 0; i < count; i++) this.sendOn(i, SOCKADDR_SIZE, this.#dataSize);
  }

  /** Of a datagram that is to be sent; its octets are at `at`, its name has `nameLength` octets. */
  describe(i: number, nameLength: number, at: number, length: number): void {
    const { view } = this;
    const vector = this.#vectors + i * IOVEC_SIZE;
    view.setUint32(i * MMSGHDR_SIZE + 8, nameLength, true);
    // As two halves: a BigInt would be an object.
    const address = this.#base + at;
    view.setUint32(vector, address % UPPER_HALF, true);
    view.setUint32(vector + 4, Math.floor(address / UPPER_HALF), true);
    view.setUint32(vector + 8, length, true);
  }
}
