/** SIP servers of somebody else's, in the lab's server namespace: a script of the test's, and Kamailio. */
import type { Socket } from 'node:dgram';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import { type BoxLab, SERVER } from './lab.ts';

/** What a server answers to a request, from where; undefined for nothing, several for a flood. */
export type Script = (request: string, from: { address: string; port: number }) => readonly string[];

export class ScriptedServer {
  readonly requests: string[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket, script: Script) {
    this.#socket = socket;
    socket.on('message', (bytes, from) => {
      const request = bytes.toString('latin1');
      this.requests.push(request);
      for (const answer of script(request, from))
        socket.send(Buffer.from(answer, 'latin1'), from.port, from.address);
    });
  }

  static async start(lab: BoxLab, script: Script, port = 5060): Promise<ScriptedServer> {
    return new ScriptedServer(await lab.server.socket(SERVER, port), script);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

export interface ResponseOptions {
  readonly status?: string;
  /** Whether it writes received and rport, as RFC 3261 and 3581 ask for. Default true. */
  readonly tellsSource?: boolean;
  readonly more?: readonly string[];
  readonly body?: string;
}

/** A response as a conforming server makes it (RFC 3261 §8.2.6.2, RFC 3581 §4). */
export function responseTo(
  request: string,
  { address, port }: { address: string; port: number },
  { status = '200 OK', tellsSource = true, more = [], body = '' }: ResponseOptions = {},
): string {
  const lines = request.slice(0, request.indexOf('\r\n\r\n')).split('\r\n').slice(1);
  const copied = lines.filter((line) => /^(?:via|from|to|call-id|cseq):/i.test(line));
  let isTop = true;
  const answer = copied.map((line) => {
    if (/^to:/i.test(line)) return `${line};tag=server`;
    if (!/^via:/i.test(line) || !isTop) return line;
    isTop = false;
    return tellsSource ? line.replace(';rport', `;rport=${port};received=${address}`) : line;
  });
  const end = ['Server: scripted', ...more, `Content-Length: ${body.length}`, '', body];
  return [`SIP/2.0 ${status}`, ...answer, ...end].join('\r\n');
}

/** Kamailio as a registrar that takes everybody, answers OPTIONS, and counts Max-Forwards. */
export class OpenRegistrar {
  readonly #program: Program;
  readonly #directory: string;

  private constructor(program: Program, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  static async start(lab: BoxLab): Promise<OpenRegistrar> {
    const directory = newDirectory('registrar');
    const file = join(directory, 'kamailio.cfg');
    writeFileSync(file, CONFIGURATION);
    const child = lab.server.spawn(
      'kamailio',
      ['-f', file, '-DD', '-E', '-n', '1', '-m', '32', '-M', '4', '-Y', directory, '-w', directory],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const registrar = new OpenRegistrar(new Program('kamailio', child), directory);
    try {
      await registrar.#program.says(/registrar is up/, 8000);
      return registrar;
    } catch (error) {
      await registrar[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const MODULES = '/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/';

const CONFIGURATION = `#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
listen=udp:${SERVER}:5060
listen=tcp:${SERVER}:5060
tcp_children=1
mpath="${MODULES}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "xlog.so"
event_route[core:worker-one-init] { xlog("L_ALERT", "registrar is up\\n"); }
request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  force_rport();
  if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
  if (is_method("REGISTER")) { save("location"); exit; }
  sl_send_reply("405", "Method Not Allowed");
}
`;
