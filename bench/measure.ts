/** CPU time of one call: user and system time of this process, median of rounds after a warm-up. */
const ROUNDS = 9;
const WARM_UP = 20_000;
const CALLS = 20_000;

export function medianCpuMicroseconds(call: () => unknown): number {
  for (let i = 0; i < WARM_UP; i++) call();
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < CALLS; i++) call();
    const { user, system } = process.cpuUsage(before);
    rounds.push((user + system) / CALLS);
  }
  return rounds.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
}

export function report(what: string, microseconds: number): void {
  console.log(`${what.padEnd(60)} ${microseconds.toFixed(2).padStart(8)} µs`);
}
