/** What the process says at its end. Scripts match on these, so they never change their meaning. */
export const exitCode = {
  ok: 0,
  /** The command worked, and its answer is no: preflight found an obstacle, a check found a fault. */
  negative: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** The machine does not allow it: rights, interfaces, kernel, missing programs. */
  environment: 3,
  /** The answer is another one than the time before: `monitor --once`. */
  changed: 4,
  /** A bug of ours (EX_SOFTWARE of sysexits.h). */
  bug: 70,
} as const;
