/** The console of a gateway that lives in another network namespace, on loopback of this machine, where a browser is. */
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Gateway } from './gateway.ts';

const USUAL_PORT = 8060;
const LOOPBACK = '127.0.0.1';

export class ConsoleFront {
  /** With the token. */
  readonly address: string;
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;

  private constructor(address: string, server: Server, sockets: ReadonlySet<Socket>) {
    this.address = address;
    this.#server = server;
    this.#sockets = sockets;
  }

  /** On the usual port, or on any where that is taken. */
  static async open(gateway: Gateway, port = USUAL_PORT): Promise<ConsoleFront> {
    const sockets = new Set<Socket>();
    const server = createServer((outside) => {
      const inside = connect(gateway.consoleSocket);
      for (const [socket, other] of [
        [outside, inside],
        [inside, outside],
      ] as const) {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    await listen(server, port).catch(() => listen(server, 0));
    const token = readFileSync(join(gateway.stateDir, 'console-token'), 'utf8').trim();
    const { port: own } = server.address() as AddressInfo;
    return new ConsoleFront(`http://${LOOPBACK}:${own}/#token=${token}`, server, sockets);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
