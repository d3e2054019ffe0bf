/**
 * The token of the console: made once, kept in the state directory for the user that runs the gateway and for root.
 *
 * It is sent as `Authorization: Bearer` and never as a cookie: a cookie of 127.0.0.1 goes to every port of this machine
 * (RFC 6265 §8.5), and a browser sends it along with what other pages ask for.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chownSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TOKEN_FILE = 'console-token';
const ADDRESS_FILE = 'console-address';
/** 256 bits in base64url. */
const TOKEN = /^[\w-]{43}$/;

/** The token of a state directory; a new one where there is none, or none that can be trusted. */
export function consoleToken(stateDir: string): string {
  const path = join(stateDir, TOKEN_FILE);
  try {
    const text = readFileSync(path, 'latin1').trim();
    // Somebody else may have read what others may read.
    if (TOKEN.test(text) && (statSync(path).mode & 0o077) === 0) return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const token = randomBytes(32).toString('base64url');
  writePrivately(path, `${token}\n`);
  return token;
}

/** Where `sipalg console` finds the way to a console that runs. */
export function keepAddress(stateDir: string, address: string): void {
  writePrivately(join(stateDir, ADDRESS_FILE), `${address}\n`);
}

export function forgetAddress(stateDir: string): void {
  try {
    unlinkSync(join(stateDir, ADDRESS_FILE));
  } catch {
    // It was not there.
  }
}

/** Undefined where no console runs on this state directory, or did not end in order. */
export function keptAddress(stateDir: string): string | undefined {
  try {
    return readFileSync(join(stateDir, ADDRESS_FILE), 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** In a time that says nothing of how much of it is right. */
export function isToken(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function writePrivately(path: string, text: string): void {
  const draft = `${path}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  const { uid, gid } = statSync(join(path, '..'));
  if (process.getuid?.() === 0) chownSync(draft, uid, gid);
  renameSync(draft, path);
}
