/**
 * One client's session: what it is told, and what it may have sent. Its life is that of its control channel.
 */
import { randomBytes } from 'node:crypto';
import { type Endpoint, formatEndpoint } from '../../core/net/address.ts';
import {
  type Command,
  fromBase64,
  MAX_PAYLOAD,
  type Report,
  toBase64,
  writeLine,
} from '../control/protocol.ts';
import { Ledger, refusals } from './ledger.ts';
import { Allowance, type Limits } from './limits.ts';
import type { StunReply } from './stun.ts';

/** The sockets, as a session sees them. */
export interface Sockets {
  /** Sends one datagram from a UDP place; false where there is no such place. `done` is told how it went. */
  send(place: number, to: Endpoint, bytes: Uint8Array, done: (error: Error | null) => void): boolean;
}

/** The control channel, as a session sees it. */
export interface Channel {
  readonly backlog: number;
  write(line: string): void;
  close(): void;
}

/** A connection that the client has made to one of our ports. */
export interface Stream {
  write(bytes: Uint8Array, end: boolean): void;
  destroy(): void;
}

const LETTERS = 'ghijklmnopqrstuvwxyz';

/** 30 letters g–z: 129 bits without a digit, a dot, or anything that could be read as an address or a number. */
export function makeTag(): string {
  let tag = '';
  while (tag.length < 30)
    for (const octet of randomBytes(40)) if (octet < 240 && tag.length < 30) tag += LETTERS[octet % 20];
  return tag;
}

export class Session {
  readonly tag = makeTag();
  readonly client: Endpoint;
  readonly ledger: Ledger;
  readonly startedAt: number;
  readonly #limits: Limits;
  readonly #channel: Channel;
  readonly #sockets: Sockets;
  readonly #clock: () => number;
  readonly #sending: Allowance;
  readonly #telling: Allowance;
  readonly #streams = new Map<number, Stream>();
  readonly #secrets = new Map<string, string>();
  readonly #told = new Set<string>();
  #nextConnection = 1;
  datagrams = 0;
  sent = 0;
  lastHeardAt: number;

  constructor(limits: Limits, client: Endpoint, channel: Channel, sockets: Sockets, clock: () => number) {
    this.#limits = limits;
    this.client = client;
    this.ledger = new Ledger(limits, client.address);
    this.#channel = channel;
    this.#sockets = sockets;
    this.#clock = clock;
    this.startedAt = clock();
    this.lastHeardAt = this.startedAt;
    this.#sending = new Allowance(limits.sendPerSecond, this.startedAt);
    this.#telling = new Allowance(limits.tellPerSecond, this.startedAt);
  }

  /** Milliseconds of this session's clock: its beginning is 0, so that it tells nothing of the machine. */
  #now(): number {
    return Math.round((this.#clock() - this.startedAt) * 1000) / 1000;
  }

  /** A datagram that is this session's has come to a place. */
  datagram(place: number, from: Endpoint, bytes: Uint8Array, tagged: boolean): void {
    if (tagged) this.ledger.hear(from, bytes.length);
    if (this.datagrams >= this.#limits.tellDatagrams || !this.#telling.take(this.#clock())) {
      this.#limit('datagrams', 'more datagrams than are told to one session');
      return;
    }
    this.datagrams++;
    this.#tell({ kind: 'datagram', place, from, at: this.#now(), bytes: toBase64(bytes) });
  }

  /** Sends the answer to a STUN request, as far as the session may send there, and tells it. */
  answerStun({ place, to, bytes }: StunReply): void {
    if (!this.#sending.take(this.#clock()) || this.ledger.spend(to, bytes.length) !== undefined) return;
    const at = this.#now();
    this.#sockets.send(place, to, bytes, (error) => {
      if (error === null) this.#tell({ kind: 'answered', place, to, at, bytes: toBase64(bytes) });
    });
    this.sent++;
  }

  /** A connection has said that it is this session's. Undefined where there are too many. */
  connected(place: number, from: Endpoint, stream: Stream): number | undefined {
    if (this.#streams.size >= this.#limits.connections) {
      this.#limit('connections', 'more connections than one session may have');
      return undefined;
    }
    const connection = this.#nextConnection++;
    this.#streams.set(connection, stream);
    this.#tell({ kind: 'connected', connection, place, from, at: this.#now() });
    return connection;
  }

  chunk(connection: number, bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length; start += MAX_PAYLOAD) {
      const part = bytes.subarray(start, start + MAX_PAYLOAD);
      this.#tell({ kind: 'chunk', connection, at: this.#now(), bytes: toBase64(part) });
    }
  }

  closed(connection: number, how: string): void {
    if (this.#streams.delete(connection))
      this.#tell({ kind: 'closed', connection, at: this.#now(), how: how.slice(0, 200) });
  }

  command(command: Command): void {
    this.lastHeardAt = this.#clock();
    switch (command.kind) {
      case 'ping':
        return this.#tell({ kind: 'pong', id: command.id, at: this.#now() });
      case 'send':
        return this.#send(command.id, command.place, command.to, fromBase64(command.bytes));
      case 'write':
        return this.#write(command.id, command.connection, fromBase64(command.bytes), command.end);
      case 'prove':
        return this.#prove(command.id, command.place, command.to);
      case 'proof':
        return this.#proof(command.id, command.secret);
      case 'end':
        return this.#channel.close();
    }
  }

  /** The session is over: nothing of it stays open. */
  end(): void {
    for (const stream of this.#streams.values()) stream.destroy();
    this.#streams.clear();
  }

  #send(id: number, place: number, to: Endpoint, bytes: Uint8Array): void {
    if (!this.#sending.take(this.#clock()))
      return this.#fail(id, 'rate', `more than ${this.#limits.sendPerSecond} datagrams a second`);
    const refusal = this.ledger.spend(to, bytes.length);
    if (refusal !== undefined) return this.#fail(id, refusal, `${formatEndpoint(to)}: ${refusals[refusal]}`);
    const at = this.#now();
    const isKnown = this.#sockets.send(place, to, bytes, (error) => {
      if (error === null) this.#tell({ kind: 'done', id, at });
      else this.#fail(id, 'socket', error.message);
    });
    if (!isKnown) return this.#fail(id, 'place', `${place} is no UDP place`);
    this.sent++;
  }

  #write(id: number, connection: number, bytes: Uint8Array, end: boolean): void {
    const stream = this.#streams.get(connection);
    if (stream === undefined) return this.#fail(id, 'closed', 'that connection is closed');
    const refusal = this.ledger.spendOnStream(bytes.length);
    if (refusal !== undefined) return this.#fail(id, refusal, refusals[refusal]);
    const at = this.#now();
    stream.write(bytes, end);
    this.#tell({ kind: 'done', id, at });
  }

  #prove(id: number, place: number, to: Endpoint): void {
    if (this.#secrets.size >= 64) return this.#fail(id, 'rate', 'too many proofs asked for');
    const secret = makeTag();
    this.#secrets.set(secret, to.address);
    this.#send(id, place, to, Buffer.from(secret, 'latin1'));
  }

  #proof(id: number, secret: string): void {
    const address = this.#secrets.get(secret);
    if (address === undefined || !this.ledger.prove(address))
      return this.#fail(id, 'secret', 'that is not what was sent');
    this.#secrets.delete(secret);
    this.#tell({ kind: 'done', id, at: this.#now() });
  }

  #fail(id: number, code: string, why: string): void {
    this.#tell({ kind: 'failed', id, code, why: why.slice(0, 500) });
  }

  /** Each bound is told once. */
  #limit(code: string, why: string): void {
    if (this.#told.has(code)) return;
    this.#told.add(code);
    this.#tell({ kind: 'limit', code, why });
  }

  #tell(report: Report): void {
    if (this.#channel.backlog > this.#limits.backlogOctets) return this.#channel.close();
    this.#channel.write(writeLine(report));
  }
}

/** Any session to which an address is proven. */
export function someSessionOf(sessions: Iterable<Session>, address: string): Session | undefined {
  for (const session of sessions) if (session.ledger.isProven(address)) return session;
  return undefined;
}

/** Which of the sessions a payload names: its tag stands in it. */
export function sessionNamed(sessions: Iterable<Session>, bytes: Uint8Array): Session | undefined {
  const octets = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const session of sessions) if (octets.includes(session.tag, 0, 'latin1')) return session;
  return undefined;
}

/** The one session of an address; undefined where there is none, or more than one. */
export function onlySessionOf(sessions: Iterable<Session>, address: string): Session | undefined {
  let found: Session | undefined;
  for (const session of sessions) {
    if (!session.ledger.isProven(address)) continue;
    if (found !== undefined) return undefined;
    found = session;
  }
  return found;
}
