/** The first page of a device: title, Server, realm, certificate, favicon. No password is sent, no redirect leads elsewhere. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { askHttp, type HttpAnswer, type HttpPlace } from '../drive/http.ts';
import { type Evidence, evidence } from './evidence.ts';

const MAX_REDIRECTS = 3;

/** `paths` are those which some recipe knows as telling. */
export async function askWeb(
  host: string,
  port: number,
  secure: boolean,
  paths: readonly string[],
  timeoutMs: number,
): Promise<Evidence[]> {
  const where = `tcp ${port}`;
  const certificate: Evidence[] = [];
  const seen = (socket: Socket): void => {
    if (socket instanceof TLSSocket && certificate.length === 0)
      certificate.push(...certificateEvidence(socket, where));
  };
  const place: HttpPlace = { host, port, secure, timeoutMs, seen };
  const get = (path: string): Promise<HttpAnswer | undefined> =>
    askHttp(place, { method: 'GET', path }).catch(() => undefined);

  const found: Evidence[] = [];
  let path = '/';
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const answer = await get(path);
    if (answer === undefined) return [...certificate, ...found];
    found.push(...pageEvidence(answer, where));
    const next = redirectOf(answer, place);
    if (next === undefined) break;
    path = next;
  }
  const icon = await get('/favicon.ico');
  if (icon?.status === 200 && icon.body !== '' && !/^\s*</.test(icon.body))
    found.push(...evidence('favicon', createHash('md5').update(icon.body, 'latin1').digest('hex'), where));
  const answers = await Promise.all(paths.map(async (one) => ({ one, answer: await get(one) })));
  for (const { one, answer } of answers)
    if (answer?.status === 200) found.push(...evidence('http-path', one, where));
  return [...certificate, ...found].filter(
    (one, i, all) => all.findIndex(({ kind, value }) => kind === one.kind && value === one.value) === i,
  );
}

export function pageEvidence({ headers, body }: HttpAnswer, where: string): Evidence[] {
  const title = /<title[^>]*>([^<]{1,300})<\/title/i.exec(body)?.[1];
  const realm = /realm="?([^",]{1,200})/i.exec(headers['www-authenticate'] ?? '')?.[1];
  return [
    ...evidence('http-title', title?.replaceAll(/\s+/g, ' '), where),
    ...evidence('http-server', headers.server, where),
    ...evidence('http-realm', realm, where),
  ];
}

/** To another page of the same device and port; by Location, or as old devices do it. */
function redirectOf(
  { status, headers, body }: HttpAnswer,
  { host, port, secure }: HttpPlace,
): string | undefined {
  const target =
    status >= 300 && status < 400
      ? headers.location
      : (/<meta[^>]+http-equiv="?refresh"?[^>]+url=([^"'>\s]+)/i.exec(body)?.[1] ??
        /(?:window|document|top|self)\.location(?:\.href)?\s*=\s*["']([^"']+)["']/i.exec(
          body.slice(0, 4000),
        )?.[1]);
  if (target === undefined) return undefined;
  const base = `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}/`;
  if (!URL.canParse(target, base)) return undefined;
  const url = new URL(target, base);
  return url.origin === new URL(base).origin ? `${url.pathname}${url.search}` : undefined;
}

function certificateEvidence(socket: TLSSocket, where: string): Evidence[] {
  const { subject, issuer } = socket.getPeerCertificate();
  const name = (fields: object | undefined): string =>
    Object.entries(fields ?? {})
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(', ');
  return [
    ...evidence('certificate', name(subject), where),
    ...(name(issuer) === name(subject) ? [] : evidence('certificate', name(issuer), where)),
  ];
}
