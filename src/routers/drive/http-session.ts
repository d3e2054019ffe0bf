/**
 * An HTTP interface of a device, with the login that its recipe describes: HTTP authentication, or requests that fetch a
 * session and a token, prove the password, and carry both with every request after that. What a token is called, where it
 * comes from and where it goes is data of the recipe.
 *
 * The password goes to this one host, once a login. Where session or token run out, it logs in anew, once, and the request
 * that was refused for it is sent again; any other refusal ends it.
 */
import { isExpected, meaningOf } from '../meaning.ts';
import type { Procedure, Step } from '../schema.ts';
import { derived, fillKnown, isPlain, namesIn, takeFrom, textsOf } from '../values.ts';
import { printable, RouterError } from './failure.ts';
import { askHttp, type HttpAnswer, type HttpPlace } from './http.ts';

export interface HttpLogin {
  readonly user: string;
  readonly password: string;
}

/** Shorter values are not hidden: they would hide everything else that is spelt like them. */
const SHORTEST_SECRET = 4;
const MOST_SECRETS = 200;

export class HttpSession {
  readonly #place: HttpPlace;
  readonly #procedure: Procedure;
  readonly #login: HttpLogin;
  #values = new Map<string, string>();
  readonly #secrets = new Set<string>();

  constructor(place: HttpPlace, procedure: Procedure, login: HttpLogin) {
    this.#place = { ...place, broken: 'routers/hung-up' };
    this.#procedure = procedure;
    this.#login = login;
    this.#secrets.add(login.password);
  }

  async logIn(): Promise<void> {
    const { user, password } = this.#login;
    this.#values = new Map([
      ['user', user],
      ['password', password],
    ]);
    for (const step of this.#procedure.login?.requests ?? []) await this.#logInBy(step);
  }

  /** One request of the procedure; after a new login where the old one has run out. */
  async perform(step: Step): Promise<{ readonly text: string; readonly whole: string }> {
    let answer = await this.#send(step);
    if (this.#isOver(answer)) {
      await this.logIn();
      answer = await this.#send(step);
      if (this.#isOver(answer))
        throw new RouterError(
          'routers/refused',
          `the device logs us in, and then says that nobody is logged in (${printable(this.#hide(answer.body), 120)})`,
          'nothing was sent after it. Somebody else may be logged in: close other pages of the device, and try again',
        );
    }
    const { status, body } = answer;
    const { method, path } = requestOf(step);
    if (status === 401 || status === 403) throw this.#wrongPassword(`HTTP ${status}`);
    if (status < 200 || status > 299)
      throw new RouterError(
        'routers/surprise',
        `${method} ${path}: HTTP ${status}`,
        'nothing was sent after it. The firmware may be another than the recipe is for',
      );
    this.#takeAlong(answer);
    return { text: this.#hide(body), whole: wholeOf(answer) };
  }

  async #logInBy(step: Step): Promise<void> {
    const answer = await this.#send(step);
    const { status, body } = answer;
    const meaning = meaningOf(step, { text: body, prompt: '' });
    const proving = [...textsOf(step), ...(this.#procedure.login?.headers ?? []).map(({ value }) => value)]
      .flatMap(namesIn)
      .some((name) => name === 'password' || this.#derivation(name) !== undefined);
    const refused = meaning === 'failed' || status === 401 || status === 403;
    if (refused && proving) throw this.#wrongPassword(printable(this.#hide(body), 120) || `HTTP ${status}`);
    const taken = takeFrom(step.take, wholeOf(answer));
    if (refused || status < 200 || status > 299 || !isExpected(step, meaning, body) || taken === undefined)
      throw new RouterError(
        'routers/surprise',
        `at the login the device says something that the recipe does not expect: HTTP ${status} "${printable(this.#hide(body), 200)}"`,
        'nothing was sent after it. The firmware may be another than the recipe is for; --procedure names another one of it',
      );
    this.#learn(taken);
    this.#takeAlong(answer);
  }

  #isOver(answer: HttpAnswer): boolean {
    const renew = this.#procedure.login?.renew;
    return renew !== undefined && new RegExp(renew, 'imu').test(wholeOf(answer));
  }

  /** What any answer may bring: each pattern for itself. */
  #takeAlong(answer: HttpAnswer): void {
    for (const pattern of this.#procedure.login?.take ?? [])
      this.#learn(takeFrom([pattern], wholeOf(answer)) ?? new Map());
  }

  #learn(taken: ReadonlyMap<string, string>): void {
    for (const [name, value] of taken) {
      if (!isPlain(value))
        throw new RouterError(
          'routers/surprise',
          `at the login the device gives a ${name} that cannot be sent back`,
          'nothing was sent after it',
        );
      this.#values.set(name, value);
      if (this.#secrets.size < MOST_SECRETS) this.#secrets.add(value);
    }
  }

  #send(step: Step): Promise<HttpAnswer> {
    const { login } = this.#procedure;
    const { user, password } = this.#login;
    const { method, path, body, type, headers } = requestOf(step);
    const needed = [...textsOf(step), ...(login?.headers ?? []).map(({ value }) => value)].flatMap(namesIn);
    const values = this.#with(needed);
    const known = (login?.headers ?? []).filter(({ value }) =>
      namesIn(value).every((name) => values.has(name)),
    );
    const fields = [...known, ...headers].map(
      ({ name, value }) => [name.toLowerCase(), fillKnown(value, values)] as const,
    );
    const basic = login?.kind === 'http-basic' && login.requests.length === 0;
    return askHttp(this.#place, {
      method,
      path: fillKnown(path, values, encodeURIComponent),
      headers: {
        ...(basic ? { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` } : {}),
        ...(type === undefined ? {} : { 'content-type': type }),
        ...Object.fromEntries(fields),
      },
      ...(body === undefined ? {} : { body: fillKnown(body, values, writerFor(type)) }),
    });
  }

  /** The values, and those derived from them that are needed now: a proof stands on the token of the moment. */
  #with(needed: readonly string[]): Map<string, string> {
    const values = new Map(this.#values);
    if (!needed.some((name) => this.#derivation(name) !== undefined)) return values;
    for (const { name, from, by } of this.#procedure.login?.derive ?? []) {
      if (!namesIn(from).every((one) => values.has(one))) continue;
      values.set(name, derived(fillKnown(from, values), by));
      this.#secrets.add(values.get(name)!);
    }
    return values;
  }

  #derivation(name: string): object | undefined {
    return this.#procedure.login?.derive.find((one) => one.name === name);
  }

  #hide(text: string): string {
    return [...this.#secrets]
      .filter((secret) => secret.length >= SHORTEST_SECRET || secret === this.#login.password)
      .reduce((left, secret) => (secret === '' ? left : left.replaceAll(secret, '********')), text);
  }

  #wrongPassword(says: string): RouterError {
    return new RouterError(
      'routers/wrong-password',
      `${this.#place.host} does not let "${this.#login.user}" in (${says})`,
      'it was tried once; --user names another user',
    );
  }
}

function requestOf({ request }: Step): NonNullable<Step['request']> {
  if (request !== undefined) return request;
  throw new RouterError('routers/refused', 'this step of the recipe is not a request', 'do it by hand');
}

/** As a person would see it: status, header fields, body. */
function wholeOf({ status, headers, body }: HttpAnswer): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value ?? ''}`);
  return [`HTTP ${status}`, ...fields, '', body].join('\n');
}

/** A value has to be written as the body is, so that a quotation mark in a password ends nothing. */
function writerFor(type: string | undefined): (value: string) => string {
  if (/json/i.test(type ?? '')) return (value) => JSON.stringify(value).slice(1, -1);
  if (/xml/i.test(type ?? ''))
    return (value) => value.replaceAll(/[<>&"']/g, (c) => `&#${String(c.charCodeAt(0))};`);
  return encodeURIComponent;
}
