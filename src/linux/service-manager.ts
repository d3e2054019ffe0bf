/**
 * What the gateway tells the service manager that started it, as sd_notify(3) describes it.
 *
 * Facts relied on:
 * - NOTIFY_SOCKET names an AF_UNIX datagram socket; a leading @ stands for the zero octet of an abstract one. Each datagram
 *   is lines of VARIABLE=VALUE. Where the variable is absent, nobody wants to know.
 * - WATCHDOG_USEC is the time within which WATCHDOG=1 is expected, and WATCHDOG_PID whom it is meant for
 *   (sd_watchdog_enabled(3), which recommends half of it; a third leaves room for two that are late).
 * - RELOADING=1 carries MONOTONIC_USEC, and READY=1 ends it.
 *
 * The watchdog is fed by a timer of the event loop: a loop that stands still feeds nothing, and is killed.
 */
import * as sys from './sys.ts';

export class ServiceManager {
  readonly #path: string;
  readonly #watchdogMs: number | undefined;
  readonly #fd: sys.FileDescriptor;
  #timer: NodeJS.Timeout | undefined;

  /** Undefined where no service manager wants to be told. Throws a `SystemError` where there is no such socket here. */
  static fromEnvironment(env: NodeJS.ProcessEnv, pid: number): ServiceManager | undefined {
    const path = env.NOTIFY_SOCKET;
    if (path === undefined || !/^[/@]./.test(path)) return undefined;
    return new ServiceManager(path, watchdogMs(env, pid));
  }

  constructor(path: string, watchdog: number | undefined) {
    this.#path = path;
    this.#watchdogMs = watchdog;
    this.#fd = sys.socket(sys.AF_UNIX, sys.SOCK_DGRAM, 0);
  }

  /** The start, or a reload, is complete. Feeds the watchdog from now on, where there is one. */
  ready(status: string): void {
    this.#tell('READY=1', `STATUS=${status}`);
    if (this.#watchdogMs === undefined || this.#timer !== undefined) return;
    this.#tell('WATCHDOG=1');
    this.#timer = setInterval(() => this.#tell('WATCHDOG=1'), this.#watchdogMs / 3);
    this.#timer.unref();
  }

  reloading(): void {
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  stopping(): void {
    this.#tell('STOPPING=1', 'STATUS=stopping');
  }

  close(): void {
    clearInterval(this.#timer);
    sys.close(this.#fd);
  }

  /** A manager that is gone, or does not read, is no reason to stand still. */
  #tell(...lines: readonly string[]): void {
    sys.sendToUnix(
      this.#fd,
      Buffer.from(lines.map((line) => line.replaceAll('\n', ' ')).join('\n')),
      this.#path,
    );
  }
}

function watchdogMs(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const ms = Number(env.WATCHDOG_USEC) / 1000;
  if (!(ms > 0) || (env.WATCHDOG_PID !== undefined && Number(env.WATCHDOG_PID) !== pid)) return undefined;
  return ms;
}
