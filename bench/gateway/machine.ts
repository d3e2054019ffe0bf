/**
 * What the kernel tells about the machine and about processes.
 *
 * Facts relied on (proc(5)):
 * - /proc/PID/stat: fields 14 and 15 are user and system time of all threads in clock ticks of 10 ms. Their sum is exact (it
 *   comes from the scheduler's clock); how it splits into user and system is sampled.
 * - Without CONFIG_IRQ_TIME_ACCOUNTING a process is charged with the softirqs that run on top of it: who sends a packet through
 *   a virtual link pays for the forwarding.
 * - /proc/stat counts the whole machine, whoever uses it.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';

const TICK_S = 0.01;

export interface CpuTime {
  readonly userS: number;
  readonly systemS: number;
}

export interface MachineTime {
  readonly userS: number;
  readonly systemS: number;
  readonly softirqS: number;
  /** Wall clock. */
  readonly atMs: number;
}

/** Undefined once the process has ended. */
export function processTime(pid: number): CpuTime | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { userS: Number(fields[11]) * TICK_S, systemS: Number(fields[12]) * TICK_S };
  } catch {
    return undefined;
  }
}

/** CPU seconds of all threads of a process, to the nanosecond: /proc/PID/task/TID/schedstat, its first field. */
export function preciseCpuS(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).reduce((sum, task) => {
    try {
      return sum + Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ', 1)[0]) / 1e9;
    } catch {
      // The thread has ended.
      return sum;
    }
  }, 0);
}

/** CPU seconds of each thread of a process, by its id, as exactly; a thread's name has 15 letters. */
export function threadTimes(pid: number): Map<string, { readonly name: string; readonly cpuS: number }> {
  const times = new Map<string, { readonly name: string; readonly cpuS: number }>();
  const tasks = `/proc/${pid}/task`;
  for (const id of readdirSync(tasks)) {
    const [ns] = readFileSync(`${tasks}/${id}/schedstat`, 'latin1').split(' ', 1);
    const name = readFileSync(`${tasks}/${id}/comm`, 'latin1').trim();
    times.set(id, { name, cpuS: Number(ns) / 1e9 });
  }
  return times;
}

export function machineTime(): MachineTime {
  const [, user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)[0]!
    .split(/\s+/)
    .map(Number);
  return {
    userS: (user! + nice!) * TICK_S,
    systemS: system! * TICK_S,
    softirqS: (irq! + softirq!) * TICK_S,
    atMs: performance.now(),
  };
}

/** System and softirq seconds of the machine from one reading to another. */
export function kernelSeconds(from: MachineTime, to: MachineTime): number {
  return to.systemS - from.systemS + to.softirqS - from.softirqS;
}

export interface Memory {
  readonly residentMb: number;
  readonly peakMb: number;
}

export function memory(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const mb = (key: string): number =>
    Math.round(Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 102.4) / 10;
  return { residentMb: mb('VmRSS'), peakMb: mb('VmHWM') };
}

export function facts(root: string): Record<string, string | number> {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();
  return {
    date: new Date().toISOString(),
    commit:
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--short', '--', 'src') === '' ? '' : ' + changes'),
    cpu: `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores`,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: `${release()} ${arch()}`,
    node: process.version,
    conntrackBuckets: Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_buckets', 'latin1')),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The value below which a share of all values lies, 0 to 1; `sorted` ascends. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
