/**
 * How long packets stay in the router: captured on both of its links, matched, subtracted.
 *
 * The kernel stamps a packet where it enters and where it leaves the router, so that neither the peers' event loops nor their
 * clocks are in the figure. It holds for kernel forwarding and for the gateway alike.
 *
 * Facts relied on: pcap files with magic 0xa1b23c4d have nanoseconds; link type 1 is Ethernet; no IP options, no fragments.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import { percentile, sleep } from './machine.ts';
import type { BenchNetwork } from './network.ts';

const MAGIC_NANOSECONDS = 0xa1b2_3c4d;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET = 14;
const UDP_HEADER = 8;

export interface Stay {
  readonly packets: number;
  /** Seen on one link, never on the other. */
  readonly lost: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

/** What identifies a packet on both sides of a NAT, or undefined where it is of no interest. */
export type KeyOf = (payload: Buffer) => string | undefined;

export class Capture {
  readonly #programs: readonly Program[];
  readonly #directory: string;

  private constructor(programs: readonly Program[], directory: string) {
    this.#programs = programs;
    this.#directory = directory;
  }

  static async start(network: BenchNetwork, filter: string, snapLength: number): Promise<Capture> {
    const directory = newDirectory('capture');
    const programs = LINKS.map((link) => {
      const args = ['-n', '-i', link, '-w', join(directory, link), '-s', String(snapLength), '-B', '16384'];
      const child = network.router.spawn(
        'tcpdump',
        [...args, '--time-stamp-precision=nano', '-Z', 'root', filter],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      return new Program('tcpdump', child);
    });
    const capture = new Capture(programs, directory);
    await Promise.all(programs.map((program) => program.says(/listening on/, 5_000)));
    return capture;
  }

  /** Ends the capture and gives the stays, of both directions together. */
  async finish(keyOf: KeyOf): Promise<Stay> {
    // What the kernel still holds in a block that is not full comes after a second.
    await sleep(1_500);
    await Promise.all(this.#programs.map((program) => program.stop('SIGINT')));
    const [inside, outside] = LINKS.map((link) => readPackets(join(this.#directory, link), keyOf));
    rmSync(this.#directory, { recursive: true, force: true });
    const stays: number[] = [];
    let lost = 0;
    for (const [key, seen] of outside!) lost += Math.max(0, seen.length - (inside!.get(key)?.length ?? 0));
    for (const [key, seen] of inside!) {
      const other = outside!.get(key) ?? [];
      for (let i = 0; i < seen.length; i++) {
        const there = other[i];
        if (there === undefined) lost++;
        else stays.push(Math.abs(Number(there - seen[i]!)) / 1000);
      }
    }
    stays.sort((a, b) => a - b);
    return {
      packets: stays.length,
      lost,
      p50Us: percentile(stays, 0.5),
      p99Us: percentile(stays, 0.99),
      p999Us: percentile(stays, 0.999),
      maxUs: stays.at(-1) ?? Number.NaN,
    };
  }
}

/** Start-line and CSeq and Call-ID: none of them is ever translated, except for the Request-URI, which is left out. */
export function sipKey(payload: Buffer): string | undefined {
  const text = payload.toString('latin1');
  const start = /^(?:SIP\/2\.0 (\d{3})|(\w+) )/.exec(text);
  const callId = /\r\nCall-ID: *([^\r]+)/i.exec(text)?.[1];
  const cseq = /\r\nCSeq: *([^\r]+)/i.exec(text)?.[1];
  if (start === null || callId === undefined) return undefined;
  return `${start[1] ?? start[2]} ${callId} ${cseq}`;
}

function readPackets(file: string, keyOf: KeyOf): Map<string, bigint[]> {
  const bytes = readFileSync(file);
  if (bytes.readUInt32LE(0) !== MAGIC_NANOSECONDS) throw new Error(`${file}: not a capture with nanoseconds`);
  const packets = new Map<string, bigint[]>();
  for (let at = FILE_HEADER; at + RECORD_HEADER <= bytes.length; ) {
    const time = BigInt(bytes.readUInt32LE(at)) * 1_000_000_000n + BigInt(bytes.readUInt32LE(at + 4));
    const length = bytes.readUInt32LE(at + 8);
    const ip = at + RECORD_HEADER + ETHERNET;
    const payload = ip + (bytes[ip]! & 0x0f) * 4 + UDP_HEADER;
    const end = at + RECORD_HEADER + length;
    const key = payload < end ? keyOf(bytes.subarray(payload, end)) : undefined;
    if (key !== undefined) {
      const list = packets.get(key);
      if (list === undefined) packets.set(key, [time]);
      else list.push(time);
    }
    at = end;
  }
  return packets;
}

const LINKS = ['lan', 'eth0'] as const;
