/** RTP between phones and provider, by the C program `peers/rtp.c`: what is sent, what comes, and what that took. */
import type { Namespace } from '../../demo/namespace.ts';
import { Program } from '../../demo/program.ts';
import { type BenchNetwork, PROVIDER_MEDIA } from './network.ts';
import { compiled } from './peers.ts';
import type { MediaStream } from './sipp.ts';

/** Where the scenario of the provider wants its media. */
const PROVIDER_PORT = 30_000;
/** With echoes: for what is still on its way when the last packet has been sent. */
const LINGER_S = 0.5;

export interface Received {
  readonly received: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  /** Packets of each stream. */
  readonly streams: readonly number[];
}

export interface Sent extends Received {
  readonly sent: number;
  /** What its own kernel did not take. */
  readonly refused: number;
  readonly seconds: number;
  /** Without the time in which it waits for the last echoes. */
  readonly cpuS: number;
}

export interface Sunk extends Received {
  /** Of each stream, as ADDRESS:PORT. */
  readonly sources: readonly string[];
}

export interface RtpLoad {
  readonly streams: readonly MediaStream[];
  /** Packets a second of all streams together; 0 is as fast as it goes. */
  readonly rate: number;
  readonly seconds: number;
  /** The provider sends each packet back. */
  readonly echo: boolean;
}

/** Sends, and gives what both ends saw. */
export async function runRtp(network: BenchNetwork, load: RtpLoad): Promise<{ sender: Sent; sink: Sunk }> {
  const { senders, sink } = await runSenders(network, load, 1);
  return { sender: senders[0]!, sink };
}

/** The same with several senders, each of which has its share of the streams, one after the other, and of the rate. */
export async function runSenders(
  network: BenchNetwork,
  { streams, rate, seconds, echo }: RtpLoad,
  count: number,
): Promise<{ senders: Sent[]; sink: Sunk }> {
  const sink = start(network.provider, 'sink', [
    PROVIDER_MEDIA,
    String(PROVIDER_PORT),
    echo ? 'echo' : 'count',
  ]);
  const programs: Program[] = [];
  try {
    await sink.says(/^ready/, 10_000);
    const each = Math.ceil(streams.length / count);
    for (let first = 0; first < streams.length; first += each) {
      const own = streams.slice(first, first + each);
      const share = (rate * own.length) / streams.length;
      const sender = start(network.phones, 'send', [
        ...[String(share), String(seconds), String(echo ? LINGER_S : 0), String(first)],
      ]);
      programs.push(sender);
      sender.write(
        own
          .map(({ phone, target }) => `${phone.address} ${phone.port} ${target.address} ${target.port}\n`)
          .join(''),
      );
      sender.endInput();
    }
    const senders = await Promise.all(
      programs.map(async (sender) => JSON.parse(await sender.says(/^\{/, (seconds + 20) * 1000)) as Sent),
    );
    // It reads what lies in its buffer before it ends.
    sink.signal('SIGTERM');
    return { senders, sink: JSON.parse(await sink.says(/^\{/, 10_000)) as Sunk };
  } finally {
    for (const sender of programs) await sender.stop('SIGKILL');
    await sink.stop('SIGKILL');
  }
}

function start(space: Namespace, mode: string, args: readonly string[]): Program {
  const child = space.spawn(compiled('rtp'), [mode, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  return new Program(`rtp ${mode}`, child);
}
