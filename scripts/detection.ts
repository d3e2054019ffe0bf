/**
 * Runs whole quick checks through simulated boxes, one for each fault, and through plain NAT on a bad line, and writes down
 * what was found. Needs root; takes about a quarter of an hour, so that the tests make the telling step alone.
 *
 *   node scripts/detection.ts             all of it
 *   node scripts/detection.ts faults      the faults; the other figures stay
 *   node scripts/detection.ts faults TRUNC SYN-NUL   these alone
 *   node scripts/detection.ts weather 50  the bad line, so many times; the other figures stay
 *
 * Writes docs/explanation/detection.json and detection.md.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { namespaceObstacle } from '../demo/namespace.ts';
import { faultyBoxes } from '../test/detector/middlebox/faulty.ts';
import { Court, missed } from '../test/detector/middlebox/judge.ts';
import { detectionPage, type FaultFigure, type Figures } from '../test/detector/middlebox/page.ts';
import { badWeather, weather } from '../test/detector/middlebox/weather.ts';

const DEFAULT_RUNS = 50;
const pathOf = (name: string): string =>
  fileURLToPath(new URL(`../docs/explanation/${name}`, import.meta.url));
const data = pathOf('detection.json');

async function runFaults(court: Court, only: readonly string[]): Promise<FaultFigure[]> {
  const figures: FaultFigure[] = [];
  for (const row of faultyBoxes.filter(({ fault }) => only.length === 0 || only.includes(fault))) {
    const startedAt = performance.now();
    const judged = await court.whole(row);
    const seconds = (performance.now() - startedAt) / 1000;
    const { fault, names = [fault] } = row;
    const finding = judged.report.findings.find((one) => names.includes(one.fault));
    const isMissed = missed(row, judged) !== undefined;
    figures.push({
      fault,
      named: judged.named,
      as: isMissed ? undefined : (finding?.fault ?? fault),
      confidence: finding?.confidence ?? (isMissed ? '' : 'A'),
      seconds,
    });
    process.stdout.write(`${isMissed ? 'missed' : 'found'} ${fault}: ${judged.named.join(', ')}\n`);
  }
  return figures;
}

async function runWeather(court: Court, runs: number): Promise<Figures['weather']> {
  const falseAlarms: string[] = [];
  for (let seed = 1; seed <= runs; seed++) {
    const { report, named } = await court.check(weather(badWeather, seed), ...Court.quick);
    if (report.verdict !== 'unaltered')
      falseAlarms.push(`seed ${seed}: ${report.verdict}, ${named.join(', ')}`);
    process.stdout.write(`weather ${seed}: ${report.verdict} ${named.join(', ')}\n`);
  }
  return { runs, falseAlarms };
}

const [what = 'all', ...rest] = process.argv.slice(2);
const obstacle = namespaceObstacle();
if (obstacle !== undefined) {
  process.stderr.write(`not written: ${obstacle}\n`);
  process.exit(1);
}
using court = await Court.open();
const faults = what === 'weather' ? [] : await runFaults(court, what === 'faults' ? rest : []);
const line =
  what === 'faults'
    ? undefined
    : await runWeather(court, Number(what === 'weather' ? (rest[0] ?? DEFAULT_RUNS) : DEFAULT_RUNS));
// Read last: the two halves may have run beside each other.
const before: Figures = existsSync(data)
  ? (JSON.parse(readFileSync(data, 'utf8')) as Figures)
  : { faults: [], weather: { runs: 0, falseAlarms: [] } };
const figures: Figures = {
  // In the order of the boxes; one that is gone has no figure.
  faults: faultyBoxes.flatMap(
    ({ fault }) => [...faults, ...before.faults].find((one) => one.fault === fault) ?? [],
  ),
  weather: line ?? before.weather,
};
writeFileSync(data, `${JSON.stringify(figures, null, 2)}\n`);
writeFileSync(pathOf('detection.md'), detectionPage(figures));
process.exitCode =
  figures.faults.some(({ as }) => as === undefined) || figures.weather.falseAlarms.length > 0 ? 1 : 0;
