/**
 * What one turn of the loop sends: gathered, and given to the kernel with one call for each socket.
 *
 * Facts relied on (sendmmsg(2)): it stops at the first datagram that fails and says how many were sent; the error of one that
 * is not the first is lost, and told when it stands first in the next call.
 */
import type { Endpoint } from '../core/net/address.ts';
import { DatagramArena } from './datagram-arena.ts';
import { writeSockaddr } from './sockaddr.ts';
import type { UdpSocket } from './udp-socket.ts';

const BATCH = 64;
/** Octets of one batch; a datagram that is longer goes alone. */
const BATCH_OCTETS = 262_144;

interface Datagram {
  readonly bytes: Uint8Array;
  readonly remote: Endpoint;
}

let arena: DatagramArena | undefined;

export class SendQueue {
  readonly #waiting = new Map<UdpSocket, Datagram[]>();
  readonly #failed: () => void;

  /** `failed` is told of every datagram that the kernel did not take. */
  constructor(failed: () => void) {
    this.#failed = failed;
  }

  /** The octets must stay as they are until the queue is flushed. */
  add(socket: UdpSocket, bytes: Uint8Array, remote: Endpoint): void {
    const list = this.#waiting.get(socket);
    if (list === undefined) this.#waiting.set(socket, [{ bytes, remote }]);
    else list.push({ bytes, remote });
  }

  flush(): void {
    for (const [socket, list] of this.#waiting) this.#send(socket, list);
    this.#waiting.clear();
  }

  #send(socket: UdpSocket, list: readonly Datagram[]): void {
    for (let from = 0; from < list.length; ) {
      const count = list.length - from === 1 ? 1 : pack(list, from);
      if (count > 1) this.#sendPacked(socket, count);
      else if (!socket.send(list[from]!.bytes, list[from]!.remote)) this.#failed();
      from += count;
    }
  }

  #sendPacked(socket: UdpSocket, count: number): void {
    for (let from = 0; from < count; ) {
      const sent = socket.sendMany(arena!.headers(from), count - from);
      if (sent > 0) from += sent;
      else {
        // The first of them was refused; those behind it may still leave.
        socket.sendFailures++;
        this.#failed();
        from++;
      }
    }
  }
}

/** Copies datagrams into the arena, as many as fit: how many. */
function pack(list: readonly Datagram[], from: number): number {
  arena ??= new DatagramArena(BATCH, BATCH_OCTETS / BATCH, 0);
  const first = arena.dataOf(0);
  let count = 0;
  for (let at = first; count < BATCH && from + count < list.length; count++) {
    const { bytes, remote } = list[from + count]!;
    if (at - first + bytes.byteLength > BATCH_OCTETS) break;
    arena.bytes.set(bytes, at);
    arena.describe(count, writeSockaddr(arena.view, arena.nameOf(count), remote), at, bytes.byteLength);
    at += bytes.byteLength;
  }
  return Math.max(1, count);
}
