/**
 * Measures the gateway against plain NAT and against the kernel's own SIP helper, in network namespaces, with real sockets.
 *
 *     node bench/gateway/run.ts [--rounds 3] [--only signalling,capacity,growth,media,memory,soak] [--minutes N] [--json FILE]
 *
 * Needs root, SIPp, tcpdump, and the bundle (`npm run build`). About fifteen minutes; `soak`, which
 * is not among the defaults, takes `--minutes` (20) more. Variants take turns within a round, so that a
 * busy machine hits all of them; what compares is their ratio within one run, never a figure against another machine's.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { removeStaleDirectories } from '../../demo/run.ts';
import { facts, median } from './machine.ts';
import { measureMedia } from './media.ts';
import { measureMemory } from './memory.ts';
import { type Results, render } from './report.ts';
import { measureCapacity, measureFixed, measureGrowth, VARIANTS } from './signalling.ts';
import { measureSoak } from './soak.ts';

const SECTIONS = ['signalling', 'capacity', 'growth', 'media', 'memory', 'soak'] as const;
const RATES = [50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400];
const FLOWS = [0, 5_000, 20_000];
const HELD = [500, 2_000];

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: SECTIONS.filter((section) => section !== 'soak').join(',') },
    minutes: { type: 'string', default: '20' },
    json: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const minutes = Number(values.minutes);
const wanted = new Set(values.only.split(','));
for (const name of wanted)
  if (!SECTIONS.some((section) => section === name) || !(rounds >= 1) || !(minutes >= 1)) {
    process.stderr.write(
      `--only takes ${SECTIONS.join(', ')}; --rounds and --minutes take a number from 1\n`,
    );
    process.exit(2);
  }

const obstacle = namespaceObstacle() ?? missingProgram(['sipp', 'tcpdump']);
if (obstacle !== undefined) {
  process.stderr.write(`nothing was measured: ${obstacle}\n`);
  process.exit(3);
}
// The end of the process removes its namespaces, with what runs in them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
removeStaleDirectories();
execFileSync(process.execPath, [`${ROOT}scripts/build.ts`, '--if-stale'], { stdio: ['ignore', 2, 2] });

const results: Results = {
  facts: facts(ROOT),
  rounds,
  fixed: {},
  capacity: {},
  growth: [],
  media: { nat: [], gateway: [] },
  memory: [],
  soak: [],
};

for (let round = 1; round <= rounds; round++) {
  if (wanted.has('signalling'))
    for (const variant of VARIANTS) {
      progress(`signalling, round ${round}: ${variant}`);
      const result = await measureFixed(variant);
      const all = results.fixed[variant] ?? [];
      all.push(result);
      results.fixed[variant] = all;
    }
  if (wanted.has('media'))
    for (const variant of ['nat', 'gateway'] as const) {
      progress(`media, round ${round}: ${variant}`);
      results.media[variant].push(await measureMedia(variant));
    }
  save();
}
if (wanted.has('capacity'))
  for (const variant of VARIANTS) {
    progress(`capacity: ${variant}`);
    results.capacity[variant] = await measureCapacity(variant, RATES);
    save();
  }
if (wanted.has('growth')) {
  progress('growth');
  results.growth.push(...(await measureGrowth(FLOWS, HELD)));
  save();
}
if (wanted.has('memory')) {
  progress('memory');
  results.memory.push(...(await measureMemory((row) => progress(`  ${row.when}: ${row.residentMb} MB`))));
}
if (wanted.has('soak')) {
  progress('soak');
  results.soak.push(await measureSoak(minutes, (text) => progress(`  ${text}`)));
}

save();
process.stdout.write(render(results));
// What a soak promises is a verdict, not a figure.
if (results.soak.some(({ complaints }) => complaints.length > 0)) process.exitCode = 1;

/** Also between the sections: a long run that breaks off has measured something. */
function save(): void {
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ ...results, summary: summary() }, null, 2)}\n`);
}

/** The ratios that a claim may be made of. */
function summary(): Record<string, number> {
  const cost = (pick: (round: NonNullable<Results['fixed']['gateway']>[number]) => number | undefined) =>
    median((results.fixed.gateway ?? []).map((round) => pick(round) ?? Number.NaN));
  const sender = (name: 'nat' | 'gateway'): number =>
    median(results.media[name].map((round) => round.flood.senderUsPerPacket));
  return {
    gatewayUsPerCallMessage: cost((round) => round.call.gatewayUsPerMessage),
    gatewayUsPerRegisterMessage: cost((round) => round.register.gatewayUsPerMessage),
    mediaCostAgainstNat: sender('gateway') / sender('nat'),
  };
}

function progress(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}

function missingProgram(names: readonly string[]): string | undefined {
  for (const name of names) {
    try {
      execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    } catch {
      return `the program "${name}" is missing`;
    }
  }
  return undefined;
}
