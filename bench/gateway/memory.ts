/**
 * Memory of the gateway process as it grows and shrinks with what it serves, and whether it goes on growing with what it has
 * served. Resident size: what the machine has to have. Node gives back late, so that there is a wait before each "after".
 */
import { Daemon } from './daemon.ts';
import { sleep } from './machine.ts';
import { BenchNetwork } from './network.ts';
import { Load, MESSAGES, runLoad } from './sipp.ts';

const PHONES = 1_000;
const CALLS_AT_A_TIME = 200;
/** Ended dialogs are remembered for 32 seconds. */
const AFTER_MS = 40_000;

export interface MemoryRow {
  readonly when: string;
  readonly residentMb: number;
  readonly peakMb: number;
  /** Calls that were not carried on the way here. */
  readonly failed: number;
}

export async function measureMemory(told: (row: MemoryRow) => void): Promise<MemoryRow[]> {
  const network = new BenchNetwork(PHONES, 'nat');
  const daemon = await Daemon.start(network, 'info').catch((error: unknown) => {
    network.close();
    throw error;
  });
  const rows: MemoryRow[] = [];
  const note = (when: string, failed = 0): void => {
    const row = { when, ...daemon.memory(), failed };
    rows.push(row);
    told(row);
  };
  try {
    await sleep(5_000);
    note('idle');
    const registered = await runLoad(network, {
      kind: 'register',
      calls: PHONES,
      rate: 200,
      phones: PHONES,
      translated: false,
    });
    await sleep(3_000);
    note(`${PHONES} phones registered`, registered.failed);

    const load = await Load.start(network, {
      kind: 'call',
      calls: CALLS_AT_A_TIME,
      rate: 40,
      phones: PHONES,
      holdMs: 10_000,
      translated: true,
    });
    try {
      await sleep(8_000);
      note(`${load.up()} calls up`);
      const result = await load.done();
      await sleep(AFTER_MS);
      note(`${AFTER_MS / 1000} s after they ended`, result.failed);
    } finally {
      await load.close();
    }
    return rows;
  } finally {
    await daemon.stop();
    network.close();
  }
}

const SOAK_RATE = 50;
const MINUTE_MS = 60_000;

export interface SoakRow {
  readonly minute: number;
  readonly residentMb: number;
  readonly cpuUsPerMessage: number;
}

export interface SoakResult {
  readonly rate: number;
  readonly calls: number;
  readonly failed: number;
  readonly retransmissions: number;
  readonly rows: readonly SoakRow[];
}

/**
 * Short calls at one rate for longer than the gateway remembers anything of them (an INVITE transaction: five minutes), minute by
 * minute. What still grows in the last minutes is a leak.
 */
export async function measureSoak(minutes: number, told: (row: SoakRow) => void): Promise<SoakResult> {
  const network = new BenchNetwork(PHONES, 'nat');
  let daemon: Daemon | undefined;
  let load: Load | undefined;
  try {
    daemon = await Daemon.start(network, 'warn');
    const calls = SOAK_RATE * 60 * minutes;
    load = await Load.start(network, {
      kind: 'call',
      calls,
      rate: SOAK_RATE,
      phones: PHONES,
      translated: true,
    });
    const rows: SoakRow[] = [];
    const from = performance.now();
    for (let minute = 1; minute <= minutes; minute++) {
      const cpu = daemon.cpuS();
      await sleep(from + minute * MINUTE_MS - performance.now());
      const messages = SOAK_RATE * 60 * MESSAGES.call;
      const row = {
        minute,
        residentMb: daemon.memory().residentMb,
        cpuUsPerMessage: ((daemon.cpuS() - cpu) / messages) * 1e6,
      };
      rows.push(row);
      told(row);
    }
    const { failed, retransmissions } = await load.done();
    return { rate: SOAK_RATE, calls, failed, retransmissions, rows };
  } finally {
    await load?.close();
    await daemon?.stop();
    network.close();
  }
}
