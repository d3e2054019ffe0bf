/**
 * The reflector's page: what it is, the command to run, and results that somebody has left for a support desk.
 *
 * It lives on the control port. Whoever has the token in the address sees the page; whoever has the address of a result sees that
 * one result until it expires; everybody else gets no octet, as everywhere on the reflector. Results are kept in memory alone.
 */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Results } from './results.ts';

export interface PageOptions {
  readonly token: string;
  /** HOST:PORT/TOKEN/PIN. */
  readonly invitation: () => string;
}

/** One result is some 60 kB. */
export const MOST_RESULT_OCTETS = 1024 * 1024;
const REQUEST_MS = 10_000;
/** 128 bits. */
const NAME = /^\/results\/([\w-]{22})$/;

const headers: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  // What somebody has left may hold anything: it is shown, and can do nothing.
  'content-security-policy': "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

export class ReflectorPage {
  readonly #options: PageOptions;
  readonly #server: Server;
  readonly #results = new Results();

  constructor(options: PageOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        requestTimeout: REQUEST_MS,
        headersTimeout: REQUEST_MS,
        keepAliveTimeout: 1_000,
        maxHeaderSize: 8_192,
        requireHostHeader: false,
      },
      (request, response) => this.#answer(request, response),
    );
    // Nothing is answered in Node's name to somebody who may be a stranger.
    this.#server.on('clientError', (_error, socket) => socket.destroy());
    for (const event of ['checkContinue', 'checkExpectation'] as const)
      this.#server.on(event, (request) => request.socket.destroy());
  }

  /** A connection that has begun to speak HTTP; `head` is what it has said. */
  take(socket: Socket, head: Buffer): void {
    socket.unshift(head);
    this.#server.emit('connection', socket);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#results.clear();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method, url = '/' } = request;
    const result = NAME.exec(url)?.[1];
    if (method === 'GET' && result !== undefined) return this.#show(result, response);
    const [, token = '', rest] = url.split('/', 3);
    if (!sameText(token, this.#options.token)) return void request.socket.destroy();
    if (method === 'GET' && rest === undefined)
      response.writeHead(200, headers).end(pageHtml(this.#options.invitation()));
    else if (method === 'POST' && rest === 'results') this.#keep(request, response);
    else request.socket.destroy();
  }

  #show(name: string, response: ServerResponse): void {
    const found = this.#results.get(name, Date.now());
    if (found === undefined) return void response.socket?.destroy();
    response.writeHead(200, headers).end(found);
  }

  #keep(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    let octets = 0;
    request.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (octets > MOST_RESULT_OCTETS) request.socket.destroy();
      else chunks.push(chunk);
    });
    request.once('end', () => {
      const { name, expiresAt } = this.#results.add(Buffer.concat(chunks), Date.now());
      response
        .writeHead(201, { 'content-type': 'application/json', 'cache-control': 'no-store' })
        .end(JSON.stringify({ path: `/results/${name}`, expiresAt }));
    });
  }
}

/** Whether a connection speaks HTTP: by its whole first line. */
export function isHttp(head: string): boolean {
  return /^(?:GET|POST) \/\S* HTTP\/1\.[01]\r\n/.test(head);
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function pageHtml(invitation: string): string {
  const line = invitation.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Does your router break phone calls?</title>
<style>${STYLE}</style></head>
<body><main>
<h1>Does your router break phone calls?</h1>
<p>Many routers have a <strong>SIP ALG</strong>: a part that rewrites the messages of Internet telephones as they pass, and often gets
it wrong. Then phones do not ring after a minute, one side hears nothing, or calls end by themselves.</p>
<p>This is a <strong>reflector</strong>: the far end of a check. Your computer sends it messages like those of a telephone, both write
down what they sent and received, and compare it octet by octet. Whatever differs, something on your line has changed. Nobody is called,
and nothing is changed on your router.</p>
<h2>Run the check</h2>
<p>On a computer behind the router in question, with <code>sipalg</code> installed:</p>
<pre>sipalg check ${line}</pre>
<p>It takes two minutes (<code>--quick</code>: 15 seconds), and says what is altered, what somebody with a telephone notices of it, and what
helps.</p>
<h2>Show the result to a support desk</h2>
<pre>sipalg check --share ${line}</pre>
<p>With <code>--share</code> the result is left here, and the check prints a link to it, which you can send to your provider. Whoever has the
link can read it; after seven days, or when this reflector restarts, it is gone. It holds addresses of your line and the test’s own
messages, and no call of yours; <code>--redact</code> hides the public addresses too.</p>
<h2>Switch it off</h2>
<pre>sipalg router identify
sipalg fix ${line}</pre>
<p><code>fix</code> checks, finds the steps for your router, asks before it changes anything, and checks again.</p>
<p class="small">Keep the address of this page to yourself and to those who should use the reflector: it has the token in it.</p>
</main></body></html>
`;
}

const STYLE = `:root{color-scheme:light dark;--bg:#f5f6f8;--fg:#18212c;--soft:#fff;--line:#e1e6ec;--muted:#566272;--accent:#0b6e78}
@media (prefers-color-scheme:dark){:root{--bg:#0e1318;--fg:#e7ecf1;--soft:#161d24;--line:#28323c;--muted:#9dabb9;--accent:#5cc7d1}}
body{margin:0;background:var(--bg);color:var(--fg);font:17px/1.6 system-ui,sans-serif}
main{max-width:42rem;margin:0 auto;padding:8vh 1.2rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem;color:var(--accent)}
p{margin:.6rem 0}code,pre{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.87em}
pre{background:var(--soft);border:1px solid var(--line);border-radius:10px;padding:.9rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere}
.small{font-size:.9rem;color:var(--muted);margin-top:2.5rem}`;
