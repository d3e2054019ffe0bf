/** The programs of nftables and iproute2, run once and waited for: at start, stop and preflight, never for a packet. */
import { execFile, spawnSync } from 'node:child_process';
import { SystemError } from './system-error.ts';

/** A service's PATH often lacks the directories of administration. */
const PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const PACKAGES: Readonly<Record<string, string>> = { nft: 'nftables', ip: 'iproute2' };

const OPTIONS = {
  encoding: 'utf8',
  env: { ...process.env, PATH, LC_ALL: 'C' },
  maxBuffer: 256 * 1024 * 1024,
} as const;

/** Runs to the end; never throws for what the program says. */
export function tryRun(program: string, args: readonly string[], input = ''): Run {
  looked.clear();
  return toItsEnd(program, args, input);
}

function toItsEnd(program: string, args: readonly string[], input: string): Run {
  const result = spawnSync(program, args, { ...OPTIONS, input });
  if (result.error !== undefined)
    return { status: 127, stdout: '', stderr: `${program}: ${result.error.message}` };
  return { status: result.status ?? 1, stdout: result.stdout, stderr: result.stderr };
}

const looked = new Map<string, Run>();

/** As `tryRun`, of what changes nothing: asked once in a turn of the loop, unless something else has run since. */
export function look(program: string, args: readonly string[]): Run {
  const key = `${program} ${args.join(' ')}`;
  const known = looked.get(key);
  if (known !== undefined) return known;
  if (looked.size === 0) setImmediate(() => looked.clear());
  const result = toItsEnd(program, args, '');
  looked.set(key, result);
  return result;
}

/** The same, and nobody waits for it. */
export function runAside(program: string, args: readonly string[], input = ''): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(program, args, OPTIONS, (error, stdout, stderr) => {
      const code = error?.code ?? (error === null ? 0 : 1);
      const status = typeof code === 'number' ? code : 127;
      resolve({ status, stdout, stderr: status === 127 ? `${program}: ${error?.message}` : stderr });
    });
    // One that is missing, or reads nothing, has no use for it.
    child.stdin?.on('error', () => {}).end(input);
  });
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
export function readRuleset(args: readonly string[] = ALL_RULES): unknown {
  return printedIn(look('nft', ['-j', ...args]));
}

/** The same, and nobody waits for it. */
export async function readRulesetAside(): Promise<unknown> {
  return printedIn(await runAside('nft', ['-j', ...ALL_RULES]));
}

const ALL_RULES: readonly string[] = ['--terse', 'list', 'ruleset'];

function printedIn(result: Run): unknown {
  if (result.status !== 0) return undefined;
  try {
    return JSON.parse(result.stdout) as unknown;
  } catch {
    return undefined;
  }
}
