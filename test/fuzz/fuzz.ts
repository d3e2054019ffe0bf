/**
 * `npm run fuzz`: ten million inputs on all cores, with a fresh seed. What does something new is made small and added to the
 * corpus on disk; what breaks is printed with its seed, index and smallest form, and the exit code is 1.
 *
 *   npm run fuzz                                         10^7 inputs, in the shares of the targets
 *   npm run fuzz -- --inputs 100000 --target engine      so many inputs of one target (may be given several times)
 *   npm run fuzz -- --seconds 60                         for so long
 *   npm run fuzz -- --target uri --seed 5 --index 77     one input again, as CI named it
 *   npm run fuzz -- --target uri --input 'sip:a\r\n'     one input again, as a line of a corpus file
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Campaign, cover, describeFailure, type Failure, failureOf, kindOf } from './campaign.ts';
import { readGrown, writeGrown } from './corpus.ts';
import { escapeInput, unescapeInput } from './octets.ts';
import type { Target } from './target.ts';
import { targets } from './targets.ts';

interface Job {
  readonly target: string;
  readonly seed: number;
  readonly inputs: number;
  /** `Date.now()` after which it stops, wherever it is. */
  readonly until: number;
}

interface Report {
  readonly target: string;
  readonly inputs: number;
  readonly features: number;
  readonly grown: readonly string[];
  readonly failures: readonly Failure[];
}

/** Of one target in one job: then it stops. Each kind is told once. */
const MOST_FAILURES = 5;
const MILLION = 1_000_000;

if (isMainThread) await main();
else parentPort?.postMessage(run(workerData as Job));

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string' },
      inputs: { type: 'string' },
      target: { type: 'string', multiple: true },
      seed: { type: 'string' },
      index: { type: 'string' },
      input: { type: 'string' },
    },
  });
  const chosen = targets.filter(({ name }) => values.target?.includes(name) ?? true);
  const unknown = values.target?.find((name) => !targets.some((target) => target.name === name));
  if (unknown !== undefined) {
    say(`no target "${unknown}"; there are ${targets.map(({ name }) => name).join(', ')}`);
    process.exitCode = 2;
    return;
  }
  const seed = Number(values.seed ?? Date.now() % 0x1_0000_0000) >>> 0;
  if (values.input !== undefined || values.index !== undefined) {
    for (const target of chosen)
      replay(
        target,
        values.input === undefined
          ? new Campaign(target, seed).input(Number(values.index))
          : unescapeInput(values.input),
      );
    return;
  }
  const total = Number(values.inputs ?? (values.seconds === undefined ? 10 * MILLION : 1e12));
  const until =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.seconds) * 1_000;
  await runAll(chosen, seed, total, until);
}

async function runAll(chosen: readonly Target[], seed: number, total: number, until: number): Promise<void> {
  say(`seed ${seed}`);
  const shares = chosen.reduce((sum, { share }) => sum + share, 0);
  // Every target twice, with seeds of their own, so that the cores end at about the same time.
  const jobs = chosen.flatMap(({ name, share }): Job[] =>
    [0, 1].map((half) => ({
      target: name,
      seed: (seed + half) >>> 0,
      inputs: Math.ceil((total * share) / shares / 2),
      until: until === Number.POSITIVE_INFINITY ? until : 0,
    })),
  );
  const cores = Math.max(1, availableParallelism());
  // With a time instead of a number, it is shared out over the jobs.
  const each = until === Number.POSITIVE_INFINITY ? 0 : ((until - Date.now()) * cores) / jobs.length;
  const startedAt = performance.now();
  let inputs = 0;
  let failures = 0;
  const next = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const report = await inWorker(each > 0 ? { ...job, until: Date.now() + each } : job);
      inputs += report.inputs;
      failures += report.failures.length;
      const target = targets.find(({ name }) => name === report.target)!;
      writeGrown(report.target, cover(target, [...readGrown(report.target), ...report.grown]));
      say(
        `${report.target}: ${report.inputs} inputs, ${report.features} behaviours, ${report.grown.length} new to the corpus`,
      );
      for (const failure of report.failures) say(describeFailure(failure));
    }
  };
  await Promise.all(Array.from({ length: cores }, next));
  const seconds = (performance.now() - startedAt) / 1_000;
  say(
    `${inputs} inputs in ${seconds.toFixed(0)} s, ${Math.round(inputs / seconds)} a second; ${failures} failures`,
  );
  if (failures > 0) process.exitCode = 1;
}

function replay(target: Target, text: string): void {
  const error = failureOf(target, text);
  say(escapeInput(text));
  say(error ?? 'ok');
  if (error !== undefined) process.exitCode = 1;
}

function inWorker(job: Job): Promise<Report> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: job });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

function run({ target: name, seed, inputs, until }: Job): Report {
  const target = targets.find((one) => one.name === name)!;
  const campaign = new Campaign(target, seed);
  const failures = new Map<string, Failure>();
  let index = 0;
  for (; index < inputs && failures.size < MOST_FAILURES; index++) {
    if (Date.now() > until) break;
    const failure = campaign.grow(index);
    if (failure !== undefined) failures.set(kindOf(failure.error), failure);
  }
  return {
    target: name,
    inputs: index,
    features: campaign.features,
    grown: campaign.grown.map(({ text }) => text),
    failures: [...failures.values()],
  };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
