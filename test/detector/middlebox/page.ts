/** docs/explanation/detection.md: what whole checks through simulated boxes have found. */
import { type FaultId, faultById } from '../../../src/core/detect/faults.ts';
import { faultyBoxes, notProbed } from './faulty.ts';

export interface FaultFigure {
  readonly fault: FaultId;
  readonly named: readonly string[];
  /** Under which name and how surely, or undefined where it was missed. */
  readonly as: string | undefined;
  readonly confidence: string;
  readonly seconds: number;
}

export interface Figures {
  readonly faults: readonly FaultFigure[];
  readonly weather: { readonly runs: number; readonly falseAlarms: readonly string[] };
}

export function detectionPage({ faults, weather }: Figures): string {
  const found = faults.filter(({ as }) => as !== undefined).length;
  const rows = faults.map(({ fault, as, named, confidence, seconds }) => {
    const { step, fact, everyMethod } = faultyBoxes.find((row) => row.fault === fault)!;
    const others = named.filter((name) => name !== as);
    const name = as === undefined ? '**missed**' : fact === undefined ? as : 'told as a fact';
    return `| ${fault} | ${faultById(fault).title} | ${step}${everyMethod === true ? '*' : ''} | ${name} | ${confidence} | ${others.join(', ')} | ${seconds.toFixed(1)} |`;
  });
  return `${[
    '# What a check finds',
    '',
    '<!-- Written by scripts/detection.ts; do not edit. -->',
    '',
    'A simulated box (`test/detector/middlebox/`) stands between `sipalg check` and `sipalg reflector`, in a network namespace of its',
    'own, with one fault at a time. Every packet goes through it. Each fault had one whole check: a quick one (`--quick`), or a standard one',
    'with a short pause where the quick one leaves the step out (*). With all faults off the box is plain NAT.',
    `${found} of ${faults.length} were found and named.`,
    '',
    'Confidence A: the octets of both ends show it. B: behaviour shows it. "Named as well" is what the same box also does, or what comes of',
    'it: a box that replaces an address everywhere edits Call-ID and From, too.',
    '',
    '| Fault | What it is | Step | Named | Confidence | Named as well | Seconds |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    '',
    '## False alarms',
    '',
    `On a line that loses 5 % of all packets in each direction and delays 10 % of them by up to 30 ms, so that others overtake them,`,
    `plain NAT was called plain NAT in ${weather.runs - weather.falseAlarms.length} of ${weather.runs} quick checks.`,
    ...(weather.falseAlarms.length === 0 ? [] : ['', ...weather.falseAlarms.map((text) => `- ${text}`)]),
    '',
    '## What no check looks for',
    '',
    '| Fault | Why |',
    '|---|---|',
    ...notProbed.map(({ fault, why }) => `| ${fault} | ${why} |`),
    '',
  ].join('\n')}`;
}
