/**
 * Which descriptors have something to read: one epoll set for all of them, and one call of us for all that are ready at once.
 *
 * The loop of Node would call into JavaScript once for each descriptor, which costs as much as a message does in the engine. Here
 * it calls once for the set, which is a descriptor itself and readable while anything in it is (epoll(7)).
 *
 * Facts relied on:
 * - Level-triggered: what was not read is reported again.
 * - A descriptor that is closed while its event is in the batch already is reported still (epoll(7)), so each watch has a number of its own.
 * - `struct epoll_event` is 32 bits of events and 64 of data; packed on x86-64, aligned elsewhere (linux/eventpoll.h).
 */
import * as sys from './sys.ts';

const BATCH = 64;
const EVENT_SIZE = process.arch === 'x64' ? 12 : 16;
const DATA_AT = EVENT_SIZE - 8;
const EPOLLIN = 1;
const UPPER_HALF = 2 ** 32;

/** Watches a descriptor for input until closed, which has to be before the descriptor is. */
export interface Watch {
  close(): void;
}

interface ReadySet {
  readonly fd: sys.FileDescriptor;
  readonly poll: sys.Poll;
}

let set: ReadySet | undefined;
let events: sys.Arena | undefined;
const watched = new Map<number, () => void>();
let lastNumber = 0;
let isTurn = false;
let endings: (() => void)[] = [];

/** Calls `ready` whenever there is input. What it throws is thrown again outside of the turn. Throws a `SystemError`. */
export function watch(fd: sys.FileDescriptor, ready: () => void): Watch {
  set ??= openSet();
  const number = ++lastNumber;
  const event = new DataView(new ArrayBuffer(EVENT_SIZE));
  event.setUint32(0, EPOLLIN, true);
  event.setUint32(DATA_AT, number % UPPER_HALF, true);
  event.setUint32(DATA_AT + 4, Math.floor(number / UPPER_HALF), true);
  sys.epollAdd(set.fd, fd, new Uint8Array(event.buffer));
  watched.set(number, ready);
  return {
    close() {
      if (!watched.delete(number) || set === undefined) return;
      sys.epollRemove(set.fd, fd);
      // Without anything to wait for, the process may end.
      if (watched.size === 0) closeSet(set);
    },
  };
}

/** Calls `work` when everything that is ready has been handled; outside of a turn, with the next turn of Node's loop. */
export function atTurnsEnd(work: () => void): void {
  if (isTurn) endings.push(work);
  else setImmediate(work);
}

function openSet(): ReadySet {
  const fd = sys.epollCreate();
  return { fd, poll: sys.poll(fd, turn) };
}

function closeSet(one: ReadySet): void {
  set = undefined;
  one.poll.close();
  sys.close(one.fd);
}

/** One batch: what is ready beyond it is reported in the next turn, after timers and the rest of Node's loop. */
function turn(): void {
  if (set === undefined) return;
  events ??= sys.allocate(BATCH * EVENT_SIZE);
  const { view, address } = events;
  const count = sys.epollWait(set.fd, address, BATCH);
  // EINTR and the like: what is there is reported again.
  if (count <= 0) return;
  isTurn = true;
  for (let i = 0; i < count; i++) {
    const at = i * EVENT_SIZE + DATA_AT;
    const number = view.getUint32(at, true) + view.getUint32(at + 4, true) * UPPER_HALF;
    const ready = watched.get(number);
    if (ready !== undefined) guarded(ready);
  }
  isTurn = false;
  const ended = endings;
  endings = [];
  for (const work of ended) guarded(work);
}

/** One that throws takes nothing from the others, and the loop of Node cannot bear what is thrown in here. */
function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    setImmediate(() => {
      throw error;
    });
  }
}
