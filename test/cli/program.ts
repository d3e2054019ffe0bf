/** Runs bin/sipalg as a user does. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Standard output as bytes. */
  readonly bytes: Buffer;
}

export function sipalg(
  args: readonly string[],
  input?: string | Uint8Array,
  env: NodeJS.ProcessEnv = {},
): Ended {
  const ended = spawnSync(`${root}bin/sipalg`, args, {
    cwd: root,
    input,
    env: { ...process.env, NO_COLOR: '1', ...env },
    timeout: 60_000,
  });
  return {
    code: ended.status,
    out: ended.stdout.toString(),
    err: ended.stderr.toString(),
    bytes: ended.stdout,
  };
}
