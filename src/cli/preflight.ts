/** `sipalg preflight`: what stands in the way on this machine, each with the way to mend it; nothing is changed. */
import { styleText } from 'node:util';
import type { Obstacle } from '../linux/preflight.ts';
import { type ConfigOptions, configFrom } from './config-options.ts';
import { requireLinux } from './environment.ts';
import { exitCode } from './exit-code.ts';
import { preflightOptions } from './linux-options.ts';

export interface PreflightCommandOptions extends ConfigOptions {
  readonly json?: boolean;
}

export async function preflight(options: PreflightCommandOptions): Promise<number> {
  const config = configFrom(options);
  if (config === undefined) return exitCode.usage;
  let obstacles: readonly Obstacle[] = [];
  if (config.mode === 'transparent') {
    requireLinux('the transparent mode', 'The explicit mode runs anywhere: --listen ADDR:PORT');
    const linux = await import('../linux/preflight.ts');
    obstacles = relevant(await linux.preflight(preflightOptions(config)));
  }
  const errors = obstacles.filter((obstacle) => obstacle.severity === 'error').length;
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ ready: errors === 0, obstacles }, null, 2)}\n`);
  else process.stdout.write(renderObstacles(obstacles, config.mode === 'explicit'));
  return errors === 0 ? exitCode.ok : exitCode.negative;
}

/** Without rights every probe of the kernel fails, which says nothing about the kernel. */
function relevant(obstacles: readonly Obstacle[]): readonly Obstacle[] {
  return obstacles.some((obstacle) => obstacle.code === 'linux/not-privileged')
    ? obstacles.filter((obstacle) => obstacle.code !== 'linux/kernel-feature')
    : obstacles;
}

/** Errors first: they are what keeps the gateway from working. */
export function renderObstacles(obstacles: readonly Obstacle[], explicit = false): string {
  const sorted = obstacles.toSorted(
    (a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'),
  );
  const lines = sorted.flatMap(({ severity, code, what, remedy }) => [
    `${mark(severity)} ${code}: ${what}`,
    `        ${remedy}`,
  ]);
  const errors = obstacles.filter((obstacle) => obstacle.severity === 'error').length;
  if (errors > 0) lines.push(`not ready: ${errors} ${errors === 1 ? 'obstacle' : 'obstacles'}`);
  else if (obstacles.length > 0) lines.push('ready, but for the warnings above');
  else
    lines.push(
      explicit
        ? 'ready: the explicit mode needs nothing of this machine'
        : 'ready: nothing stands in the way',
    );
  return `${lines.join('\n')}\n`;
}

function mark(severity: Obstacle['severity']): string {
  return severity === 'error'
    ? styleText(['bold', 'red'], 'error  ', { stream: process.stdout })
    : styleText(['bold', 'yellow'], 'warning', { stream: process.stdout });
}
