/**
 * The daemon: the engine between a data plane and a store, with a clock, a log and a switch.
 *
 * One loop, no concurrency: an input at a time, its outputs carried out in order. What the data plane answers while an
 * output is carried out waits its turn.
 */
import { randomInt } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { enginesOf, type GatewayConfig, type ProviderConfig } from '../config/gateway-config.ts';
import { chooser } from '../config/mode.ts';
import { prefixContains } from '../config/prefix.ts';
import type { Problem } from '../config/problem.ts';
import { Engine } from '../core/alg/engine.ts';
import type { DataPlane, Input, Output } from '../core/alg/io.ts';
import type { EngineOptions } from '../core/alg/policy.ts';
import type { Address } from '../core/net/address.ts';
import type { Flow } from '../core/net/flow.ts';
import { createLog, type Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { Recorder } from '../observe/recorder.ts';
import { openStore, type Store } from '../state/store.ts';
import { readSwitch, writeSwitch } from '../state/switch.ts';
import { Exports } from './exports.ts';
import { type GatewayHandler, type OpenPlane, openPlane } from './plane.ts';
import { readyText } from './ready-text.ts';
import { type Announcer, announcer } from './service.ts';
import { boardedLog, type RunningCalls, type RunningStatus, StatusBoard } from './status.ts';
import { openStatusSocket } from './status-socket.ts';
import { StoredRows } from './stored-rows.ts';
import type { Elsewhere } from './threads/elsewhere.ts';
import type { Beside, GatewayView } from './view.ts';

export interface RunOptions {
  readonly json: boolean;
  /** Of sipalg, for status. */
  readonly version: string;
  /** Reads the configuration again, for SIGHUP. */
  readonly reload?: () => { readonly config: GatewayConfig } | { readonly problems: readonly Problem[] };
  /** Opens the console. What keeps it from opening, it says itself: a gateway without console is a gateway still. */
  readonly console?: (view: GatewayView, notice: Log['notice']) => Promise<Beside>;
}

/** What runs while the switch is on. */
export interface Running {
  /** `console`: where people find it, for the ready line. Throws what keeps it from starting. */
  start(console: string | undefined): Promise<void>;
  stop(): Promise<void>;
  /** Undefined until it takes traffic. */
  status(): RunningStatus | undefined;
  /** Of the status, what is about calls. */
  calls(): RunningCalls | undefined;
}

/** Runs until SIGTERM or SIGINT. Returns the exit code. Throws what keeps it from starting. */
export async function runGateway(config: GatewayConfig, options: RunOptions): Promise<number> {
  const board = new StatusBoard(options.version);
  const recorder = new Recorder(config.observe);
  const exports: Exports = new Exports(
    {
      version: options.version,
      recorder,
      config: () => current,
      running: () => running?.status(),
    },
    (code, text, level) => log.notice(code, text, level),
  );
  const log = boardedLog(
    createLog({ json: options.json, level: config.log.level, reveal: config.log.reveal }),
    board,
    exports,
  );
  const store = openStore(config.stateDir, { notice: (code, text) => log.notice(code, text) });
  let current = config;
  let running: Running | undefined;
  let beside: Beside | undefined;
  const manager: Announcer = await announcer(log);
  const status = openStatusSocket(
    config.stateDir,
    () => board.answer(current, () => running?.status()),
    recorder,
    (text) => log.notice('gateway.no-status', text),
  );

  // Start, stop, reload and switch follow one another, however the signals come.
  let turn: Promise<void> = Promise.resolve();
  let failed: unknown;
  let finish: (code: number) => void = () => {};
  const finished = new Promise<number>((resolve) => {
    finish = resolve;
  });
  const inTurn = (step: () => Promise<void>): Promise<void> => {
    turn = turn.then(step).catch((error: unknown) => {
      failed = error;
      finish(3);
    });
    return turn;
  };
  const newRunning = async (): Promise<Running> => {
    const parts = { log, store, recorder, exports };
    if (enginesOf(current) === 1) return new Gateway(current, parts);
    const { EngineThreads } = await import('./threads/engine-threads.ts');
    return new EngineThreads(current, {
      ...parts,
      board,
      json: options.json,
      failed: (error) =>
        void inTurn(() => {
          throw error;
        }),
    });
  };
  const follow = async (): Promise<void> => {
    const on = readSwitch(current.stateDir) === 'on';
    if (on && running === undefined) {
      running = await newRunning();
      await running.start(beside?.address);
    } else if (!on && running !== undefined) {
      await running.stop();
      running = undefined;
    }
    board.switched();
    manager.ready(on ? 'SIP goes through the gateway' : 'switched off: plain NAT');
    if (!on)
      log.info('off', {
        text: 'switched off: plain NAT; `sipalg on` switches it on',
        ...(beside?.address === undefined ? {} : { console: beside.address }),
      });
  };
  const followSwitch = (): Promise<void> =>
    inTurn(async () => {
      if ((readSwitch(current.stateDir) === 'on') !== (running !== undefined)) await follow();
    });
  const reload = async (): Promise<readonly Problem[]> => {
    let problems: readonly Problem[] = [];
    await inTurn(async () => {
      const next = options.reload?.();
      if (next === undefined) return;
      if ('problems' in next) {
        problems = next.problems;
        for (const { code, what, remedy, line, file } of next.problems)
          log.notice(
            code,
            `${file}${line === undefined ? '' : `:${line}`}: ${what} — ${remedy}; the old configuration stays`,
            'error',
          );
        return;
      }
      if (next.config.stateDir !== current.stateDir)
        return log.notice(
          'config/state-dir-moved',
          'another state directory needs a restart; nothing was changed',
          'error',
        );
      manager.reloading();
      await running?.stop();
      running = undefined;
      current = next.config;
      recorder.limit(current.observe);
      await exports.follow();
      log.info('reloaded');
      await follow();
    });
    return problems;
  };
  beside = await options.console?.(
    {
      config: () => current,
      report: () => board.report(current, running?.status()),
      activity: () => board.activity(running?.calls()),
      recorder,
      metricsText: () => exports.metricsText(),
      async switchTo(position) {
        writeSwitch(current.stateDir, position);
        await followSwitch();
      },
      reload,
    },
    (code, text, level) => log.notice(code, text, level),
  );

  void inTurn(async () => {
    await exports.follow();
    await follow();
  });
  const watcher = watchSwitch(config.stateDir, log, () => void followSwitch());
  const onHangup = (): void => void reload();
  const onEnd = (): void =>
    void inTurn(async () => {
      manager.stopping();
      await running?.stop();
      running = undefined;
      finish(0);
    });
  process.on('SIGHUP', onHangup).on('SIGTERM', onEnd).on('SIGINT', onEnd);

  const code = await finished;
  watcher?.close();
  await beside?.close();
  status.close();
  exports.close();
  manager.close();
  process.off('SIGHUP', onHangup).off('SIGTERM', onEnd).off('SIGINT', onEnd);
  if (failed !== undefined) {
    await running?.stop().catch(() => {});
    store.close();
    throw failed;
  }
  store.close();
  log.info('stopped');
  return code;
}

/** Calls back when the switch may have changed; undefined where there is no directory to hold one. */
function watchSwitch(dir: string, log: Log, changed: () => void): FSWatcher | undefined {
  try {
    return watch(dir, (_event, name) => {
      if (name === 'switch') changed();
    });
  } catch (error) {
    log.notice('state.no-switch', `${(error as Error).message}: \`sipalg off\` takes a restart`);
    return undefined;
  }
}

const STARTED_AT = performance.timeOrigin;
/** A timeout cannot be set further ahead than this in one go. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Mappings of a former run: some milliseconds between which messages are handled; ten thousand take less than a second. */
const OPENED_AT_ONCE = 64;

export interface GatewayParts {
  readonly log: Log;
  readonly store: Store;
  readonly recorder: Recorder;
  readonly exports: { readonly metrics: Pick<Metrics, 'engineTook'> | undefined };
  /** Default: what the configuration asks for. */
  readonly open?: (handler: GatewayHandler) => Promise<OpenPlane>;
  /** One of several engines that share the phones: the others (threads/). */
  readonly elsewhere?: Elsewhere;
  readonly takenMedia?: EngineOptions['takenMedia'];
}

/** One engine, with its data plane. */
export class Gateway implements Running {
  readonly #config: GatewayConfig;
  readonly #log: Log;
  readonly #store: Store;
  readonly #recorder: Recorder;
  readonly #exports: GatewayParts['exports'];
  readonly #open: NonNullable<GatewayParts['open']>;
  readonly #elsewhere: Elsewhere | undefined;
  readonly #engine: Engine;
  readonly #inputs: Input[] = [];
  #plane: DataPlane | undefined;
  #opened: OpenPlane | undefined;
  #busy = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #opening: NodeJS.Immediate | undefined;

  constructor(config: GatewayConfig, parts: GatewayParts) {
    this.#config = config;
    this.#log = parts.log;
    this.#store = parts.store;
    this.#recorder = parts.recorder;
    this.#exports = parts.exports;
    this.#open = parts.open ?? ((handler) => openPlane(config, handler));
    this.#elsewhere = parts.elsewhere;
    const choose = chooser(config);
    this.#engine = new Engine({
      policy: config.policy,
      limits: config.limits,
      signallingPorts: config.signalling.externalPorts,
      mediaPorts: config.media.ports,
      media: config.mode === 'explicit' ? 'relay' : 'kernel',
      isProvider: (address) => isProvider(config.providers, address),
      isProxy: (address) => config.phones.some((one) => one.proxy && prefixContains(one.address, address)),
      own: config.listen,
      upstreamNat: config.upstreamNat,
      hashKey: [randomInt(2 ** 32), randomInt(2 ** 32)],
      ...(choose === undefined ? {} : { choose }),
      ...(parts.elsewhere === undefined ? {} : { neighbours: parts.elsewhere }),
      ...(parts.takenMedia === undefined ? {} : { takenMedia: parts.takenMedia }),
    });
  }

  async start(console: string | undefined): Promise<void> {
    const handler: GatewayHandler = {
      packet: (flow, bytes, externalAddress, innerAddress, watched, otherAddresses) => {
        if (this.#elsewhere !== undefined && this.#isOfNeighbour(this.#elsewhere, flow, bytes)) return;
        this.#feed(
          // Nearly all have nothing more to say, and spreading costs what the rest of this file does.
          otherAddresses === undefined && innerAddress === undefined && watched !== true
            ? externalAddress === undefined
              ? { kind: 'packet', flow, bytes }
              : { kind: 'packet', flow, bytes, externalAddress }
            : {
                kind: 'packet',
                flow,
                bytes,
                ...(externalAddress === undefined ? {} : { externalAddress }),
                ...(otherAddresses === undefined ? {} : { otherAddresses }),
                ...(innerAddress === undefined ? {} : { innerAddress }),
                ...(watched === true ? { watched } : {}),
              },
        );
      },
      opened: (id) => {
        this.#elsewhere?.opened(id);
        this.#feed({ kind: 'opened', id });
      },
      failed: (id, reason) => {
        this.#elsewhere?.failed(id);
        this.#feed({ kind: 'failed', id, reason });
      },
      mediaFlow: (id, flow) => this.#feed({ kind: 'media', id, flow }),
      externalAddresses: (addresses) => this.#feed({ kind: 'external-address-changed', addresses }),
      closed: (connection) => this.#feed({ kind: 'closed', connection }),
      admits: (local, remote) => this.#engine.admits('tcp', local, remote),
      limit: (limit, value, phone) =>
        this.#log.event({ kind: 'limit.reached', limit, value, ...(phone === undefined ? {} : { phone }) }),
      notice: (code, text) => this.#log.notice(code, text),
    };
    this.#opened = await this.#open(handler);
    const { plane, facts } = this.#opened;
    this.#plane = plane;
    const rows = new StoredRows(this.#store);
    this.#together(this.#engine.restore(wallClock(), rows, true));
    this.#openRestored();
    this.#log.ready(
      {
        mode: this.#config.mode,
        restored: rows.count,
        ...facts,
        ...(console === undefined ? {} : { console }),
      },
      `${readyText(this.#config, rows.count)}${console === undefined ? '' : `; console: ${console}`}`,
    );
  }

  /** What a former run had open, a few at a time, so that nobody's message waits for ten thousand sockets. */
  #openRestored(): void {
    this.#opening = undefined;
    this.#together(this.#engine.openRestored(wallClock(), OPENED_AT_ONCE));
    if (this.#engine.unopened > 0) this.#opening = setImmediate(() => this.#openRestored());
  }

  #together(outputs: readonly Output[]): void {
    this.#busy = true;
    const carryOut = (): void => this.#carryOut(outputs);
    if (this.#plane?.together === undefined) carryOut();
    else this.#plane.together(carryOut);
    this.#busy = false;
    this.#drain();
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#opening);
    await this.#plane?.stop();
    for (const output of this.#engine.settle())
      if (output.kind === 'record') this.#store.put(output.table, output.key, output.value);
    this.#recorder.abandon();
    this.#store.flush();
  }

  status(): RunningStatus | undefined {
    const plane = this.#opened?.status();
    return plane === undefined
      ? undefined
      : { snapshot: this.#engine.snapshot(), profiles: this.#engine.profiles(), plane };
  }

  calls(): RunningCalls | undefined {
    const plane = this.#opened?.status();
    return plane === undefined ? undefined : { snapshot: this.#engine.calls(), plane };
  }

  /** Something that this engine is to handle, from elsewhere than its data plane. */
  take(input: Input): void {
    this.#feed(input);
  }

  /** Sends as the engine would. */
  send(flow: Flow, bytes: Uint8Array): void {
    if (!this.#stopped) this.#plane?.send(flow, bytes);
  }

  /** What a phone of another engine's has sent straight to an endpoint here, which knows neither it nor a reason to let it in. */
  #isOfNeighbour(elsewhere: Elsewhere, flow: Flow, bytes: Uint8Array): boolean {
    elsewhere.catchUp();
    if (flow.side === 'internal' || this.#engine.admits(flow.transport, flow.local, flow.remote))
      return false;
    return elsewhere.takesDirect(flow, bytes);
  }

  #feed(input: Input): void {
    if (this.#stopped) return;
    if (this.#busy) {
      this.#inputs.push(input);
      return;
    }
    this.#busy = true;
    this.#handle(input);
    this.#drain();
  }

  /** What came while something was carried out. */
  #drain(): void {
    this.#busy = true;
    for (let i = 0; i < this.#inputs.length; i++) this.#handle(this.#inputs[i]!);
    this.#inputs.length = 0;
    this.#busy = false;
    this.#armTimer();
  }

  #handle(input: Input): void {
    const now = wallClock();
    try {
      const outputs = this.#engine.handle(now, input);
      this.#exports.metrics?.engineTook(wallClock() - now);
      this.#carryOut(outputs);
      // Whoever looks on, looks at what has left already.
      this.#recorder.take(now, input, outputs, wallClock());
    } catch (error) {
      // Whatever it was, the next input is another phone's.
      this.#log.notice('gateway.fault', (error as Error).stack ?? String(error), 'error');
    }
  }

  #carryOut(outputs: readonly Output[]): void {
    const plane = this.#plane;
    if (plane === undefined) return;
    for (const output of outputs) {
      switch (output.kind) {
        case 'send':
          if (this.#elsewhere?.takes(output.flow, output.bytes) !== true)
            plane.send(output.flow, output.bytes);
          break;
        case 'signalling':
          this.#elsewhere?.command('signalling', output.command);
          plane.signalling(output.command);
          break;
        case 'media':
          this.#elsewhere?.command('media', output.command);
          plane.media(output.command);
          break;
        case 'record':
          this.#store.put(output.table, output.key, output.value);
          break;
        case 'event':
          this.#log.event(output.event);
          break;
      }
    }
  }

  #armTimer(): void {
    const at = this.#engine.nextTimeoutMs ?? Number.POSITIVE_INFINITY;
    // One that comes too early finds nothing due, and is cheaper than one set anew with every message.
    if (this.#timer !== undefined && at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY || this.#stopped) return;
    const delay = Math.min(Math.max(at - wallClock(), 0), MAX_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#feed({ kind: 'timeout' });
    }, Math.ceil(delay));
  }
}

/** Wall-clock time that never jumps while the process lives: a router without a battery sets its clock after the start. */
function wallClock(): number {
  return STARTED_AT + performance.now();
}

function isProvider(providers: readonly ProviderConfig[], address: Address): boolean {
  return providers.some((one) => one.addresses.some((prefix) => prefixContains(prefix, address)));
}
