/**
 * The pcapng format: blocks, each with its type and its length before and after.
 *
 * Facts (draft-ietf-opsawg-pcapng): a section header block begins a section, gives its byte order and forgets the
 * interfaces of the section before; interfaces are numbered in the order of their description blocks; timestamps count
 * units of if_tsresol (microseconds by default; a power of ten, or of two with the highest bit set) plus if_tsoffset
 * seconds; a simple packet block has no time and belongs to interface 0; blocks of other types are skipped.
 */
import { type Frame, MAX_FRAME_BYTES, type Step } from './datagram.ts';

const SECTION = 0x0a0d_0d0a;
const BYTE_ORDER = 0x1a2b_3c4d;
const INTERFACE = 1;
const OLD_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const OPTION_END = 0;
const OPTION_RESOLUTION = 9;
const OPTION_OFFSET = 14;
/** A block that is read is no longer than this; others are skipped, however long they are. */
const MAX_BLOCK_BYTES = 1_048_576;
const MAX_INTERFACES = 4096;

interface Interface {
  readonly linkType: number;
  readonly snapLength: number;
  readonly unitsPerSecond: bigint;
  readonly offsetSeconds: number;
}

export class PcapngFormat {
  readonly headerBytes = 0;
  #little = true;
  #interfaces: Interface[] = [];
  #lastTimeMs = 0;

  static open(head: Uint8Array): PcapngFormat | undefined {
    if (head.length < 12) return undefined;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    if (view.getUint32(0) !== SECTION || byteOrder(view) === undefined) return undefined;
    return new PcapngFormat();
  }

  next(bytes: Uint8Array): Step {
    if (bytes.length < 12) return { kind: 'more' };
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // The type of a section header reads the same in both byte orders.
    const isSection = view.getUint32(0) === SECTION;
    if (isSection) {
      const little = byteOrder(view);
      if (little === undefined) return { kind: 'damaged', text: 'a section header without its byte order' };
      this.#little = little;
    }
    const type = isSection ? SECTION : view.getUint32(0, this.#little);
    const length = view.getUint32(4, this.#little);
    if (length < 12 || length % 4 !== 0)
      return { kind: 'damaged', text: `a block says that it has ${length} bytes` };
    const isRead = isSection || (type <= ENHANCED_PACKET && type !== 4 && type !== 5 && type !== 0);
    if (!isRead) return { kind: 'skip', length };
    if (length > MAX_BLOCK_BYTES)
      return { kind: 'damaged', text: `a block says that it has ${length} bytes` };
    if (bytes.length < length) return { kind: 'more' };
    if (view.getUint32(length - 4, this.#little) !== length)
      return { kind: 'damaged', text: 'the two lengths of a block differ' };
    if (isSection) {
      this.#interfaces = [];
      return { kind: 'skip', length };
    }
    const block = new DataView(bytes.buffer, bytes.byteOffset, length);
    if (type === INTERFACE) {
      if (length < 20) return { kind: 'damaged', text: 'an interface block that is too short' };
      if (this.#interfaces.length >= MAX_INTERFACES)
        return { kind: 'damaged', text: `more than ${MAX_INTERFACES} interfaces` };
      this.#interfaces.push(this.#interface(block));
      return { kind: 'skip', length };
    }
    const frame = this.#frame(type, block, bytes);
    return typeof frame === 'string' ? { kind: 'damaged', text: frame } : { kind: 'frame', length, frame };
  }

  #frame(type: number, block: DataView, bytes: Uint8Array): Frame | string {
    const little = this.#little;
    const end = block.byteLength - 4;
    const dataStart = type === SIMPLE_PACKET ? 12 : 28;
    if (dataStart > end) return 'a packet block that is too short';
    const interfaceId =
      type === SIMPLE_PACKET
        ? 0
        : type === OLD_PACKET
          ? block.getUint16(8, little)
          : block.getUint32(8, little);
    const from = this.#interfaces[interfaceId];
    if (from === undefined) return `a packet of interface ${interfaceId}, which is not described`;
    const wireLength = block.getUint32(type === SIMPLE_PACKET ? 8 : 24, little);
    const captured =
      type === SIMPLE_PACKET
        ? Math.min(wireLength, from.snapLength || wireLength, end - dataStart)
        : block.getUint32(20, little);
    if (captured > MAX_FRAME_BYTES || dataStart + captured > end)
      return `a packet block that says it has ${captured} bytes of a packet`;
    if (type !== SIMPLE_PACKET) {
      const units = (BigInt(block.getUint32(12, little)) << 32n) | BigInt(block.getUint32(16, little));
      const { unitsPerSecond, offsetSeconds } = from;
      this.#lastTimeMs =
        (Number(units / unitsPerSecond) + offsetSeconds) * 1_000 +
        (Number(units % unitsPerSecond) * 1_000) / Number(unitsPerSecond);
    }
    return {
      timeMs: this.#lastTimeMs,
      linkType: from.linkType,
      bytes: bytes.subarray(dataStart, dataStart + captured),
      wireLength,
      interfaceId,
    };
  }

  #interface(block: DataView): Interface {
    const little = this.#little;
    let unitsPerSecond = 1_000_000n;
    let offsetSeconds = 0;
    const end = block.byteLength - 4;
    for (let at = 16; at + 4 <= end; ) {
      const code = block.getUint16(at, little);
      const length = block.getUint16(at + 2, little);
      const value = at + 4;
      if (code === OPTION_END || value + length > end) break;
      if (code === OPTION_RESOLUTION && length === 1) {
        const resolution = block.getUint8(value);
        const exponent = BigInt(resolution & 0x7f);
        unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** exponent : 2n ** exponent;
      } else if (code === OPTION_OFFSET && length === 8)
        offsetSeconds = Number(block.getBigInt64(value, little));
      at = value + length + ((4 - (length % 4)) % 4);
    }
    return {
      linkType: block.getUint16(8, little),
      snapLength: block.getUint32(12, little),
      unitsPerSecond,
      offsetSeconds,
    };
  }
}

/** True for little-endian; undefined where the octets are no byte-order magic. */
function byteOrder(view: DataView): boolean | undefined {
  if (view.getUint32(8, true) === BYTE_ORDER) return true;
  return view.getUint32(8) === BYTE_ORDER ? false : undefined;
}
