/**
 * What the console answers: the page, the HTTP API, the live events.
 *
 * Loaded with the first question: what it needs takes 10 MB, and most gateways are never asked.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import { type Api, type Question, Refused } from './api.ts';
import type { Downloads } from './downloads.ts';
import { type Admission, type Refusal, refuseStranger, refuseWithoutToken } from './guard.ts';
import { type LiveStreams, MOST_STREAMS } from './live.ts';
import { PAGE_POLICY, type PageFile, readPage } from './page-files.ts';
import { type AnsweredId, type Route, routes } from './routes.ts';

export interface AppParts {
  readonly api: Api;
  readonly downloads: Downloads;
  readonly live: LiveStreams;
  /** Of the page; undefined where it has not been built. */
  readonly folder: string | undefined;
  readonly admission: Admission;
}

const MOST_BODY = 64 * 1024;

const always: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

/** Answers one request. */
export function openApp(parts: AppParts): (request: IncomingMessage, response: ServerResponse) => void {
  const { app } = new App(parts);
  const handle = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return (request, response) => void handle(request, response);
}

class App {
  readonly app: Hono<{ Bindings: HttpBindings }>;
  readonly #api: Api;
  readonly #downloads: Downloads;
  readonly #live: LiveStreams;
  readonly #page: ReadonlyMap<string, PageFile> | undefined;

  constructor({ api, downloads, live, folder, admission }: AppParts) {
    this.#api = api;
    this.#downloads = downloads;
    this.#live = live;
    this.#page = folder === undefined ? undefined : readPage(folder);
    this.app = this.#routed(admission);
  }

  #routed(admission: Admission): Hono<{ Bindings: HttpBindings }> {
    const app = new Hono<{ Bindings: HttpBindings }>();
    app.use(async (context, next) => {
      for (const [name, value] of Object.entries(always)) context.header(name, value);
      const asked = { method: context.req.method, header: (name: string) => context.req.header(name) };
      const refusal =
        refuseStranger(asked, admission) ??
        ((context.req.path.startsWith('/api/') && context.req.path !== '/api/v1/openapi.json') ||
        context.req.path === '/metrics'
          ? refuseWithoutToken(asked, admission)
          : undefined);
      if (refusal !== undefined) return refused(context, refusal);
      return next();
    });
    for (const route of routes as readonly Route[])
      app.on(route.method.toUpperCase(), `/api/v1${route.path}`, (context) =>
        route.id === 'live' ? this.#stream(context) : this.#answer(context, route),
      );
    app.get('/metrics', () => this.#downloads.metrics());
    app.get('*', (context) => this.#file(context));
    app.notFound((context) =>
      refused(context, {
        status: 404,
        code: 'console/not-found',
        what: 'there is nothing here',
        remedy: '/api/v1/openapi.json lists what there is',
      }),
    );
    app.onError((error, context) => {
      if (error instanceof Refused)
        return refused(context, {
          status: error.status,
          code: error.code,
          what: error.message,
          remedy: error.remedy,
          problems: error.problems,
        });
      return refused(context, {
        status: 500,
        code: 'console/fault',
        what: `a fault of the console: ${error.message}`,
        remedy: 'please report it; calls are not touched by it',
      });
    });
    return app;
  }

  async #answer(context: Context, route: Route): Promise<Response> {
    if (route.id === 'metrics') return this.#downloads.metrics();
    if (route.id === 'capture') {
      const asked = (name: string): string | undefined => context.req.query(name);
      const question = { call: asked('call'), seconds: asked('seconds'), reveal: asked('reveal') === '1' };
      return this.#downloads.capture(question, context.req.raw.signal);
    }
    const question: Question = {
      parameter: (name) => decodeURIComponent(context.req.param(name) ?? ''),
      body: route.body === undefined ? {} : await bodyOf(context),
    };
    const answer = await this.#api.answers[route.id as AnsweredId](question);
    context.header('cache-control', 'no-store');
    return context.json(answer as object);
  }

  #stream(context: Context<{ Bindings: HttpBindings }>): Response {
    if (this.#live.add(context.env.outgoing, always)) return RESPONSE_ALREADY_SENT;
    return refused(context, {
      status: 503,
      code: 'console/too-many-streams',
      what: `${MOST_STREAMS} already look on`,
      remedy: 'close another window, or ask again and again instead',
    });
  }

  #file(context: Context): Response {
    const { path } = context.req;
    if (path.startsWith('/api/')) return context.notFound() as Response;
    if (this.#page === undefined)
      return context.text(
        'The page of the console has not been built: `npm run build` builds it. The API is at /api/v1/openapi.json.\n',
        503,
      );
    // Addresses within the page (/calls/…) are the page's own.
    const file =
      this.#page.get(path) ?? (/\.\w{1,5}$/.test(path) ? undefined : this.#page.get('/index.html'));
    if (file === undefined) return context.notFound() as Response;
    const gzip = /\bgzip\b/.test(context.req.header('accept-encoding') ?? '') ? file.gzip : undefined;
    return context.body(gzip ?? file.bytes, 200, {
      'content-type': file.type,
      'cache-control': file.lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
      vary: 'accept-encoding',
      ...(gzip === undefined ? {} : { 'content-encoding': 'gzip' }),
    });
  }
}

async function bodyOf(context: Context): Promise<Readonly<Record<string, unknown>>> {
  const tooLong = new Refused(
    400,
    'console/too-long',
    `the body is longer than ${MOST_BODY} octets`,
    'send less',
  );
  if (Number(context.req.header('content-length') ?? 0) > MOST_BODY) throw tooLong;
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of context.req.raw.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MOST_BODY) throw tooLong;
  }
  try {
    const body: unknown = text.trim() === '' ? {} : JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body))
      return body as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new Refused(400, 'console/not-json', 'the body is no JSON object', 'send a JSON object');
}

function refused(
  context: Context,
  {
    status,
    ...error
  }: Omit<Refusal, 'status'> & { readonly status: number; readonly problems?: readonly unknown[] },
): Response {
  context.header('cache-control', 'no-store');
  return context.json({ error }, status as 400);
}
