/**
 * Measures the gateway against its peers, in network namespaces, with real sockets: `npm run bench`.
 *
 *     node bench/gateway/run.ts [--quick] [--rounds 3] [--only SECTION,…] [--peers NAME,…] [--siproxd PATH] [--json FILE]
 *         [--page]
 *
 * Needs root, SIPp, tcpdump, and for the peers a C compiler, Kamailio and rtpengine; what is missing is left out and said.
 * By default: messages, calls, phones, media and cores (several engines), about seventeen minutes; `--quick` takes four. `--page` writes
 * docs/performance.json and docs/performance.md. The other sections look at one thing closely: signalling (delay in the router),
 * capacity, growth, memory, load (`--minutes`, 2 by default) and soak (20). Peers take turns within a round, so that a busy
 * machine hits all of them; what compares is their ratio within one run, never a figure against another machine's.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { removeStaleDirectories } from '../../demo/run.ts';
import { MESSAGE_RATES, measureCalls, measureMessages } from './against.ts';
import { KINDS, type Kind } from './bare.ts';
import { measureCores } from './cores.ts';
import { measureFullLoad } from './full-load.ts';
import { facts, median } from './machine.ts';
import { measureKernelMedia } from './media.ts';
import { measureMemory } from './memory.ts';
import { page, ratios } from './page.ts';
import { PEERS, type PeerName, peerObstacle } from './peers.ts';
import { measurePhones } from './phones.ts';
import { measureRelayMedia } from './relay-media.ts';
import { type Results, render } from './report.ts';
import { measureCapacity, measureFixed, measureGrowth, VARIANTS } from './signalling.ts';
import { measureSoak } from './soak.ts';

const DEFAULT_SECTIONS = ['messages', 'calls', 'phones', 'media', 'cores'] as const;
const SECTIONS = [...DEFAULT_SECTIONS, 'signalling', 'capacity', 'growth', 'memory', 'load', 'soak'] as const;
const CALL_RATES = [50, 100, 200, 400, 600, 1000, 1500, 2000];
const QUICK_CALL_RATES = [50, 200, 600, 1000];
const RATES = [50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400];
const MEDIA = {
  full: { streams: [1, 50, 1000], rounds: 4, relayed: [1, 10, 50, 100, 200] },
  quick: { streams: [50], rounds: 2, relayed: [50] },
};
/** The explicit mode is not measured with messages in both makes, but where it is asked for. */
const NAMED_ONLY: readonly PeerName[] = ['sipalg-listen'];
const FLOWS = [0, 5_000, 20_000];
const HELD = [500, 2_000];

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    peers: { type: 'string' },
    siproxd: { type: 'string' },
    page: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    json: { type: 'string' },
  },
});
const { quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 3));
const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
const LOAD_MINUTES = 2;
const SOAK_MINUTES = 20;
const wanted = new Set(
  values.only?.split(',') ?? (quick ? ['messages', 'calls', 'media'] : DEFAULT_SECTIONS),
);
for (const name of wanted)
  if (!SECTIONS.some((section) => section === name) || !(rounds >= 1) || !((minutes ?? 1) >= 1)) {
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
  messages: [],
  calls: [],
  phones: [],
  missing: {},
  fixed: {},
  capacity: {},
  growth: [],
  media: { kernel: [], relay: [] },
  memory: [],
  cores: [],
  load: [],
  soak: [],
};

const peerOptions = { siproxd: values.siproxd };
const named = values.peers?.split(',');
for (const name of named ?? [])
  if (!PEERS.some((peer) => peer === name)) {
    process.stderr.write(`--peers takes ${PEERS.join(', ')}\n`);
    process.exit(2);
  }
const peers = PEERS.filter((name) => {
  if (named === undefined ? NAMED_ONLY.includes(name) : !named.includes(name)) return false;
  const missing = peerObstacle(name, peerOptions);
  if (missing !== undefined) results.missing[name] = missing;
  return missing === undefined;
});
for (const [name, why] of Object.entries(results.missing)) progress(`without ${name}: ${why}`);

for (let round = 1; round <= rounds; round++) {
  if (wanted.has('messages'))
    for (const name of peers) {
      progress(`messages, round ${round} of ${rounds}: ${name}`);
      const seconds = quick ? 1.5 : 2;
      const { low, high } = MESSAGE_RATES;
      const ratesOf = (kind: Kind): number[] => (kind === 'INVITE' || quick ? [high] : [low, high]);
      await attempt(name, async () =>
        results.messages.push(...(await measureMessages(name, ratesOf, KINDS, seconds, peerOptions))),
      );
    }
  if (wanted.has('signalling'))
    for (const variant of VARIANTS) {
      progress(`signalling, round ${round}: ${variant}`);
      const result = await measureFixed(variant);
      const all = results.fixed[variant] ?? [];
      all.push(result);
      results.fixed[variant] = all;
    }
  if (wanted.has('cores')) {
    progress(`cores, round ${round} of ${rounds}`);
    results.cores?.push(...(await measureCores()));
  }
  save();
}
if (wanted.has('calls'))
  for (const name of peers) {
    progress(`calls: ${name}`);
    const rates = quick ? QUICK_CALL_RATES : CALL_RATES;
    await attempt(name, async () =>
      results.calls.push(...(await measureCalls(name, rates, quick ? 3 : 4, peerOptions))),
    );
    save();
  }
if (wanted.has('media')) {
  const { streams, rounds: turns, relayed } = quick ? MEDIA.quick : MEDIA.full;
  const say = (text: string): void => progress(`  ${text}`);
  progress('media through the kernel');
  results.media.kernel.push(...(await measureKernelMedia(streams, turns, say)));
  save();
  progress('media through user space');
  const names = named ?? PEERS;
  results.media.relay.push(await measureRelayMedia(names as readonly PeerName[], relayed, 1, !quick, say));
  save();
}
if (wanted.has('phones')) {
  progress('phones');
  results.phones.push(await measurePhones((text) => progress(`  ${text}`)));
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
if (wanted.has('load')) {
  progress('full load');
  results.load.push(await measureFullLoad(minutes ?? LOAD_MINUTES, (text) => progress(`  ${text}`)));
}
if (wanted.has('soak')) {
  progress('soak');
  results.soak.push(await measureSoak(minutes ?? SOAK_MINUTES, (text) => progress(`  ${text}`)));
}

save();
if (values.page) {
  writeFileSync(
    `${ROOT}docs/performance.json`,
    `${JSON.stringify({ ...results, ratios: ratios(results) }, null, 1)}\n`,
  );
  writeFileSync(`${ROOT}docs/performance.md`, page(results));
}
process.stdout.write(render(results));
// What a soak and a full load promise is a verdict, not a figure.
if (results.soak.some(({ complaints }) => complaints.length > 0)) process.exitCode = 1;
if (results.load.some(({ unanswered, dropped }) => unanswered > dropped)) process.exitCode = 1;

/** A peer that cannot be run leaves the others their figures. */
async function attempt(name: PeerName, measure: () => Promise<unknown>): Promise<void> {
  try {
    await measure();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    results.missing[name] = text.split('\n', 1)[0]!;
    progress(`  ${name} could not be measured: ${text}`);
  }
}

/** Also between the sections: a long run that breaks off has measured something. */
function save(): void {
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ ...results, ratios: ratios(results), summary: summary() }, null, 2)}\n`,
    );
}

/** The ratios that a claim may be made of. */
function summary(): Record<string, number> {
  const cost = (pick: (round: NonNullable<Results['fixed']['gateway']>[number]) => number | undefined) =>
    median((results.fixed.gateway ?? []).map((round) => pick(round) ?? Number.NaN));
  return {
    gatewayUsPerCallMessage: cost((round) => round.call.gatewayUsPerMessage),
    gatewayUsPerRegisterMessage: cost((round) => round.register.gatewayUsPerMessage),
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
