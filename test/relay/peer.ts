/** The other end of a test on the loopback interface: a UDP socket with an inbox that can be awaited. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Endpoint, endpoint } from '../../src/core/net/address.ts';

export interface Received {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly from: Endpoint;
}

export interface Peer {
  readonly at: Endpoint;
  /** Fulfilled when it has left. */
  send(data: string | Uint8Array, to: Endpoint): Promise<void>;
  receive(): Promise<Received>;
  close(): Promise<void>;
}

export async function openPeer(address: string, port = 0): Promise<Peer> {
  const socket = createSocket('udp4');
  const inbox: Received[] = [];
  const readers: ((one: Received) => void)[] = [];
  socket.on('message', (bytes, source) => {
    const one = { text: bytes.toString('latin1'), bytes, from: endpoint(source.address, source.port) };
    const reader = readers.shift();
    if (reader === undefined) inbox.push(one);
    else reader(one);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return {
    at: endpoint(address, socket.address().port),
    send: (data, to) => new Promise((resolve) => socket.send(data, to.port, to.address, () => resolve())),
    receive: () => {
      const one = inbox.shift();
      return one === undefined ? new Promise((resolve) => readers.push(resolve)) : Promise.resolve(one);
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

/** `count` consecutive ports of an address that are free now. */
export async function freePorts(address: string, count: number): Promise<Endpoint> {
  for (;;) {
    const first = await openPeer(address);
    let free = first.at.port + count <= 65_535 && first.at.port % 2 === 0;
    for (let offset = 1; free && offset < count; offset++) {
      const socket = createSocket('udp4');
      const bound = await new Promise<boolean>((resolve) => {
        socket.once('error', () => resolve(false));
        socket.bind(first.at.port + offset, address, () => resolve(true));
      });
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      free &&= bound;
    }
    await first.close();
    if (free) return first.at;
  }
}
