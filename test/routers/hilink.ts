/**
 * A HiLink device that is none: a real HTTP server with the dialogue that clients of that interface have in common. A session
 * cookie, tokens that serve once, a proof of the password (or, as older ones want it, its base64), XML, errors by code.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { closing, listen, PASSWORD, type Simulator, USER } from './simulator.ts';

export type HilinkTrouble =
  | 'none'
  | 'refusal'
  | 'surprise'
  | 'expires'
  | 'expires-always'
  | 'not-supported'
  | 'does-not-stick'
  | 'hang-up';

const hash = (text: string): string =>
  Buffer.from(createHash('sha256').update(text).digest('hex')).toString('base64');

export class Hilink {
  readonly older: boolean;
  readonly trouble: HilinkTrouble;
  readonly sip = { status: '1', port: '5070' };
  /** Method, path and body of everything that came. */
  readonly heard: string[] = [];
  logins = 0;
  #session = '';
  #tokens = new Set<string>();
  #loggedIn = false;
  #expired = false;

  constructor(trouble: HilinkTrouble = 'none', older = false) {
    this.trouble = trouble;
    this.older = older;
  }

  answer(request: IncomingMessage, body: string, response: ServerResponse): void {
    const path = request.url ?? '';
    this.heard.push(`${request.method} ${path} ${body}`.trim());
    const say = (xml: string): void => {
      response.setHeader('content-type', 'application/xml');
      response.end(`<?xml version="1.0" encoding="UTF-8"?>\r\n${xml}`);
    };
    const fail = (code: number): void => say(`<error><code>${code}</code><message></message></error>`);
    const known =
      (request.headers.cookie ?? '').includes(`SessionID=${this.#session}`) && this.#session !== '';
    if (path === '/') {
      this.#session = randomBytes(16).toString('hex');
      response.setHeader('set-cookie', `SessionID=${this.#session};path=/;HttpOnly;`);
      response.end('<html><head><title>HiLink</title></head></html>');
      return;
    }
    if (path === '/api/webserver/SesTokInfo') {
      if (this.older) return fail(100002);
      this.#session = randomBytes(16).toString('hex');
      return say(
        `<response><SesInfo>SessionID=${this.#session}</SesInfo><TokInfo>${this.#newToken()}</TokInfo></response>`,
      );
    }
    if (path === '/api/webserver/token')
      return this.older && known
        ? say(`<response><token>${this.#newToken()}</token></response>`)
        : fail(100002);
    if (path === '/api/user/state-login')
      return say(
        `<response><State>-1</State><password_type>${this.older ? 0 : 4}</password_type></response>`,
      );
    if (!known) return fail(125002);
    const token = String(request.headers.__requestverificationtoken ?? '');
    if (request.method === 'POST' && !this.#tokens.delete(token)) return fail(125003);
    if (path === '/api/user/login') {
      this.logins++;
      const proof = this.older
        ? Buffer.from(PASSWORD).toString('base64')
        : hash(`${USER}${hash(PASSWORD)}${token}`);
      if (!body.includes(`<Username>${USER}</Username>`) || !body.includes(`<Password>${proof}</Password>`))
        return fail(108006);
      this.#loggedIn = true;
      this.#session = randomBytes(16).toString('hex');
      response.setHeader('set-cookie', `SessionID=${this.#session};path=/;HttpOnly;`);
      response.setHeader('__RequestVerificationTokenone', this.#newToken());
      response.setHeader('__RequestVerificationTokentwo', this.#newToken());
      return say('<response>OK</response>');
    }
    if (path !== '/api/security/sip') return fail(100002);
    if (!this.#loggedIn) return fail(100003);
    if (this.trouble === 'not-supported') return fail(100002);
    if (request.method === 'GET')
      return say(
        `<response><SipStatus>${this.sip.status}</SipStatus><SipPort>${this.sip.port}</SipPort></response>`,
      );
    if (this.trouble === 'expires-always' || (this.trouble === 'expires' && !this.#expired)) {
      this.#expired = true;
      this.#loggedIn = false;
      this.#session = '';
      return fail(125002);
    }
    if (this.trouble === 'hang-up' && !this.#expired) {
      this.#expired = true;
      request.socket.destroy();
      return;
    }
    if (this.trouble === 'refusal') return fail(100005);
    if (this.trouble === 'surprise') return say('<response>MAINTENANCE</response>');
    if (this.trouble !== 'does-not-stick') {
      this.sip.status = /<SipStatus>(\d)</.exec(body)![1]!;
      this.sip.port = /<SipPort>(\d+)</.exec(body)![1]!;
    }
    response.setHeader('__RequestVerificationToken', this.#newToken());
    return say('<response>OK</response>');
  }

  #newToken(): string {
    const token = randomBytes(16).toString('base64');
    this.#tokens.add(token);
    return token;
  }
}

/** A real HTTP server for a device that answers whole requests. */
export async function httpDevice(device: {
  answer(request: IncomingMessage, body: string, response: ServerResponse): void;
}): Promise<Simulator> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1');
    });
    request.on('end', () => device.answer(request, body, response));
  });
  await listen(server);
  return closing(server, () => server.closeAllConnections());
}
