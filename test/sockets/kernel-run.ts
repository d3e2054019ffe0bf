/** Plays every scenario that needs no configuration through the kernel's own SIP helper. */
import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readScenario, scenarioPaths } from '../scenario/files.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import { type Course, course, type WatchCrossed } from './compare.ts';
import { attachHelper, helperObstacle, helperSettings } from './kernel-helper.ts';
import { playable, sipPorts, usesTcp } from './playable.ts';
import { type Fence, World } from './world.ts';

/** Port 9 is no port of SIP: the helper does not see the fence. */
const FENCE: Fence = {
  inside: { address: '192.168.1.250', port: 5090 },
  outside: { address: '198.51.100.250', port: 9 },
};

export interface Compared {
  readonly path: string;
  readonly chapter: string;
  readonly title: string;
  readonly course: Course;
}

export interface KernelRun {
  readonly kernel: string;
  readonly settings: readonly string[];
  readonly compared: readonly Compared[];
}

const extraFolder = fileURLToPath(new URL('extra/', import.meta.url));

/** Scenarios of this folder: they show what the others have no reason to. */
export function extraScenarios(): Scenario[] {
  return readdirSync(extraFolder)
    .sort()
    .map((file) => parseScenario(`sockets/${file}`, readFileSync(`${extraFolder}${file}`, 'utf8')));
}

/** Why the helper cannot be run here, or undefined. */
export function kernelObstacle(): string | undefined {
  const world = new World();
  try {
    return helperObstacle(world);
  } finally {
    world.close();
  }
}

/** `watch` is told of everything that crosses. */
export async function runKernelHelper(watch?: WatchCrossed): Promise<KernelRun> {
  const world = new World();
  const compared: Compared[] = [];
  try {
    for (const scenario of [...scenarioPaths().map(readScenario), ...extraScenarios()]) {
      const played = playable(scenario);
      // The helper's TCP is another matter, and one of sequence numbers.
      if ('reason' in played || scenario.gateway.size > 0 || usesTcp(scenario)) continue;
      world.reset();
      attachHelper(world, sipPorts(scenario));
      const { path, title } = scenario;
      const chapter = path.slice(0, path.indexOf('/'));
      compared.push({ path, chapter, title, course: await course(world, FENCE, played.scenario, watch) });
    }
  } finally {
    world.close();
  }
  return { kernel: release().split('-', 1)[0] ?? '', settings: helperSettings(), compared };
}
