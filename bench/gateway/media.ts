/**
 * RTP through the kernel: what the gateway has mapped against plain NAT. Two routers stand beside each other, in both of them
 * as many calls are up as streams are measured at most, and each takes its turn for a second.
 *
 * - Flood: one sender as fast as it goes. It pays for the whole way through the kernel up to the receiver's buffer, forwarding
 *   included, so that its CPU time a packet is what forwarding is compared by. The machine beside it: all that was not idle.
 * - Loss-free: rates a step apart, from below up to what the flood reached; the highest of which all came.
 * - Paced: 50 packets a second of each stream, and every packet sent back.
 */
import { Daemon } from './daemon.ts';
import { type MachineTime, machineTime, median, processTime } from './machine.ts';
import { BenchNetwork, EXTERNAL } from './network.ts';
import { compilerObstacle } from './peers.ts';
import { runRtp } from './rtp.ts';
import { Load, type MediaStream } from './sipp.ts';

export const KERNEL_VARIANTS = ['nat', 'gateway'] as const;
export type KernelVariant = (typeof KERNEL_VARIANTS)[number];

const CALLS_PER_S = 200;
const HOLD_MS = 600_000;
const FLOOD_S = 0.7;
const STEP_S = 0.5;
const PACED_S = 2;
const PACKETS_PER_STREAM_S = 50;
/** Of what the flood reached. */
const STEPS = [0.7, 0.8, 0.85, 0.9, 0.95, 1];
/** A rate is reached where so much of it was sent. */
const REACHED = 0.98;
const LOWEST_MEDIA_PORT = 24_000;

export interface FloodResult {
  readonly sentPerS: number;
  /** Of what was sent, never left the router. */
  readonly lostShare: number;
  /** Of what left the router, never read by the sink: its receive buffer was full. */
  readonly unreadShare: number;
  readonly senderUs: number;
  readonly machineUs: number;
  readonly softirqUs: number;
  readonly gatewayCpuS: number;
}

export interface PacedResult {
  readonly sent: number;
  readonly lost: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly gatewayCpuS: number;
}

export interface KernelMediaResult {
  readonly streams: number;
  readonly floods: Readonly<Record<KernelVariant, FloodResult[]>>;
  /** Packets a second, the highest of the steps of which all came; 0 where there is none. */
  readonly lossFree: Readonly<Record<KernelVariant, number>>;
  readonly paced: Readonly<Record<KernelVariant, PacedResult>>;
}

interface Side {
  readonly network: BenchNetwork;
  readonly daemon: Daemon | undefined;
  calls: Load | undefined;
  streams: readonly MediaStream[];
}

/** `streams`: so many at once. Empty, with the reason said, where it cannot be measured. */
export async function measureKernelMedia(
  streams: readonly number[],
  rounds: number,
  say: (text: string) => void,
): Promise<KernelMediaResult[]> {
  const obstacle = compilerObstacle();
  if (obstacle !== undefined) {
    say(`not measured: ${obstacle}`);
    return [];
  }
  const most = Math.max(...streams);
  const sides: Partial<Record<KernelVariant, Side>> = {};
  try {
    for (const variant of KERNEL_VARIANTS) {
      const network = new BenchNetwork(most, 'nat');
      sides[variant] = { network, daemon: undefined, calls: undefined, streams: [] };
      if (variant === 'gateway')
        sides[variant] = { ...sides[variant], daemon: await Daemon.start(network, 'info') };
    }
    const both = sides as Record<KernelVariant, Side>;
    for (const { network, daemon } of Object.values(both)) await holdCalls(both, network, daemon, most);
    const results: KernelMediaResult[] = [];
    for (const count of streams) {
      say(`${count} streams`);
      results.push(await measure(both, count, rounds));
    }
    return results;
  } finally {
    for (const side of Object.values(sides)) {
      await side.calls?.close();
      await side.daemon?.stop();
      side.network.close();
    }
  }
}

async function holdCalls(
  sides: Readonly<Record<KernelVariant, Side>>,
  network: BenchNetwork,
  daemon: Daemon | undefined,
  calls: number,
): Promise<void> {
  const side = Object.values(sides).find((one) => one.network === network)!;
  side.calls = await Load.start(network, {
    ...{ kind: 'call', calls, rate: CALLS_PER_S, phones: calls, holdMs: HOLD_MS, logsMedia: true },
    translated: daemon !== undefined,
  });
  side.streams = await side.calls.mediaStreams();
}

async function measure(
  sides: Readonly<Record<KernelVariant, Side>>,
  streams: number,
  rounds: number,
): Promise<KernelMediaResult> {
  const floods: Record<KernelVariant, FloodResult[]> = { nat: [], gateway: [] };
  for (let round = 0; round < rounds; round++)
    for (const variant of turns(round)) floods[variant].push(await flood(sides[variant], streams));
  const reached = median(
    KERNEL_VARIANTS.map((variant) => median(floods[variant].map((one) => one.sentPerS))),
  );
  const lossFree = { nat: 0, gateway: 0 };
  for (const [i, step] of STEPS.entries())
    for (const variant of turns(i))
      if (await carries(sides[variant], streams, reached * step)) lossFree[variant] = reached * step;
  return {
    streams,
    floods,
    lossFree,
    paced: { nat: await paced(sides.nat, streams), gateway: await paced(sides.gateway, streams) },
  };
}

/** Who comes first changes. */
function turns(round: number): readonly KernelVariant[] {
  return round % 2 === 0 ? KERNEL_VARIANTS : [...KERNEL_VARIANTS].reverse();
}

async function flood({ network, daemon, streams }: Side, count: number): Promise<FloodResult> {
  const before = network.forwarded();
  const cpu = cpuOf(daemon);
  const from = machineTime();
  const { sender, sink } = await runRtp(network, {
    ...{ streams: streams.slice(0, count), rate: 0, seconds: FLOOD_S, echo: false },
  });
  const to = machineTime();
  const gatewayCpuS = cpuOf(daemon) - cpu;
  const forwarded = network.forwarded() - before;
  const us = (seconds: number): number => (seconds / sender.sent) * 1e6;
  return {
    sentPerS: sender.sent / sender.seconds,
    lostShare: Math.max(0, 1 - forwarded / sender.sent),
    unreadShare: Math.max(0, 1 - sink.received / Math.min(sender.sent, forwarded)),
    senderUs: us(sender.cpuS),
    machineUs: us(busyS(from, to)),
    softirqUs: us(to.softirqS - from.softirqS),
    gatewayCpuS,
  };
}

async function carries({ network, streams }: Side, count: number, rate: number): Promise<boolean> {
  const { sender, sink } = await runRtp(network, {
    ...{ streams: streams.slice(0, count), rate, seconds: STEP_S, echo: false },
  });
  return sender.sent >= rate * STEP_S * REACHED && sink.received === sender.sent;
}

async function paced({ network, daemon, streams }: Side, count: number): Promise<PacedResult> {
  const cpu = cpuOf(daemon);
  const rate = count * PACKETS_PER_STREAM_S;
  const { sender, sink } = await runRtp(network, {
    ...{ streams: streams.slice(0, count), rate, seconds: PACED_S, echo: true },
  });
  if (daemon !== undefined && !sink.sources.every(isAdvertised))
    throw new Error('media came from a port that the gateway has not advertised');
  return {
    sent: 2 * sender.sent,
    lost: 2 * sender.sent - sink.received - sender.received,
    p50Us: sink.p50Us,
    p99Us: sink.p99Us,
    gatewayCpuS: cpuOf(daemon) - cpu,
  };
}

function isAdvertised(source: string): boolean {
  const [address, port] = source.split(':');
  return address === EXTERNAL && Number(port) >= LOWEST_MEDIA_PORT && Number(port) < 32_768;
}

function cpuOf(daemon: Daemon | undefined): number {
  const time = daemon === undefined ? undefined : processTime(daemon.pid);
  return time === undefined ? 0 : time.userS + time.systemS;
}

function busyS(from: MachineTime, to: MachineTime): number {
  return to.userS - from.userS + (to.systemS - from.systemS) + (to.softirqS - from.softirqS);
}
