/** What the gateway announces to the service manager that started it; nothing where it was started by hand. */
import type { Log } from '../observe/log.ts';

export interface Announcer {
  /** It does what it was told to, which may be to rest; `status` says which. Feeds the watchdog from then on. */
  ready(status: string): void;
  reloading(): void;
  stopping(): void;
  close(): void;
}

const nobody: Announcer = { ready: () => {}, reloading: () => {}, stopping: () => {}, close: () => {} };

export async function announcer(log: Log): Promise<Announcer> {
  if (process.platform !== 'linux' || process.env.NOTIFY_SOCKET === undefined) return nobody;
  try {
    const { ServiceManager } = await import('../linux/service-manager.ts');
    return ServiceManager.fromEnvironment(process.env, process.pid) ?? nobody;
  } catch (error) {
    log.notice(
      'gateway.no-service-manager',
      `the service manager cannot be told: ${(error as Error).message}`,
    );
    return nobody;
  }
}
