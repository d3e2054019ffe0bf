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

let arena: DatagramArena | undefined;

export class SendQueue {
  // Three lists in step, used again and again: an object for each datagram would be garbage by the end of the turn.
  readonly #sockets: (UdpSocket | undefined)[] = [];
  readonly #datagrams: Uint8Array[] = [];
  readonly #remotes: Endpoint[] = [];
  readonly #batch: number[] = [];
  readonly #failed: () => void;

  /** `failed` is told of every datagram that the kernel did not take. */
  constructor(failed: () => void) {
    this.#failed = failed;
  }

  /** The octets must stay as they are until the queue is flushed. */
  add(socket: UdpSocket, bytes: Uint8Array, remote: Endpoint): void {
    this.#sockets.push(socket);
    this.#datagrams.push(bytes);
    this.#remotes.push(remote);
  }

  /** Sends everything, what leaves by the same socket in its order. */
  flush(): void {
    const sockets = this.#sockets;
    for (let i = 0; i < sockets.length; i++) {
      const socket = sockets[i];
      if (socket === undefined) continue;
      this.#batch.push(i);
      // A turn has few messages, or few sockets: a table of who has what costs more than to look.
      for (let j = i + 1; j < sockets.length; j++)
        if (sockets[j] === socket) {
          this.#batch.push(j);
          sockets[j] = undefined;
        }
      this.#send(socket);
      this.#batch.length = 0;
    }
    sockets.length = 0;
    this.#datagrams.length = 0;
    this.#remotes.length = 0;
  }

  #send(socket: UdpSocket): void {
    const batch = this.#batch;
    for (let from = 0; from < batch.length; ) {
      const count = batch.length - from === 1 ? 1 : this.#pack(from);
      const first = batch[from]!;
      if (count > 1) this.#sendPacked(socket, count);
      else if (!socket.send(this.#datagrams[first]!, this.#remotes[first]!)) this.#failed();
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

  /** Copies datagrams of the batch into the arena, as many as fit: how many. */
  #pack(from: number): number {
    arena ??= new DatagramArena(BATCH, BATCH_OCTETS / BATCH, 0);
    const first = arena.dataOf(0);
    let count = 0;
    for (let at = first; count < BATCH && from + count < this.#batch.length; count++) {
      const index = this.#batch[from + count]!;
      const bytes = this.#datagrams[index]!;
      if (at - first + bytes.byteLength > BATCH_OCTETS) break;
      arena.bytes.set(bytes, at);
      const nameLength = writeSockaddr(arena.view, arena.nameOf(count), this.#remotes[index]!);
      arena.describe(count, nameLength, at, bytes.byteLength);
      at += bytes.byteLength;
    }
    return Math.max(1, count);
  }
}
