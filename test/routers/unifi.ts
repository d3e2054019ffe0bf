/**
 * A console with UniFi OS that is none: a real HTTP server with the login that clients have in common, a cookie and a token that
 * changes with each answer, and the one object with the switch.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { PASSWORD, USER } from './simulator.ts';

export class UnifiConsole {
  /** Of the settings; another in each network. */
  readonly id = '5f0c1d2e3a4b5c6d7e8f9012';
  sipModule = true;
  logins = 0;
  readonly heard: string[] = [];
  #session = '';
  #token = '';
  /** How many answers a session lasts. */
  readonly #lasts: number;
  #left = 0;

  constructor(lasts = 1000) {
    this.#lasts = lasts;
  }

  answer(request: IncomingMessage, body: string, response: ServerResponse): void {
    const say = (status: number, value: object): void => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
      response.end(JSON.stringify(value));
    };
    const refused = { meta: { rc: 'error', msg: 'api.err.LoginRequired' }, data: [] };
    this.heard.push(`${request.method} ${request.url}`);
    if (request.url === '/') return say(200, {});
    if (request.url === '/api/auth/login') {
      this.logins++;
      const { username, password } = JSON.parse(body) as { username: string; password: string };
      if (username !== USER || password !== PASSWORD)
        return say(403, { code: 'AUTHENTICATION_FAILED_INVALID_CREDENTIALS' });
      this.#session = `${randomUUID()}.${randomUUID()}`;
      this.#token = randomUUID();
      this.#left = this.#lasts;
      response.setHeader('set-cookie', [
        'other=1; path=/',
        `TOKEN=${this.#session}; path=/; samesite=strict; secure; httponly`,
      ]);
      response.setHeader('X-CSRF-Token', this.#token);
      return say(200, { unique_id: randomUUID(), username });
    }
    if (request.headers.cookie !== `TOKEN=${this.#session}` || this.#left-- <= 0) return say(401, refused);
    const settings = '/proxy/network/api/s/default/rest/setting/usg';
    if (request.method === 'GET' && request.url === settings)
      return say(200, {
        meta: { rc: 'ok' },
        data: [{ _id: this.id, key: 'usg', h323_module: true, sip_module: this.sipModule }],
      });
    if (request.headers['x-csrf-token'] !== this.#token) return say(403, refused);
    if (request.method !== 'PUT' || request.url !== `${settings}/${this.id}`)
      return say(404, { meta: { rc: 'error', msg: 'api.err.NotFound' } });
    this.sipModule = (JSON.parse(body) as { sip_module: boolean }).sip_module;
    this.#token = randomUUID();
    response.setHeader('X-Updated-CSRF-Token', this.#token);
    return say(200, { meta: { rc: 'ok' }, data: [{ _id: this.id, sip_module: this.sipModule }] });
  }
}
