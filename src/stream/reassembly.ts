/**
 * One direction of a TCP connection, from copies of its segments: its octets, in order, each once.
 *
 * Facts: sequence numbers count octets and wrap at 2^32, and a SYN counts one (RFC 9293 §3.4). Segments come twice, cut
 * otherwise, and out of order. A copy may be missing for ever, where its segment is not: the receiver then acknowledges
 * what was never seen here, and from there on this direction is lost.
 */

/** Octets that may wait for what belongs before them, and the pieces that they are in. */
const MAX_EARLY = 32 * 1024;
const MAX_PIECES = 64;

interface Piece {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

export class Reassembly {
  /** Where the first octet stands; undefined before the connection has begun. */
  beganAt: number | undefined;
  /** Where the next octet stands. */
  #next: number | undefined;
  #early: Piece[] = [];
  #earlyOctets = 0;
  #isLost = false;

  /** Octets are missing that will not come any more. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** The connection begins: `sequence` is that of its first octet, one behind the SYN. The same again changes nothing. */
  begin(sequence: number): void {
    this.beganAt ??= sequence >>> 0;
    this.#next ??= this.beganAt;
  }

  /** The octets that are in order now. What comes again is passed over; the first copy of an octet counts. */
  take(sequence: number, bytes: Uint8Array): Uint8Array[] {
    if (this.#next === undefined || this.#isLost || bytes.length === 0) return [];
    if (distance(sequence, this.#next) > 0) {
      this.#keep({ sequence, bytes });
      return [];
    }
    const ready: Uint8Array[] = [];
    this.#append({ sequence, bytes }, ready);
    for (let found = this.#reached(); found !== undefined; found = this.#reached())
      this.#append(found, ready);
    return ready;
  }

  /** The receiver has all octets before `sequence`. */
  acknowledged(sequence: number): void {
    if (this.#next !== undefined && distance(sequence, this.#next) > 0) this.giveUp();
  }

  giveUp(): void {
    this.#isLost = true;
    this.#early = [];
    this.#earlyOctets = 0;
  }

  #keep(piece: Piece): void {
    this.#early.push(piece);
    this.#earlyOctets += piece.bytes.length;
    if (this.#earlyOctets > MAX_EARLY || this.#early.length > MAX_PIECES) this.giveUp();
  }

  /** A piece that waited, and begins at the next octet or before it. */
  #reached(): Piece | undefined {
    const next = this.#next!;
    const index = this.#early.findIndex(({ sequence }) => distance(sequence, next) <= 0);
    if (index < 0) return undefined;
    const [piece] = this.#early.splice(index, 1);
    this.#earlyOctets -= piece!.bytes.length;
    return piece;
  }

  #append({ sequence, bytes }: Piece, ready: Uint8Array[]): void {
    const known = distance(this.#next!, sequence);
    if (known >= bytes.length) return;
    ready.push(bytes.subarray(known));
    this.#next = (sequence + bytes.length) >>> 0;
  }
}

/** How far `a` is ahead of `b`, negative where it is behind; up to half of the numbers either way. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}
