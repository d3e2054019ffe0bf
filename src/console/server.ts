/**
 * The console: the page and the HTTP API, served from within the gateway's process.
 *
 * It never stands in the way of a message: nothing is watched while nobody looks but counters, every other second, what
 * takes long runs in a process of its own, and connections, bodies, streams and times are bounded.
 */
import { chmodSync, unlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import type { ConfigSource } from '../config/settings.ts';
import type { ConsolePlace } from '../config/value.ts';
import { formatHost } from '../core/net/address.ts';
import type { Beside, GatewayView } from '../gateway/view.ts';
import type { Exchange } from '../observe/exchange.ts';
import { consoleToken, forgetAddress, keepAddress } from './access.ts';
import { Api, type Question, Refused } from './api.ts';
import { Downloads } from './downloads.ts';
import { type Refusal, refuseStranger, refuseWithoutToken } from './guard.ts';
import { LiveStreams, MOST_STREAMS } from './live.ts';
import { PAGE_POLICY, type PageFile, pageFolder, readPage } from './page-files.ts';
import { type AnsweredId, type Route, routes } from './routes.ts';

export interface ConsoleOptions {
  readonly listen: Exclude<ConsolePlace, { readonly kind: 'off' }>;
  readonly names: readonly string[];
  /** The default place: another port does as well. */
  readonly anyPort: boolean;
  readonly stateDir: string;
  readonly source: ConfigSource;
  readonly version: string;
  readonly notice: (code: string, text: string) => void;
}

/** Browsers open six each. */
const MOST_CONNECTIONS = 128;
const MOST_BODY = 64 * 1024;
/** While somebody looks, and while nobody does. */
const LOOKED_AT_MS = 1_000;
const SAMPLE_MS = 2_000;
/** Samples in an overview that is told every second. */
const NEWEST = 2;
/** Messages that are told in one second, besides the overview: what is more is seen when the ladder is read. */
const MOST_TOLD = 50;

const always: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

/** Opens it. What keeps it from opening is told as a notice, and the address is undefined then. */
export async function openConsole(gateway: GatewayView, options: ConsoleOptions): Promise<Beside> {
  const { stateDir, notice } = options;
  let server: Server | undefined;
  try {
    const token = consoleToken(stateDir);
    const console = new Console(gateway, options, token);
    server = console.server;
    const place = await listen(server, options);
    const address = place.startsWith('/') ? `${place}#token=${token}` : `${place}/#token=${token}`;
    keepAddress(stateDir, address);
    console.begin();
    return {
      address,
      async close() {
        forgetAddress(stateDir);
        await console.close();
      },
    };
  } catch (error) {
    server?.close();
    notice(
      'console/not-open',
      `there is no console: ${(error as Error).message}; name another place with --console, or off`,
    );
    return { address: undefined, close: async () => {} };
  }
}

async function listen(server: Server, { listen, anyPort, notice }: ConsoleOptions): Promise<string> {
  if (listen.kind === 'unix') {
    try {
      unlinkSync(listen.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await listening(server, { path: listen.path });
    chmodSync(listen.path, 0o600);
    return listen.path;
  }
  const { address, port } = listen.endpoint;
  try {
    await listening(server, { host: address, port });
  } catch (error) {
    if (!anyPort || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await listening(server, { host: address, port: 0 });
  }
  if (!/^127\.|^::1$/.test(address))
    notice(
      'console/in-the-clear',
      `the console is reachable at ${address} from other machines, and what is asked and told crosses the network in the clear; a proxy with TLS in front of 127.0.0.1 is safer`,
    );
  return `http://${formatHost(address)}:${(server.address() as AddressInfo).port}`;
}

function listening(
  server: Server,
  where: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

class Console {
  readonly server: Server;
  readonly #gateway: GatewayView;
  readonly #api: Api;
  readonly #downloads: Downloads;
  readonly #live: LiveStreams;
  readonly #page: ReadonlyMap<string, PageFile> | undefined;
  readonly #sampler: NodeJS.Timeout;
  #looking: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;
  #told = 0;

  constructor(gateway: GatewayView, options: ConsoleOptions, token: string) {
    const folder = pageFolder();
    this.#gateway = gateway;
    this.#live = new LiveStreams((count) => this.#look(count));
    this.#api = new Api(gateway, options.source, options.version, folder, (event, data) =>
      this.#live.send(event, data),
    );
    this.#downloads = new Downloads(gateway, options.version);
    this.#page = folder === undefined ? undefined : readPage(folder);
    const app = this.#app({ token, names: options.names });
    const handle = getRequestListener(app.fetch, { overrideGlobalObjects: false });
    this.server = createServer(
      { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000, maxHeaderSize: 16_384 },
      (request, response) => void handle(request, response),
    );
    this.server.maxConnections = MOST_CONNECTIONS;
    this.#sampler = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#sampler.unref();
  }

  begin(): void {
    this.#sample();
    // Whatever befalls one connection, the gateway goes on.
    this.server.on('error', () => {});
  }

  async close(): Promise<void> {
    clearInterval(this.#sampler);
    clearInterval(this.#looking);
    this.#unsubscribe?.();
    this.#api.checks.stop();
    this.#live.close();
    this.#downloads.close();
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #sample(): void {
    try {
      this.#api.sample();
    } catch {
      // The gateway is between two states; the next look sees it.
    }
  }

  #app(admission: {
    readonly token: string;
    readonly names: readonly string[];
  }): Hono<{ Bindings: HttpBindings }> {
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

  /** While somebody looks: an overview a second, and each message. */
  #look(count: number): void {
    if (count === 0) {
      clearInterval(this.#looking);
      this.#looking = undefined;
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
      return;
    }
    this.#live.send('overview', this.#api.overview());
    if (this.#looking !== undefined) return;
    this.#looking = setInterval(() => {
      this.#told = 0;
      this.#live.send('overview', this.#api.overview(NEWEST));
    }, LOOKED_AT_MS);
    try {
      this.#unsubscribe = this.#gateway.recorder.subscribe((exchange) => this.#tell(exchange));
    } catch {
      // Too many follow the messages already: the page asks for the ladder instead.
    }
  }

  #tell({ id, received, sent }: Exchange): void {
    if ((received === undefined && sent.length === 0) || ++this.#told > MOST_TOLD) return;
    // Not now: the message has to go on first.
    setImmediate(() => this.#live.send('message', this.#api.rung(id)));
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
