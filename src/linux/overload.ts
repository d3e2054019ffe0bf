/**
 * What is dropped when more comes than can be handled: new work that has waited too long, before it costs anything.
 *
 * A request that waits in a socket's buffer for longer than T1 (500 ms, RFC 3261 §17.1.1.1) is there twice: its sender has
 * sent it again. A queue that is left to grow then holds mostly copies, and nothing is carried at all. So requests that
 * begin something are dropped once they have waited for most of T1 and the queue has not been shorter for a while; their
 * senders try again by themselves. What belongs to calls and registrations that are there (responses, ACK, BYE, CANCEL, any
 * request with a To tag) is never dropped here, however long it has waited.
 *
 * Facts relied on: SO_TIMESTAMPNS has the kernel say when a datagram arrived, on CLOCK_REALTIME (socket(7)); a clock that
 * is set looks like a strange age, and strange ages drop nothing.
 */

/** Most of T1: what has waited so long is about to be sent again. */
export const LATE_MS = 400;
/** The queue has to have been late for so long: a moment's standstill is no overload. */
const PERSISTENT_MS = 100;
/** An age above is a clock that was set. */
const STRANGE_MS = 60_000;
/** Octets in which the To of a message is looked for. */
const HEAD_LENGTH = 2_048;
const TO_TAG = /\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=/i;
/** What begins nothing: responses, and requests that only stand in a dialog or belong to another request. */
const CONTINUING = [
  'SIP/2.0 ',
  'ACK ',
  'BYE ',
  'CANCEL ',
  'PRACK ',
  'UPDATE ',
  'INFO ',
  'REFER ',
  'NOTIFY ',
].map((text) => Buffer.from(text, 'latin1'));

export class Overload {
  /** Requests that were dropped since the start. */
  dropped = 0;
  readonly #count: () => void;

  /** `tell` may be called for every request that is dropped. */
  constructor(tell: (text: string) => void) {
    this.#count = () => {
      this.dropped++;
      tell(
        'more comes in than can be handled: new requests that have waited for 400 ms are dropped, and sent again by their senders; calls that are up go on',
      );
    };
  }

  /** One for each socket. */
  queue(): ArrivalQueue {
    return new ArrivalQueue(this.#count);
  }
}

export class ArrivalQueue {
  readonly #dropped: () => void;
  #lateSinceMs: number | undefined;

  constructor(dropped: () => void) {
    this.#dropped = dropped;
  }

  /** Whether the datagram is dropped: `ageMs` after it arrived, at `nowMs` of a clock that does not jump. */
  drops(bytes: Uint8Array, ageMs: number, nowMs: number): boolean {
    if (!(ageMs >= LATE_MS && ageMs < STRANGE_MS)) {
      this.#lateSinceMs = undefined;
      return false;
    }
    this.#lateSinceMs ??= nowMs;
    if (nowMs - this.#lateSinceMs < PERSISTENT_MS || !beginsSomething(bytes)) return false;
    this.#dropped();
    return true;
  }
}

/** Whether a datagram is a request outside any dialog, or nothing that one knows. */
export function beginsSomething(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, HEAD_LENGTH));
  if (CONTINUING.some((start) => head.subarray(0, start.length).equals(start))) return false;
  return !TO_TAG.test(head.toString('latin1'));
}
