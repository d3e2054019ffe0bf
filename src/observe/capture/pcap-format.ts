/**
 * The pcap format: a header of 24 octets, then records.
 *
 * Facts (draft-ietf-opsawg-pcap): the magic number is in the byte order of the machine that wrote the file, a1b2c3d4 for
 * microseconds and a1b23c4d for nanoseconds; version 2.4; of the last field of the header only the low 16 bits are the
 * link type (above are the FCS length and reserved bits); a record is seconds, fraction, captured and original length.
 */
import { MAX_FRAME_BYTES, type Step } from './datagram.ts';

export const PCAP_HEADER_BYTES = 24;
const RECORD_BYTES = 16;
const MICROSECONDS = 0xa1b2_c3d4;
const NANOSECONDS = 0xa1b2_3c4d;

export class PcapFormat {
  readonly headerBytes = PCAP_HEADER_BYTES;
  readonly #little: boolean;
  readonly #fractionsPerMs: number;
  readonly #linkType: number;

  private constructor(little: boolean, fractionsPerMs: number, linkType: number) {
    this.#little = little;
    this.#fractionsPerMs = fractionsPerMs;
    this.#linkType = linkType;
  }

  /** From the first 24 octets of a file; undefined where they are no such header. */
  static open(head: Uint8Array): PcapFormat | undefined {
    if (head.length < PCAP_HEADER_BYTES) return undefined;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    for (const little of [true, false]) {
      const magic = view.getUint32(0, little);
      if (magic !== MICROSECONDS && magic !== NANOSECONDS) continue;
      if (view.getUint16(4, little) !== 2) return undefined;
      return new PcapFormat(
        little,
        magic === NANOSECONDS ? 1_000_000 : 1_000,
        view.getUint32(20, little) & 0xffff,
      );
    }
    return undefined;
  }

  next(bytes: Uint8Array): Step {
    if (bytes.length < RECORD_BYTES) return { kind: 'more' };
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const captured = view.getUint32(8, this.#little);
    if (captured > MAX_FRAME_BYTES)
      return { kind: 'damaged', text: `a record says that it has ${captured} bytes` };
    const length = RECORD_BYTES + captured;
    if (bytes.length < length) return { kind: 'more' };
    const timeMs =
      view.getUint32(0, this.#little) * 1_000 + view.getUint32(4, this.#little) / this.#fractionsPerMs;
    return {
      kind: 'frame',
      length,
      frame: {
        timeMs,
        linkType: this.#linkType,
        bytes: bytes.subarray(RECORD_BYTES, length),
        wireLength: view.getUint32(12, this.#little),
        interfaceId: 0,
      },
    };
  }
}
