/**
 * Runs the tests and ends with node:test's own closing lines, counted over all stages.
 *
 * Stages: everything that needs nothing of the machine runs in parallel; test/linux, test/lab and others build network
 * namespaces and measure time, so they run one file at a time, after the others.
 *
 * Exit code 0 only if something ran, nothing failed, and (with CI=true) nothing was skipped or left as a todo.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

interface Stage {
  readonly name: string;
  readonly files: readonly string[];
  readonly concurrency: number;
  /** Longest time for one test. A hung test must not eat the whole budget. */
  readonly testTimeoutMs: number;
}

/** All stages together: they take some twelve minutes on two cores. What hangs is ended long before CI's own limit. */
const TOTAL_TIMEOUT_MS = 40 * 60_000;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
// Hundreds of processes read the same modules, tests as well as what they start: types are stripped and code is compiled once.
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules/.cache/compile');
const filters = process.argv.slice(2);
const strict = process.env.CI === 'true';

const serialFolders = ['test/linux/', 'test/sockets/', 'test/lab/'];
/** A check waits for most of its time, in a network of its own, and takes a fifth of a core: four at once cost no more than one. */
const WAITING = { folder: 'test/detector/', concurrency: 4 };
const files = ['src', 'test', 'demo', 'bench']
  .flatMap(testFilesUnder)
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)));
const inFolder = (folder: string): string[] => files.filter((file) => file.startsWith(folder));

const stages: Stage[] = [
  {
    name: 'unit',
    files: files.filter(
      (file) => ![...serialFolders, WAITING.folder].some((folder) => file.startsWith(folder)),
    ),
    concurrency: Math.max(2, availableParallelism()),
    testTimeoutMs: 180_000,
  },
  ...serialFolders.map((folder) => ({
    name: folder,
    files: inFolder(folder),
    concurrency: 1,
    testTimeoutMs: 10 * 60_000,
  })),
  {
    name: WAITING.folder,
    files: inFolder(WAITING.folder),
    concurrency: WAITING.concurrency,
    testTimeoutMs: 10 * 60_000,
  },
];

const totals = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
const notRun: string[] = [];
const startedAt = performance.now();
const signal = AbortSignal.timeout(TOTAL_TIMEOUT_MS);

/** All stages as one stream of events, so that the reporter lists the failures of all of them at the end. */
async function* allEvents(): AsyncGenerator<unknown> {
  for (const stage of stages) {
    if (stage.files.length === 0) continue;
    const events = run({
      files: stage.files.map((file) => join(root, file)),
      concurrency: stage.concurrency,
      timeout: stage.testTimeoutMs,
      // A test that timed out leaves its timers and sockets behind, and its process would never end. The force ends also
      // what has not been reported yet, so that fast tests by the hundred go without it; they hold nothing open.
      execArgv: stage.name === 'unit' ? [] : ['--test-force-exit'],
      signal,
    });
    for await (const event of events) {
      if (event.type === 'test:summary') {
        // One summary for each file and one for the stage; only the latter has no file.
        if (event.data.file !== undefined) continue;
        const counts = event.data.counts;
        for (const key of ['tests', 'suites', 'cancelled', 'skipped', 'todo'] as const)
          totals[key] += counts[key];
        totals.pass += counts.passed;
        totals.fail += counts.tests - counts.passed - counts.cancelled - counts.skipped - counts.todo;
        continue;
      }
      if (event.type === 'test:diagnostic' && event.data.file === undefined) continue;
      if (event.type === 'test:pass') {
        const reason = event.data.skip ?? event.data.todo;
        if (reason !== undefined && reason !== false) {
          notRun.push(
            `${event.data.name}${typeof reason === 'string' && reason !== '' ? `: ${reason}` : ''}`,
          );
        }
      }
      yield event;
    }
  }
  const durationMs = performance.now() - startedAt;
  for (const [key, value] of Object.entries({ ...totals, duration_ms: durationMs.toFixed(0) })) {
    yield { type: 'test:diagnostic', data: { nesting: 0, message: `${key} ${value}`, level: 'info' } };
  }
}

if (files.length === 0) {
  process.stderr.write(`no test file has ${filters.join(' or ')} in its path\n`);
  process.exit(1);
}
const reporter = new spec();
reporter.pipe(process.stdout);
for await (const event of allEvents()) reporter.write(event);
await new Promise<void>((resolve) => {
  reporter.once('end', resolve);
  reporter.end();
});

if (notRun.length > 0) {
  process.stdout.write(`\nnot run:\n${notRun.map((line) => `  ${line}\n`).join('')}`);
}
const problems: string[] = [];
if (totals.tests === 0) problems.push('no test ran');
if (totals.fail + totals.cancelled > 0) problems.push(`${totals.fail + totals.cancelled} failed`);
if (strict && totals.skipped + totals.todo > 0)
  problems.push(`${totals.skipped + totals.todo} not run, and CI=true`);
if (signal.aborted) problems.push(`not finished within ${TOTAL_TIMEOUT_MS / 60_000} minutes`);
process.stdout.write(problems.length === 0 ? '\ntests: ok\n' : `\ntests: FAILED: ${problems.join('; ')}\n`);
process.exit(problems.length === 0 ? 0 : 1);

function testFilesUnder(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
