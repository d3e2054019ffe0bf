/** IPv4 fragments put together (RFC 791 §3.2). Those of one datagram come close together here, or one of them is lost. */

const HEADER = 20;
const MORE = 0x2000;
const OFFSET = 0x1fff;
/** Datagrams of which a part is missing; the oldest goes first. */
const MOST_WAITING = 64;

interface Waiting {
  readonly parts: Map<number, Buffer>;
  /** Octets of the whole, known with the last fragment. */
  length: number | undefined;
}

export class Fragments {
  readonly #waiting = new Map<string, Waiting>();

  /** The packet if it is whole, the datagram that it completes, or undefined. */
  add(packet: Buffer): Buffer | undefined {
    if (packet[0]! >> 4 !== 4 || packet.length < HEADER) return packet;
    const field = packet.readUInt16BE(6);
    if ((field & (MORE | OFFSET)) === 0) return packet;
    const start = (packet[0]! & 0x0f) * 4;
    const key = `${packet.readUInt16BE(4)} ${packet[9]} ${packet.toString('latin1', 12, HEADER)}`;
    const waiting = this.#waiting.get(key) ?? { parts: new Map(), length: undefined };
    this.#waiting.set(key, waiting);
    if (this.#waiting.size > MOST_WAITING) this.#waiting.delete(this.#waiting.keys().next().value!);
    const offset = (field & OFFSET) * 8;
    const part = packet.subarray(start, packet.readUInt16BE(2));
    waiting.parts.set(offset, part);
    if ((field & MORE) === 0) waiting.length = offset + part.length;
    const whole = Buffer.concat([...waiting.parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes));
    if (whole.length !== waiting.length) return undefined;
    this.#waiting.delete(key);
    const header = Buffer.from(packet.subarray(0, start));
    header.writeUInt16BE(start + whole.length, 2);
    header.writeUInt16BE(0, 6);
    return Buffer.concat([header, whole]);
  }
}
