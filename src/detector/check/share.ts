/** Leaves the result of a check at the reflector, where a support desk can look at it. */
import { request } from 'node:https';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Invitation, pinOf } from '../control/invitation.ts';

export interface Shared {
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

const WITHIN_MS = 15_000;
const MOST_ANSWER = 4_096;

/** `html`: the whole report. Throws an error that says why it could not be left there. */
export function shareResult({ host, port, token, pin }: Invitation, html: string): Promise<Shared> {
  const name = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host,
        port,
        method: 'POST',
        path: `/${token}/results`,
        agent: false,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        // With a pin the key is compared below, before anything is said.
        rejectUnauthorized: pin === undefined,
        headers: { 'content-type': 'text/html; charset=utf-8', 'content-length': Buffer.byteLength(html) },
        signal: AbortSignal.timeout(WITHIN_MS),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > MOST_ANSWER) response.destroy(new Error('the reflector answers too much'));
        });
        response.once('error', reject);
        response.once('end', () => {
          const shared = sharedIn(text);
          if (response.statusCode !== 201 || shared === undefined)
            reject(new Error('the reflector is of another version, and takes no results'));
          else resolve({ address: `https://${name}${shared.path}`, expiresAt: shared.expiresAt });
        });
      },
    );
    sent.on('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ECONNRESET'
          ? new Error('the reflector is of another version, and takes no results')
          : error,
      ),
    );
    sent.once('socket', (socket) => {
      socket.once('secureConnect', () => {
        if (pin !== undefined && pinOf((socket as TLSSocket).getPeerCertificate(true).raw) !== pin)
          sent.destroy(new Error(`${name} shows another key than the one in the invitation`));
        else sent.end(html);
      });
    });
    // Opens the connection; the token and the body wait for the key.
  });
}

function sharedIn(text: string): { readonly path: string; readonly expiresAt: number } | undefined {
  try {
    const { path, expiresAt } = JSON.parse(text) as { readonly path?: unknown; readonly expiresAt?: unknown };
    return typeof path === 'string' && /^\/results\/[\w-]{22}$/.test(path) && typeof expiresAt === 'number'
      ? { path, expiresAt }
      : undefined;
  } catch {
    return undefined;
  }
}
