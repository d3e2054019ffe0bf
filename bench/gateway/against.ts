/** The gateway against its peers, on the same load: bare messages at a fixed rate, and complete calls at rising rates. */
import { BareLoad, type BareResult, type Kind } from './bare.ts';
import { kernelSeconds, type MachineTime, machineTime, sleep } from './machine.ts';
import { type Peer, type PeerName, type PeerOptions, startPeer } from './peers.ts';
import { type LoadResult, MESSAGES, runLoad } from './sipp.ts';

const PHONES = 100;
/** What is compiled while it runs, is compiled before it is measured. */
const WARM_UP_PER_S = 3_000;
/** Messages a second, both directions; the lower one is where delay is looked at. */
export const MESSAGE_RATES = { low: 5_000, high: 9_000 };
const IDLE_MS = 1_000;
const HOLD_MS = 1_000;

export interface Cost {
  /** User and system time of the peer's processes, µs a message. */
  readonly processUs: number;
  /** Everything that the machine did, idle subtracted, without user time of the load's own processes: µs a message. */
  readonly machineUs: number;
}

export interface MessageRound extends Cost {
  readonly peer: PeerName;
  readonly kind: Kind;
  /** Messages a second that were asked for, both directions. */
  readonly rate: number;
  readonly load: BareResult;
}

/** All kinds at all rates (messages a second, both directions), `seconds` each, in one router. */
export async function measureMessages(
  name: PeerName,
  ratesOf: (kind: Kind) => readonly number[],
  kinds: readonly Kind[],
  seconds: number,
  options: PeerOptions,
): Promise<MessageRound[]> {
  const peer = await startPeer(name, PHONES, options);
  const rounds: MessageRound[] = [];
  try {
    const load = new BareLoad(peer.network, PHONES, peer.target);
    try {
      for (const kind of kinds) {
        await load.warmUp(kind, WARM_UP_PER_S);
        const idle = await idleRate();
        for (const rate of ratesOf(kind)) {
          // An INVITE has its ACK.
          const requests = rate / (kind === 'INVITE' ? 3 : 2);
          const cpu = peer.cpuS();
          const from = machineTime();
          const result = await load.run(kind, requests, seconds);
          const to = machineTime();
          rounds.push({
            peer: name,
            kind,
            rate,
            load: result,
            processUs: ((peer.cpuS() - cpu) / result.messages) * 1e6,
            machineUs: ((busySeconds(from, to) - idle * elapsedS(from, to)) / result.messages) * 1e6,
          });
          await sleep(300);
        }
      }
    } finally {
      load.close();
    }
    return rounds;
  } finally {
    await peer.stop();
  }
}

export interface CallStep extends Cost {
  readonly peer: PeerName;
  /** New calls a second. */
  readonly rate: number;
  readonly achieved: number;
  readonly load: LoadResult;
  readonly residentMb: number;
}

/** Complete calls at rising rates, until one fails or the rate is not reached. */
export async function measureCalls(
  name: PeerName,
  rates: readonly number[],
  seconds: number,
  options: PeerOptions,
): Promise<CallStep[]> {
  const peer = await startPeer(name, PHONES, options);
  const steps: CallStep[] = [];
  try {
    if (!peer.calls) return [];
    const load = (rate: number, calls: number): Promise<LoadResult> =>
      runLoad(peer.network, {
        kind: 'call',
        calls,
        rate,
        phones: PHONES,
        holdMs: HOLD_MS,
        target: `${peer.target.address}:${peer.target.port}`,
        translated: peer.translates,
      });
    await load(50, 150);
    for (const rate of rates) {
      const step = await callStep(peer, rate, () => load(rate, Math.round(rate * seconds)));
      steps.push(step);
      if (step.load.failed > 0 || step.achieved < rate * REACHED) break;
      await sleep(500);
    }
    return steps;
  } finally {
    await peer.stop();
  }
}

/** A rate counts as reached when so much of it was. */
export const REACHED = 0.9;

async function callStep(peer: Peer, rate: number, run: () => Promise<LoadResult>): Promise<CallStep> {
  const idle = await idleRate();
  const cpu = peer.cpuS();
  const from = machineTime();
  const result = await run();
  const to = machineTime();
  const messages = result.calls * MESSAGES.call;
  return {
    peer: peer.name,
    rate,
    // The last second only holds.
    achieved: result.succeeded / Math.max(1, result.seconds - HOLD_MS / 1000),
    load: result,
    residentMb: peer.residentMb(),
    processUs: ((peer.cpuS() - cpu) / messages) * 1e6,
    machineUs: ((busySeconds(from, to) - idle * elapsedS(from, to)) / messages) * 1e6,
  };
}

/** What the machine does when nothing is asked of it, in seconds of CPU a second. */
async function idleRate(): Promise<number> {
  const from = machineTime();
  await sleep(IDLE_MS);
  const to = machineTime();
  return busySeconds(from, to) / elapsedS(from, to);
}

function busySeconds(from: MachineTime, to: MachineTime): number {
  return to.userS - from.userS + kernelSeconds(from, to);
}

function elapsedS(from: MachineTime, to: MachineTime): number {
  return (to.atMs - from.atMs) / 1000;
}
