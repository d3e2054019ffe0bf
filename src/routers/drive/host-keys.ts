/**
 * The host keys of routers, as they were first seen. One that is another than last time is refused: either somebody
 * stands in between, or the device was reset, and only its owner can tell.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readTable, writeEntry } from '../state-file.ts';

export class HostKeys {
  readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, 'router-host-keys.json');
  }

  known(host: string, port: number): string | undefined {
    const fingerprint = readTable(this.path)[`${host} ${port}`];
    return typeof fingerprint === 'string' ? fingerprint : undefined;
  }

  remember(host: string, port: number, fingerprint: string): void {
    writeEntry(this.path, `${host} ${port}`, fingerprint);
  }
}

/** As OpenSSH shows it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}
