/** `sipalg check-config FILE`: all problems of a configuration, without touching anything. */
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import { exitCode } from './exit-code.ts';

export interface CheckConfigOptions {
  readonly json?: boolean;
}

export function checkConfig(file: string, options: CheckConfigOptions): number {
  const { config, problems } = loadConfig(file);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ problems: problems ?? [], config }, null, 2)}\n`);
  } else if (problems === undefined) {
    process.stdout.write(`${file}: ok\n`);
  } else {
    for (const problem of problems) process.stdout.write(`${formatProblem(problem)}\n`);
    process.stdout.write(`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}\n`);
  }
  return problems === undefined ? exitCode.ok : exitCode.usage;
}
