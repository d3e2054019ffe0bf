/** Media as tables: the same rows for the page and for the text, which differ in how they draw them. */
import { median } from './machine.ts';
import { type FloodResult, KERNEL_VARIANTS, type KernelMediaResult, type KernelVariant } from './media.ts';
import { type PacedRelay, RELAY_PEERS, type RelayMediaResult, type RelayPeer } from './relay-media.ts';

export interface MediaResults {
  readonly kernel: KernelMediaResult[];
  /** Empty, or one. */
  readonly relay: RelayMediaResult[];
}

export type Rows = readonly (readonly string[])[];

const LABELS: Readonly<Record<RelayPeer | KernelVariant, string>> = {
  nat: 'nat',
  gateway: 'sipalg',
  kamailio: 'rtpengine',
  'sipalg-listen': 'sipalg-listen',
  'sipalg-dgram': 'sipalg-dgram',
};

export function kernelRows(results: readonly KernelMediaResult[]): Rows {
  return [
    [
      ...['streams', '', 'sender µs/packet', 'nat = 1', 'machine µs/packet', 'sent at once /s'],
      ...['without loss /s', 'lost at once', 'delay p50 µs', 'p99'],
    ],
    ...results.flatMap((one) =>
      KERNEL_VARIANTS.map((variant) => {
        const each = (pick: (flood: FloodResult) => number): number => median(one.floods[variant].map(pick));
        const { paced } = one;
        return [
          String(one.streams),
          LABELS[variant],
          number(
            each((flood) => flood.senderUs),
            2,
          ),
          number(kernelRatio(one, variant), 2),
          number(
            each((flood) => flood.machineUs),
            1,
          ),
          number(each((flood) => flood.sentPerS)),
          number(one.lossFree[variant]),
          `${(each((flood) => flood.lostShare) * 100).toFixed(2)} %`,
          number(paced[variant].p50Us),
          number(paced[variant].p99Us),
        ];
      }),
    ),
  ];
}

/** CPU a packet against plain NAT: the median of the rounds, each with its neighbour in time. */
export function kernelRatio(result: KernelMediaResult, variant: KernelVariant = 'gateway'): number {
  const { nat } = result.floods;
  return median(
    result.floods[variant].flatMap((flood, i) =>
      nat[i] === undefined ? [] : [flood.senderUs / nat[i].senderUs],
    ),
  );
}

export function relayRows({ paced }: RelayMediaResult): Rows {
  const present = RELAY_PEERS.filter((name) => paced[name] !== undefined);
  const counts = [...new Set(present.flatMap((name) => paced[name]!.map((one) => one.streams)))];
  return [
    [
      ...['streams', 'packets/s', '', 'process µs/packet', 'rtpengine = 1'],
      ...['delay p50 µs', 'p99', 'lost'],
    ],
    ...counts.flatMap((count) =>
      present.map((name) => {
        const each = (pick: (one: PacedRelay) => number): number =>
          median(paced[name]!.filter((one) => one.streams === count).map(pick));
        return [
          String(count),
          number(each((one) => one.packetsPerS)),
          LABELS[name],
          number(
            each((one) => one.processUs),
            1,
          ),
          number(relayRatio(paced, name, count), 2),
          number(each((one) => one.p50Us)),
          number(each((one) => one.p99Us)),
          `${(each((one) => one.lostShare) * 100).toFixed(2)} %`,
        ];
      }),
    ),
  ];
}

/** CPU a packet against rtpengine; NaN where that was not measured. */
export function relayRatio(paced: RelayMediaResult['paced'], name: RelayPeer, streams: number): number {
  const cost = (peer: RelayPeer): number =>
    median((paced[peer] ?? []).filter((one) => one.streams === streams).map((one) => one.processUs));
  return cost(name) / cost('kamailio');
}

export function overloadRows({ overload }: RelayMediaResult): Rows {
  const present = RELAY_PEERS.filter((name) => overload[name] !== undefined);
  return [
    [
      ...[
        '',
        'carried /s',
        'offered /s',
        'delivered /s',
        'least stream : median',
        'streams that got nothing',
      ],
      ...['before: µs/packet', 'lost', 'after: µs/packet', 'lost'],
    ],
    ...present.map((name) => {
      const one = overload[name]!;
      return [
        LABELS[name],
        ...[one.carriedPerS, one.offeredPerS, one.deliveredPerS].map((value) => number(value)),
        number(one.least / one.middle, 2),
        String(one.dead),
        ...[one.before, one.after].flatMap((paced) => [
          number(paced.processUs, 1),
          `${(paced.lostShare * 100).toFixed(2)} %`,
        ]),
      ];
    }),
  ];
}

function number(value: number, digits = 0): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-';
}
