/**
 * What a second engine brings: the same load for each engine, and what each of the threads pays for its messages.
 *
 * On a machine of two cores the load needs one of them, so that throughput says nothing. CPU does: an engine whose messages cost no more
 * because another one runs beside it carries as many on a core of its own. The load stays far below what saturates a thread.
 */
import { BareLoad, KINDS, type Kind } from './bare.ts';
import { Daemon } from './daemon.ts';
import { threadTimes } from './machine.ts';
import { BenchNetwork, PROVIDER } from './network.ts';

const PHONES = 100;
const ENGINES = [1, 2] as const;
/** Messages a second for each engine, both directions. */
const RATE_EACH = 3_000;
const SECONDS = 3;
const SETTINGS =
  '[limits]\nmessages-per-second-per-phone = 1000000\nmessages-per-second-per-provider = 1000000\n';

export interface CoresRow {
  readonly kind: Kind;
  readonly engines: number;
  /** Of the thread with the most to do: µs for each message of an equal share. */
  readonly threadUs: number;
  /** Of the whole process, µs a message: with what V8 does beside, and the main thread. */
  readonly processUs: number;
  readonly unanswered: number;
  readonly residentMb: number;
}

/** One and two engines by turns. */
export async function measureCores(): Promise<CoresRow[]> {
  const rows: CoresRow[] = [];
  for (const engines of ENGINES) {
    const network = new BenchNetwork(PHONES, 'nat');
    try {
      const config = `${SETTINGS}[linux]\nengine-threads = ${engines}\n`;
      const daemon = await Daemon.start(network, 'info', { config });
      const load = new BareLoad(network, PHONES, { address: PROVIDER, port: 5060 });
      try {
        for (const kind of KINDS) {
          await load.warmUp(kind, RATE_EACH);
          const before = threadTimes(daemon.pid);
          const cpu = daemon.cpuS();
          // An INVITE has its ACK.
          const requests = (RATE_EACH * engines) / (kind === 'INVITE' ? 3 : 2);
          const result = await load.run(kind, requests, SECONDS);
          const after = threadTimes(daemon.pid);
          const spent = [...after].map(([id, { name, cpuS }]) => ({
            name,
            cpuS: cpuS - (before.get(id)?.cpuS ?? 0),
          }));
          // One engine is the main thread; V8's own threads serve all.
          const busiest = Math.max(
            ...spent.filter(({ name }) => !name.startsWith('V8')).map(({ cpuS }) => cpuS),
          );
          rows.push({
            kind,
            engines,
            threadUs: (busiest / (result.messages / engines)) * 1e6,
            processUs: ((daemon.cpuS() - cpu) / result.messages) * 1e6,
            unanswered: result.requests - result.answered,
            residentMb: daemon.memory().residentMb,
          });
        }
      } finally {
        load.close();
        await daemon.stop();
      }
    } finally {
      network.close();
    }
  }
  return rows;
}

/** How many times as much several engines carry as one, by the thread with the most to do, and by the CPU of the whole process. */
export interface Scale {
  readonly kind: Kind;
  readonly engines: number;
  readonly byThread: number;
  readonly byProcess: number;
}

export function scales(
  rows: readonly CoresRow[],
  median: (values: readonly number[]) => number,
): readonly Scale[] {
  return KINDS.flatMap((kind) => {
    const of = (engines: number, pick: (row: CoresRow) => number): number =>
      median(rows.filter((row) => row.kind === kind && row.engines === engines).map(pick));
    return [...new Set(rows.map((row) => row.engines))]
      .filter((engines) => engines > 1)
      .map((engines) => ({
        kind,
        engines,
        byThread: (engines * of(1, (row) => row.threadUs)) / of(engines, (row) => row.threadUs),
        byProcess: (engines * of(1, (row) => row.processUs)) / of(engines, (row) => row.processUs),
      }));
  });
}
