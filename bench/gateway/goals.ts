/**
 * What the gateway is meant to cost, and whether one run shows it: each goal with its figure, met or missed; and of those that are
 * missed, what bounds them.
 */
import { type CallStep, MESSAGE_RATES, REACHED } from './against.ts';
import type { Kind } from './bare.ts';
import { scales } from './cores.ts';
import { median } from './machine.ts';
import { kernelRatio, relayRatio } from './media-tables.ts';
import type { PeerName } from './peers.ts';
import type { Results } from './report.ts';

interface Figure {
  readonly text: string;
  readonly met: boolean;
}

interface Goal {
  readonly goal: string;
  /** Undefined where the run has not measured it. */
  figure(results: Results): Figure | undefined;
  /** What keeps it from being met, and what was tried. */
  readonly bound: string;
}

const BARE =
  'Half of it is the kernel’s: two system calls and the way of the packet, which the relay pays too, with our rules and the connection table on it. The rest is the engine (`npm run bench:core`) and what Node adds: decisions 0018, 0028, 0035.';
const PER_CALL =
  'A call is more than its messages: elements and flows that come and go in the kernel, and rows that survive a kill: decision 0031.';
const DELAY =
  'Load, router and provider share two cores, and V8 collects beside them: what waits is mostly the processor. Less garbage and fewer threads of V8’s took the 99th percentile down from 10 ms and more (decision 0035).';

export const GOALS: readonly Goal[] = [
  against('relay', 'OPTIONS', 2),
  against('relay', 'REGISTER', 2),
  against('relay', 'INVITE', 2.5),
  ...(['OPTIONS', 'REGISTER', 'INVITE'] as const).flatMap((kind) => [
    less('siproxd', kind, 2.5),
    less('kamailio', kind, 4),
  ]),
  {
    goal: 'inside complete calls: a tenth of Kamailio with rtpengine, a message',
    bound: PER_CALL,
    figure({ calls }) {
      const pairs = calls.flatMap((own) => {
        const other = calls.find((one) => one.peer === 'kamailio' && one.rate === own.rate);
        return own.peer !== 'sipalg' || other === undefined ? [] : [{ own, other }];
      });
      const last = pairs.at(-1);
      if (last === undefined) return undefined;
      const ratio = last.other.processUs / last.own.processUs;
      return {
        text: `${ratio.toFixed(1)} times less at ${last.own.rate} calls a second (${last.own.processUs.toFixed(0)} and ${last.other.processUs.toFixed(0)} µs)`,
        met: ratio >= 10,
      };
    },
  },
  {
    goal: '2000 complete calls a second, none failed, nothing sent again',
    bound: `${PER_CALL} The load by SIPp shares the two cores: see what plain NAT reaches.`,
    figure({ calls }) {
      const clean = (peer: PeerName): number =>
        Math.max(0, ...calls.filter((one) => one.peer === peer && isClean(one)).map((one) => one.rate));
      if (!calls.some((one) => one.peer === 'sipalg')) return undefined;
      const own = clean('sipalg');
      return { text: `${own} (plain NAT: ${clean('nat')})`, met: own >= 2000 };
    },
  },
  {
    goal: 'delay added to a round trip at 5000 messages a second: median ≤ 0.3 ms, 99th percentile ≤ 2 ms',
    bound: DELAY,
    figure: (results) => {
      const added = (pick: 'p50Ms' | 'p99Ms'): number =>
        trip(results, 'sipalg', 'OPTIONS', pick, MESSAGE_RATES.low) -
        trip(results, 'nat', 'OPTIONS', pick, MESSAGE_RATES.low);
      const p50 = added('p50Ms');
      const p99 = added('p99Ms');
      if (Number.isNaN(p50)) return undefined;
      return { text: `${p50.toFixed(2)} ms, ${p99.toFixed(2)} ms`, met: p50 <= 0.3 && p99 <= 2 };
    },
  },
  {
    goal: 'a REGISTER’s round trip ≤ 0.5 ms above plain NAT',
    bound: DELAY,
    figure: (results) => {
      const added = trip(results, 'sipalg', 'REGISTER', 'p50Ms') - trip(results, 'nat', 'REGISTER', 'p50Ms');
      return Number.isNaN(added) ? undefined : { text: `${added.toFixed(2)} ms`, met: added <= 0.5 };
    },
  },
  {
    goal: 'flat: a message among 10 000 phones and 2000 calls costs at most 15 % more than among 10 phones',
    bound:
      'In the engine it is flat (`bench/core/flat.bench.ts`). In the whole gateway each of 10 000 phones has its own socket and connection in the kernel and its own objects here, none of them in the processor’s cache when its turn comes: decision 0030.',
    figure({ phones }) {
      const rows = phones[0]?.rows.filter((row) => row.optionsUs !== undefined) ?? [];
      const few = rows[0]?.optionsUs;
      if (few === undefined || rows.length < 2) return undefined;
      const more = rows.slice(1).map((row) => ({ when: row.when, share: row.optionsUs! / few - 1 }));
      return {
        text: more.map(({ when, share }) => `${percent(share)} (${when})`).join(', '),
        met: more.every(({ share }) => share <= 0.15),
      };
    },
  },
  {
    goal: 'resident: ≤ 80 MB with 10 000 phones, ≤ 160 MB with 2000 calls',
    bound: 'Node alone takes 45 to 50 MB; what each part takes is in decision 0032.',
    figure({ phones }) {
      const rows = phones[0]?.rows ?? [];
      const idle = rows.find((row) => row.when.endsWith('registered'))?.residentMb;
      const busy = rows.find((row) => row.when.includes('calls'))?.residentMb;
      if (idle === undefined || busy === undefined) return undefined;
      return { text: `${idle.toFixed(0)} MB, ${busy.toFixed(0)} MB`, met: idle <= 80 && busy <= 160 };
    },
  },
  {
    goal: 'two engines carry at least 1.7 times as much as one',
    bound: 'Decision 0034 says what engines share.',
    figure({ cores }) {
      const found = scales(cores ?? [], median);
      if (found.length === 0) return undefined;
      return {
        text: found.map(({ kind, byThread }) => `${kind} ${byThread.toFixed(2)}`).join(', '),
        met: found.every(({ byThread }) => byThread >= 1.7),
      };
    },
  },
  {
    goal: 'started on a store of 10 000 phones: ≤ 1 s to the first message',
    bound: 'Decision 0030 says where the time goes.',
    figure({ phones }) {
      const ms = phones[0]?.firstTranslatedMs;
      return ms === undefined ? undefined : { text: `${(ms / 1000).toFixed(2)} s`, met: ms <= 1000 };
    },
  },
  {
    goal: 'media through the kernel: at most 1.05 times the CPU and at least 0.95 times the loss-free rate of plain NAT',
    bound:
      'Half of the difference is the policy route that brings intercepted packets to our sockets: with any rule of its own a router asks its tables one after the other, and plain NAT with one such rule costs the same. The rest are two chains on the way and one look into a set, for the counters of packets: decision 0033.',
    figure({ media: { kernel } }) {
      if (kernel.length === 0) return undefined;
      const each = kernel.map((one) => ({
        streams: one.streams,
        cpu: kernelRatio(one),
        rate: one.lossFree.gateway / one.lossFree.nat,
      }));
      return {
        text: each
          .map(
            ({ streams, cpu, rate }) =>
              `${cpu.toFixed(2)} and ${Number.isFinite(rate) ? rate.toFixed(2) : '-'} (${streams} streams)`,
          )
          .join(', '),
        met: each.every(({ cpu, rate }) => cpu <= 1.05 && rate >= 0.95),
      };
    },
  },
  {
    goal: 'media through user space: at most 1.5 times the CPU of rtpengine a packet',
    bound:
      'Where packets come one by one each of them wakes the process, and pays for the way through Node’s loop; from some thousand a second on the kernel’s part is four fifths: decision 0033.',
    figure({ media: { relay } }) {
      const paced = relay[0]?.paced;
      const each = (paced?.['sipalg-listen'] ?? []).map(({ streams, packetsPerS }) => ({
        packetsPerS,
        ratio: relayRatio(paced!, 'sipalg-listen', streams),
      }));
      if (each.length === 0 || each.some(({ ratio }) => Number.isNaN(ratio))) return undefined;
      return {
        text: each
          .map(({ ratio, packetsPerS }) => `${ratio.toFixed(2)} (${packetsPerS.toFixed(0)} a second)`)
          .join(', '),
        met: each.every(({ ratio }) => ratio <= 1.5),
      };
    },
  },
  {
    goal: 'media through user space in overload: no stream starves, and afterwards all is as before',
    bound: 'Decision 0033.',
    figure({ media: { relay } }) {
      const one = relay[0]?.overload['sipalg-listen'];
      if (one === undefined) return undefined;
      const fair = one.least / one.middle;
      return {
        text: `the worst stream had ${fair.toFixed(2)} of the median one’s share of ${(one.middle * 100).toFixed(0)} %; afterwards ${(one.after.lostShare * 100).toFixed(2)} % were lost`,
        met: one.dead === 0 && fair >= 0.8 && one.after.lostShare < 0.001,
      };
    },
  },
];

/** No call failed, nothing was sent again, and the rate was reached. */
export function isClean(step: CallStep): boolean {
  return step.load.failed === 0 && step.load.retransmissions === 0 && step.achieved >= step.rate * REACHED;
}

/** CPU of its processes, µs a message, at the highest rate. */
export function cost({ messages }: Results, peer: PeerName, kind: Kind): number {
  const rate = Math.max(...messages.map((one) => one.rate));
  return median(
    messages
      .filter((one) => one.peer === peer && one.kind === kind && one.rate === rate)
      .map((one) => one.processUs),
  );
}

/** By default at the lowest rate that the kind was measured at. */
function trip(
  { messages }: Results,
  peer: PeerName,
  kind: Kind,
  pick: 'p50Ms' | 'p99Ms',
  at?: number,
): number {
  const own = messages.filter((one) => one.peer === peer && one.kind === kind);
  const rate = at ?? Math.min(...own.map((one) => one.rate));
  return median(own.filter((one) => one.rate === rate).map((one) => one.load[pick]));
}

function against(peer: PeerName, kind: Kind, most: number): Goal {
  return {
    goal: `${kind}: at most ${most} times the CPU of the relay that changes nothing`,
    bound: BARE,
    figure(results) {
      const ratio = cost(results, 'sipalg', kind) / cost(results, peer, kind);
      return Number.isNaN(ratio) ? undefined : { text: `${ratio.toFixed(1)} times`, met: ratio <= most };
    },
  };
}

function less(peer: PeerName, kind: Kind, least: number): Goal {
  return {
    goal: `${kind}: at least ${least} times less CPU than ${peer}`,
    bound: BARE,
    figure(results) {
      const ratio = cost(results, peer, kind) / cost(results, 'sipalg', kind);
      return Number.isNaN(ratio)
        ? undefined
        : { text: `${ratio.toFixed(1)} times less`, met: ratio >= least };
    },
  };
}

function percent(share: number): string {
  return `${share >= 0 ? '+' : ''}${(share * 100).toFixed(0)} %`;
}
