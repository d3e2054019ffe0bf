/**
 * The name of this run, which everything bears that it makes outside its own memory, and what is to be done about
 * things whose run is no longer alive.
 *
 * A name is `sipnet-PID-START`: START is the start time of the process (clock ticks since boot), so that a dead run is
 * known as dead also when its PID is used again.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'sipnet';
/** In a directory of a run: the process that works in it, as `PID START`. */
const PROCESS_FILE = 'process';

export const runName = `${PREFIX}-${process.pid}-${startTime(process.pid)}`;

/** Field 22 of /proc/PID/stat; undefined where there is no such process (or no /proc). */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Whether a name is that of a run, and the run is dead. */
export function isStale(name: string): boolean {
  const [, pid, start] = new RegExp(`^${PREFIX}-(\\d+)-(\\d+)-`).exec(name) ?? [];
  return pid !== undefined && startTime(Number(pid)) !== start;
}

/** A new directory of this run. */
export function newDirectory(kind: string): string {
  return mkdtempSync(join(tmpdir(), `${runName}-${kind}-`));
}

/** Notes which process works in a directory, so that it can be ended where its run did not live to do so. */
export function noteProcess(directory: string, pid: number | undefined): void {
  if (pid !== undefined) writeFileSync(join(directory, PROCESS_FILE), `${pid} ${startTime(pid)}`);
}

/** Removes the directories of dead runs, and ends the processes noted in them. */
export function removeStaleDirectories(): string[] {
  return readdirSync(tmpdir()).filter((name) => {
    if (!isStale(name)) return false;
    const directory = join(tmpdir(), name);
    try {
      endNotedProcess(directory);
      rmSync(directory, { recursive: true, force: true });
      return true;
    } catch {
      // It is another user's.
      return false;
    }
  });
}

function endNotedProcess(directory: string): void {
  let noted: string;
  try {
    noted = readFileSync(join(directory, PROCESS_FILE), 'latin1');
  } catch {
    return;
  }
  const [pid, start] = noted.split(' ');
  if (start !== undefined && startTime(Number(pid)) === start) process.kill(Number(pid), 'SIGKILL');
}
