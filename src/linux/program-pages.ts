/**
 * The program's own pages: Node's code and tables, mapped from its file. The kernel counts to a process what it has ever read of them,
 * and a start reads twice as much as the work that follows (parser, snapshot, compiler).
 *
 * Given back, they stay in the page cache for as long as nobody needs the room, and what is read again is there again without a
 * look at the disk. What the process has written is not touched: that would be lost (madvise(2), MADV_DONTNEED). Nor are libraries and
 * other files: they may go while we look, and another thread's memory stand in their place. The program stays where it is.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { forgetPages } from './sys.ts';

/** What a start takes, with what is compiled soon after it. */
export const STARTED_MS = 10_000;

export interface PageRange {
  readonly start: bigint;
  readonly length: number;
}

/** Start and end, permissions, offset, device, inode (0: no file), path (proc_pid_maps(5)). */
const HEAD = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [1-9]\d* +(\/.*)$/m;
const NEXT = /\n(?=[0-9a-f]+-[0-9a-f]+ )/;
const UNWRITTEN = /^Anonymous: +0 kB$/m;

/** What `/proc/PID/smaps` says is mapped from this file, cannot be written, and never was: its relocated tables were. */
export function unwrittenPages(smaps: string, program: string): PageRange[] {
  const ranges: PageRange[] = [];
  for (const mapping of smaps.split(NEXT)) {
    const head = HEAD.exec(mapping);
    if (head === null || head[3] !== program || !UNWRITTEN.test(mapping)) continue;
    const start = BigInt(`0x${head[1]!}`);
    ranges.push({ start, length: Number(BigInt(`0x${head[2]!}`) - start) });
  }
  return ranges;
}

/** Gives back what is not needed now. Whatever keeps it from that, keeps nobody from anything. */
export function returnProgramPages(): void {
  let ranges: readonly PageRange[];
  try {
    ranges = unwrittenPages(readFileSync('/proc/self/smaps', 'utf8'), readlinkSync('/proc/self/exe'));
  } catch {
    return;
  }
  for (const { start, length } of ranges) forgetPages(start, length);
}
