/**
 * A digest of octets that senders choose, so that a table finds them again without keeping them, nor making text of them.
 *
 * HalfSipHash-1-3 (Aumasson and Bernstein; Linux has it for hash tables as hsiphash), and 32 bits more from three further
 * rounds. Who does not know the key can choose neither octets with the same digest nor ones that crowd one place of a table.
 */

/** Two numbers of 32 bits that nobody outside knows. */
export type HashKey = readonly [number, number];

export class KeyedHash {
  readonly #low: number;
  readonly #high: number;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;
  /** The digest, after `end`. */
  first = 0;
  second = 0;

  constructor([low, high]: HashKey) {
    this.#low = low | 0;
    this.#high = high | 0;
  }

  begin(): void {
    this.#v0 = this.#low;
    this.#v1 = this.#high;
    this.#v2 = this.#low ^ 0x6c796765;
    this.#v3 = this.#high ^ 0x74656462;
  }

  /** Adds octets and their number, so that what is added next begins anew. */
  add(bytes: Uint8Array, start: number, end: number): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    let i = start;
    for (let last = false; !last; ) {
      let word = 0;
      if (i + 4 <= end) {
        word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
        i += 4;
      } else {
        last = true;
        word = (end - start) << 24;
        for (let shift = 0; i < end; i++, shift += 8) word |= bytes[i]! << shift;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }

  end(): void {
    this.#v2 ^= 0xff;
    this.#finish();
    this.first = this.#v1 ^ this.#v3;
    this.#v1 ^= 0xdd;
    this.#finish();
    this.second = this.#v1 ^ this.#v3;
  }

  #finish(): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    for (let round = 0; round < 3; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }
}
