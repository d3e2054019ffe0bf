/** The results as a table for people. */

import type { CallStep, MessageRound } from './against.ts';
import { KINDS } from './bare.ts';
import { type CoresRow, scales } from './cores.ts';
import type { FullLoadResult } from './full-load.ts';
import { median } from './machine.ts';
import { kernelRows, type MediaResults, overloadRows, relayRows } from './media-tables.ts';
import type { MemoryRow } from './memory.ts';
import type { PeerName } from './peers.ts';
import type { PhonesResult } from './phones.ts';
import type { CapacityResult, FixedResult, GrowthRow, Variant } from './signalling.ts';
import { JUDGED_MINUTES, type SoakResult } from './soak.ts';

export interface Results {
  readonly facts: Readonly<Record<string, string | number>>;
  readonly rounds: number;
  readonly messages: MessageRound[];
  readonly calls: CallStep[];
  /** Empty, or one. */
  readonly phones: PhonesResult[];
  /** Why a peer was not measured. */
  readonly missing: Partial<Record<PeerName, string>>;
  readonly fixed: Partial<Record<Variant, { register: FixedResult; call: FixedResult }[]>>;
  readonly capacity: Partial<Record<Variant, CapacityResult>>;
  readonly growth: GrowthRow[];
  readonly media: MediaResults;
  readonly memory: MemoryRow[];
  /** Absent in what an older run has written. */
  readonly cores?: CoresRow[];
  /** Empty, or one. */
  /** Empty, or one. */
  readonly load: FullLoadResult[];
  readonly soak: SoakResult[];
}

export function render(results: Results): string {
  return [
    ...Object.entries(results.facts).map(([name, value]) => `${name.padEnd(18)} ${value}`),
    ...comparisonTables(results),
    ...fixedTable(results),
    ...capacityTable(results),
    ...growthTable(results),
    ...mediaTable(results),
    ...memoryTable(results),
    ...coresTable(results),
    ...results.load.flatMap(loadLines),
    ...results.soak.flatMap(soakTable),
    '',
  ].join('\n');
}

/** In short; the page has all of it. */
function comparisonTables({ messages, calls }: Results): string[] {
  const groups = new Map<string, MessageRound[]>();
  for (const one of messages) {
    const key = `${one.kind} ${one.rate}/s ${one.peer}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const each = (all: readonly MessageRound[], pick: (one: MessageRound) => number): number =>
    median(all.map(pick));
  return [
    ...(messages.length === 0
      ? []
      : titled('Bare messages: medians', [
          ['', 'process µs/msg', 'machine µs/msg', 'p50 ms', 'p99 ms', 'unanswered'],
          ...[...groups].map(([key, all]) => [
            key,
            number(
              each(all, (one) => one.processUs),
              1,
            ),
            number(
              each(all, (one) => one.machineUs),
              1,
            ),
            number(
              each(all, (one) => one.load.p50Ms),
              2,
            ),
            number(
              each(all, (one) => one.load.p99Ms),
              2,
            ),
            number(all.reduce((sum, one) => sum + one.load.requests - one.load.answered, 0)),
          ]),
        ])),
    ...(calls.length === 0
      ? []
      : titled('Complete calls', [
          ['', 'reached', 'failed', 'sent again', 'process µs/msg', 'resident MB'],
          ...calls.map((one) => [
            `${one.peer} ${one.rate}/s`,
            number(one.achieved),
            number(one.load.failed),
            number(one.load.retransmissions),
            number(one.processUs),
            number(one.residentMb),
          ]),
        ])),
  ];
}

function fixedTable({ fixed, rounds }: Results): string[] {
  const lines: string[] = [];
  for (const kind of ['register', 'call'] as const) {
    const rows = Object.entries(fixed).map(([variant, all]) => {
      const each = (pick: (result: FixedResult) => number): number =>
        median(all.map((round) => pick(round[kind])));
      const sum = (pick: (result: FixedResult) => number): number =>
        all.reduce((total, round) => total + pick(round[kind]), 0);
      return [
        variant,
        String(sum((r) => r.load.calls)),
        String(sum((r) => r.load.failed)),
        String(sum((r) => r.load.retransmissions)),
        number(each((r) => r.gatewayUsPerMessage ?? Number.NaN)),
        number(each((r) => r.kernelUsPerMessage)),
        number(each((r) => r.peersUsPerMessage)),
        ...(kind === 'call'
          ? [
              number(
                each((r) => r.stay?.p50Us ?? Number.NaN),
                1,
              ),
              number(
                each((r) => r.stay?.p99Us ?? Number.NaN),
                1,
              ),
              number(
                each((r) => r.stay?.maxUs ?? Number.NaN),
                1,
              ),
            ]
          : []),
      ];
    });
    if (rows.length === 0) continue;
    const head = ['', kind === 'call' ? 'calls' : 'registrations', 'failed', 'sent again'];
    const cost = ['gateway µs/msg', 'kernel µs/msg', 'peers µs/msg'];
    const stay = kind === 'call' ? ['in router p50 µs', 'p99', 'max'] : [];
    lines.push(
      ...titled(
        kind === 'call'
          ? `Calls, 50/s, 6 messages each: medians of ${rounds} rounds`
          : `Registrations, 200/s, 2 messages each: medians of ${rounds} rounds`,
        [[...head, ...cost, ...stay], ...rows],
      ),
    );
  }
  return lines;
}

function coresTable({ cores = [], rounds }: Results): string[] {
  if (cores.length === 0) return [];
  const rows = [...new Set(cores.map(({ kind, engines }) => `${kind} ${engines}`))].map((key) => {
    const all = cores.filter(({ kind, engines }) => `${kind} ${engines}` === key);
    const each = (pick: (row: CoresRow) => number): number => median(all.map(pick));
    return [
      `${key} engine${key.endsWith(' 1') ? '' : 's'}`,
      number(each((row) => row.threadUs)),
      number(each((row) => row.processUs)),
      number(each((row) => row.residentMb)),
      String(all.reduce((sum, row) => sum + row.unanswered, 0)),
    ];
  });
  return [
    ...titled(`Several engines, the same load for each: medians of ${rounds} rounds`, [
      ['', 'busiest thread µs/msg of its own', 'process µs/msg', 'resident MB', 'unanswered'],
      ...rows,
    ]),
    ...titled('So they carry as much as one engine, times', [
      ['', 'by thread', 'by process'],
      ...scales(cores, median).map(({ kind, engines, byThread, byProcess }) => [
        `${kind} ${engines} engines`,
        number(byThread, 2),
        number(byProcess, 2),
      ]),
    ]),
  ];
}

function capacityTable({ capacity }: Results): string[] {
  const rows = Object.entries(capacity).map(([variant, { carried, carriedAtOnce, steps }]) => {
    const last = steps.at(-1);
    const why =
      last === undefined
        ? ''
        : last.failed > 0
          ? `at ${last.rate}/s ${last.failed} failed`
          : last.achieved < last.rate * 0.9
            ? `at ${last.rate}/s only ${number(last.achieved)}/s were done`
            : 'the last rate that was tried';
    return [variant, number(carried), number(carriedAtOnce), why];
  });
  if (rows.length === 0) return [];
  return titled('Calls a second that were all carried, 4 s each, rates rising', [
    ['', 'carried', 'with nothing sent again', 'where it ends'],
    ...rows,
  ]);
}

function growthTable({ growth }: Results): string[] {
  if (growth.length === 0) return [];
  return titled('CPU of the gateway beside other things (log level warn)', [
    ['beside', 'call µs/msg', 'register µs/msg', 'failed', 'sent again'],
    ...growth.map((row) => [
      row.beside,
      number(row.callUsPerMessage),
      number(row.registerUsPerMessage),
      String(row.failed),
      String(row.retransmissions),
    ]),
  ]);
}

function mediaTable({ media }: Results): string[] {
  return [
    ...(media.kernel.length === 0
      ? []
      : titled(
          'RTP through the kernel, one sender as fast as it goes; delay at 50 packets/s of each stream, both ways',
          kernelRows(media.kernel),
        )),
    ...media.relay.flatMap((one) => [
      ...titled('RTP through user space, 50 packets/s of each stream, both ways', relayRows(one)),
      ...(Object.keys(one.overload).length === 0
        ? []
        : titled('RTP through user space: two senders as fast as they go, one way', overloadRows(one))),
    ]),
  ];
}

function memoryTable({ memory }: Results): string[] {
  if (memory.length === 0) return [];
  return titled('Memory of the gateway', [
    ['', 'resident MB', 'peak MB', 'failed'],
    ...memory.map((row) => [row.when, number(row.residentMb, 1), number(row.peakMb, 1), String(row.failed)]),
  ]);
}

function loadLines(load: FullLoadResult): string[] {
  const { minutes, requests, unanswered, dropped, processUs, firstMb, lastMb } = load;
  return [
    '',
    `Full load for ${minutes} minutes: ${requests} requests, ${unanswered} unanswered, ${dropped} dropped by limits`,
    ...KINDS.map((kind) => `  ${kind.padEnd(10)} ${processUs[kind].toFixed(1)} µs a message`),
    `  resident   ${firstMb.toFixed(0)} MB when all kinds had been there, ${lastMb.toFixed(0)} MB at the end`,
    unanswered > dropped ? 'NOT HELD: messages were lost that no limit has dropped' : 'held',
  ];
}

function soakTable(soak: SoakResult): string[] {
  const { minutes, phones, calls, failed, retransmissions, reasons, disturbances, rows, kept, grownMb } =
    soak;
  const why = Object.entries(reasons).map(([name, count]) => `${name} ${count}`);
  return [
    ...titled(
      `Soak: ${minutes} min, ${phones} phones, ${calls} calls, ${failed} lost${why.length === 0 ? '' : ` (${why.join(', ')})`}, ${retransmissions} messages sent again`,
      [
        ['minute', 'resident MB', 'gateway CPU s', 'phones', 'calls', 'dropped'],
        ...rows.map((row) => [
          number(row.minute, 1),
          number(row.residentMb, 1),
          number(row.cpuS, 1),
          number(row.phones),
          number(row.calls),
          number(row.dropped),
        ]),
      ],
    ),
    ...titled('What was done to it', [
      ['', 'minute', 'calls up', 'ms', 'audio of one call after it'],
      ...disturbances.map((one) => [
        one.what,
        number(one.minute, 1),
        String(one.callsUp),
        number(one.tookMs),
        one.audio,
      ]),
    ]),
    '',
    `reachable in the undisturbed part: ${kept.map(({ minute, mb }) => `${number(mb, 1)} MB at minute ${number(minute, 1)}`).join(', ')}`,
    `resident in the undisturbed part, its last third against its first: ${grownMb >= 0 ? '+' : ''}${number(grownMb, 1)} MB`,
    soak.held
      ? `held: no call was lost${minutes < JUDGED_MINUTES ? '; too short to say anything of memory' : ', and memory is flat'}`
      : `NOT HELD: ${soak.complaints.join('; ')}`,
  ];
}

function number(value: number, digits = 0): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-';
}

function titled(title: string, rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
  return ['', title, ...lines];
}
