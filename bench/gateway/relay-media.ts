/**
 * RTP through user space: the explicit mode on either make of its sockets, against rtpengine without its kernel module. All
 * stand beside each other, each in a router of its own with the same calls up, and take their turns.
 *
 * - Paced: 50 packets a second of each stream, and every packet sent back, so that a call costs 100 packets a second. CPU of the
 *   process that media crosses; plain NAT beside it says what the delay is without a relay.
 * - Overload, one way: what it carries is found by rates that rise until more than a hundredth is lost, or the sender is at its
 *   limit; then two senders send as fast as they go. What each stream gets of what it sent tells whether one of them starves; the
 *   paced load afterwards, whether all is as before.
 */
import { median, preciseCpuS, sleep } from './machine.ts';
import { compilerObstacle, type Peer, type PeerName, peerObstacle, startPeer } from './peers.ts';
import { runRtp, runSenders } from './rtp.ts';
import { Load, type MediaStream } from './sipp.ts';

export const RELAY_PEERS = ['nat', 'kamailio', 'sipalg-listen', 'sipalg-dgram'] as const;
export type RelayPeer = (typeof RELAY_PEERS)[number];

/** Calls a second; Kamailio with rtpengine is near its limit with more than the lower rate. */
const CALLS_PER_S = { kamailio: 40, others: 200 };
const HOLD_MS = 600_000;
const PACKETS_PER_STREAM_S = 50;
const PACED_S = 1.5;
const STEP_S = 0.6;
const OVERLOAD_S = 2;
const RISING = [25_000, 40_000, 60_000, 90_000, 130_000, 170_000];
const SENDERS = 2;
/** For what lies in queues when the load ends. */
const CALM_MS = 1_500;
const CARRIED_LOSS = 0.01;

export interface PacedRelay {
  readonly streams: number;
  /** Both directions together. */
  readonly packetsPerS: number;
  /** NaN where no process is in the way. */
  readonly processUs: number;
  readonly lostShare: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface Overload {
  /** Packets a second of which no more than a hundredth was lost, one way; the sender may not reach more. */
  readonly carriedPerS: number;
  readonly offeredPerS: number;
  readonly deliveredPerS: number;
  /** Streams, by what they got of what they sent. */
  readonly least: number;
  readonly middle: number;
  /** Streams that got nothing at all. */
  readonly dead: number;
  readonly before: PacedRelay;
  readonly after: PacedRelay;
}

export interface RelayMediaResult {
  readonly paced: Readonly<Partial<Record<RelayPeer, PacedRelay[]>>>;
  readonly overload: Readonly<Partial<Record<RelayPeer, Overload>>>;
}

interface Side {
  readonly peer: Peer;
  readonly calls: Load;
  readonly streams: readonly MediaStream[];
}

/** `streams`: so many at once. What cannot be measured is left out, and said. */
export async function measureRelayMedia(
  names: readonly PeerName[],
  streams: readonly number[],
  rounds: number,
  withOverload: boolean,
  say: (text: string) => void,
): Promise<RelayMediaResult> {
  const paced: Partial<Record<RelayPeer, PacedRelay[]>> = {};
  const overload: Partial<Record<RelayPeer, Overload>> = {};
  const obstacle = compilerObstacle();
  if (obstacle !== undefined) {
    say(`not measured: ${obstacle}`);
    return { paced, overload };
  }
  const most = Math.max(...streams);
  const sides = new Map<RelayPeer, Side>();
  try {
    for (const name of RELAY_PEERS) {
      if (!names.includes(name)) continue;
      const missing = peerObstacle(name, {});
      if (missing !== undefined) {
        say(`without ${name}: ${missing}`);
        continue;
      }
      sides.set(name, await callsThrough(await startPeer(name, most, {}), most));
    }
    // What is compiled while it runs, is compiled before it is measured.
    for (const side of sides.values()) await pace(side, most);
    for (let round = 0; round < rounds; round++)
      for (const count of streams)
        for (const [name, side] of sides) {
          const list = paced[name] ?? [];
          list.push(await pace(side, count));
          paced[name] = list;
        }
    for (const [name, side] of sides) {
      if (name === 'nat' || !withOverload) continue;
      say(`overload: ${name}`);
      overload[name] = await overloaded(side, most);
    }
    return { paced, overload };
  } finally {
    for (const { peer, calls } of sides.values()) {
      await calls.close();
      await peer.stop();
    }
  }
}

async function callsThrough(peer: Peer, calls: number): Promise<Side> {
  let load: Load | undefined;
  const rate = peer.name === 'kamailio' ? CALLS_PER_S.kamailio : CALLS_PER_S.others;
  try {
    load = await Load.start(peer.network, {
      ...{ kind: 'call', calls, rate, phones: calls, holdMs: HOLD_MS, logsMedia: true },
      target: `${peer.target.address}:${peer.target.port}`,
      translated: peer.translates,
    });
    return { peer, calls: load, streams: await load.mediaStreams() };
  } catch (error) {
    await load?.close();
    await peer.stop();
    throw error;
  }
}

async function pace({ peer, streams }: Side, count: number): Promise<PacedRelay> {
  const cpu = cpuOf(peer);
  const { sender, sink } = await runRtp(peer.network, {
    ...{ streams: streams.slice(0, count), rate: count * PACKETS_PER_STREAM_S, seconds: PACED_S, echo: true },
  });
  const packets = sender.sent + sink.received;
  return {
    streams: count,
    packetsPerS: packets / sender.seconds,
    processUs: ((cpuOf(peer) - cpu) / packets) * 1e6,
    lostShare: 1 - (sink.received + sender.received) / (2 * sender.sent),
    p50Us: sink.p50Us,
    p99Us: sink.p99Us,
  };
}

async function overloaded(side: Side, count: number): Promise<Overload> {
  const { peer, streams } = side;
  const before = await pace(side, count);
  let carriedPerS = 0;
  for (const rate of RISING) {
    const { sender, sink } = await runRtp(peer.network, { streams, rate, seconds: STEP_S, echo: false });
    if (1 - sink.received / sender.sent > CARRIED_LOSS || sender.sent < rate * STEP_S * 0.9) break;
    carriedPerS = rate;
  }
  const { senders, sink } = await runSenders(
    peer.network,
    { streams: streams.slice(0, count), rate: 0, seconds: OVERLOAD_S, echo: false },
    SENDERS,
  );
  const sent = senders.reduce((sum, one) => sum + one.sent, 0);
  // A sender takes its streams in turn, so that each of them sends as much as its others.
  const each = Math.ceil(count / SENDERS);
  const shares = Array.from(
    { length: count },
    (_, i) => (sink.streams[i] ?? 0) / (senders[Math.floor(i / each)]!.sent / each),
  );
  await sleep(CALM_MS);
  return {
    carriedPerS,
    offeredPerS: sent / OVERLOAD_S,
    deliveredPerS: sink.received / OVERLOAD_S,
    least: Math.min(...shares),
    middle: median(shares),
    dead: shares.filter((one) => one === 0).length,
    before,
    after: await pace(side, count),
  };
}

function cpuOf({ mediaPid }: Peer): number {
  return mediaPid === undefined ? Number.NaN : preciseCpuS(mediaPid);
}
