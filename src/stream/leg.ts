/**
 * One TCP connection of a crossing: what it brings comes out as messages, keepalives, and what is neither, in order; what
 * is written to it leaves in order, with bounds on what may wait.
 *
 * Facts: a connection may be closed in one direction only (RFC 9293 §3.6); a message is given out whole or not at all, so
 * that messages of several sources may be written to one connection; what is left of one at the end is passed on raw.
 */
import type { Socket } from 'node:net';
import type { Endpoint } from '../core/net/address.ts';
import { type Frame, Framer } from '../core/sip/framing.ts';

/** Octets that wait to be sent before whoever brings them is paused, and before the connection is given up. */
const HIGH_WATER = 128 * 1024;
const MAX_UNSENT = 1024 * 1024;
/** What waits has to make progress within this, or the other side has stopped reading for good. */
const STALL_MS = 120_000;
/** 64·T1: when a request that cannot be sent is given up (RFC 3261 §17.1.2.2, timer F). */
const CONNECT_MS = 32_000;
/**
 * TCP keepalives: a phone that was unplugged is noticed, and a NAT upstream keeps the connection (RFC 5626 §4.4.1 asks for
 * 95 to 120 s).
 */
const KEEPALIVE_MS = 110_000;
/** Frames that are given out before other connections have their turn. */
const TURN = 32;

export interface LegOwner {
  /** One whole message. While the promise is pending, nothing more of this connection is given out. */
  message(leg: Leg, bytes: Uint8Array): Promise<void> | undefined;
  /** Octets for the other side as they are: `keepalive` between messages, or from the first that is not SIP. */
  raw(leg: Leg, bytes: Uint8Array, kind: 'keepalive' | 'raw'): void;
  /** The stream is opaque from here on, because of `why`. */
  opaque(leg: Leg, why: string): void;
  /** Nothing more comes; all that has come has been given out. */
  ended(leg: Leg): void;
  /** Nothing more can be sent either. `error`: it was reset, could not be made, or was given up. */
  closed(leg: Leg, error: Error | undefined): void;
  active(): void;
  /** Milliseconds until the next frame of so many octets may be given out; 0: now, and it is counted. */
  pace(leg: Leg, octets: number): number;
}

export class Leg {
  /** As the flow has it: to a phone, the provider; to a provider, the mapping's external endpoint. */
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Until then the pong to a ping of ours may come. */
  pongUntilMs = 0;
  /** Set once what it brings is not framed any more. */
  isOpaque = false;
  readonly #owner: LegOwner;
  readonly #framer = new Framer();
  #socket: Socket;
  /** What is to be written once it is connected; undefined from then on. */
  #early: Uint8Array[] | undefined;
  #earlyOctets = 0;
  #connectTimer: NodeJS.Timeout | undefined;
  #frames: Frame[] = [];
  #next = 0;
  #isBusy = false;
  /** Until it is its turn again, or it may go on at its rate. */
  #rest: { cancel(): void } | undefined;
  #hasEnded = false;
  #isEnding = false;
  #isFinishing = false;
  #isGone = false;
  #error: Error | undefined;
  #progressMs = performance.now();
  /** Legs that may read on when this one has drained, and legs that this one waits for. */
  readonly #sources = new Set<Leg>();
  readonly #waitsFor = new Set<Leg>();

  /** `connect`: makes the socket anew from any port, for one that is being connected and finds its own taken. */
  constructor(socket: Socket, local: Endpoint, remote: Endpoint, owner: LegOwner, connect?: () => Socket) {
    this.local = local;
    this.remote = remote;
    this.#owner = owner;
    this.#socket = socket;
    if (connect === undefined) this.#adopt(socket);
    else this.#await(socket, connect);
  }

  /** Whether something may still be written to it. */
  get isOpen(): boolean {
    return !this.#isGone && !this.#isEnding;
  }

  get unsent(): number {
    return this.#early === undefined ? this.#socket.writableLength : this.#earlyOctets;
  }

  /** Writes, and pauses `source` while too much waits. False where nothing can be written any more. */
  write(bytes: Uint8Array, source?: Leg): boolean {
    if (!this.isOpen) return false;
    if (this.unsent + bytes.length > MAX_UNSENT) {
      this.reset(new Error(`${this.unsent} octets wait, and nobody reads them`));
      return false;
    }
    if (this.unsent === 0) this.#progressMs = performance.now();
    if (this.#early !== undefined) {
      this.#early.push(bytes);
      this.#earlyOctets += bytes.length;
    } else this.#put(bytes);
    if (source !== undefined && this.unsent > HIGH_WATER) {
      this.#sources.add(source);
      source.#waitsFor.add(this);
      source.#flow();
    }
    return true;
  }

  /** Nothing more will be written: the other side is told when all has been sent. */
  end(): void {
    if (!this.isOpen) return;
    this.#isEnding = true;
    if (this.#early === undefined) this.#socket.end();
  }

  /** Sends what waits, and closes in both directions. */
  finish(): void {
    if (this.#isGone) return;
    this.#isEnding = true;
    this.#isFinishing = true;
    if (this.#early === undefined) this.#socket.destroySoon();
  }

  /** Closes at once, so that the other side sees that the connection broke. */
  reset(error: Error): void {
    if (this.#isGone) return;
    this.#error ??= error;
    // A socket that is not connected yet has nobody to be told.
    if (this.#early === undefined) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Gives up what makes no progress. */
  check(nowMs: number): void {
    if (this.unsent > 0 && this.#early === undefined && nowMs - this.#progressMs > STALL_MS)
      this.reset(new Error(`nothing was read for ${STALL_MS / 1000} s`));
  }

  #await(socket: Socket, again: (() => Socket) | undefined): void {
    this.#early ??= [];
    this.#socket = socket;
    clearTimeout(this.#connectTimer);
    this.#connectTimer = setTimeout(() => {
      this.#error ??= new Error('no answer');
      this.#socket.destroy();
    }, CONNECT_MS);
    socket.once('connect', () => {
      clearTimeout(this.#connectTimer);
      socket.removeAllListeners('error').removeAllListeners('close');
      this.#adopt(socket);
      const early = this.#early ?? [];
      this.#early = undefined;
      this.#progressMs = performance.now();
      for (const bytes of early) this.#put(bytes);
      if (this.#isFinishing) socket.destroySoon();
      else if (this.#isEnding) socket.end();
      this.#drained();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (again !== undefined && (error.code === 'EADDRNOTAVAIL' || error.code === 'EADDRINUSE')) {
        // The same two endpoints had a connection that TCP still remembers: from another port then.
        socket.removeAllListeners('close');
        try {
          return this.#await(again(), undefined);
        } catch (failure) {
          this.#error = failure as Error;
          return this.#close();
        }
      }
      this.#error ??= error;
    });
    socket.once('close', () => this.#close());
  }

  #adopt(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#pump();
    });
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('close', () => this.#close());
  }

  #put(bytes: Uint8Array): void {
    this.#socket.write(bytes, () => {
      this.#progressMs = performance.now();
    });
  }

  #read(chunk: Uint8Array): void {
    this.#owner.active();
    this.#frames.push(...this.#framer.feed(chunk));
    // All that one chunk brings leaves in as few segments as it came.
    this.#pump();
  }

  #pump(): void {
    let given = 0;
    while (!this.#isBusy && !this.#isGone && this.#rest === undefined && this.#next < this.#frames.length) {
      const frame = this.#frames[this.#next] as Frame;
      let end = this.#next + 1;
      if (frame.kind === 'keepalive') while (this.#frames[end]?.kind === 'keepalive') end++;
      const count = end - this.#next;
      const waitMs = given++ < TURN ? this.#owner.pace(this, count * frame.bytes.length) : 0;
      if (waitMs > 0 || given > TURN) {
        this.#pause(waitMs);
        break;
      }
      this.#next = end;
      switch (frame.kind) {
        case 'message': {
          const wait = this.#owner.message(this, frame.bytes);
          if (wait === undefined) break;
          this.#isBusy = true;
          void wait.finally(() => {
            this.#isBusy = false;
            this.#pump();
            this.#flow();
          });
          break;
        }
        case 'keepalive':
          this.#owner.raw(this, count === 1 ? frame.bytes : Buffer.from('\r\n'.repeat(count)), 'keepalive');
          break;
        case 'raw':
          this.#becomeOpaque(this.#framer.opaqueBecause ?? 'not SIP');
          this.#owner.raw(this, frame.bytes, 'raw');
      }
    }
    if (this.#next >= this.#frames.length) {
      this.#frames = [];
      this.#next = 0;
    }
    this.#flow();
    if (!this.#hasEnded || this.#isBusy || this.#isGone || this.#frames.length > 0) return;
    this.#hasEnded = false;
    const rest = this.#framer.finish();
    if (rest.length > 0) {
      this.#becomeOpaque('the connection ended within a message');
      this.#owner.raw(this, rest, 'raw');
    }
    this.#owner.ended(this);
  }

  #pause(waitMs: number): void {
    const goOn = (): void => {
      this.#rest = undefined;
      this.#pump();
    };
    if (waitMs > 0) {
      const timer = setTimeout(goOn, waitMs);
      this.#rest = { cancel: () => clearTimeout(timer) };
    } else {
      const turn = setImmediate(goOn);
      this.#rest = { cancel: () => clearImmediate(turn) };
    }
  }

  #becomeOpaque(why: string): void {
    if (this.isOpaque) return;
    this.isOpaque = true;
    this.#owner.opaque(this, why);
  }

  #flow(): void {
    if (this.#isGone) return;
    if (this.#isBusy || this.#rest !== undefined || this.#waitsFor.size > 0) this.#socket.pause();
    else this.#socket.resume();
  }

  #drained(): void {
    if (this.unsent > HIGH_WATER) return;
    for (const source of this.#sources) {
      source.#waitsFor.delete(this);
      source.#flow();
    }
    this.#sources.clear();
  }

  #close(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#connectTimer);
    this.#rest?.cancel();
    for (const source of this.#sources) {
      source.#waitsFor.delete(this);
      source.#flow();
    }
    this.#sources.clear();
    for (const target of this.#waitsFor) target.#sources.delete(this);
    this.#frames = [];
    this.#owner.closed(this, this.#error);
  }
}
