/** A small table in a JSON file of the state directory, for its owner only: host keys, values that are put back. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { RouterError } from './drive/failure.ts';

/** Nobody has more routers than that; the oldest go. */
const MAX_ENTRIES = 1000;

/** Empty where there is no file yet. Throws where it holds something else: what was known must not be forgotten silently. */
export function readTable(path: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw unreadable(path, String((error as NodeJS.ErrnoException).code));
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Readonly<Record<string, unknown>>;
  } catch {
    // Said below.
  }
  throw unreadable(path, 'it holds no table');
}

/** The entry becomes the youngest. */
export function writeEntry(path: string, name: string, entry: unknown): void {
  const others = Object.entries(readTable(path)).filter(([one]) => one !== name);
  const kept = Object.fromEntries([...others.slice(-MAX_ENTRIES + 1), [name, entry]]);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function unreadable(path: string, why: string): RouterError {
  return new RouterError(
    'routers/state-not-readable',
    `${path} cannot be read (${why})`,
    'nothing was sent. Mend the file or move it away; --state-dir DIR names another folder',
  );
}
