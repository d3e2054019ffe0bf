/**
 * What the gateway does, as metrics for Prometheus.
 *
 * Made only where somebody wants it: what counts messages follows the recorder, and what has a level is asked for when it is
 * read. Labels take a fixed few values, whatever comes from the network. What is counted for every message is a number in a table of
 * our own until somebody reads it: by the library's counters a message cost 3 µs.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { AlgEvent } from '../core/alg/event.ts';
import { type RuleId, rules } from '../core/alg/rules.ts';
import { methodOf } from './call-id.ts';
import type { KeptExchange } from './exchange-ring.ts';
import { Histogram } from './histogram.ts';
import type { Recorder } from './recorder.ts';

/** Levels at one moment, and counts that somebody else keeps. */
export interface Levels {
  readonly isOn: boolean;
  /** SIP goes through the gateway at this moment. */
  readonly isActive: boolean;
  readonly registrations: number;
  readonly calls: Readonly<Record<'early' | 'confirmed' | 'ending', number>>;
  /** Streams of answered calls. */
  readonly streams: Readonly<Record<'both-ways' | 'one-way' | 'silent' | 'unknown', number>>;
  /** Tables with their limits. */
  readonly tables: readonly { readonly table: string; readonly used: number; readonly limit: number }[];
  /** External ports that are given out, of how many. */
  readonly mediaPorts: { readonly used: number; readonly limit: number };
  /** Packets of streams since the start; monotonic. */
  readonly mediaPackets: { readonly fromPhone: number; readonly toPhone: number };
  /** Packets dropped before they cost anything, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Undefined where no kernel waits for one. */
  readonly heartbeats: number | undefined;
  readonly exported: { readonly sent: number; readonly dropped: number } | undefined;
}

export interface MetricsSource {
  readonly version: string;
  readonly recorder: Recorder;
  levels(): Levels;
}

/** RFC 3261, 3262, 3311, 3428, 3515, 3903, 6086, 6665. */
const METHODS = [
  ...['REGISTER', 'INVITE', 'ACK', 'BYE', 'CANCEL', 'OPTIONS', 'PRACK', 'UPDATE', 'INFO'],
  ...['MESSAGE', 'REFER', 'PUBLISH', 'SUBSCRIBE', 'NOTIFY', 'other', 'none'],
] as const;
const NONE = METHODS.length - 1;
const OTHER = NONE - 1;
const methodNumbers: ReadonlyMap<string, number> = new Map(METHODS.slice(0, OTHER).map((one, i) => [one, i]));
const DIRECTIONS = ['from-phone', 'from-provider'] as const;
/** From 10 µs, of which the engine takes a few, to a second, at which calls are felt to be slow. */
const SECONDS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 1,
];

const VERDICTS = ['translated', 'passed', 'dropped'] as const;
const verdictNumbers = { 'message.translated': 0, 'message.passed': 1, 'message.dropped': 2 } as const;

export class Metrics {
  readonly #registry = new Registry();
  readonly #source: MetricsSource;
  readonly #unsubscribe: () => void;
  /** By direction, method and verdict. */
  readonly #messages = new Float64Array(DIRECTIONS.length * METHODS.length * VERDICTS.length);
  readonly #edits = new Map<RuleId, number>(rules.map(({ id }) => [id, 0]));
  readonly #aborted: Counter;
  readonly #limits: Counter<'limit'>;
  readonly #registrations: Counter<'event'>;
  readonly #calls: Counter<'event'>;
  readonly #keepalives: Counter;
  readonly #added = new Histogram(
    'sipalg_added_latency_seconds',
    'From when a message was read to when it was sent on, with what it waited for ports to be opened.',
    SECONDS,
    { name: 'direction', values: DIRECTIONS },
  );
  readonly #engine = new Histogram('sipalg_engine_seconds', 'What the engine takes for one input.', SECONDS);

  constructor(source: MetricsSource) {
    this.#source = source;
    const registers = [this.#registry];
    this.#counted(registers);
    this.#aborted = new Counter({
      name: 'sipalg_rewrites_aborted_total',
      help: 'Messages that went out as they came because an edited one did not stand the second look, or by a bug.',
      registers,
    });
    this.#limits = new Counter({
      name: 'sipalg_limits_reached_total',
      help: 'How often a limit was reached.',
      labelNames: ['limit'],
      registers,
    });
    this.#registrations = new Counter({
      name: 'sipalg_registrations_total',
      help: 'Registrations by what happened to them.',
      labelNames: ['event'],
      registers,
    });
    for (const event of ['granted', 'unregistered', 'expired', 'rejected'])
      this.#registrations.inc({ event }, 0);
    this.#calls = new Counter({
      name: 'sipalg_calls_total',
      help: 'Calls by how far they have come.',
      labelNames: ['event'],
      registers,
    });
    for (const event of ['begun', 'answered', 'ended', 'stranded']) this.#calls.inc({ event }, 0);
    this.#keepalives = new Counter({
      name: 'sipalg_keepalives_sent_total',
      help: 'Keepalives of our own through a NAT upstream.',
      registers,
    });
    this.#levels(registers);
    this.#unsubscribe = source.recorder.glance((exchange) => this.#exchange(exchange));
  }

  /** The exposition format of Prometheus. */
  async text(): Promise<string> {
    return `${await this.#registry.metrics()}\n${this.#engine.text()}\n${this.#added.text()}`;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Of one input. */
  engineTook(ms: number): void {
    this.#engine.observe(ms / 1_000);
  }

  /** Everything that is told, of messages or not. */
  event(event: AlgEvent): void {
    switch (event.kind) {
      case 'message.translated':
        for (const { rule } of event.edits) this.#edits.set(rule, (this.#edits.get(rule) ?? 0) + 1);
        return;
      case 'limit.reached':
        return this.#limits.inc({ limit: event.limit });
      case 'engine.fault':
        return this.#aborted.inc();
      case 'registration.granted':
        return this.#registrations.inc({ event: 'granted' });
      case 'registration.removed':
        return this.#registrations.inc({ event: event.why });
      case 'dialog.opened':
        return this.#calls.inc({ event: 'begun' });
      case 'dialog.confirmed':
        return this.#calls.inc({ event: 'answered' });
      case 'dialog.ended':
        return this.#calls.inc({ event: 'ended' });
      case 'dialog.stranded':
        return this.#calls.inc({ event: 'stranded' });
      case 'keepalive.sent':
        return this.#keepalives.inc();
    }
  }

  close(): void {
    this.#unsubscribe();
    this.#registry.clear();
  }

  #exchange(exchange: KeptExchange): void {
    const { received, side, verdict } = exchange;
    if (received === undefined || side === undefined || verdict === undefined) return;
    const direction = side === 'internal' ? 0 : 1;
    const at = (direction * METHODS.length + methodNumber(received)) * VERDICTS.length;
    this.#messages[at + verdictNumbers[verdict]]!++;
    if (exchange.hasLeft)
      this.#added.observe(Math.max(0, exchange.handledMs - exchange.atMs) / 1_000, direction);
  }

  /** What is counted for every message, put into counters when it is read. */
  #counted(registers: Registry[]): void {
    const messages = this.#messages;
    const edits = this.#edits;
    new Counter({
      name: 'sipalg_messages_total',
      help: 'Messages by where they came from, method (of a response, the one it answers), and what became of them.',
      labelNames: ['direction', 'method', 'verdict'],
      registers,
      collect() {
        this.reset();
        let at = 0;
        for (const direction of DIRECTIONS)
          for (const method of METHODS)
            for (const verdict of VERDICTS) {
              const count = messages[at++]!;
              if (count > 0) this.inc({ direction, method, verdict }, count);
            }
      },
    });
    new Counter({
      name: 'sipalg_edits_total',
      help: 'Edits by the rule for which bytes of a message were changed.',
      labelNames: ['rule'],
      registers,
      collect() {
        this.reset();
        for (const [rule, count] of edits) this.inc({ rule }, count);
      },
    });
  }

  #levels(registers: Registry[]): void {
    const { recorder, version } = this.#source;
    let now: Levels;
    // The first that is read asks, and the others show the same moment.
    const gauge = (name: string, help: string, value: () => number): Gauge =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    const rows = <Label extends string>(
      name: string,
      help: string,
      label: Label,
      value: () => readonly (readonly [string, number])[],
    ): Gauge<Label> =>
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          this.reset();
          for (const [key, count] of value()) this.set({ [label]: key } as Record<Label, string>, count);
        },
      });
    // Counts that somebody else keeps; they begin anew when he does.
    const counts = <Label extends string>(
      name: string,
      help: string,
      label: Label,
      value: () => readonly (readonly [string, number])[],
    ): Counter<Label> =>
      new Counter({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          this.reset();
          for (const [key, count] of value()) this.inc({ [label]: key } as Record<Label, string>, count);
        },
      });
    gauge('sipalg_on', 'Whether the gateway is switched on.', () => {
      now = this.#source.levels();
      return Number(now.isOn);
    });
    gauge('sipalg_active', 'Whether SIP goes through the gateway at this moment; 0 is plain NAT.', () =>
      Number(now.isActive),
    );
    gauge('sipalg_registrations', 'Contact bindings that last.', () => now.registrations);
    rows('sipalg_calls', 'Calls by state.', 'state', () => Object.entries(now.calls));
    rows('sipalg_streams', 'Streams of answered calls by whether packets cross both ways.', 'state', () =>
      Object.entries(now.streams),
    );
    rows('sipalg_table_entries', 'Entries of a table.', 'table', () =>
      now.tables.map(({ table, used }) => [table, used]),
    );
    rows('sipalg_table_limit', 'The most that a table takes.', 'table', () =>
      now.tables.map(({ table, limit }) => [table, limit]),
    );
    gauge('sipalg_media_ports_used', 'External media ports that are given out.', () => now.mediaPorts.used);
    gauge('sipalg_media_ports_limit', 'External media ports that there are.', () => now.mediaPorts.limit);
    counts(
      'sipalg_media_packets_total',
      'RTP packets of streams, as far as they were counted when this was read; of a call that has ended since, the last ones are missing.',
      'direction',
      () => [
        ['from-phone', now.mediaPackets.fromPhone],
        ['to-phone', now.mediaPackets.toPhone],
      ],
    );
    counts(
      'sipalg_dropped_early_total',
      'Packets that were dropped before they cost anything.',
      'reason',
      () => Object.entries(now.dropped),
    );
    counts(
      'sipalg_heartbeats_total',
      'Signs of life to the kernel; without them it goes on with plain NAT.',
      'to',
      () => (now.heartbeats === undefined ? [] : [['kernel', now.heartbeats]]),
    );
    counts(
      'sipalg_exported_total',
      'Messages exported by HEP, and those that were lost to it.',
      'result',
      () =>
        now.exported === undefined
          ? []
          : [
              ['sent', now.exported.sent],
              ['dropped', now.exported.dropped],
            ],
    );
    gauge(
      'sipalg_remembered_messages',
      'Messages that are kept for ladders and captures.',
      () => recorder.size.messages,
    );
    gauge('sipalg_remembered_bytes', 'What they take.', () => recorder.size.octets);
    gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', () => process.memoryUsage.rss());
    gauge(
      'process_start_time_seconds',
      'Start time of the process since unix epoch in seconds.',
      () => performance.timeOrigin / 1_000,
    );
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'Total user and system CPU time spent in seconds.',
      registers,
      collect() {
        const { user, system } = process.cpuUsage();
        this.reset();
        this.inc((user + system) / 1e6);
      },
    });
    rows('sipalg_info', 'Which version runs.', 'version', () => [[version, 1]]);
  }
}

function methodNumber(bytes: Uint8Array): number {
  const method = methodOf(bytes);
  return method === undefined ? NONE : (methodNumbers.get(method) ?? OTHER);
}
