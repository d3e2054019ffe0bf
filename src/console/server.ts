/**
 * The console: the page and the HTTP API, served from within the gateway's process.
 *
 * It never stands in the way of a message: nothing is watched while nobody looks but counters, every other second, what
 * takes long runs in a process of its own, and connections, bodies, streams and times are bounded.
 */
import { chmodSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ConfigSource } from '../config/settings.ts';
import type { ConsolePlace } from '../config/value.ts';
import { formatHost } from '../core/net/address.ts';
import type { Beside, GatewayView } from '../gateway/view.ts';
import type { Exchange } from '../observe/exchange.ts';
import { consoleToken, forgetAddress, keepAddress } from './access.ts';
import { Api } from './api.ts';
import { Downloads } from './downloads.ts';
import { LiveStreams } from './live.ts';
import { pageFolder } from './page-files.ts';

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
/** While somebody looks, and while nobody does. */
const LOOKED_AT_MS = 1_000;
const SAMPLE_MS = 2_000;
/** Samples in an overview that is told every second. */
const NEWEST = 2;
/** Messages that are told in one second, besides the overview: what is more is seen when the ladder is read. */
const MOST_TOLD = 50;

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

type Answering = (request: IncomingMessage, response: ServerResponse) => void;

class Console {
  readonly server: Server;
  readonly #gateway: GatewayView;
  readonly #api: Api;
  readonly #downloads: Downloads;
  readonly #live: LiveStreams;
  readonly #open: () => Promise<Answering>;
  #answering: Promise<Answering> | undefined;
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
    const admission = { token, names: options.names };
    const parts = { api: this.#api, downloads: this.#downloads, live: this.#live, folder, admission };
    this.#open = async () => (await import('./app.ts')).openApp(parts);
    this.server = createServer(
      { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000, maxHeaderSize: 16_384 },
      (request, response) => void this.#handle(request, response),
    );
    this.server.maxConnections = MOST_CONNECTIONS;
    this.#sampler = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#sampler.unref();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#answering ??= this.#open();
    let answer: Answering;
    try {
      answer = await this.#answering;
    } catch (error) {
      // Its files are others by now, or none: somebody has installed another version under a gateway that runs.
      this.#answering = undefined;
      const { message } = error as Error;
      response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(
        `The console cannot be loaded: ${message}\nStart the gateway again; calls go on meanwhile.\n`,
      );
      return;
    }
    answer(request, response);
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
}
