/**
 * SIP over TCP as a phone or a provider does it, in the form of a datagram socket: one `message` event for each SIP message,
 * and `send` writes to the connection that leads there, or makes one. Keepalives are noted, and answered (RFC 5626 §4.4.1).
 */
import { EventEmitter } from 'node:events';
import { connect, createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Wire } from './transport.ts';

/** Runs a function where its sockets are to be made. */
export type Enter = <T>(make: () => T) => T;

export class TcpWire extends EventEmitter implements Wire {
  readonly transport = 'TCP';
  /** By the other end, as `address:port`. */
  readonly connections = new Map<string, Socket>();
  /** How many connections were made to us, and by us. */
  accepted = 0;
  made = 0;
  /** Keeps its own direction open when the other side has closed the other. */
  halfOpen = false;
  readonly #enter: Enter;
  readonly #address: string;
  readonly #port: number;
  readonly #server: Server | undefined;

  private constructor(enter: Enter, address: string, port: number, server: Server | undefined) {
    super();
    this.#enter = enter;
    this.#address = address;
    this.#port = port;
    this.#server = server;
  }

  /** Listens on `port` of every address; with `listens` false it can only connect. */
  static async open(enter: Enter, address: string, port: number, listens = true): Promise<TcpWire> {
    if (!listens) return new TcpWire(enter, address, port, undefined);
    // Without a host, the socket is made before `listen` returns, and so in the right namespace.
    const server = enter(() => createServer({ allowHalfOpen: true }).listen({ port, ipv6Only: false }));
    await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
    const wire = new TcpWire(enter, address, port, server);
    server.on('connection', (socket) => {
      wire.accepted++;
      wire.#adopt(socket, (socket.remoteAddress ?? '').replace('::ffff:', ''), socket.remotePort ?? 0);
      wire.emit('connection', socket);
    });
    return wire;
  }

  address(): { address: string; port: number } {
    return { address: this.#address, port: this.#port };
  }

  send(bytes: Uint8Array, port: number, address: string): void {
    (this.connections.get(`${address}:${port}`) ?? this.connect(address, port)).write(bytes);
  }

  connect(address: string, port: number): Socket {
    this.made++;
    // A name makes node look it up, with our function, and so make the socket before `connect` returns.
    const lookup = (_h: string, _o: unknown, done: (e: null, a: string, f: number) => void): void =>
      done(null, address, isIPv6(address) ? 6 : 4);
    const options = {
      host: 'peer',
      port,
      localAddress: this.#address,
      autoSelectFamily: false,
      allowHalfOpen: true,
    };
    const socket = this.#enter(() => connect({ ...options, lookup: lookup as never }));
    this.#adopt(socket, address, port);
    return socket;
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.connections.values()) socket.destroy();
    this.connections.clear();
  }

  #adopt(socket: Socket, address: string, port: number): void {
    const key = `${address}:${port}`;
    this.connections.set(key, socket);
    socket.setNoDelay(true);
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
      for (;;) {
        if (text.startsWith('\r\n\r\n')) {
          text = text.slice(4);
          socket.write('\r\n');
          this.emit('ping', socket);
          continue;
        }
        if (text.startsWith('\r\n') && text.length !== 3) {
          text = text.slice(2);
          this.emit('pong', socket);
          continue;
        }
        const header = text.indexOf('\r\n\r\n');
        if (header < 0) return;
        const length = Number(/^(?:content-length|l)\s*:\s*(\d+)/im.exec(text.slice(0, header))?.[1] ?? 0);
        const end = header + 4 + length;
        if (text.length < end) return;
        this.emit('message', Buffer.from(text.slice(0, end), 'latin1'), { address, port });
        text = text.slice(end);
      }
    });
    socket.on('error', () => {});
    // Whoever is hung up on hangs up, unless he keeps it open on purpose.
    socket.on('end', () => {
      if (!this.halfOpen) socket.end();
    });
    socket.on('close', () => {
      if (this.connections.get(key) === socket) this.connections.delete(key);
    });
  }
}
