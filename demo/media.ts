/**
 * One end of an RTP stream: sends a tone as PCMU (RFC 3551 §4.5.14), counts what arrives by source address, and tells
 * whether a given tone is in it. It believes the SDP: it sends where the other side's SDP says, wherever RTP comes from.
 */
import type { Socket } from 'node:dgram';
import { Journal } from './journal.ts';

const PACKET_MS = 20;
const SAMPLES = 160;
const RATE = 8000;
/** The tone detector looks at this much of what came last. */
const WINDOW_SAMPLES = 1600;

export interface ReceivedPacket {
  readonly source: string;
  readonly sequence: number;
  readonly atMs: number;
}

export class Media {
  readonly address: string;
  readonly port: number;
  readonly received = new Journal<ReceivedPacket>((p) => `RTP ${p.sequence} from ${p.source}`);
  sent = 0;
  #socket: Socket;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #samples: number[] = [];
  #sequence = 1000;
  #phase = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.address = address;
    this.port = port;
    socket.on('message', (bytes, remote) => {
      if (bytes.length < 12 || bytes[0] !== 0x80) return;
      for (const byte of bytes.subarray(12)) this.#samples.push(decodeMulaw(byte));
      if (this.#samples.length > WINDOW_SAMPLES) this.#samples = this.#samples.slice(-WINDOW_SAMPLES);
      this.received.add({
        source: `${remote.address}:${remote.port}`,
        sequence: bytes.readUInt16BE(2),
        atMs: performance.now(),
      });
    });
  }

  /** Sends a tone until `stop`, 50 packets a second, caught up when the event loop was late. */
  start(to: { address: string; port: number }, hertz: number): void {
    this.stop();
    const began = performance.now();
    let due = 0;
    this.#timer = setInterval(() => {
      const late = Math.floor((performance.now() - began) / PACKET_MS);
      for (; due < late; due++) this.sendPacket(to, hertz);
    }, PACKET_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get sending(): boolean {
    return this.#timer !== undefined;
  }

  sendPacket(to: { address: string; port: number }, hertz: number): void {
    const bytes = Buffer.alloc(12 + SAMPLES);
    bytes[0] = 0x80;
    bytes.writeUInt16BE(this.#sequence++ & 0xffff, 2);
    bytes.writeUInt32BE(this.#phase >>> 0, 4);
    bytes.writeUInt32BE(0x51_9a_19_00 + this.port, 8);
    for (let i = 0; i < SAMPLES; i++) {
      bytes[12 + i] = encodeMulaw(12_000 * Math.sin((2 * Math.PI * hertz * this.#phase++) / RATE));
    }
    this.sent++;
    this.#socket.send(bytes, to.port, to.address, () => {});
  }

  /** Waits until `packets` more have come (from `source`, where given) and the tone is in the last of them. */
  async hear(hertz: number, withinMs = 3000, packets = 15): Promise<void> {
    const goal = this.received.entries.length + packets;
    const from = this.received.entries.length;
    await this.received.until(
      () => this.received.entries.length >= goal,
      withinMs,
      `${packets} RTP packets at ${this.address}:${this.port}`,
      from,
    );
    if (!this.hears(hertz)) throw new Error(`RTP at ${this.address}:${this.port} does not hold ${hertz} Hz`);
  }

  hears(hertz: number): boolean {
    return this.#samples.length >= SAMPLES * 5 && toneShare(this.#samples, hertz, RATE) > 0.5;
  }

  sources(): string[] {
    return [...new Set(this.received.entries.map((p) => p.source))];
  }

  close(): void {
    this.stop();
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}

/** The share of a tone in the energy of the samples, 0 to 1 (Goertzel). */
export function toneShare(samples: ArrayLike<number>, hertz: number, rate: number): number {
  const coefficient = 2 * Math.cos((2 * Math.PI * hertz) / rate);
  let s1 = 0;
  let s2 = 0;
  let energy = 0;
  for (let i = 0; i < samples.length; i++) {
    const x = samples[i]!;
    const s0 = x + coefficient * s1 - s2;
    s2 = s1;
    s1 = s0;
    energy += x * x;
  }
  if (energy === 0) return 0;
  return (2 * (s1 * s1 + s2 * s2 - coefficient * s1 * s2)) / (samples.length * energy);
}

const BIAS = 0x84;

function encodeMulaw(sample: number): number {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(32_635, Math.abs(Math.round(sample))) + BIAS;
  const exponent = Math.floor(Math.log2(magnitude)) - 7;
  return ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0f)) & 0xff;
}

function decodeMulaw(byte: number): number {
  const value = ~byte & 0xff;
  const magnitude = (((value & 0x0f) << 3) + BIAS) << ((value >> 4) & 7);
  return (value & 0x80) !== 0 ? BIAS - magnitude : magnitude - BIAS;
}
