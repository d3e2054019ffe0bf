/**
 * Who may ask. Three questions, each enough to keep a stranger's web page out: under which name it was asked for (DNS
 * rebinding), from which page (cross-site requests), and with which token.
 */
import { isIP } from 'node:net';
import { isToken } from './access.ts';

export interface Asked {
  readonly method: string;
  /** The header fields, in lower case. */
  readonly header: (name: string) => string | undefined;
}

export interface Admission {
  readonly token: string;
  /** Names that are right besides localhost and literal addresses, in lower case. */
  readonly names: readonly string[];
}

export interface Refusal {
  readonly status: 400 | 401 | 403 | 415;
  readonly code: `console/${string}`;
  readonly what: string;
  readonly remedy: string;
}

/** What is wrong with a request whoever makes it; undefined: nothing. */
export function refuseStranger({ method, header }: Asked, { names }: Admission): Refusal | undefined {
  const host = header('host');
  if (host === undefined || !isOurName(host, names))
    return {
      status: 403,
      code: 'console/wrong-host',
      what: 'the console is not known by that name',
      remedy: 'ask for it by its address, or put the name into console.names of the configuration',
    };
  const origin = header('origin');
  const site = header('sec-fetch-site');
  const isForeign =
    (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) ||
    // "none": typed or opened from a bookmark (W3C Fetch Metadata).
    (site !== undefined && site !== 'same-origin' && site !== 'none');
  if (isForeign && !(method === 'GET' && header('sec-fetch-mode') === 'navigate'))
    return {
      status: 403,
      code: 'console/other-site',
      what: 'another page asks',
      remedy: 'open the console itself; a script sends no Origin',
    };
  if (method !== 'GET' && method !== 'HEAD' && method !== 'DELETE') {
    const type = header('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
    if (type !== 'application/json')
      return {
        status: 415,
        code: 'console/not-json',
        what: 'the body has to be JSON',
        remedy: 'send Content-Type: application/json',
      };
  }
  return undefined;
}

/** Whether the right token comes with it. */
export function refuseWithoutToken({ header }: Asked, { token }: Admission): Refusal | undefined {
  const given = /^bearer ([\w.~+/=-]{1,200})$/i.exec(header('authorization') ?? '')?.[1];
  if (given !== undefined && isToken(given, token)) return undefined;
  return {
    status: 401,
    code: 'console/wrong-token',
    what: given === undefined ? 'a token is needed' : 'the token is wrong',
    remedy: '`sipalg console` on the gateway prints the address with the right one',
  };
}

/** Nobody can make the name system say that a literal address is somebody else's page. */
function isOurName(host: string, names: readonly string[]): boolean {
  const match = /^(\[[\da-fA-F:.]+\]|[\w.-]+?)\.?(?::\d{1,5})?$/.exec(host);
  if (match === null) return false;
  const name = match[1]!.toLowerCase();
  return name === 'localhost' || isIP(name.replace(/^\[|\]$/g, '')) !== 0 || names.includes(name);
}
