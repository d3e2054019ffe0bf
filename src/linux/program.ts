/** The programs of nftables and iproute2, run once and waited for: at start, stop and preflight, never for a packet. */
import { spawnSync } from 'node:child_process';
import { SystemError } from './system-error.ts';

/** A service's PATH often lacks the directories of administration. */
const PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const PACKAGES: Readonly<Record<string, string>> = { nft: 'nftables', ip: 'iproute2' };

/** Runs to the end; never throws for what the program says. */
export function tryRun(program: string, args: readonly string[], input = ''): Run {
  const result = spawnSync(program, args, {
    input,
    encoding: 'utf8',
    env: { ...process.env, PATH, LC_ALL: 'C' },
    maxBuffer: 256 * 1024 * 1024,
  });
  if (result.error !== undefined)
    return { status: 127, stdout: '', stderr: `${program}: ${result.error.message}` };
  return { status: result.status ?? 1, stdout: result.stdout, stderr: result.stderr };
}

export function run(program: string, args: readonly string[], input = ''): string {
  const result = tryRun(program, args, input);
  if (result.status === 127)
    throw new SystemError(
      `linux/no-${program}`,
      `the program ${program} is missing`,
      `install it (Debian: apt-get install ${PACKAGES[program] ?? program})`,
    );
  if (result.status !== 0)
    throw new SystemError(
      `linux/${program}`,
      `${program} ${args.join(' ')}: ${result.stderr.trim() || `exit ${result.status}`}`,
      '`sipalg preflight` names what is missing',
    );
  return result.stdout;
}

/** Applies a ruleset in one transaction. Text only: nft cannot read JSON from the socket that is our stdin. */
export function applyRuleset(text: string): void {
  run('nft', ['-f', '-'], text);
}

/**
 * What `nft -j` prints, parsed; undefined where it fails (no such table, no permission). By default all rules, without what
 * is in sets that have a name: ours hold thousands of elements, and to print those takes longer than all the rest.
 */
export function readRuleset(args: readonly string[] = ['--terse', 'list', 'ruleset']): unknown {
  const result = tryRun('nft', ['-j', ...args]);
  if (result.status !== 0) return undefined;
  try {
    return JSON.parse(result.stdout) as unknown;
  } catch {
    return undefined;
  }
}
