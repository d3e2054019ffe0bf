/**
 * Memory of the gateway process as it grows and shrinks with what it serves. Resident size: what the machine has to have. Node gives back late, so that there is a wait before each "after".
 */
import { Daemon } from './daemon.ts';
import { sleep } from './machine.ts';
import { BenchNetwork } from './network.ts';
import { Load, runLoad } from './sipp.ts';

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
