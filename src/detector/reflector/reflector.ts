/**
 * The reflector: SIP ports, media ports and a control channel on the Internet, for `sipalg check` on the other side of
 * whatever is in between.
 *
 * It tells a client what came in and sends what the client wants sent; of itself it answers STUN alone. What belongs to no
 * session (a scanner, a stray phone) gets no octet back. Nothing is ever dialled: UDP goes to endpoints that the ledger
 * admits, streams are those that clients have opened.
 */
import { timingSafeEqual } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket as TcpSocket,
} from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type Address, type Endpoint, formatEndpoint, isIPv6, parseAddress } from '../../core/net/address.ts';
import { isStun } from '../../core/net/stun.ts';
import { formatInvitation, pinOf } from '../control/invitation.ts';
import { LineReader } from '../control/line.ts';
import type { NameRecords } from '../control/names.ts';
import {
  type Answer,
  type Place,
  PROTOCOL,
  type Role,
  readCommand,
  readHello,
  writeLine,
} from '../control/protocol.ts';
import type { Identity } from './certificate.ts';
import { type ControlPlaces, introduce, remoteOf } from './introduction.ts';
import type { Limits } from './limits.ts';
import { ReflectorPage } from './page.ts';
import { onlySessionOf, Session, type Sockets, sessionNamed, someSessionOf } from './session.ts';
import { stunReply } from './stun.ts';

/** One address of this machine, and how it is seen from the Internet (a cloud's 1:1 NAT makes them differ). */
export interface OwnAddress {
  readonly local: Address;
  readonly public: Address;
}

export interface ReflectorOptions {
  /** The first is the one that clients dial; a second of the same family serves tests that need one (RFC 5780). */
  readonly addresses: readonly OwnAddress[];
  /** Host name or address that clients dial. Default: the first address. */
  readonly name?: string | undefined;
  /** The first that is free. */
  readonly controlPorts: readonly number[];
  readonly ports: PortPlan;
  readonly identity: Identity;
  readonly token: string;
  readonly version: string;
  /** Of the operator's domain, where there is one; looked up anew from time to time. */
  readonly names?: () => readonly NameRecords[];
  readonly limits: Limits;
  readonly tell: (event: ReflectorEvent) => void;
}

export interface PortPlan {
  readonly sip: number;
  readonly sipTls: number;
  readonly other: readonly number[];
  readonly control: number;
  readonly media: readonly number[];
  /** STUN's own port, and another one (RFC 5780 §7.2). */
  readonly stun: readonly number[];
  readonly dns: readonly number[];
}

export const defaultPorts: PortPlan = {
  sip: 5060,
  sipTls: 5061,
  other: [5070, 6060],
  control: 32_060,
  media: [32_100, 32_101, 32_102, 32_103],
  stun: [3478, 3479],
  dns: [53],
};

export type ReflectorEvent =
  | { readonly event: 'place.unavailable'; readonly place: string; readonly why: string }
  | {
      readonly event: 'session.started' | 'session.ended';
      readonly client: string;
      readonly sessions: number;
    }
  | { readonly event: 'client.refused'; readonly client: string; readonly why: string }
  | { readonly event: 'limit.reached'; readonly limit: string };

/** Why a reflector cannot start. */
export class ReflectorError extends Error {
  readonly code: 'detector/port-taken' | 'detector/no-address';
  readonly hint: string;

  constructor(code: ReflectorError['code'], message: string, hint: string) {
    super(message);
    this.name = 'ReflectorError';
    this.code = code;
    this.hint = hint;
  }
}

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #clock = (): number => performance.now();
  readonly #places: Place[] = [];
  readonly #udp = new Map<number, UdpSocket>();
  readonly #servers: Server[] = [];
  /** The TLS servers of the control ports, by local address. */
  readonly #control = new Map<Address, Server>();
  readonly #sessions = new Set<Session>();
  /** Closes the channel of a session. */
  readonly #channels = new Map<Session, () => void>();
  readonly #strangers = new Set<TcpSocket>();
  readonly #page: ReflectorPage;
  /** Control connections of an address in the current minute. */
  #attempts = new Map<Address, number>();
  readonly #minute: NodeJS.Timeout;
  controlPort = 0;
  /** Datagrams and connections that were nobody's: they got nothing. */
  unclaimed = 0;

  private constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#page = new ReflectorPage({ token: options.token, invitation: () => this.invitation });
    this.#minute = setInterval(() => {
      this.#attempts = new Map();
    }, 60_000);
    this.#minute.unref();
  }

  /** Opens everything. Throws where the SIP port or the control port cannot be had. */
  static async start(options: ReflectorOptions): Promise<Reflector> {
    if (options.addresses.length === 0)
      throw new ReflectorError(
        'detector/no-address',
        'this machine has no address that can be reached',
        'name one with --address, and where it is seen under another from the Internet, as LOCAL=PUBLIC',
      );
    const reflector = new Reflector(options);
    try {
      await reflector.#open();
      return reflector;
    } catch (error) {
      await reflector.close();
      throw error;
    }
  }

  /** The one argument of a check; `name` is what clients dial. */
  get invitation(): string {
    const { addresses, identity, name, token } = this.#options;
    return formatInvitation({
      host: name ?? addresses[0]!.public,
      port: this.controlPort,
      token,
      pin: pinOf(identity.certificate),
    });
  }

  get places(): readonly Place[] {
    return this.#places;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  async close(): Promise<void> {
    clearInterval(this.#minute);
    for (const close of this.#channels.values()) close();
    for (const socket of this.#strangers) socket.destroy();
    this.#page.close();
    for (const socket of this.#udp.values()) socket.close();
    this.#udp.clear();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #open(): Promise<void> {
    const { addresses, ports, controlPorts } = this.#options;
    for (const own of addresses) {
      const first = own === addresses[0];
      const control = { tls: -1, wss: -1 };
      await this.#openControl(own, first ? controlPorts : [this.controlPort], first, control);
    }
    const plan: [Role, number][] = [
      ['sip', ports.sip],
      ['control', ports.control],
      ...ports.other.map((port): [Role, number] => ['other', port]),
      ...ports.media.map((port): [Role, number] => ['media', port]),
      ...ports.stun.map((port): [Role, number] => ['stun', port]),
      ...ports.dns.map((port): [Role, number] => ['dns', port]),
    ];
    for (const own of addresses) {
      for (const [role, port] of plan) {
        const isVital = role === 'sip' && own === addresses[0];
        await this.#try('udp', own, port, isVital, () => this.#openUdp(own, role, port));
        if (role === 'media' || role === 'stun' || role === 'dns') continue;
        await this.#try('tcp', own, port, false, () => this.#openStream(own, 'tcp', role, port));
      }
      await this.#try('tls', own, ports.sipTls, false, () =>
        this.#openStream(own, 'tls', 'sip', ports.sipTls),
      );
    }
  }

  async #try(
    kind: string,
    own: OwnAddress,
    port: number,
    isVital: boolean,
    open: () => Promise<void>,
  ): Promise<void> {
    try {
      await open();
    } catch (error) {
      const place = `${kind} ${formatEndpoint({ address: own.local, port })}`;
      const why = (error as Error).message;
      if (isVital)
        throw new ReflectorError(
          'detector/port-taken',
          `${place}: ${why}`,
          'this port is what the test is about: stop what holds it (`ss -ulpn` names it), or name another address with --address',
        );
      this.#options.tell({ event: 'place.unavailable', place, why });
    }
  }

  #openUdp(own: OwnAddress, role: Role, port: number): Promise<void> {
    const v6 = isIPv6(own.local);
    const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6, recvBufferSize: 1 << 20 });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, own.local, () => {
        socket.removeAllListeners('error');
        // ICMP errors of clients that have gone are no news.
        socket.on('error', () => {});
        const place = this.#addPlace(own, 'udp', role, socket.address().port);
        this.#udp.set(place, socket);
        socket.on('message', (bytes, from) => this.#onDatagram(place, from.address, from.port, bytes));
        resolve();
      });
    });
  }

  #addPlace(own: OwnAddress, transport: Place['transport'], role: Role, port: number): number {
    const place = this.#places.length;
    this.#places.push({ place, transport, role, address: own.public, port });
    return place;
  }

  #onDatagram(place: number, address: string, port: number, bytes: Uint8Array): void {
    const from = { address: parseAddress(address) ?? address, port };
    if (port === 0) return;
    const named = sessionNamed(this.#sessions, bytes);
    // Without a tag it may be a probe that a box has mangled: it is told, if there is no doubt whose it is.
    const session = named ?? onlySessionOf(this.#sessions, from.address);
    if (session === undefined) this.unclaimed++;
    else session.datagram(place, from, bytes, named !== undefined);
    if (!isStun(bytes)) return;
    // STUN clients other than ours say no tag; an address that is proven is answered all the same.
    const asker = session ?? someSessionOf(this.#sessions, from.address);
    const reply = asker === undefined ? undefined : stunReply(bytes, from, place, this.#places);
    if (reply !== undefined) asker?.answerStun(reply);
  }

  async #openControl(
    own: OwnAddress,
    ports: readonly number[],
    isVital: boolean,
    control: ControlPlaces,
  ): Promise<void> {
    let last: Error | undefined;
    for (const port of ports) {
      try {
        const opened = await this.#openTls(own, port, (socket) => this.#onStranger(socket, control));
        this.#control.set(own.local, this.#servers.at(-1)!);
        if (isVital) this.controlPort = opened;
        // The same port serves SIP over TLS and over WebSocket, as providers do on 443.
        control.tls = this.#addPlace(own, 'tls', 'other', opened);
        control.wss = this.#addPlace(own, 'wss', 'other', opened);
        return;
      } catch (error) {
        last = error as Error;
      }
    }
    if (!isVital) {
      const place = `control ${own.local}`;
      this.#options.tell({ event: 'place.unavailable', place, why: last?.message ?? '' });
      return;
    }
    throw new ReflectorError(
      'detector/port-taken',
      `no control port: ${last?.message}`,
      'ports below 1024 need root or CAP_NET_BIND_SERVICE; --control-port names another one',
    );
  }

  async #openStream(own: OwnAddress, transport: 'tcp' | 'tls', role: Role, port: number): Promise<void> {
    let place = -1;
    const accept = (socket: TcpSocket): void =>
      this.#onStranger(socket, place, transport === 'tcp' ? own : undefined);
    let opened = port;
    if (transport === 'tls') opened = await this.#openTls(own, port, accept);
    else opened = await this.#listen(createTcpServer({ noDelay: true }, accept), own, port);
    place = this.#addPlace(own, transport, role, opened);
  }

  #openTls(own: OwnAddress, port: number, accept: (socket: TcpSocket) => void): Promise<number> {
    const { key, certificate } = this.#options.identity;
    const server = createTlsServer(
      {
        key,
        cert: certificate,
        minVersion: 'TLSv1.2',
        noDelay: true,
        handshakeTimeout: this.#options.limits.introductionMs,
      },
      accept,
    );
    // A handshake that fails is a scanner, or a box that tries its own certificate: neither is our error.
    server.on('tlsClientError', () => {});
    return this.#listen(server, own, port);
  }

  /** Gives the port, which the system chooses where 0 is asked for. */
  #listen(server: Server, own: OwnAddress, port: number): Promise<number> {
    server.maxConnections = this.#options.limits.strangers * 4;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: own.local, ipv6Only: isIPv6(own.local) }, () => {
        server.removeListener('error', reject);
        server.on('error', () => {});
        this.#servers.push(server);
        resolve((server.address() as AddressInfo).port);
      });
    });
  }

  /** `own`: the address at which it came in, where it is no TLS. */
  #onStranger(socket: TcpSocket, at: number | ControlPlaces, own?: OwnAddress): void {
    socket.on('error', () => {});
    const from = remoteOf(socket);
    const isFull = this.#strangers.size >= this.#options.limits.strangers;
    if (from !== undefined && isFull) this.#options.tell({ event: 'limit.reached', limit: 'strangers' });
    if (from === undefined || isFull || (typeof at !== 'number' && !this.#mayTry(from.address))) {
      socket.destroy();
      return;
    }
    this.#strangers.add(socket);
    introduce(socket, from, at, {
      withinMs: this.#options.limits.introductionMs,
      sessions: this.#sessions,
      onTls: own === undefined ? undefined : (head) => this.#onTls(socket, head, own),
      onHello: (head) => this.#onHello(socket, from, head),
      onHttp: (head) => this.#page.take(socket, head),
      onNobody: () => {
        this.unclaimed++;
      },
      onEnd: () => this.#strangers.delete(socket),
    });
  }

  /** The control port's own server takes over, from the first octet on. */
  #onTls(socket: TcpSocket, head: Buffer, own: OwnAddress): void {
    const server = this.#control.get(own.local);
    if (server === undefined) {
      socket.destroy();
      return;
    }
    socket.pause();
    socket.unshift(head);
    server.emit('connection', socket);
  }

  #mayTry(address: Address): boolean {
    const attempts = (this.#attempts.get(address) ?? 0) + 1;
    if (this.#attempts.size >= MOST_ATTEMPTING && attempts === 1) return false;
    this.#attempts.set(address, attempts);
    if (attempts === this.#options.limits.helloPerMinute + 1)
      this.#options.tell({ event: 'client.refused', client: address, why: 'too many attempts' });
    return attempts <= this.#options.limits.helloPerMinute;
  }

  #onHello(socket: TcpSocket, client: Endpoint, head: Buffer): void {
    const end = head.indexOf(0x0a);
    const hello = end < 0 ? undefined : readHello(head.subarray(0, end).toString('utf8'));
    // Who does not know the token learns nothing, not even that this is a reflector.
    if (hello === undefined || !sameText(hello.token, this.#options.token)) {
      this.unclaimed++;
      this.#options.tell({
        event: 'client.refused',
        client: formatEndpoint(client),
        why: hello === undefined ? 'no hello' : 'wrong token',
      });
      socket.destroy();
      return;
    }
    // Who knows the token guesses nothing.
    this.#attempts.set(client.address, Math.max(0, (this.#attempts.get(client.address) ?? 0) - 1));
    const answer = (line: Answer): void => void socket.write(writeLine(line));
    const { limits } = this.#options;
    const sameAddress = [...this.#sessions].filter((one) => one.client.address === client.address).length;
    const why =
      hello.protocol !== PROTOCOL
        ? { code: 'protocol', why: `this reflector speaks version ${PROTOCOL} of the protocol` }
        : this.#sessions.size >= limits.sessions || sameAddress >= limits.sessionsPerAddress
          ? { code: 'busy', why: 'this reflector has as many clients as it takes; try again in some minutes' }
          : undefined;
    if (why !== undefined) {
      this.#options.tell({ event: 'client.refused', client: formatEndpoint(client), why: why.code });
      answer({ kind: 'refused', ...why });
      socket.end();
      return;
    }
    this.#startSession(socket, client, head.subarray(end + 1), answer);
  }

  #startSession(socket: TcpSocket, client: Endpoint, rest: Buffer, answer: (line: Answer) => void): void {
    const { limits, tell, version } = this.#options;
    const sockets: Sockets = { send: (place, to, bytes, done) => this.#send(place, to, bytes, done) };
    const channel = {
      get backlog() {
        return socket.writableLength;
      },
      write: (line: string) => void socket.write(line),
      close: () => void socket.destroy(),
    };
    const session = new Session(limits, client, channel, sockets, this.#clock);
    this.#sessions.add(session);
    this.#channels.set(session, channel.close);
    const silence = setInterval(
      () => {
        const now = this.#clock();
        if (now - session.lastHeardAt > limits.silenceMs || now - session.startedAt > limits.sessionMs)
          channel.close();
      },
      Math.min(5_000, limits.silenceMs / 2),
    );
    const name = formatEndpoint(client);
    socket.once('close', () => {
      clearInterval(silence);
      session.end();
      this.#sessions.delete(session);
      this.#channels.delete(session);
      tell({ event: 'session.ended', client: name, sessions: this.#sessions.size });
    });
    tell({ event: 'session.started', client: name, sessions: this.#sessions.size });
    answer({
      kind: 'welcome',
      protocol: PROTOCOL,
      version,
      tag: session.tag,
      you: client,
      places: [...this.#places],
      names: [...(this.#options.names?.() ?? [])],
      lifetimeMs: limits.sessionMs,
    });
    const lines = new LineReader();
    const read = (chunk: Buffer): void => {
      for (const line of lines.feed(chunk) ?? ['']) {
        const command = readCommand(line);
        // What is not a command ends the session: there is no way back into step.
        if (command === undefined) return channel.close();
        session.command(command);
      }
    };
    socket.on('data', read);
    if (rest.length > 0) read(rest);
  }

  #send(place: number, to: Endpoint, bytes: Uint8Array, done: (error: Error | null) => void): boolean {
    const socket = this.#udp.get(place);
    const own = this.#places[place];
    if (socket === undefined || own === undefined) return false;
    if (isIPv6(own.address) !== isIPv6(to.address) || parseAddress(to.address) === undefined)
      done(new Error('the address is of another family'));
    else socket.send(bytes, to.port, to.address, done);
    return true;
  }
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Addresses whose attempts are counted at a time; beyond, new ones wait for the next minute. */
const MOST_ATTEMPTING = 4_096;
