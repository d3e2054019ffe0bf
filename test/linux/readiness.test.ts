import { strictEqual as equal, ok, deepStrictEqual as same } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { atTurnsEnd, type Watch, watch } from '../../src/linux/readiness.ts';
import { SendQueue } from '../../src/linux/send-queue.ts';
import * as sys from '../../src/linux/sys.ts';
import { UdpSocket } from '../../src/linux/udp-socket.ts';

const LOOPBACK = '127.0.0.1';
const AF_INET = 2;

interface Ear {
  readonly fd: number;
  readonly port: number;
}

function ear(): Ear {
  const fd = sys.socket(AF_INET, sys.SOCK_DGRAM, 0);
  sys.bindInet(fd, { address: LOOPBACK, port: 0 });
  return { fd, port: sys.localEndpoint(fd).port };
}

/** Nothing of ours runs between the two: both are ready in one turn. */
function sayToBoth(one: Ear, other: Ear): void {
  const mouth = ear();
  for (const { port } of [one, other])
    equal(sys.sendToInet(mouth.fd, Uint8Array.of(1), { address: LOOPBACK, port }), 1);
  sys.close(mouth.fd);
}

const buffer = new Uint8Array(64);

test('one that is closed by another in the same turn is not called, also when its number is given to a new socket', async () => {
  const ears = [ear(), ear()] as const;
  const heard: number[] = [];
  const watches: Watch[] = [];
  let late: Ear | undefined;
  await new Promise<void>((resolve) => {
    for (const [i, { fd }] of ears.entries())
      watches.push(
        watch(fd, () => {
          heard.push(i);
          sys.receive(fd, buffer);
          const other = 1 - i;
          watches[other]!.close();
          sys.close(ears[other]!.fd);
          // The kernel gives the lowest number that is free: the very same.
          late = ear();
          equal(late.fd, ears[other]!.fd);
          watches[other] = watch(late.fd, () => heard.push(9));
          atTurnsEnd(() => setImmediate(resolve));
        }),
      );
    sayToBoth(...ears);
  });
  equal(heard.length, 1);
  for (const one of watches) one.close();
  sys.close(ears[heard[0]!]!.fd);
  sys.close(late!.fd);
});

test('what one throws takes nothing from the others, and is not swallowed', async () => {
  const ears = [ear(), ear()] as const;
  const heard = new Set<number>();
  const thrown: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => thrown.push(error));
  const watches = await new Promise<Watch[]>((resolve) => {
    const all = ears.map(({ fd }, i) =>
      watch(fd, () => {
        heard.add(i);
        sys.receive(fd, buffer);
        if (heard.size === 2) atTurnsEnd(() => setImmediate(() => setImmediate(() => resolve(all))));
        throw new Error(`from ${i}`);
      }),
    );
    sayToBoth(...ears);
  });
  process.removeAllListeners('uncaughtException');
  for (const listener of listeners) process.on('uncaughtException', listener);
  same(thrown.map((error) => (error as Error).message).sort(), ['from 0', 'from 1']);
  for (const one of watches) one.close();
  for (const { fd } of ears) sys.close(fd);
});

test('timers and the rest of the loop have their turn while messages come without an end', async () => {
  const one = ear();
  const mouth = ear();
  const say = (): unknown =>
    sys.sendToInet(mouth.fd, Uint8Array.of(1), { address: LOOPBACK, port: one.port });
  let heard = 0;
  const watching = watch(one.fd, () => {
    heard++;
    sys.receive(one.fd, buffer);
    say();
  });
  say();
  const server = createSocket('udp4').bind(0, LOOPBACK);
  await once(server, 'listening');
  server.send('to itself', server.address().port, LOOPBACK);
  await once(server, 'message');
  await new Promise((resolve) => setTimeout(resolve, 5));
  ok(heard > 10, `${heard} messages`);
  watching.close();
  server.close();
  for (const { fd } of [one, mouth]) sys.close(fd);
});

test('a process that watches nothing any more can end, and one that watches does not', () => {
  const readiness = fileURLToPath(new URL('../../src/linux/readiness.ts', import.meta.url));
  const socket = fileURLToPath(new URL('../../src/linux/udp-socket.ts', import.meta.url));
  const code = `
    import { UdpSocket } from ${JSON.stringify(socket)};
    import { atTurnsEnd } from ${JSON.stringify(readiness)};
    const fault = (error) => { throw error; };
    const one = new UdpSocket({ local: { address: '${LOOPBACK}', port: 0 } }, { datagram() { one.close(); atTurnsEnd(() => console.log('closed')); }, fault });
    setTimeout(() => one.send(Uint8Array.of(1), one.local), 50).unref();
  `;
  equal(
    execFileSync(process.execPath, ['--input-type=module-typescript', '-e', code], {
      encoding: 'utf8',
      timeout: 20_000,
    }),
    'closed\n',
  );
});

test('what a turn sends by several sockets leaves in the order of each', async () => {
  const fault = (error: unknown): void => {
    throw error;
  };
  const senders = [0, 1, 2].map(
    () => new UdpSocket({ local: { address: LOOPBACK, port: 0 } }, { datagram() {}, fault }),
  );
  const heard = new Map<number, number[]>();
  const COUNT = 200;
  let left = COUNT;
  await new Promise<void>((resolve) => {
    const receiver = new UdpSocket(
      { local: { address: LOOPBACK, port: 0 }, receiveBufferBytes: 1 << 20 },
      {
        datagram(bytes, remote) {
          const list = heard.get(remote.port) ?? [];
          list.push(bytes[0]!);
          heard.set(remote.port, list);
          if (--left > 0) return;
          receiver.close();
          resolve();
        },
        fault,
      },
    );
    const queue = new SendQueue(() => fault(new Error('not sent')));
    // Lengths differ, and the first octet says which it is.
    for (let i = 0; i < COUNT; i++)
      queue.add(senders[(i * 7) % 3]!, new Uint8Array(1 + i * 20).fill(i), receiver.local);
    queue.flush();
    queue.flush();
  });
  for (const [k, sender] of senders.entries()) {
    same(
      heard.get(sender.local.port),
      Array.from({ length: COUNT }, (_, i) => i).filter((i) => (i * 7) % 3 === k),
    );
    sender.close();
  }
});
