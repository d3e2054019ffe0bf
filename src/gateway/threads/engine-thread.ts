/** The thread of one of several engines: its sockets, its engine, its share of the phones. Begun by engine-threads.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { GatewayConfig } from '../../config/gateway-config.ts';
import type { AlgEvent } from '../../core/alg/event.ts';
import type { MappingId } from '../../core/alg/io.ts';
import type { Row } from '../../core/alg/rows.ts';
import type { CallsSnapshot } from '../../core/alg/snapshot.ts';
import type { PortRange } from '../../core/nat/port-pool.ts';
import { free } from '../../linux/sys.ts';
import { SystemError } from '../../linux/system-error.ts';
import { createLog, type Log } from '../../observe/log.ts';
import { Recorder } from '../../observe/recorder.ts';
import type { Store } from '../../state/store.ts';
import { Gateway } from '../gateway.ts';
import { openLinuxPlane } from '../plane.ts';
import { boardedLog, StatusBoard } from '../status.ts';
import { Elsewhere } from './elsewhere.ts';
import {
  type Answers,
  type Asked,
  type FromEngine,
  LANE,
  laneOf,
  type Messages,
  type Share,
  type ThreadError,
  type ToEngine,
} from './protocol.ts';

/** What happens is told together. */
const TOLD_MS = 50;
const LIFE_MS = 250;
/** Events and notices that are told at one time; a flood of them counts no more. */
const MOST_TOLD = 1_000;
/** Exchanges in one answer. */
const MOST_EXCHANGES = 1_000;
/** Inputs of which is kept how long they took. */
const MOST_TOOK = 10_000;
/** Whoever watches asks far more often. */
const WATCHED_MS = 1_000;

const share = workerData as Share;
const { index, count, config } = share;
const main = parentPort!;
const counters = new Int32Array(share.counters);

/** Gathers what the main thread has to know, which keeps the rows and writes the log. */
class Told {
  readonly #rows = new Map<string, Row>();
  #lines = '';
  #events: AlgEvent[] = [];
  #messages: Messages = { translated: 0, passed: 0, dropped: 0 };
  #notices: [string, string][] = [];
  #timer: NodeJS.Timeout | undefined;

  row(row: Row): void {
    this.#rows.set(`${row.table} ${row.key}`, row);
    this.#later();
  }

  line(text: string): void {
    this.#lines += text;
    this.#later();
  }

  event(event: AlgEvent): void {
    if (event.kind === 'message.translated') this.#messages.translated++;
    else if (event.kind === 'message.passed') this.#messages.passed++;
    else if (event.kind === 'message.dropped') this.#messages.dropped++;
    else if (this.#events.length < MOST_TOLD) this.#events.push(event);
    this.#later();
  }

  notice(code: string, text: string): void {
    if (this.#notices.length < MOST_TOLD) this.#notices.push([code, text]);
    this.#later();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Rows are text when they are kept: what is undefined in them would not be told apart from what is not there.
    const rows = [...this.#rows.values()];
    tell({
      kind: 'told',
      rows,
      lines: this.#lines,
      events: this.#events,
      messages: this.#messages,
      notices: this.#notices,
    });
    this.#rows.clear();
    this.#lines = '';
    this.#events = [];
    this.#messages = { translated: 0, passed: 0, dropped: 0 };
    this.#notices = [];
  }

  #later(): void {
    this.#timer ??= setTimeout(() => this.flush(), TOLD_MS);
  }
}

function tell(message: FromEngine): void {
  main.postMessage(message);
}

/** An equal part of a range that begins and ends as the whole does: with an even port, before an even one. */
function partOf({ low, high }: PortRange): PortRange {
  const ports = Math.floor((high - low + 1) / count / 2) * 2 || 1;
  return { low: low + index * ports, high: low + (index + 1) * ports - 1 };
}

function ownConfig(): GatewayConfig {
  const { messages, octets } = config.observe;
  return {
    ...config,
    signalling: { ...config.signalling, externalPorts: partOf(config.signalling.externalPorts) },
    media: { ports: partOf(config.media.ports) },
    observe: { messages: Math.ceil(messages / count), octets: Math.ceil(octets / count) },
  };
}

/** Of all engines together an id has to name one mapping. */
function globally(id: MappingId): MappingId {
  return id * count + index;
}

function withGlobalIds<Snapshot extends CallsSnapshot>(snapshot: Snapshot): Snapshot {
  return {
    ...snapshot,
    dialogs: snapshot.dialogs.map((one) => ({ ...one, media: one.media.map(globally) })),
    media: snapshot.media.map((one) => ({ ...one, id: globally(one.id) })),
  };
}

function threadError(error: unknown): ThreadError {
  if (error instanceof SystemError) {
    const { message, code, hint, errno } = error;
    return { text: message, code, hint, errno };
  }
  return { text: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

// Memory that the collector knows nothing of stays with the process, and threads come and go with the switch.
process.once('exit', free);

const told = new Told();
const own = ownConfig();
const recorder = new Recorder(own.observe);

function rowsOf(table: string): (readonly [key: string, value: unknown])[] {
  return share.rows.filter((row) => row.table === table).map(({ key, value }) => [key, value]);
}

const store: Store = {
  put: (table, key, value) => told.row({ table: table as Row['table'], key, value }),
  load: (table) => new Map(rowsOf(table)),
  rows: rowsOf,
  flush: () => told.flush(),
  close: () => {},
};

const written = createLog({
  json: share.json,
  level: config.log.level,
  reveal: config.log.reveal,
  write: (line) => told.line(line),
});
const log: Log = boardedLog(
  {
    ...written,
    notice(code, text, level) {
      told.notice(code, text);
      written.notice(code, text, level);
    },
    // The main thread says so when all engines are.
    ready: () => {},
  },
  new StatusBoard(''),
  { event: (event) => told.event(event) },
);

const elsewhere = new Elsewhere(index, share.counters, share.neighbours, {
  packet: (flow, bytes, externalAddress) =>
    gateway.take({
      kind: 'packet',
      flow,
      bytes,
      ...(externalAddress === undefined ? {} : { externalAddress }),
    }),
  send: (flow, bytes) => gateway.send(flow, bytes),
  full: (value) => log.event({ kind: 'limit.reached', limit: 'neighbour-queue', value }),
});

let lastExchange = 0;
/** Milliseconds for each input, while somebody asks for what is recorded. */
const took: number[] = [];
let watchedAtMs = Number.NEGATIVE_INFINITY;

function engineTook(ms: number): void {
  if (took.length < MOST_TOOK) took.push(ms);
}

let restore: () => void = () => {};
const mayRestore = new Promise<void>((resolve) => {
  restore = resolve;
});
let plane: Awaited<ReturnType<typeof openLinuxPlane>> | undefined;

const gateway: Gateway = new Gateway(own, {
  log,
  store,
  recorder,
  exports: {
    get metrics() {
      return performance.now() - watchedAtMs < WATCHED_MS ? { engineTook } : undefined;
    },
  },
  elsewhere,
  takenMedia: share.takenMedia,
  // What is restored needs the kernel's table, which is written when it is known where all engines listen.
  open: async (handler) => {
    plane = await openLinuxPlane(own, handler, true);
    tell({ kind: 'listening', listening: plane.plane.listening() });
    await mayRestore;
    return plane;
  },
});

const answers: { readonly [Ask in keyof Answers]: () => Answers[Ask] } = {
  status: () => {
    told.flush();
    const status = gateway.status();
    if (status === undefined) throw new Error('the engine does not run');
    const { snapshot, profiles, plane: now } = status;
    return {
      snapshot: withGlobalIds(snapshot),
      profiles,
      dropped: now.dropped,
      connections: now.connections,
    };
  },
  calls: () => {
    const calls = gateway.calls();
    if (calls === undefined) throw new Error('the engine does not run');
    const { snapshot, plane: now } = calls;
    told.flush();
    return { snapshot: withGlobalIds(snapshot), dropped: now.dropped, connections: now.connections };
  },
  traffic: () =>
    new Map([...(gateway.status()?.plane.traffic() ?? [])].map(([id, one]) => [globally(id), one])),
  exchanges: () => {
    watchedAtMs = performance.now();
    const found = recorder.next(lastExchange, MOST_EXCHANGES);
    lastExchange = found.at(-1)?.id ?? lastExchange;
    return {
      more: found.length === MOST_EXCHANGES,
      took: took.splice(0),
      exchanges: found.map(({ atMs, handledMs, flow, received, sent, events }) => ({
        atMs,
        handledMs,
        flow,
        received: received?.slice(),
        sent: sent.map((one) => ({ flow: one.flow, bytes: one.bytes.slice() })),
        events,
      })),
    };
  },
  restore: () => {
    plane?.plane.restoreElements();
    return true;
  },
};

share.questions.on('message', ({ number, question }: Asked) => {
  let answer: unknown;
  try {
    answer = answers[question.ask]();
  } catch {
    // Nothing is an answer too: the main thread says that this engine's part is missing.
  }
  share.questions.postMessage({ number, answer });
  const answered = laneOf(index, LANE.answered);
  Atomics.add(counters, answered, 1);
  Atomics.notify(counters, answered);
});

main.on('message', (message: ToEngine) => {
  switch (message.kind) {
    case 'restore':
      return restore();
    case 'all-restored':
      elsewhere.catchUp();
      return gateway.take({ kind: 'neighbours-restored' });
    case 'heard': {
      const { flow, bytes, externalAddress } = message;
      return gateway.take({
        kind: 'packet',
        flow,
        bytes,
        watched: true,
        ...(externalAddress === undefined ? {} : { externalAddress }),
      });
    }
    case 'closed':
      return gateway.take({ kind: 'closed', connection: message.connection });
    case 'stop':
      void gateway.stop().then(() => {
        elsewhere.close();
        told.flush();
        process.exit(0);
      });
  }
});

setInterval(() => Atomics.add(counters, laneOf(index, LANE.life), 1), LIFE_MS);

try {
  await gateway.start(undefined);
  told.flush();
  tell({ kind: 'ready' });
} catch (error) {
  tell({ kind: 'failed', error: threadError(error) });
}
