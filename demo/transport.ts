/**
 * SIP over one UDP socket, or over TCP, as a phone or a provider does it that believes what messages say: responses go to the Via
 * (RFC 3261 §18.2.2, and RFC 3581 where it asks for rport), requests go to the URI. Nothing here helps with NAT.
 *
 * It is picky where real phones are: a response whose topmost Via is not byte for byte what was sent (but for received
 * and rport), or that comes from somewhere else than the request went to, is noted in `violations` and not taken.
 */
import { randomBytes } from 'node:crypto';
import { Journal } from './journal.ts';
import {
  first,
  formatMessage,
  hostOf,
  isRequest,
  type Message,
  methodOf,
  parameter,
  parseMessage,
  sentBy,
  statusOf,
  values,
} from './message.ts';

export interface Remote {
  readonly address: string;
  readonly port: number;
}

/** What messages come and go by: a datagram socket, or what looks like one. */
export interface Wire {
  readonly transport?: 'TCP';
  address(): Remote;
  on(event: 'message', listener: (bytes: Buffer, remote: Remote) => void): unknown;
  send(bytes: Buffer, port: number, address: string, sent: () => void): void;
  close(): unknown;
}

export interface Exchange {
  readonly direction: 'in' | 'out';
  readonly remote: Remote;
  readonly bytes: Buffer;
  readonly message: Message | undefined;
  readonly atMs: number;
}

export type Fields = readonly (readonly [name: string, value: string])[];

/** RFC 3261 §17.1.1.2: T1, and the cap on the interval of what is not INVITE. */
const T1_MS = 500;
const T2_MS = 4000;

export class ClientTransaction {
  readonly responses = new Journal<Message>((m) => m.start);
  readonly method: string;
  readonly via: string;
  readonly to: Remote;
  readonly request: Message;
  /** Called with every response, provisional or final. */
  onResponse: (response: Message) => void = () => {};
  readonly #wire: SipSocket;
  #timer: NodeJS.Timeout | undefined;

  constructor(wire: SipSocket, request: Message, via: string, to: Remote) {
    this.#wire = wire;
    this.request = request;
    this.method = methodOf(request);
    this.via = via;
    this.to = to;
    const bytes = formatMessage(request);
    const transmit = (intervalMs: number): void => {
      wire.send(bytes, to);
      // A reliable transport needs no second time (RFC 3261 §17.1.1.2).
      if (wire.transport === 'TCP') return;
      this.#timer = setTimeout(() => transmit(Math.min(intervalMs * 2, T2_MS)), intervalMs);
    };
    transmit(T1_MS);
  }

  /** The final response, or an error after `withinMs`. */
  async final(withinMs = 4000): Promise<Message> {
    try {
      return await this.responses.until(
        (m) => statusOf(m) >= 200,
        withinMs,
        `final response to ${this.request.start}`,
      );
    } finally {
      this.stop();
    }
  }

  take(response: Message): void {
    const status = statusOf(response);
    if (status >= 200 || this.method === 'INVITE') this.stop();
    if (status >= 300 && this.method === 'INVITE') this.#acknowledge(response);
    this.responses.add(response);
    this.onResponse(response);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** RFC 3261 §17.1.1.3: the ACK to a rejection belongs to the transaction. */
  #acknowledge(response: Message): void {
    const kept = this.request.fields.filter(([name]) =>
      /^(via|from|call-id|max-forwards|route)$/i.test(name),
    );
    const number = first(this.request, 'cseq').split(' ')[0];
    const fields: Fields = [...kept, ['To', first(response, 'to')], ['CSeq', `${number} ACK`]];
    const start = this.request.start.replace('INVITE', 'ACK');
    this.#wire.send(formatMessage({ start, fields, body: '' }), this.to);
  }
}

export class SipSocket {
  readonly address: string;
  readonly port: number;
  readonly contactHost: string;
  /** All that was sent and received. */
  readonly journal = new Journal<Exchange>(
    (e) =>
      `${e.direction} ${e.remote.address}:${e.remote.port} ${e.message?.start ?? `${e.bytes.length} bytes`}`,
  );
  /** What a strict peer would complain about. */
  readonly violations: string[] = [];
  /** What responses said in received and rport, as `address:port`. */
  readonly toldSource = new Set<string>();
  readonly transport: 'UDP' | 'TCP';
  readonly #socket: Wire;
  readonly #rport: boolean;
  readonly #clients = new Map<string, ClientTransaction>();
  readonly #servers = new Map<string, Buffer | undefined>();
  onRequest: (request: Message, remote: Remote) => void = () => {};
  /** A 2xx to INVITE that no running transaction waits for: the dialog acknowledges it again. */
  onStraySuccess: (response: Message) => void = () => {};

  /** `publicEndpoint`: what it writes into Via and Contact instead of its own endpoint. */
  constructor(socket: Wire, rport: boolean, publicEndpoint?: Remote) {
    this.#socket = socket;
    this.transport = socket.transport ?? 'UDP';
    this.#rport = rport;
    const { address, port } = socket.address();
    this.address = address;
    this.port = port;
    const named = publicEndpoint ?? { address, port };
    this.contactHost = `${hostOf(named.address)}:${named.port}`;
    socket.on('message', (bytes, remote) =>
      this.#receive(bytes, { address: remote.address, port: remote.port }),
    );
  }

  send(bytes: Buffer, to: Remote): void {
    const message = parseMessage(bytes);
    this.journal.add({ direction: 'out', remote: to, bytes, message, atMs: performance.now() });
    this.#socket.send(bytes, to.port, to.address, () => {});
  }

  newVia(): string {
    const branch = `z9hG4bK${randomBytes(8).toString('hex')}`;
    return `SIP/2.0/${this.transport} ${this.contactHost};branch=${branch}${this.#rport ? ';rport' : ''}`;
  }

  /** Starts a client transaction. `via` is given where it must be that of another one (CANCEL). */
  request(start: string, fields: Fields, body: string, to: Remote, via = this.newVia()): ClientTransaction {
    const message: Message = { start, fields: [['Via', via], ['Max-Forwards', '70'], ...fields], body };
    const transaction = new ClientTransaction(this, message, via, to);
    this.#clients.set(`${parameter(via, 'branch')} ${transaction.method}`, transaction);
    return transaction;
  }

  /** Sends a response the way the Via asks for; retransmissions of the request get it again. */
  respond(request: Message, remote: Remote, status: string, fields: Fields = [], body = ''): void {
    const vias = values(request, 'via');
    const top = vias[0] ?? '';
    const wantsRport = /;rport(?=;|$)/i.test(top);
    // Over TCP a response goes back on the connection (RFC 3261 §18.2.2).
    const to = wantsRport || this.transport === 'TCP' ? remote : sentBy(top);
    if (wantsRport) {
      vias[0] = `${top.replace(/;rport(?=;|$)/i, `;rport=${remote.port}`)};received=${remote.address}`;
    }
    const response = formatMessage({
      start: `SIP/2.0 ${status}`,
      fields: [
        ...vias.map((via) => ['Via', via] as const),
        ...values(request, 'record-route').map((route) => ['Record-Route', route] as const),
        ['From', first(request, 'from')],
        ['Call-ID', first(request, 'call-id')],
        ['CSeq', first(request, 'cseq')],
        ...(fields.some(([name]) => name === 'To') ? [] : [['To', first(request, 'to')] as const]),
        ...fields,
      ],
      body,
    });
    this.#servers.set(serverKey(request), response);
    this.send(response, to);
  }

  /** Forgets finished business, for whoever runs for long. */
  forget(): void {
    this.journal.clear();
    this.#clients.clear();
    this.#servers.clear();
  }

  close(): void {
    for (const transaction of this.#clients.values()) transaction.stop();
    this.#socket.close();
  }

  #receive(bytes: Buffer, remote: Remote): void {
    const message = parseMessage(bytes);
    this.journal.add({ direction: 'in', remote, bytes, message, atMs: performance.now() });
    if (message === undefined) return;
    if (!isRequest(message)) {
      this.#receiveResponse(message, remote);
      return;
    }
    const key = serverKey(message);
    if (methodOf(message) !== 'ACK' && this.#servers.has(key)) {
      const again = this.#servers.get(key);
      if (again !== undefined) {
        const top = values(message, 'via')[0] ?? '';
        this.send(again, /;rport(?=;|$)/i.test(top) ? remote : sentBy(top));
      }
      return;
    }
    if (methodOf(message) !== 'ACK') this.#servers.set(key, undefined);
    this.onRequest(message, remote);
  }

  #receiveResponse(response: Message, remote: Remote): void {
    const vias = values(response, 'via');
    const top = vias[0] ?? '';
    const transaction = this.#clients.get(`${parameter(top, 'branch')} ${methodOf(response)}`);
    if (transaction === undefined) {
      this.violations.push(`a response to nothing that was asked: ${response.start}, Via: ${top}`);
      return;
    }
    const bare = top.replace(/;received=[^;]*/i, '').replace(/;rport=[^;]*/i, ';rport');
    if (bare !== transaction.via || vias.length !== 1) {
      this.violations.push(
        `${response.start}: the Via is "${vias.join(', ')}", sent was "${transaction.via}"`,
      );
      return;
    }
    if (remote.address !== transaction.to.address || remote.port !== transaction.to.port) {
      this.violations.push(`${response.start} came from ${remote.address}:${remote.port}`);
      return;
    }
    const received = parameter(top, 'received');
    const rport = parameter(top, 'rport');
    if (received !== undefined || rport !== undefined) {
      this.toldSource.add(`${received ?? this.address}:${rport ?? this.port}`);
    }
    const late = transaction.responses.entries.some((m) => statusOf(m) >= 200);
    if (late && methodOf(response) === 'INVITE' && statusOf(response) < 300) this.onStraySuccess(response);
    else transaction.take(response);
  }
}

function serverKey(request: Message): string {
  const via = values(request, 'via')[0] ?? '';
  return `${parameter(via, 'branch')} ${methodOf(request)} ${sentBy(via).address}`;
}
