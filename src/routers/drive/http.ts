/**
 * The HTTP interface of a router: the requests of a recipe, one after another, to the device and nowhere else. A redirect
 * is an answer, not a way to follow.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { RouterError } from './failure.ts';

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

export interface HttpPlace {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly timeoutMs: number;
  /** What it is called when the device breaks a connection that was there. Default: `routers/unreachable`. */
  readonly broken?: 'routers/hung-up';
  /** Told the certificate, where there is one. Routers sign their own; who is asked about it is the caller's affair. */
  readonly seen?: (socket: IncomingMessage['socket']) => void;
}

/** Descriptions and pages of routers are far smaller. */
const MAX_BODY = 512 * 1024;

export function askHttp(
  place: HttpPlace,
  { method, path, headers = {}, body }: HttpRequest,
): Promise<HttpAnswer> {
  const { host, port, secure, timeoutMs } = place;
  return new Promise((resolve, reject) => {
    const fail = (
      why: string,
      code: 'routers/unreachable' | 'routers/hung-up' = 'routers/unreachable',
    ): void => {
      clearTimeout(timer);
      request.destroy();
      reject(
        new RouterError(
          code,
          `no HTTP answer from ${host} port ${port} (${why})`,
          'look whether the web page of the device opens there; --port names another port',
        ),
      );
    };
    const timer = setTimeout(() => fail('no answer in time'), timeoutMs);
    const request = (secure ? requestHttps : requestHttp)(
      {
        host,
        port,
        method,
        path,
        agent: false,
        headers: {
          connection: 'close',
          ...headers,
          ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        },
        // Routers sign their own certificates, and old ones know old TLS only.
        ...(secure
          ? { rejectUnauthorized: false, minVersion: 'TLSv1' as const, ciphers: 'DEFAULT:@SECLEVEL=0' }
          : {}),
      },
      (response) => {
        place.seen?.(response.socket);
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_BODY) fail(`more than ${MAX_BODY / 1024} KiB`);
          else chunks.push(chunk);
        });
        response.on('error', (error) => fail(error.message, place.broken));
        response.on('end', () => {
          clearTimeout(timer);
          const named = Object.entries(response.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(', ') : value,
          ]);
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(named),
            body: Buffer.concat(chunks).toString('latin1'),
          });
        });
      },
    );
    request.on('error', (error) => {
      const { code = error.message } = error as NodeJS.ErrnoException;
      fail(code, code === 'ECONNRESET' || code === 'EPIPE' ? place.broken : undefined);
    });
    request.end(body);
  });
}
