/**
 * The on/off switch, as a file in the state directory: off means off, also after a restart and an upgrade.
 *
 * A file of its own and not a row of the store, so that a person can read and set it with nothing but a shell, and so
 * that a damaged store cannot switch anything on.
 */
import {
  closeSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

export type SwitchPosition = 'on' | 'off';

const FILE = 'switch';

/** On where nobody has ever switched. Content that is not understood is off: doing nothing harms nobody. */
export function readSwitch(dir: string): SwitchPosition {
  let text: string;
  try {
    text = readFileSync(join(dir, FILE), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return 'on';
    throw error;
  }
  return text.trim() === 'on' ? 'on' : 'off';
}

/**
 * On the disk when it returns: a power cut straight afterwards does not undo it. Whoever writes it, it belongs to the
 * owner of the directory: root switches a gateway that runs as a user of its own, and that user has to read it.
 */
export function writeSwitch(dir: string, position: SwitchPosition): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, FILE);
  const draft = `${path}.new`;
  const file = openSync(draft, 'w', 0o600);
  try {
    const { uid, gid } = statSync(dir);
    if (process.getuid?.() === 0) fchownSync(file, uid, gid);
    writeSync(file, `${position}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
  // The name is an entry of the directory, which has to reach the disk too.
  const directory = openSync(dir, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
