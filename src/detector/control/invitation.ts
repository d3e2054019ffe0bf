/**
 * What a client has to know of a reflector, as one word that can be copied: `HOST:PORT/TOKEN/PIN`. The reflector prints it.
 *
 * TOKEN lets the client in. PIN is the SHA-256 of the public key of the reflector's certificate (SubjectPublicKeyInfo, as
 * in RFC 7469 §2.4), so that a self-signed certificate is as good as any, and a box that breaks TLS open is seen.
 * Without a pin the certificate has to be one that this machine trusts.
 */
import { createHash, X509Certificate } from 'node:crypto';

export interface Invitation {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly pin: string | undefined;
}

export const CONTROL_PORT = 443;
const PATTERN =
  /^(?:sipalg:\/\/)?(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?\/([A-Za-z0-9_-]{16,128})(?:\/([A-Za-z0-9_-]{43}))?$/;

/** Undefined where the text is not an invitation. */
export function parseInvitation(text: string): Invitation | undefined {
  const match = PATTERN.exec(text.trim());
  if (match === null) return undefined;
  const port = match[3] === undefined ? CONTROL_PORT : Number(match[3]);
  if (port < 1 || port > 65_535) return undefined;
  return { host: match[1] ?? match[2]!, port, token: match[4]!, pin: match[5] };
}

export function formatInvitation({ host, port, token, pin }: Invitation): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${name}:${port}/${token}${pin === undefined ? '' : `/${pin}`}`;
}

/** The pin of a certificate in DER or PEM. */
export function pinOf(certificate: Buffer | string): string {
  const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('base64url');
}
