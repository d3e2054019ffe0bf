/**
 * Who a reflector is: its key, its certificate, and the token that lets clients in. Made once and kept in the state
 * directory, so that an invitation stays good through restarts. The file is for its owner alone.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Identity, makeIdentity } from './certificate.ts';

export interface KeptIdentity extends Identity {
  readonly token: string;
}

const FILE = 'reflector.json';

/** Reads it, or makes it where there is none. `newToken` makes all invitations given out so far void. */
export function keptIdentity(dir: string, now: Date, newToken = false): KeptIdentity {
  const known = readIdentity(join(dir, FILE));
  if (known !== undefined && !newToken) return known;
  const identity = {
    ...(known ?? makeIdentity('reflector', now)),
    token: randomBytes(16).toString('base64url'),
  };
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const draft = join(dir, `${FILE}.new`);
  writeFileSync(draft, `${JSON.stringify(identity, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, join(dir, FILE));
  return identity;
}

/** Undefined where there is none; throws where the file is damaged: a new key would void every invitation. */
function readIdentity(path: string): KeptIdentity | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { key, certificate, token } = JSON.parse(text) as Record<string, unknown>;
    if (typeof key === 'string' && typeof certificate === 'string' && typeof token === 'string') {
      new X509Certificate(certificate);
      return { key, certificate, token };
    }
  } catch {
    // Told below.
  }
  throw new IdentityError(path);
}

export class IdentityError extends Error {
  readonly code = 'detector/identity-damaged';
  readonly hint: string;

  constructor(path: string) {
    super(`${path} is not what sipalg wrote`);
    this.name = 'IdentityError';
    this.hint = 'bring it back from a backup, or remove it: a new one is made then, with a new invitation';
  }
}
