/**
 * Signalling through the router: registrations and calls by SIPp, at a fixed rate for cost and delay, at rising rates for what is
 * carried, beside many flows and many calls for growth.
 */
import { Capture, type Stay, sipKey } from './capture.ts';
import { Daemon } from './daemon.ts';
import { kernelSeconds, machineTime, sleep } from './machine.ts';
import { BenchNetwork, phoneAddress, SILENT, SPARE } from './network.ts';
import { Load, type LoadOptions, type LoadResult, MESSAGES, runLoad } from './sipp.ts';

/** `gateway` logs as it does by default (every message); `gateway-quiet` logs warnings only. */
export const VARIANTS = ['nat', 'helper', 'gateway', 'gateway-quiet'] as const;
export type Variant = (typeof VARIANTS)[number];

const PHONES = 100;
/** Slow enough that the costliest neighbourhood does not make a queue: it would be counted as cost. */
const PROBES_PER_S = { register: 150, call: 10 } as const;
const IDLE_MS = 2_000;
const CALLS_PER_S = 50;
const REGISTRATIONS_PER_S = 200;
/** A rate counts as reached when so much of it was. */
const REACHED = 0.9;

export interface FixedResult {
  readonly load: LoadResult;
  /** The gateway process, user and system, for each message that crossed. Absent without gateway. */
  readonly gatewayUsPerMessage?: number;
  /** System and softirq time of the whole machine, its idle rate subtracted: SIPp's own system calls are in it. */
  readonly kernelUsPerMessage: number;
  /** Both SIPp processes, with the softirqs that ran on their account. */
  readonly peersUsPerMessage: number;
  /** Only for calls. */
  readonly stay?: Stay;
  readonly notices?: Readonly<Record<string, number>>;
}

/** A router of one variant, warmed up, for as long as `work` takes. */
async function inRouter<T>(
  variant: Variant,
  phones: number,
  work: (network: BenchNetwork, daemon: Daemon | undefined) => Promise<T>,
): Promise<T> {
  const network = new BenchNetwork(phones, variant === 'helper' ? 'helper' : 'nat');
  let daemon: Daemon | undefined;
  try {
    if (variant === 'gateway' || variant === 'gateway-quiet')
      daemon = await Daemon.start(network, variant === 'gateway' ? 'info' : 'warn');
    return await work(network, daemon);
  } finally {
    await daemon?.stop();
    network.close();
  }
}

function options(variant: Variant, kind: 'register' | 'call', rate: number, seconds: number): LoadOptions {
  return {
    kind,
    rate,
    calls: Math.round(rate * seconds),
    phones: PHONES,
    translated: kind === 'call' && variant !== 'nat',
  };
}

/** One round of a variant at fixed rates. */
export function measureFixed(variant: Variant): Promise<{ register: FixedResult; call: FixedResult }> {
  return inRouter(variant, PHONES, async (network, daemon) => {
    await runLoad(network, options(variant, 'register', REGISTRATIONS_PER_S, 1.5));
    await runLoad(network, options(variant, 'call', CALLS_PER_S, 3));
    const idleFrom = machineTime();
    await sleep(IDLE_MS);
    const idleTo = machineTime();
    const idle = kernelSeconds(idleFrom, idleTo) / ((idleTo.atMs - idleFrom.atMs) / 1000);
    const register = await fixed(network, daemon, options(variant, 'register', REGISTRATIONS_PER_S, 4), idle);
    const capture = await Capture.start(network, 'udp port 5060', 2_000);
    const call = await fixed(network, daemon, options(variant, 'call', CALLS_PER_S, 8), idle);
    const stay = await capture.finish(sipKey);
    return { register, call: { ...call, stay } };
  });
}

async function fixed(
  network: BenchNetwork,
  daemon: Daemon | undefined,
  load: LoadOptions,
  idlePerS: number,
): Promise<FixedResult> {
  const cpu = daemon?.cpuS();
  const from = machineTime();
  const result = await runLoad(network, load);
  const to = machineTime();
  const messages = result.calls * MESSAGES[load.kind];
  const perMessage = (seconds: number): number => (Math.max(0, seconds) / messages) * 1e6;
  return {
    load: result,
    ...(daemon === undefined || cpu === undefined
      ? {}
      : { gatewayUsPerMessage: perMessage(daemon.cpuS() - cpu), notices: daemon.notices() }),
    kernelUsPerMessage: perMessage(kernelSeconds(from, to) - (idlePerS * (to.atMs - from.atMs)) / 1000),
    peersUsPerMessage: perMessage(result.peersCpuS),
  };
}

export interface Step {
  readonly rate: number;
  /** Calls a second that were completed. */
  readonly achieved: number;
  readonly failed: number;
  readonly retransmissions: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly gatewayUsPerMessage?: number;
  readonly notices?: Readonly<Record<string, number>>;
}

export interface CapacityResult {
  readonly steps: readonly Step[];
  /** The highest rate at which every call was carried. */
  readonly carried: number;
  /** The same, and nothing had to be sent twice. */
  readonly carriedAtOnce: number;
}

/** Rising rates until calls fail, or the peers do not reach the rate. */
export function measureCapacity(variant: Variant, rates: readonly number[]): Promise<CapacityResult> {
  return inRouter(variant, PHONES, async (network, daemon) => {
    await runLoad(network, options(variant, 'call', CALLS_PER_S, 3));
    const steps: Step[] = [];
    for (const rate of rates) {
      const cpu = daemon?.cpuS() ?? 0;
      const load = options(variant, 'call', rate, 4);
      const result = await runLoad(network, load);
      const achieved = result.succeeded / result.seconds;
      steps.push({
        rate,
        achieved,
        failed: result.failed,
        retransmissions: result.retransmissions,
        reasons: result.reasons,
        ...(daemon === undefined
          ? {}
          : {
              gatewayUsPerMessage: ((daemon.cpuS() - cpu) / (result.calls * MESSAGES.call)) * 1e6,
              notices: daemon.notices(),
            }),
      });
      if (result.failed > 0 || achieved < rate * REACHED) break;
      await sleep(1_000);
    }
    const good = steps.filter((step) => step.failed === 0 && step.achieved >= step.rate * REACHED);
    return {
      steps,
      carried: Math.max(0, ...good.map((step) => step.rate)),
      carriedAtOnce: Math.max(
        0,
        ...good.filter((step) => step.retransmissions === 0).map((step) => step.rate),
      ),
    };
  });
}

export interface GrowthRow {
  readonly beside: string;
  readonly callUsPerMessage: number;
  readonly registerUsPerMessage: number;
  readonly failed: number;
  readonly retransmissions: number;
}

/** CPU per message of the gateway beside nothing, beside many flows of other traffic, beside many calls that are up. */
export async function measureGrowth(flows: readonly number[], held: readonly number[]): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = [];
  for (const count of flows)
    rows.push(
      await inRouter('gateway-quiet', PHONES, async (network, daemon) => {
        await makeFlows(network, count);
        return probe(network, daemon!, `${network.flows()} flows of other traffic`);
      }),
    );
  for (const count of held)
    rows.push(
      await inRouter('gateway-quiet', 2 * PHONES, async (network, daemon) => {
        const load = await Load.start(network, {
          kind: 'call',
          calls: count,
          rate: CALLS_PER_S * 2,
          phones: PHONES,
          firstPhone: PHONES,
          server: SPARE,
          holdMs: 300_000,
          translated: true,
        });
        try {
          await sleep((count / (CALLS_PER_S * 2)) * 1000 + 2_000);
          return await probe(network, daemon!, `${load.up()} calls that are up`);
        } finally {
          await load.close();
        }
      }),
    );
  return rows;
}

async function probe(network: BenchNetwork, daemon: Daemon, beside: string): Promise<GrowthRow> {
  const load = (kind: 'register' | 'call', seconds: number): Promise<LoadResult> =>
    runLoad(network, options('gateway-quiet', kind, PROBES_PER_S[kind], seconds));
  await load('register', 2);
  const first = daemon.cpuS();
  const register = await load('register', 4);
  const second = daemon.cpuS();
  await load('call', 5);
  const third = daemon.cpuS();
  const call = await load('call', 10);
  const fourth = daemon.cpuS();
  return {
    beside,
    callUsPerMessage: ((fourth - third) / (call.calls * MESSAGES.call)) * 1e6,
    registerUsPerMessage: ((second - first) / (register.calls * MESSAGES.register)) * 1e6,
    failed: register.failed + call.failed,
    retransmissions: register.retransmissions + call.retransmissions,
  };
}

/** Flows through the router that have nothing to do with SIP, one packet each. */
async function makeFlows(network: BenchNetwork, count: number): Promise<void> {
  if (count === 0) return;
  const sockets = await Promise.all(
    Array.from({ length: Math.ceil(count / FLOWS_PER_SOCKET) }, (_, i) =>
      network.phones.socket(phoneAddress(i % PHONES), 40_000 + Math.floor(i / PHONES)),
    ),
  );
  const packet = Buffer.from('not SIP');
  for (let made = 0; made < count; ) {
    for (let i = 0; i < 200 && made < count; i++, made++)
      sockets[Math.floor(made / FLOWS_PER_SOCKET)]!.send(packet, 10_000 + (made % FLOWS_PER_SOCKET), SILENT);
    await sleep(2);
  }
  for (const socket of sockets) socket.close();
}

const FLOWS_PER_SOCKET = 20_000;
