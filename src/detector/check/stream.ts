/**
 * Messages in a stream: TCP, TLS and WebSocket connections to the reflector. What was written at one end is compared with
 * what was read at the other, as octets of the whole stream; how it was cut into writes is part of the test.
 */
import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { Direction } from '../../core/detect/comparison.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { type Endpoint, isIPv6, parseAddress } from '../../core/net/address.ts';
import { Framer } from '../../core/sip/framing.ts';
import { pinOf } from '../control/invitation.ts';
import { fromBase64, type Place } from '../control/protocol.ts';
import { acceptKey, FrameReader, frameOf, upgradeRequest } from '../control/websocket.ts';
import { type Label, portKindOf, type Stand, within } from './stand.ts';

export class StreamError extends Error {}

const CONNECT_MS = 5_000;
/**
 * What a stream has lost is sent again, after 200 ms at first and twice as long each time (RFC 6298 §5.5): on a line that
 * loses one packet in twenty, a message of which a piece is missing for so long will not come.
 */
const LEAST_PATIENCE_MS = 2_000;

/** One connection, with its other end. */
export class Stream {
  readonly local: Endpoint;
  readonly place: Place;
  readonly #stand: Stand;
  readonly #socket: Socket;
  readonly #stop: () => void;
  #connection: number | undefined;
  #outside: Endpoint | undefined;
  /** What has come in at each end since the last message. */
  #atServer: Buffer = Buffer.alloc(0);
  #atClient: Buffer = Buffer.alloc(0);
  #serverChunks = 0;
  #wake = (): void => {};
  closed: string | undefined;

  private constructor(stand: Stand, place: Place, socket: Socket, local: Endpoint) {
    this.#stand = stand;
    this.place = place;
    this.#socket = socket;
    this.local = local;
    const frames = place.transport === 'wss' ? new FrameReader() : undefined;
    socket.on('data', (chunk: Buffer) => {
      const parts = frames === undefined ? [chunk] : (frames.feed(chunk) ?? []);
      this.#atClient = Buffer.concat([this.#atClient, ...parts]).subarray(0, MOST_KEPT);
      this.#wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.closed ??= error.code ?? error.message;
    });
    socket.once('close', () => {
      this.closed ??= 'closed';
      this.#wake();
    });
    this.#stop = stand.control.listen((arrival) => {
      if (arrival.kind === 'connected' && arrival.place === place.place && this.#connection === undefined) {
        // With one connection to a place at a time, the first that appears is ours; its first octets show it.
        this.#connection = arrival.connection;
        this.#outside = arrival.from;
      } else if (arrival.kind === 'chunk' && arrival.connection === this.#connection) {
        this.#serverChunks++;
        this.#atServer = Buffer.concat([this.#atServer, fromBase64(arrival.bytes)]).subarray(0, MOST_KEPT);
        this.#wake();
      } else if (arrival.kind === 'closed' && arrival.connection === this.#connection) {
        this.closed ??= arrival.how;
        this.#wake();
      }
    });
  }

  /** Connects; throws a StreamError that says how it failed. `pin` is what a TLS key has to be. */
  static async open(stand: Stand, place: Place, pin: string | undefined): Promise<Stream> {
    const { address: host, port } = place;
    const localAddress = isIPv6(host) ? undefined : stand.control.local.address;
    const where = { host, port, ...(localAddress === undefined ? {} : { localAddress }) };
    const isTls = place.transport !== 'tcp';
    const socket = isTls ? connectTls({ ...where, rejectUnauthorized: false }) : connectTcp(where);
    socket.setNoDelay(true);
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`)),
      CONNECT_MS,
    );
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once(isTls ? 'secureConnect' : 'connect', resolve);
        socket.once('error', (error: NodeJS.ErrnoException) =>
          reject(new StreamError(error.code ?? error.message)),
        );
        socket.once('close', () => reject(new StreamError('the connection was closed')));
      });
      if (isTls && pin !== undefined) {
        const { raw } = (socket as ReturnType<typeof connectTls>).getPeerCertificate(true);
        if (pinOf(raw) !== pin) throw new StreamError(WRONG_KEY);
      }
      if (place.transport === 'wss') await upgrade(socket, host);
    } catch (error) {
      socket.on('error', () => {});
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    socket.removeAllListeners('error');
    socket.removeAllListeners('close');
    const local = {
      address: parseAddress(socket.localAddress ?? '') ?? '0.0.0.0',
      port: socket.localPort ?? 0,
    };
    return new Stream(stand, place, socket, local);
  }

  get outside(): Endpoint | undefined {
    return this.#outside;
  }

  /** In how many reads the last message came out at the server. */
  get serverChunks(): number {
    return this.#serverChunks;
  }

  /** Writes the messages, cut at the given places, and waits until as much has come out at the server. */
  async sendOut(
    label: Label,
    messages: readonly Uint8Array[],
    cuts: readonly number[] = [],
  ): Promise<Passage[]> {
    const sent = Buffer.concat(messages);
    this.#atServer = Buffer.alloc(0);
    this.#serverChunks = 0;
    const sentAt = performance.now();
    let from = 0;
    for (const to of [...cuts.filter((cut) => cut > 0 && cut < sent.length), sent.length]) {
      this.#write(sent.subarray(from, to));
      from = to;
      // Without Nagle's algorithm each write is a segment; a breath in between keeps them apart on the way as well.
      if (to < sent.length) await sleep(2);
    }
    await this.#until(() => isWhole(this.#atServer, messages));
    return this.#passages(label, 'to-server', messages, this.#atServer, sentAt);
  }

  async sendIn(label: Label, messages: readonly Uint8Array[]): Promise<Passage[]> {
    if (this.#connection === undefined) return [];
    const sent = Buffer.concat(messages);
    this.#atClient = Buffer.alloc(0);
    const outcome = await this.#stand.control.write(this.#connection, sent);
    if (!outcome.ok) return [];
    await this.#until(() => isWhole(this.#atClient, messages));
    return this.#passages(label, 'to-client', messages, this.#atClient, outcome.at);
  }

  close(): void {
    this.#stop();
    this.#socket.destroy();
  }

  #write(bytes: Uint8Array): void {
    this.#socket.write(this.place.transport === 'wss' ? frameOf(bytes, randomBytes(4)) : bytes);
  }

  /** Until it is so, or nothing has come for as long as patience lasts. */
  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo() && this.closed === undefined) {
      const before = this.#atServer.length + this.#atClient.length;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await within(promise, Math.max(this.#stand.pace.patienceMs, LEAST_PATIENCE_MS));
      if (this.#atServer.length + this.#atClient.length === before) return;
    }
    // An edit may have made it longer: what comes right behind belongs to it.
    await sleep(this.#stand.pace.gapMs * 2);
  }

  #passages(
    label: Label,
    direction: Direction,
    messages: readonly Uint8Array[],
    received: Buffer,
    sentAt: number,
  ): Passage[] {
    const frames = splitMessages(received, messages, this.#stand.control.welcome.tag);
    const passages = messages.map((sent, i): Passage => {
      const got = frames[i];
      return {
        ...label,
        id: '',
        direction,
        transport: 'tcp',
        portKind: portKindOf(this.place),
        inside: this.local,
        outside: this.#outside,
        server: { address: this.place.address, port: this.place.port },
        sent,
        sentAt,
        // A stream loses nothing in the middle: what is a beginning only has not arrived, and was not cut off.
        received: got === undefined || isBeginning(got, sent) ? undefined : got,
        receivedAt: performance.now(),
        deliveredTo: undefined,
        tries: 1,
        recognised: true,
      };
    });
    this.#stand.passages.push(...passages);
    return passages;
  }
}

export const WRONG_KEY = 'the certificate is another one than the reflector’s';
const MOST_KEPT = 262_144;

function isBeginning(got: Uint8Array, sent: Uint8Array): boolean {
  return got.length < sent.length && got.every((octet, i) => octet === sent[i]);
}

/** As long as what was sent, or as many messages: an edit may have made them shorter. */
function isWhole(stream: Buffer, messages: readonly Uint8Array[]): boolean {
  const length = messages.reduce((sum, message) => sum + message.length, 0);
  if (stream.length >= length) return true;
  const frames = new Framer().feed(new Uint8Array(stream)).filter(({ kind }) => kind === 'message');
  return frames.length >= messages.length;
}

/**
 * The octets of each message: by their ids, because what a box holds back may come late, among others; and in their order
 * where damage has hit an id.
 */
function splitMessages(
  stream: Buffer,
  messages: readonly Uint8Array[],
  tag: string,
): (Uint8Array | undefined)[] {
  const idOf = (bytes: Uint8Array): string | undefined => {
    const text = Buffer.from(bytes).toString('latin1');
    // The last one stands in X-Probe: a response holds the request's id as well.
    const at = text.lastIndexOf(tag);
    return at < 0 ? undefined : text.slice(at, at + tag.length + 4);
  };
  const ids = messages.map(idOf);
  const frames = new Framer()
    .feed(new Uint8Array(stream))
    .filter(({ kind }) => kind === 'message')
    .map(({ bytes }) => ({ bytes, id: idOf(bytes) }));
  const isStranger = frames.some(({ id }) => id !== undefined && !ids.includes(id));
  if (messages.length === 1 && !isStranger) return [new Uint8Array(stream)];
  const unknown = frames.filter(({ id }) => id === undefined);
  const found = ids.map((id) => (frames.find((frame) => frame.id === id) ?? unknown.shift())?.bytes);
  // What cannot be cut into messages is all of the first.
  return isStranger || found.some((bytes) => bytes !== undefined) ? found : [new Uint8Array(stream)];
}

async function upgrade(socket: Socket, host: string): Promise<void> {
  const key = randomBytes(16).toString('base64');
  let head = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const read = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    if (head.length > 8_192) reject(new StreamError('no answer that is a WebSocket'));
    if (!head.includes('\r\n\r\n')) return;
    if (/^HTTP\/1\.1 101 /.test(head) && head.includes(acceptKey(key))) resolve();
    else reject(new StreamError(`the upgrade was answered ${head.slice(0, 40).split('\r\n')[0]}`));
  };
  socket.on('data', read);
  socket.once('close', () => reject(new StreamError('the connection was closed')));
  socket.write(upgradeRequest(host, key));
  try {
    await promise;
  } finally {
    socket.removeListener('data', read);
  }
}
