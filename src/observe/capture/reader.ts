/**
 * Reads a capture file, piece by piece: octets in, UDP datagrams out, and SIP messages over TCP where they are asked for.
 * Nothing is thrown for what a file says; memory is bounded by one block, the fragments and segments that wait, and what
 * was fed.
 */
import {
  type CapturedDatagram,
  type CaptureProblem,
  type Frame,
  MAX_FRAME_BYTES,
  type Skip,
} from './datagram.ts';
import { type IpPacket, PROTOCOL_TCP, PROTOCOL_UDP, readIp } from './ip.ts';
import { ipOffset } from './link-layer.ts';
import { PCAP_HEADER_BYTES, PcapFormat } from './pcap-format.ts';
import { PcapngFormat } from './pcapng-format.ts';
import { Reassembly } from './reassembly.ts';
import { readSegment, TcpStreams } from './tcp-streams.ts';

/** So many octets at the head of a file tell whether it is a capture. */
export const CAPTURE_HEAD_BYTES = PCAP_HEADER_BYTES;

/** Whether a file that begins like this is a capture: its magic number and what has to follow it. */
export function isCapture(head: Uint8Array): boolean {
  return PcapFormat.open(head) !== undefined || PcapngFormat.open(head) !== undefined;
}

export class CaptureReader {
  /** Packets of the file so far. */
  frames = 0;
  /** Link types that the reader does not know. */
  readonly unknownLinkTypes = new Set<number>();
  readonly #skipped: Record<Skip, number> = {
    tcp: 0,
    other: 0,
    'link-type': 0,
    cut: 0,
    fragment: 0,
    malformed: 0,
  };
  readonly #reassembly = new Reassembly();
  readonly #streams: TcpStreams | undefined;
  #format: PcapFormat | PcapngFormat | undefined;
  #problem: CaptureProblem | undefined;
  #buffer: Uint8Array = new Uint8Array(4096);
  #start = 0;
  #end = 0;
  /** Octets of a block that nobody reads, still to come. */
  #toSkip = 0;
  /** Of the file: what stands at `#start`. */
  #offset = 0;

  /** `tcp`: SIP messages of TCP streams as well. Without it TCP is counted and left out. */
  constructor(options: { readonly tcp?: boolean } = {}) {
    this.#streams = options.tcp === true ? new TcpStreams() : undefined;
  }

  /** Places at which segments of a TCP stream are missing. */
  get gaps(): number {
    return this.#streams?.gaps ?? 0;
  }

  /** What ended the reading; undefined while all is well. */
  get problem(): CaptureProblem | undefined {
    return this.#problem;
  }

  /** How many packets became no datagram, and why. */
  get skipped(): Readonly<Record<Skip, number>> {
    return { ...this.#skipped, fragment: this.#skipped.fragment + this.#reassembly.lost };
  }

  feed(chunk: Uint8Array): CapturedDatagram[] {
    if (this.#problem !== undefined) return [];
    this.#append(chunk);
    const found: CapturedDatagram[] = [];
    while (this.#problem === undefined && this.#step(found)) {
      // One step a turn.
    }
    return found;
  }

  /** The file is at its end. */
  end(): void {
    this.#reassembly.end();
    this.#streams?.end();
    if (this.#problem !== undefined) return;
    if (this.#format === undefined) this.#openFormat(true);
    else if (this.#end > this.#start || this.#toSkip > 0)
      this.#fail('observe/capture-cut-off', 'the file ends in the middle of a packet');
  }

  /** Takes one thing from the buffer; false where more has to be fed first. */
  #step(found: CapturedDatagram[]): boolean {
    if (this.#toSkip > 0) {
      const length = Math.min(this.#toSkip, this.#end - this.#start);
      this.#consume(length);
      this.#toSkip -= length;
      if (this.#toSkip > 0) return false;
    }
    if (this.#format === undefined) {
      if (this.#end - this.#start < CAPTURE_HEAD_BYTES) return false;
      this.#openFormat(false);
      return this.#format !== undefined;
    }
    const step = this.#format.next(this.#buffer.subarray(this.#start, this.#end));
    switch (step.kind) {
      case 'more':
        return false;
      case 'damaged':
        this.#fail('observe/capture-damaged', `${step.text}; the file is damaged there`);
        return false;
      case 'skip':
        this.#toSkip = step.length;
        return true;
      case 'frame': {
        this.frames++;
        const skip = this.#read(step.frame, found);
        if (skip !== undefined) this.#skipped[skip]++;
        this.#consume(step.length);
        return true;
      }
    }
  }

  /** Why nothing comes of it; undefined also where it waits for other fragments or segments. */
  #read(frame: Frame, found: CapturedDatagram[]): Skip | undefined {
    const { bytes, linkType, timeMs, interfaceId } = frame;
    const isCut = frame.wireLength > bytes.length;
    const offset = ipOffset(linkType, bytes);
    if (typeof offset === 'string') {
      if (offset === 'link-type' && this.unknownLinkTypes.size < 16) this.unknownLinkTypes.add(linkType);
      return offset === 'malformed' && isCut ? 'cut' : offset;
    }
    const packet = readIp(bytes.subarray(offset), isCut);
    if (typeof packet === 'string') return packet;
    const whole = this.#reassembly.add(packet, interfaceId, timeMs);
    if (whole === undefined) return undefined;
    if (whole.protocol === PROTOCOL_TCP) return this.#readTcp(packet, whole.payload, timeMs, found);
    if (whole.protocol !== PROTOCOL_UDP) return 'other';
    const { payload } = whole;
    const length = payload.length < 8 ? 0 : payload[4]! * 256 + payload[5]!;
    if (length < 8 || length > payload.length) return 'malformed';
    const port = (at: number): number => payload[at]! * 256 + payload[at + 1]!;
    // Port 0 is nobody's (RFC 6335 §6).
    if (port(0) === 0 || port(2) === 0) return 'malformed';
    found.push({
      frame: this.frames,
      timeMs,
      transport: 'udp',
      source: { address: packet.source, port: port(0) },
      destination: { address: packet.destination, port: port(2) },
      bytes: payload.slice(8, length),
      ...(packet.id === undefined ? {} : { ipId: packet.id }),
    });
    return undefined;
  }

  #readTcp(
    { source, destination }: IpPacket,
    payload: Uint8Array,
    timeMs: number,
    found: CapturedDatagram[],
  ): Skip | undefined {
    if (this.#streams === undefined) return 'tcp';
    const segment = readSegment(source, destination, payload);
    if (segment === undefined) return 'malformed';
    for (const bytes of this.#streams.add(segment))
      found.push({
        frame: this.frames,
        timeMs,
        transport: 'tcp',
        source: segment.source,
        destination: segment.destination,
        bytes,
      });
    return undefined;
  }

  #openFormat(atEnd: boolean): void {
    const head = this.#buffer.subarray(this.#start, this.#end);
    this.#format = PcapFormat.open(head) ?? PcapngFormat.open(head);
    if (this.#format === undefined)
      this.#fail('observe/capture-unknown', 'this is neither a pcap nor a pcapng file');
    else if (atEnd) this.#fail('observe/capture-cut-off', 'the file ends in its header');
    else this.#consume(this.#format.headerBytes);
  }

  #fail(code: CaptureProblem['code'], text: string): void {
    this.#problem = { code, offset: this.#offset, text };
    this.#buffer = new Uint8Array(0);
    this.#start = this.#end = 0;
  }

  #consume(length: number): void {
    this.#start += length;
    this.#offset += length;
  }

  #append(chunk: Uint8Array): void {
    const kept = this.#end - this.#start;
    if (this.#end + chunk.length > this.#buffer.length) {
      const needed = kept + chunk.length;
      const room = needed > this.#buffer.length / 2 ? new Uint8Array(needed * 2) : this.#buffer;
      room.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = room;
      this.#start = 0;
      this.#end = kept;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }
}

export interface Capture {
  readonly datagrams: readonly CapturedDatagram[];
  readonly frames: number;
  readonly skipped: Readonly<Record<Skip, number>>;
  readonly problem: CaptureProblem | undefined;
}

/** A whole file that is in memory already. */
export function readCapture(bytes: Uint8Array, options: { readonly tcp?: boolean } = {}): Capture {
  const reader = new CaptureReader(options);
  const datagrams: CapturedDatagram[] = [];
  for (let at = 0; at < bytes.length; at += MAX_FRAME_BYTES)
    for (const one of reader.feed(bytes.subarray(at, at + MAX_FRAME_BYTES))) datagrams.push(one);
  reader.end();
  const { frames, skipped, problem } = reader;
  return { datagrams, frames, skipped, problem };
}
