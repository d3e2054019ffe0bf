/**
 * RTP through the router: 50 calls are set up by SIPp and held, and RTP runs on the ports that they negotiated.
 *
 * - Flood: one sender as fast as it goes. The sender pays for the whole way through the kernel up to the receiver's buffer,
 *   forwarding included, so that its CPU time per packet is what forwarding is compared by.
 * - Paced: 50 calls of 50 packets a second, both ways, with a capture on both links of the router.
 */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../../demo/namespace.ts';
import { Program } from '../../demo/program.ts';
import { Capture, type Stay } from './capture.ts';
import { Daemon } from './daemon.ts';
import { processTime } from './machine.ts';
import { BenchNetwork, EXTERNAL, PROVIDER_MEDIA, phoneAddress } from './network.ts';
import { Load } from './sipp.ts';

const STREAMS = 50;
const PACKETS_PER_STREAM_S = 50;
const FLOOD_S = 3;
const PACED_S = 6;
const PROVIDER_PORT = 30_000;
const PHONE_PORT = 10_000;
const LOWEST_MEDIA_PORT = 24_000;

export interface FloodResult {
  readonly sentPerS: number;
  readonly forwardedPerS: number;
  /** Of what was sent, never left the router. */
  readonly lostShare: number;
  /** Of what left the router, never read by the sink: its receive buffer was full. */
  readonly unreadShare: number;
  readonly senderUsPerPacket: number;
  readonly gatewayCpuS: number;
  readonly gatewayUserS: number;
}

export interface PacedResult {
  readonly sent: number;
  readonly lostShare: number;
  readonly echoLostShare: number;
  readonly stay: Stay;
  /** From the sender's event loop to the sink's. */
  readonly endToEndUs: { readonly p50: number; readonly p99: number; readonly p999: number };
  /** Packets came from the ports that the gateway advertised. */
  readonly fromAdvertised: boolean;
  readonly gatewayCpuS: number;
}

export interface MediaResult {
  readonly flood: FloodResult;
  readonly paced: PacedResult;
}

export async function measureMedia(variant: 'nat' | 'gateway'): Promise<MediaResult> {
  const network = new BenchNetwork(STREAMS, 'nat');
  const daemon = variant === 'gateway' ? await Daemon.start(network, 'info') : undefined;
  let calls: Load | undefined;
  try {
    calls = await Load.start(network, {
      kind: 'call',
      calls: STREAMS,
      rate: 50,
      phones: STREAMS,
      holdMs: 120_000,
      translated: daemon !== undefined,
    });
    for (let tries = 0; calls.up() < STREAMS; tries++) {
      if (tries > 50) throw new Error(`only ${calls.up()} of ${STREAMS} calls are up`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const flood = await runFlood(network, daemon);
    const paced = await runPaced(network, daemon);
    return { flood, paced };
  } finally {
    await calls?.close();
    await daemon?.stop();
    network.close();
  }
}

async function runFlood(network: BenchNetwork, daemon: Daemon | undefined): Promise<FloodResult> {
  const sink = await Sink.start(network, false);
  const before = network.forwarded();
  const time = daemonTime(daemon);
  const sender = await send(network, 0, FLOOD_S);
  const after = daemonTime(daemon);
  const forwarded = network.forwarded() - before;
  const { received } = await sink.finish();
  return {
    sentPerS: sender.sent / sender.seconds,
    forwardedPerS: forwarded / sender.seconds,
    lostShare: Math.max(0, 1 - forwarded / sender.sent),
    unreadShare: Math.max(0, 1 - received / forwarded),
    senderUsPerPacket: (sender.cpuS / sender.sent) * 1e6,
    gatewayCpuS: after.cpuS - time.cpuS,
    gatewayUserS: after.userS - time.userS,
  };
}

async function runPaced(network: BenchNetwork, daemon: Daemon | undefined): Promise<PacedResult> {
  const sink = await Sink.start(network, true);
  const capture = await Capture.start(network, `udp and host ${PROVIDER_MEDIA}`, 80);
  const time = daemonTime(daemon);
  const sender = await send(network, STREAMS * PACKETS_PER_STREAM_S, PACED_S);
  const after = daemonTime(daemon);
  const stay = await capture.finish((payload) =>
    payload.length < 17 ? undefined : `${payload[16]} ${payload.readUInt32BE(12)}`,
  );
  const said = await sink.finish();
  return {
    sent: sender.sent,
    lostShare: Math.max(0, 1 - said.received / sender.sent),
    echoLostShare: Math.max(0, 1 - sender.echoes / said.received),
    stay,
    endToEndUs: { p50: said.p50Us, p99: said.p99Us, p999: said.p999Us },
    fromAdvertised: said.sources.every((source) => {
      const [address, port] = source.split(':');
      return address === EXTERNAL && Number(port) >= LOWEST_MEDIA_PORT && Number(port) < 32_768;
    }),
    gatewayCpuS: after.cpuS - time.cpuS,
  };
}

function daemonTime(daemon: Daemon | undefined): { cpuS: number; userS: number } {
  const time = daemon === undefined ? undefined : processTime(daemon.pid);
  return time === undefined ? { cpuS: 0, userS: 0 } : { cpuS: time.userS + time.systemS, userS: time.userS };
}

interface SenderSays {
  readonly sent: number;
  readonly seconds: number;
  readonly cpuS: number;
  readonly echoes: number;
}

async function send(network: BenchNetwork, rate: number, seconds: number): Promise<SenderSays> {
  const streams = Array.from({ length: STREAMS }, (_, i) => ({ address: phoneAddress(i), port: PHONE_PORT }));
  const to = { address: PROVIDER_MEDIA, port: PROVIDER_PORT };
  const program = script(network.phones, 'rtp-sender.ts', { streams, to, rate, seconds });
  try {
    return JSON.parse(await program.says(/^\{/, (seconds + 10) * 1000)) as SenderSays;
  } finally {
    await program.stop();
  }
}

interface SinkSays {
  readonly received: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly sources: readonly string[];
}

class Sink {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(network: BenchNetwork, echo: boolean): Promise<Sink> {
    const local = { address: PROVIDER_MEDIA, port: PROVIDER_PORT };
    const program = script(network.provider, 'rtp-sink.ts', { local, echo });
    await program.says(/^ready/, 10_000);
    return new Sink(program);
  }

  async finish(): Promise<SinkSays> {
    this.#program.signal('SIGTERM');
    return JSON.parse(await this.#program.says(/^\{/, 10_000)) as SinkSays;
  }
}

function script(space: Namespace, file: string, options: unknown): Program {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child: ChildProcess = space.spawn(process.execPath, [path, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Program(file, child);
}
