/**
 * Ports to give out on one or several addresses of ours.
 *
 * Facts: a mapping is endpoint-independent, so one external port serves one internal endpoint (RFC 4787 REQ-1); RTP takes
 * an even port and RTCP the next one where nothing else is said, so parity is kept and runs are contiguous (RFC 4787
 * REQ-4, RFC 3550 §11); 0 and what is above 65535 are never given out.
 */
import type { Address } from '../net/address.ts';

export interface PortRange {
  /** First port, at least 1. */
  readonly low: number;
  /** Last port, at most 65535. */
  readonly high: number;
}

export class PortPool {
  readonly #range: PortRange;
  readonly #taken = new Map<Address, Set<number>>();
  #cursor: number;

  constructor(range: PortRange) {
    this.#range = range;
    this.#cursor = range.low;
  }

  get taken(): number {
    let taken = 0;
    for (const ports of this.#taken.values()) taken += ports.size;
    return taken;
  }

  /**
   * Takes `count` consecutive ports of the range, the first of them of the given parity (0 even, 1 odd, undefined any);
   * the next free ones after those given out last, so that a port rests as long as possible before it is used again.
   * Undefined where the pool is exhausted.
   */
  take(address: Address, count: number, parity?: 0 | 1): number | undefined {
    const { low, high } = this.#range;
    const size = high - low + 1;
    for (let tried = 0; tried < size; tried++) {
      const port = this.#cursor;
      this.#cursor = port >= high ? low : port + 1;
      if (parity !== undefined && port % 2 !== parity) continue;
      if (port + count - 1 > high || !this.isFree(address, port, count)) continue;
      this.claim(address, port, count);
      this.#cursor = port + count > high ? low : port + count;
      return port;
    }
    return undefined;
  }

  /** Whether none of them is given out; ports outside the range may be asked for too. */
  isFree(address: Address, port: number, count = 1): boolean {
    const taken = this.#taken.get(address);
    if (taken === undefined) return true;
    for (let k = 0; k < count; k++) if (taken.has(port + k)) return false;
    return true;
  }

  /** Marks ports as given out, in the range or not. */
  claim(address: Address, port: number, count = 1): void {
    let taken = this.#taken.get(address);
    if (taken === undefined) {
      taken = new Set();
      this.#taken.set(address, taken);
    }
    for (let k = 0; k < count; k++) taken.add(port + k);
  }

  release(address: Address, port: number, count = 1): void {
    const taken = this.#taken.get(address);
    if (taken === undefined) return;
    for (let k = 0; k < count; k++) taken.delete(port + k);
    if (taken.size === 0) this.#taken.delete(address);
  }
}
