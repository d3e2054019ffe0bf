/**
 * How a lifetime is searched: each idle time has a socket of its own, and all of them wait at the same time. Where there is time for
 * more, the range that they leave is narrowed by further ones, as soon as it is known and while the longer still wait.
 */
import { type IdleSample, lifetimeOf, narrowerTimes } from '../../core/detect/lifetime.ts';

/** Sockets of one further round: a small router's table has room for some hundred flows. */
const MOST_AT_ONCE = 24;
const MOST_ROUNDS = 4;
/** Beyond the pause itself: registering before it, and calling up to three times after it. */
const GRACE_MS = 15_000;

/**
 * What was tried, as it came in. No round begins that would end after `untilMs` of the monotonic clock; undefined: the times that are
 * given are all.
 */
export async function searchLifetime<T extends IdleSample>(
  timesMs: readonly number[],
  attempt: (idleMs: number) => Promise<T | undefined>,
  untilMs: number | undefined,
): Promise<T[]> {
  const trials: T[] = [];
  const pending = new Set<number>();
  const running: Promise<void>[] = [];
  let rounds = 0;
  const tryOne = async (idleMs: number): Promise<void> => {
    pending.add(idleMs);
    const trial = await attempt(idleMs);
    pending.delete(idleMs);
    if (trial !== undefined) trials.push(trial);
    narrow();
  };
  const narrow = (): void => {
    const lifetime = lifetimeOf(trials);
    const { deadMs } = lifetime;
    if (untilMs === undefined || deadMs === undefined || rounds === MOST_ROUNDS) return;
    // As long as a shorter one waits, the first that is dead is not known.
    if ([...pending].some((idleMs) => idleMs < deadMs)) return;
    const next = narrowerTimes(lifetime, MOST_AT_ONCE);
    if (next.length === 0 || performance.now() + deadMs + GRACE_MS > untilMs) return;
    rounds++;
    start(next);
  };
  const start = (all: readonly number[]): void => {
    for (const one of all.map(tryOne)) {
      // What fails is thrown below, and nowhere else.
      one.catch(() => {});
      running.push(one);
    }
  };
  start(timesMs);
  // It grows while it is waited for.
  for (let i = 0; i < running.length; i++) await running[i];
  return trials;
}
