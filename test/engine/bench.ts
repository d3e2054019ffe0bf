/** A workbench for the engine: one gateway, no sockets; every `open` succeeds at once unless a test says otherwise. */
import { Engine } from '../../src/core/alg/engine.ts';
import type { AlgEvent } from '../../src/core/alg/event.ts';
import type { Input, MediaCommand, Output, RecordTable, SignallingCommand } from '../../src/core/alg/io.ts';
import type { EngineOptions } from '../../src/core/alg/policy.ts';
import { type Endpoint, parseEndpoint } from '../../src/core/net/address.ts';
import type { Flow } from '../../src/core/net/flow.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';

export const EXTERNAL = '203.0.113.1';
export const PROVIDER = '198.51.100.5:5060';

export class Workbench {
  readonly engine: Engine;
  now = 1_000_000;
  sent: { flow: Flow; text: string; bytes: Uint8Array }[] = [];
  events: AlgEvent[] = [];
  media: MediaCommand[] = [];
  signalling: SignallingCommand[] = [];
  readonly records = new Map<string, { table: RecordTable; key: string; value: unknown }>();
  /** Return false to answer `failed`, undefined to answer later. */
  answer: (command: SignallingCommand | MediaCommand) => boolean | undefined = () => true;

  constructor(options: EngineOptions = {}) {
    this.engine = new Engine({ mediaPorts: { low: 30_000, high: 39_999 }, ...options });
  }

  feed(input: Input): void {
    this.take(this.engine.handle(this.now, input));
  }

  take(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.kind === 'send')
        this.sent.push({ ...output, text: textOf(output.bytes, 0, output.bytes.length) });
      else if (output.kind === 'event') this.events.push(output.event);
      else if (output.kind === 'record') {
        const key = `${output.table} ${output.key}`;
        if (output.value === undefined) this.records.delete(key);
        else this.records.set(key, JSON.parse(JSON.stringify(output)));
      } else {
        if (output.kind === 'media') this.media.push(output.command);
        else this.signalling.push(output.command);
        if (output.command.action !== 'open') continue;
        const ok = this.answer(output.command);
        if (ok === undefined) continue;
        const { id } = output.command;
        this.feed(ok ? { kind: 'opened', id } : { kind: 'failed', id, reason: 'in use' });
      }
    }
  }

  /** A datagram from the phone; returns what left because of it. */
  phone(text: string | Uint8Array, from = '192.168.1.50:5060', to = PROVIDER): Workbench['sent'] {
    const flow: Flow = { transport: 'udp', side: 'internal', local: at(to), remote: at(from) };
    return this.#packet(flow, text, EXTERNAL);
  }

  provider(text: string | Uint8Array, to: string, from = PROVIDER): Workbench['sent'] {
    return this.#packet({ transport: 'udp', side: 'external', local: at(to), remote: at(from) }, text);
  }

  /** Lets time pass, with every timeout on its way. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (
      let next = this.engine.nextTimeoutMs;
      next !== undefined && next <= end;
      next = this.engine.nextTimeoutMs
    ) {
      this.now = Math.max(next, this.now);
      this.feed({ kind: 'timeout' });
    }
    this.now = end;
  }

  eventsOf<K extends AlgEvent['kind']>(kind: K): Extract<AlgEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<AlgEvent, { kind: K }> => event.kind === kind);
  }

  openMedia(): MediaCommand[] {
    const closed = new Set(this.media.filter((one) => one.action === 'close').map((one) => one.id));
    return this.media.filter((one) => one.action === 'open' && !closed.has(one.id));
  }

  #packet(flow: Flow, content: string | Uint8Array, externalAddress?: string): Workbench['sent'] {
    const before = this.sent.length;
    const bytes = typeof content === 'string' ? octetsOf(content) : content;
    this.feed({ kind: 'packet', flow, bytes, ...(externalAddress === undefined ? {} : { externalAddress }) });
    return this.sent.slice(before);
  }
}

export function at(text: string): Endpoint {
  const found = parseEndpoint(text);
  if (found === undefined) throw new Error(`not an endpoint: ${text}`);
  return found;
}

/** Lines with CRLF; the body, where there is one, after an empty line, with its Content-Length. */
export function message(head: readonly string[], body?: readonly string[]): string {
  const text = body === undefined ? '' : body.map((line) => `${line}\r\n`).join('');
  const length = body === undefined ? 'Content-Length: 0' : `Content-Length: ${text.length}`;
  const type = body === undefined ? [] : ['Content-Type: application/sdp'];
  return `${[...head, ...type, length].join('\r\n')}\r\n\r\n${text}`;
}

export function sdp(address: string, port: number, extra: readonly string[] = []): string[] {
  return [
    'v=0',
    `o=- 1 1 IN IP4 ${address}`,
    's=-',
    `c=IN IP4 ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0`,
    ...extra,
  ];
}

export interface Names {
  readonly callId?: string;
  readonly from?: string;
  readonly to?: string;
  readonly cseq?: number;
  readonly branch?: string;
  readonly contact?: string;
  readonly sentBy?: string;
  readonly extra?: readonly string[];
}

/** A request that a phone at 192.168.1.50 sends. */
export function request(method: string, names: Names = {}, body?: readonly string[]): string {
  const {
    callId = 'a@192.168.1.50',
    cseq = 1,
    branch = `z9hG4bK-${method}-${cseq}`,
    sentBy = '192.168.1.50:5060',
  } = names;
  return message(
    [
      `${method} sip:bob@example.net SIP/2.0`,
      `Via: SIP/2.0/UDP ${sentBy};branch=${branch};rport`,
      'Max-Forwards: 70',
      `From: <sip:alice@example.net>;tag=${names.from ?? 'a1'}`,
      `To: <sip:bob@example.net>${names.to === undefined ? '' : `;tag=${names.to}`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: ${names.contact ?? '<sip:alice@192.168.1.50:5060>'}`,
      ...(names.extra ?? []),
    ],
    body,
  );
}

/** What a provider answers to something that left the gateway: Via, From, To, Call-ID and CSeq as they arrived. */
export function respond(
  status: number,
  to: string,
  names: { to?: string; extra?: readonly string[] } = {},
  body?: readonly string[],
): string {
  const lines = to.split('\r\n');
  const keep = lines.filter((line) => /^(Via|From|Call-ID|CSeq):/.test(line));
  const toLine = lines.find((line) => line.startsWith('To:')) ?? '';
  return message(
    [
      `SIP/2.0 ${status} ${status < 300 ? 'OK' : 'No'}`,
      ...keep,
      names.to === undefined || toLine.includes(';tag=') ? toLine : `${toLine};tag=${names.to}`,
      ...(names.extra ?? []),
    ],
    body,
  );
}
