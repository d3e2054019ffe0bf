/** What `trace` and `capture` share: the way to the running gateway, and the end by Ctrl-C or by time. */
import { loadConfig } from '../config/load.ts';
import { followGateway } from '../gateway/follow-client.ts';
import type { FollowRequest } from '../gateway/follow-stream.ts';
import type { Followed } from '../observe/follow.ts';
import { printProblems } from './config-options.ts';
import { EnvironmentError, UsageError } from './failure.ts';

export interface FollowOptions {
  readonly stateDir?: string;
  readonly config?: string;
  readonly call?: string;
  readonly seconds?: string;
  readonly past?: boolean;
  readonly reveal?: boolean;
}

export interface Following {
  readonly followed: AsyncGenerator<Followed>;
  readonly dir: string;
  /** To be called at the end: says so where it was the gateway that ended, and lets Ctrl-C be Ctrl-C again. */
  close(): void;
}

const LONGEST_S = 86_400;

/** Undefined where the configuration has problems, which have been printed then. Throws what stands in the way. */
export async function startFollowing(
  options: FollowOptions,
  request: Omit<FollowRequest, 'follow'>,
): Promise<Following | undefined> {
  const seconds = secondsOf(options.seconds);
  const { config, problems } = loadConfig(options.config, { stateDir: options.stateDir });
  if (config === undefined) {
    printProblems(problems);
    return undefined;
  }
  const dir = config.stateDir;
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const answer = await followGateway(
    dir,
    {
      ...request,
      ...(options.call === undefined ? {} : { call: options.call }),
      ...(options.reveal === true ? { reveal: true } : {}),
      ...(options.past === true ? { ends: true, since: 0 } : {}),
    },
    ending.signal,
  );
  switch (answer.kind) {
    case 'forbidden':
      throw new EnvironmentError(
        'cli/not-permitted',
        `the gateway of ${dir} may be asked by its own user and by root only`,
        'run it with sudo',
      );
    case 'nobody':
      throw new EnvironmentError(
        'cli/not-running',
        `no gateway runs with the state directory ${dir}`,
        'start it, or name its directory with --state-dir or its file with --config; `sipalg status` says more',
      );
    case 'refused':
      throw new EnvironmentError(
        'cli/refused',
        `the gateway does not serve this: ${answer.why}`,
        'a gateway of another version has to be restarted; of those who follow, one has to end first',
      );
  }
  const timer = seconds === undefined ? undefined : setTimeout(end, seconds * 1_000);
  process.once('SIGINT', end).once('SIGTERM', end);
  let hasEnded = false;
  async function* toItsEnd(followed: AsyncGenerator<Followed>): AsyncGenerator<Followed> {
    yield* followed;
    hasEnded = true;
  }
  return {
    followed: toItsEnd(answer.followed),
    dir,
    close() {
      clearTimeout(timer);
      process.off('SIGINT', end).off('SIGTERM', end);
      if (hasEnded && !ending.signal.aborted && options.past !== true)
        process.stderr.write('the gateway has ended, or does not serve this any more\n');
    },
  };
}

function secondsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= LONGEST_S))
    throw new UsageError(`--seconds ${text} is not a number from 1 to ${LONGEST_S}`);
  return seconds;
}
