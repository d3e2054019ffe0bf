/**
 * The host keys of routers, as they were first seen. One that is another than last time is refused: either somebody
 * stands in between, or the device was reset, and only its owner can tell.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Nobody has more routers than that; the oldest go. */
const MAX_HOSTS = 1000;

export class HostKeys {
  readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, 'router-host-keys.json');
  }

  known(host: string, port: number): string | undefined {
    return this.#read()[`${host} ${port}`];
  }

  remember(host: string, port: number, fingerprint: string): void {
    const entries = Object.entries(this.#read()).filter(([name]) => name !== `${host} ${port}`);
    const kept = Object.fromEntries([...entries.slice(-MAX_HOSTS + 1), [`${host} ${port}`, fingerprint]]);
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    writeFileSync(`${this.path}.new`, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${this.path}.new`, this.path);
  }

  #read(): Record<string, string> {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch {
      return {};
    }
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return {};
    return Object.fromEntries(
      Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  }
}

/** As OpenSSH shows it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}
