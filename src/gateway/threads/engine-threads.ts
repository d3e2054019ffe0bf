/**
 * Several engines in threads of their own, each with sockets of its own and a share of the phones (linux/phone-share.ts). Here, on the
 * main thread, is what there is one of: interception and its heartbeat, the state file, the log, and whoever asks.
 *
 * - The heartbeat stands for all engines: while one of them does not turn, there is none, and all phones have ordinary NAT.
 * - An engine that fails ends the gateway, as one alone does: the rules go, and what is started again takes up what was kept.
 * - Whoever asks gets the answers of all, put together; the main thread waits for them (a question takes a turn of each loop).
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { GatewayConfig } from '../../config/gateway-config.ts';
import type { MappingId } from '../../core/alg/io.ts';
import { type Row, readRows } from '../../core/alg/rows.ts';
import type { CallsSnapshot } from '../../core/alg/snapshot.ts';
import { type Address, parseAddress } from '../../core/net/address.ts';
import type { ConnectionId, Flow } from '../../core/net/flow.ts';
import { shareOf } from '../../linux/phone-share.ts';
import type { ListenPorts } from '../../linux/ruleset.ts';
import { SharedInterception } from '../../linux/shared-interception.ts';
import { SystemError, type SystemErrorCode } from '../../linux/system-error.ts';
import { type Log, writeStandardOutput } from '../../observe/log.ts';
import type { RecordedExchange, Recorder } from '../../observe/recorder.ts';
import type { Store } from '../../state/store.ts';
import type { Exports } from '../exports.ts';
import type { Running } from '../gateway.ts';
import { droppedEarly, linuxPlaneOptions, type MediaTraffic, type PlaneStatus } from '../plane.ts';
import { readyText } from '../ready-text.ts';
import type { RunningCalls, RunningStatus, StatusBoard } from '../status.ts';
import {
  type Answered,
  type Answers,
  type EngineCalls,
  type FromEngine,
  LANE,
  laneOf,
  type Question,
  type Share,
  type ThreadError,
  type ToEngine,
} from './protocol.ts';

/** Longer than a turn of a busy loop; of an engine that has not answered the last time, not much is expected. */
const ANSWER_MS = 1_000;
const LATE_ANSWER_MS = 20;
const STOP_MS = 5_000;
/** Heartbeats, one a second, in which an engine has not turned: then there is none, and at last it is given up. */
const SILENT_BEATS = 3;
const STUCK_BEATS = 10;
const TABLES = ['port', 'mapping', 'dialog', 'profile'] as const;

export interface EngineThreadsParts {
  readonly log: Log;
  readonly store: Store;
  readonly recorder: Recorder;
  readonly exports: Exports;
  readonly board: StatusBoard;
  /** Of the log. */
  readonly json: boolean;
  /** An engine has failed: the gateway has to end. */
  failed(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly questions: MessagePort;
  listening: ListenPorts | undefined;
  isReady: boolean;
  isStopped: boolean;
  /** As last seen, and for how many heartbeats it has been the same. */
  life: number;
  silentBeats: number;
  /** It owes an answer, and that is known. */
  isLate: boolean;
}

export class EngineThreads implements Running {
  readonly #config: GatewayConfig;
  readonly #parts: EngineThreadsParts;
  readonly #interception: SharedInterception;
  readonly #counters: Int32Array<SharedArrayBuffer>;
  readonly #threads: Thread[] = [];
  #asked = 0;
  #hasBegun = false;
  #isStopping = false;
  #failure: Error | undefined;
  /** Whoever waits for something that a thread will say. */
  #changed: () => void = () => {};

  constructor(config: GatewayConfig, parts: EngineThreadsParts) {
    this.#config = config;
    this.#parts = parts;
    const count = config.linux.engineThreads;
    this.#counters = new Int32Array(new SharedArrayBuffer(count * LANE.count * Int32Array.BYTES_PER_ELEMENT));
    const { log } = parts;
    this.#interception = new SharedInterception(linuxPlaneOptions(config), {
      packet: (flow, bytes, externalAddress) => this.#heard(flow, bytes, externalAddress),
      closed: (connection) => this.#closed(connection),
      opened: () => {},
      failed: () => {},
      admits: () => false,
      limit: (limit, value, phone) =>
        log.event({ kind: 'limit.reached', limit, value, ...(phone === undefined ? {} : { phone }) }),
      notice: (code, text) => log.notice(code, text),
      restore: () => {
        if (this.#hasBegun) this.#ask({ ask: 'restore' });
      },
      obstacle: () => this.#obstacle(),
    });
  }

  async start(console: string | undefined): Promise<void> {
    const rows = TABLES.flatMap((table) =>
      [...this.#parts.store.load(table)].map(([key, value]): Row => ({ table, key, value })),
    );
    this.#startThreads(rows);
    await this.#until(() => this.#threads.every((one) => one.listening !== undefined));
    this.#interception.start(this.#threads.flatMap((one) => one.listening ?? []));
    this.#tellAll({ kind: 'restore' });
    await this.#until(() => this.#threads.every((one) => one.isReady));
    this.#tellAll({ kind: 'all-restored' });
    this.#hasBegun = true;
    this.#interception.begin();
    this.#parts.recorder.fetchWith(() => this.#fetch());
    const { internal, external, signalling, mode } = this.#config;
    this.#parts.log.ready(
      {
        mode,
        restored: rows.length,
        internal,
        external,
        ports: signalling.ports,
        ipv6: this.#interception.ipv6(),
        engines: this.#threads.length,
        ...(console === undefined ? {} : { console }),
      },
      `${readyText(this.#config, rows.length)}; ${this.#threads.length} engines${console === undefined ? '' : `; console: ${console}`}`,
    );
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    // Rules first: a packet that comes now finds the router's ordinary NAT.
    this.#interception.stop();
    // What was recorded until now can still be looked at.
    if (this.#hasBegun) this.#fetch();
    this.#parts.recorder.fetchWith(undefined);
    this.#tellAll({ kind: 'stop' });
    let isOver = false;
    const deadline = setTimeout(() => {
      isOver = true;
      this.#changed();
    }, STOP_MS);
    while (!isOver && !this.#threads.every((one) => one.isStopped))
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    clearTimeout(deadline);
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
    for (const { questions } of this.#threads) questions.close();
    this.#parts.store.flush();
  }

  status(): RunningStatus | undefined {
    if (!this.#hasBegun || this.#isStopping) return undefined;
    const engines = this.#ask({ ask: 'status' });
    const snapshots = engines.map(({ snapshot }) => snapshot);
    return {
      snapshot: {
        ...callsOf(snapshots),
        mappings: snapshots.flatMap((one) => one.mappings),
        transactions: snapshots.reduce((sum, one) => sum + one.transactions, 0),
      },
      profiles: engines.flatMap((one) => one.profiles),
      plane: this.#plane(engines),
    };
  }

  calls(): RunningCalls | undefined {
    if (!this.#hasBegun || this.#isStopping) return undefined;
    const engines = this.#ask({ ask: 'calls' });
    return { snapshot: callsOf(engines.map(({ snapshot }) => snapshot)), plane: this.#plane(engines) };
  }

  #plane(engines: readonly EngineCalls[]): PlaneStatus {
    const shed = engines.reduce((sum, { dropped }) => sum + (dropped.overload ?? 0), 0);
    return {
      resting: this.#interception.resting(),
      traffic: () =>
        new Map(this.#ask({ ask: 'traffic' }).flatMap((one): [MappingId, MediaTraffic][] => [...one])),
      dropped: droppedEarly(shed, this.#interception.dropped),
      connections: engines.reduce((sum, one) => sum + one.connections, 0),
      heartbeats: this.#interception.heartbeats,
    };
  }

  #startThreads(rows: readonly Row[]): void {
    const count = this.#config.linux.engineThreads;
    const shares = Array.from({ length: count }, (): Row[] => []);
    for (const row of rows) shares[shareOfRow(row, count)]!.push(row);
    const dialogs = readRows(rows, Date.now()).dialogs.map(({ row }) => row);
    const neighbours = Array.from({ length: count }, () => new Array<MessagePort | undefined>(count));
    for (let a = 0; a < count; a++)
      for (let b = a + 1; b < count; b++) {
        const { port1, port2 } = new MessageChannel();
        neighbours[a]![b] = port1;
        neighbours[b]![a] = port2;
      }
    for (let index = 0; index < count; index++) {
      const { port1: questions, port2 } = new MessageChannel();
      const share: Share = {
        config: this.#config,
        json: this.#parts.json,
        index,
        count,
        rows: shares[index]!,
        takenMedia: dialogs
          .filter(({ phone }) => shareOf(phone, count) !== index)
          .flatMap(({ media }) => media.map(({ external, ports }) => ({ external, ports }))),
        counters: this.#counters.buffer,
        questions: port2,
        neighbours: neighbours[index]!,
      };
      const transferList = [port2, ...neighbours[index]!.filter((port) => port !== undefined)];
      // In a bundle all parts lie beside each other.
      const file = import.meta.url.endsWith('.ts') ? './engine-thread.ts' : './engine-thread.js';
      const worker = new Worker(new URL(file, import.meta.url), {
        name: `engine ${index}`,
        workerData: share,
        transferList,
      });
      const thread: Thread = {
        worker,
        questions,
        listening: undefined,
        isReady: false,
        isStopped: false,
        life: 0,
        silentBeats: 0,
        isLate: false,
      };
      this.#threads.push(thread);
      worker.on('message', (message: FromEngine) => this.#take(thread, message));
      worker.on('error', (error) =>
        this.#fail(index, error instanceof Error ? error : new Error(String(error))),
      );
      worker.on('exit', (code) => {
        thread.isStopped = true;
        if (!this.#isStopping) this.#fail(index, new Error(`it has ended with ${code}`));
        this.#changed();
      });
    }
  }

  #take(thread: Thread, message: FromEngine): void {
    const { store, board, exports } = this.#parts;
    switch (message.kind) {
      case 'listening':
        thread.listening = message.listening;
        break;
      case 'ready':
        thread.isReady = true;
        break;
      case 'failed':
        this.#failure ??= errorOf(message.error);
        break;
      case 'told':
        for (const { table, key, value } of message.rows) store.put(table, key, value);
        if (message.lines !== '') writeStandardOutput(message.lines);
        board.count(message.messages);
        for (const [code, text] of message.notices) board.notice(code, text);
        for (const event of message.events) {
          board.event(event);
          exports.event(event);
        }
        return;
    }
    this.#changed();
  }

  #fail(index: number, error: Error): void {
    if (this.#isStopping || this.#failure !== undefined) return;
    this.#failure = error;
    this.#parts.log.notice(
      'gateway.engine-failed',
      `engine ${index}: ${error.stack ?? error.message}`,
      'error',
    );
    if (this.#hasBegun) this.#parts.failed(error);
    this.#changed();
  }

  /** Until all engines have said something. Throws what one of them has failed with. */
  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.#failure !== undefined) {
        const failure = this.#failure;
        await this.stop();
        throw failure;
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** Asked with every heartbeat. */
  #obstacle(): string | undefined {
    if (!this.#hasBegun) return 'the engines take up what they had';
    let obstacle: string | undefined;
    for (const [index, thread] of this.#threads.entries()) {
      const life = Atomics.load(this.#counters, laneOf(index, LANE.life));
      thread.silentBeats = life === thread.life ? thread.silentBeats + 1 : 0;
      thread.life = life;
      if (thread.silentBeats < SILENT_BEATS) continue;
      obstacle = `engine ${index} does not answer`;
      if (thread.silentBeats >= STUCK_BEATS)
        this.#fail(index, new Error(`it stands still for ${STUCK_BEATS} s`));
    }
    return obstacle;
  }

  /** The answers of those that answer; of one that does not, a notice says that its part is missing. */
  #ask<const Asked extends Question>(question: Asked): Answers[Asked['ask']][] {
    const number = ++this.#asked;
    for (const { questions } of this.#threads) questions.postMessage({ number, question });
    const askedMs = performance.now();
    return this.#threads.flatMap((thread, index) => {
      const waitMs = thread.isLate ? LATE_ANSWER_MS : ANSWER_MS;
      const answer = this.#answer(thread, index, number, askedMs + waitMs);
      if (answer === undefined && !thread.isLate)
        this.#parts.log.notice(
          'gateway.engine-late',
          `engine ${index} has not answered (${question.ask}): what is shown is without its phones`,
        );
      thread.isLate = answer === undefined;
      return answer === undefined ? [] : [answer as Answers[Asked['ask']]];
    });
  }

  #answer({ questions }: Thread, index: number, number: number, deadline: number): unknown {
    const answered = laneOf(index, LANE.answered);
    for (;;) {
      const seen = Atomics.load(this.#counters, answered);
      for (
        let one = receiveMessageOnPort(questions);
        one !== undefined;
        one = receiveMessageOnPort(questions)
      ) {
        const message = one.message as Answered;
        // One that comes too late is for a question that nobody waits for any more.
        if (message.number === number) return message.answer;
      }
      const left = deadline - performance.now();
      if (left <= 0 || Atomics.wait(this.#counters, answered, seen, left) === 'timed-out') return undefined;
    }
  }

  /** All that the engines have recorded since the last time, put into one order. */
  #fetch(): void {
    const { recorder, exports } = this.#parts;
    const found: RecordedExchange[] = [];
    for (let more = true; more && found.length <= this.#config.observe.messages; ) {
      const answers = this.#ask({ ask: 'exchanges' });
      more = answers.some((one) => one.more);
      for (const { exchanges, took } of answers) {
        for (const one of exchanges) found.push(one);
        for (const ms of took) exports.metrics?.engineTook(ms);
      }
    }
    found.sort((a, b) => a.handledMs - b.handledMs);
    for (const { events } of found)
      for (const event of events) if (event.kind === 'message.translated') exports.event(event);
    recorder.add(found);
  }

  #heard(flow: Flow, bytes: Uint8Array, externalAddress: Address | undefined): void {
    const phone = flow.side === 'internal' ? flow.remote : flow.local;
    const thread = this.#threads[shareOf(phone.address, this.#threads.length)]!;
    tell(thread, { kind: 'heard', flow, bytes: bytes.slice(), externalAddress });
  }

  /** Connections of routed phones have numbers that no engine gives (stream/followed.ts). */
  #closed(connection: ConnectionId): void {
    this.#tellAll({ kind: 'closed', connection });
  }

  #tellAll(message: ToEngine): void {
    for (const thread of this.#threads) tell(thread, message);
  }
}

function tell({ worker }: Thread, message: ToEngine): void {
  worker.postMessage(message);
}

/** Whose row it is. What does not say, an engine has to say that it does not understand it. */
function shareOfRow({ table, key, value }: Row, count: number): number {
  const row = (typeof value === 'object' ? value : {}) as {
    readonly phone?: unknown;
    readonly internal?: { readonly address?: unknown } | null;
  } | null;
  const named =
    table === 'port' ? key.split(' ')[1] : table === 'mapping' ? row?.internal?.address : row?.phone;
  const address = typeof named === 'string' ? parseAddress(named) : undefined;
  return address === undefined ? 0 : shareOf(address, count);
}

function callsOf(snapshots: readonly CallsSnapshot[]): CallsSnapshot {
  return {
    dialogs: snapshots.flatMap((one) => one.dialogs),
    media: snapshots.flatMap((one) => one.media),
  };
}

function errorOf({ text, code, hint, errno }: ThreadError): Error {
  return code === undefined
    ? new Error(text)
    : new SystemError(code as SystemErrorCode, text, hint ?? '', errno);
}
