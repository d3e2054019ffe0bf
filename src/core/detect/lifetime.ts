/**
 * How long a mapping lives without traffic. Each idle time is tried on a socket of its own, because trying refreshes it;
 * so the answer is a range: alive after so long, dead after so long.
 */
export interface IdleSample {
  readonly idleMs: number;
  readonly alive: boolean;
}

export interface Lifetime {
  /** The longest idle time after which a packet still came in; undefined where none did. */
  readonly aliveMs: number | undefined;
  /** The shortest after which none did; undefined where all did. */
  readonly deadMs: number | undefined;
  /** Alive after a longer time than dead: the path loses packets, or the box makes no sense. */
  readonly contradictory: boolean;
}

export function lifetimeOf(samples: readonly IdleSample[]): Lifetime {
  const alive = samples.filter((one) => one.alive).map(({ idleMs }) => idleMs);
  const dead = samples.filter((one) => !one.alive).map(({ idleMs }) => idleMs);
  const aliveMs = alive.length === 0 ? undefined : Math.max(...alive);
  const deadMs = dead.length === 0 ? undefined : Math.min(...dead);
  return {
    aliveMs,
    deadMs,
    contradictory: aliveMs !== undefined && deadMs !== undefined && aliveMs > deadMs,
  };
}

/**
 * Idle times that narrow the range down, evenly within it, `most` at a time; none where it is narrow enough (4 s, so that its middle
 * is right to within 2 s; of short lifetimes an eighth of that), or where nothing is known of one of its ends.
 */
export function narrowerTimes({ aliveMs, deadMs, contradictory }: Lifetime, most: number): number[] {
  if (aliveMs === undefined || deadMs === undefined || contradictory) return [];
  const narrowMs = Math.min(NARROW_MS, Math.max(NARROW_MS / 8, aliveMs / 4));
  const parts = Math.min(most + 1, Math.ceil((deadMs - aliveMs) / narrowMs));
  return Array.from({ length: parts - 1 }, (_, i) =>
    Math.round(aliveMs + ((i + 1) * (deadMs - aliveMs)) / parts),
  );
}

const NARROW_MS = 4_000;

/** `longer than 65 s`, `between 30 s and 65 s`, `shorter than 15 s`. */
export function describeLifetime({ aliveMs, deadMs, contradictory }: Lifetime): string {
  const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;
  if (contradictory) return 'no clear time: packets are lost as well';
  if (aliveMs === undefined) return deadMs === undefined ? 'not known' : `shorter than ${seconds(deadMs)}`;
  if (deadMs === undefined) return `longer than ${seconds(aliveMs)}, which is the longest that was tried`;
  return `between ${seconds(aliveMs)} and ${seconds(deadMs)}`;
}
