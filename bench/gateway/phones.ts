/** What thousands of phones and calls cost: memory, the cost of a message beside them, and the time from a start to the first message. */
import { BareLoad } from './bare.ts';
import { Daemon } from './daemon.ts';
import { sleep } from './machine.ts';
import { BenchNetwork, PROVIDER, SPARE } from './network.ts';
import { Load } from './sipp.ts';

const FEW = 10;
const MANY = 10_000;
const CALLS = 2_000;
const CALLS_PER_S = 200;
const REGISTRATIONS_PER_S = 1_000;
const REQUESTS_PER_S = 3_000;
const SECONDS = 3;
/** Node collects when it has time. */
const SETTLE_MS = 5_000;
const LIMITS = [
  '[limits]',
  'messages-per-second-per-phone = 1000000',
  'messages-per-second-per-provider = 1000000',
  'mappings = 20000',
  // All of them use port 5060: there is one such port at one address, and by default 4000 others.
  '[signalling]',
  'external-ports = "8000-23999"',
].join('\n');

export interface PhonesRow {
  readonly when: string;
  readonly residentMb: number;
  /** CPU of the gateway for each OPTIONS message; absent where none was sent. */
  readonly optionsUs?: number;
}

export interface PhonesResult {
  readonly rows: readonly PhonesRow[];
  /** From the start of the process on a store of many phones to the first translated message at the provider. */
  readonly firstTranslatedMs: number;
  readonly phones: number;
  readonly calls: number;
}

export async function measurePhones(told: (text: string) => void): Promise<PhonesResult> {
  const network = new BenchNetwork(MANY, 'nat');
  let daemon: Daemon | undefined;
  try {
    const running = await Daemon.start(network, 'warn', { config: LIMITS });
    daemon = running;
    const rows: PhonesRow[] = [];
    const note = (row: PhonesRow): void => {
      rows.push(row);
      told(`${row.when}: ${row.residentMb} MB, OPTIONS ${row.optionsUs?.toFixed(1) ?? '-'} µs`);
    };
    const options = async (load: BareLoad): Promise<number> => {
      const before = running.cpuS();
      const { messages } = await load.run('OPTIONS', REQUESTS_PER_S, SECONDS);
      return ((running.cpuS() - before) / messages) * 1e6;
    };
    const target = { address: PROVIDER, port: 5060 };
    const few = new BareLoad(network, FEW, target);
    await few.warmUp('OPTIONS', REQUESTS_PER_S);
    note({ when: `${FEW} phones`, optionsUs: await options(few), residentMb: running.memory().residentMb });
    few.close();

    const many = new BareLoad(network, MANY, target);
    const { requests, answered } = await many.run(
      'REGISTER',
      REGISTRATIONS_PER_S,
      MANY / REGISTRATIONS_PER_S,
    );
    if (answered < requests) told(`only ${answered} of ${requests} registrations were answered`);
    await sleep(SETTLE_MS);
    note({ when: `${MANY} phones registered`, residentMb: running.memory().residentMb });
    note({
      when: `${MANY} phones, each of them asking`,
      optionsUs: await options(many),
      residentMb: running.memory().residentMb,
    });

    await running.kill();
    const startedMs = performance.now();
    const back = running.startAgain();
    const translatedMs = await many.firstTranslated(20_000);
    await back;
    const firstTranslatedMs = translatedMs - startedMs;
    told(`after kill -9: the first translated message after ${Math.round(firstTranslatedMs)} ms`);
    await sleep(SETTLE_MS);
    note({ when: `${MANY} phones, started again`, residentMb: running.memory().residentMb });
    many.close();

    const calls = await Load.start(network, {
      kind: 'call',
      calls: CALLS,
      rate: CALLS_PER_S,
      phones: MANY,
      server: SPARE,
      holdMs: 60_000,
      translated: true,
    });
    try {
      await sleep((CALLS / CALLS_PER_S) * 1000 + SETTLE_MS);
      const up = calls.up();
      const beside = new BareLoad(network, FEW, target, MANY - FEW);
      await beside.warmUp('OPTIONS', REQUESTS_PER_S);
      note({
        when: `${MANY} phones and ${up} calls`,
        optionsUs: await options(beside),
        residentMb: running.memory().residentMb,
      });
      beside.close();
      return { rows, firstTranslatedMs, phones: MANY, calls: up };
    } finally {
      await calls.close();
    }
  } finally {
    await daemon?.stop();
    network.close();
  }
}
