/**
 * The pump of a stream that crosses: any octets, in any segments, both ways, while either end reads as slowly as it likes.
 * What arrives is what was sent, in its order, but for what the engine has edited; no more waits than the bounds say.
 *
 * Sockets are stand-ins here, so that a run has no time and no chance of its own; test/stream has real ones.
 */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Endpoint } from '../../../src/core/net/address.ts';
import { type Frame, Framer } from '../../../src/core/sip/framing.ts';
import { Connections } from '../../../src/stream/connections.ts';
import { generateMessage, messageSeeds, messageTokens } from '../messages.ts';
import { toText } from '../octets.ts';
import { hashOctets, Random } from '../random.ts';
import { bucket, type Seen, type Target } from '../target.ts';

const PHONE: Endpoint = { address: '192.168.1.50', port: 49_152 };
const PROVIDER: Endpoint = { address: '198.51.100.5', port: 5060 };
const EXTERNAL: Endpoint = { address: '203.0.113.1', port: 5060 };
/** What may wait at one socket whose writer is paused at 128 KiB: that, and one turn of messages of one segment. */
const MOST_UNSENT = (128 + 64) * 1024;
const LONG_STREAM = 400 * 1024;
/** Keepalives that nobody has been found for yet. */
const EARLY = 1024;

/** Takes what is written in pieces, and keeps what it brings while it is paused. */
class StandIn extends EventEmitter {
  readonly got: Uint8Array[] = [];
  readonly #unsent: { bytes: Uint8Array; done: () => void }[] = [];
  writableLength = 0;
  most = 0;
  isPaused = false;
  hasEnded = false;
  closed = false;
  #needsDrain = false;

  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  write(bytes: Uint8Array, done: () => void): boolean {
    assert.ok(!this.hasEnded && !this.closed, 'it is written to after its end');
    this.#unsent.push({ bytes, done });
    this.writableLength += bytes.length;
    this.most = Math.max(this.most, this.writableLength);
    this.#needsDrain ||= this.writableLength > 16_384;
    return !this.#needsDrain;
  }
  /** The other side reads so many pieces. */
  read(pieces: number): void {
    for (let i = 0; i < pieces; i++) {
      const one = this.#unsent.shift();
      if (one === undefined) return;
      this.got.push(one.bytes);
      this.writableLength -= one.bytes.length;
      one.done();
    }
    if (this.writableLength > 0 || !this.#needsDrain) return;
    this.#needsDrain = false;
    this.emit('drain');
  }
  end(): void {
    this.hasEnded = true;
  }
  destroySoon(): void {
    this.hasEnded = true;
    this.read(Number.POSITIVE_INFINITY);
    this.destroy();
  }
  resetAndDestroy(): void {
    this.destroy();
  }
  destroy(): void {
    if (this.closed) return;
    this.closed = true;
    this.emit('close');
  }
}

export const streamTarget: Target = {
  name: 'stream',
  share: 4_000,
  seeds: [
    ...messageSeeds,
    `\r\n\r\n${messageSeeds[0]}\r\n\r\n${messageSeeds[3]}`,
    `${messageSeeds[0]}\x16\x03\x01 not SIP`,
    '\r\n'.repeat(600),
  ],
  tokens: messageTokens,
  generate: (random) =>
    Array.from({ length: 2 + random.below(3) }, () => generateMessage(random)).join(
      random.pick(['', '\r\n', '\r\n\r\n']),
    ),
  longest: 2048,
  run(bytes, seen) {
    const random = new Random(hashOctets(bytes), 'stream', 0);
    const at = random.below(bytes.length + 1);
    const isLong = random.once(100) && bytes.length > 0;
    const [out, back] = [bytes.subarray(0, at), bytes.subarray(at)].map((part) => {
      if (!isLong || part.length === 0) return part;
      const times = Math.ceil(LONG_STREAM / part.length);
      return new Uint8Array(Buffer.concat(Array.from({ length: times }, () => part)));
    }) as [Uint8Array, Uint8Array];
    new Run(random, seen).play(out, back);
  },
};

class Run {
  readonly #random: Random;
  readonly #seen: Seen;
  readonly #turns: (() => void)[] = [];
  readonly #phone = new StandIn();
  #provider: StandIn | undefined;
  #isConnected = false;
  #messages = 0;
  readonly #connections: Connections;

  constructor(random: Random, seen: Seen) {
    this.#random = random;
    this.#seen = seen;
    this.#connections = new Connections({
      handler: {
        packet: ({ connection }, bytes) => {
          this.#messages++;
          this.#connections.send(
            { transport: 'tcp', side: 'internal', local: PROVIDER, remote: PHONE, connection: connection! },
            edited(bytes),
          );
        },
        admits: () => false,
        closed: () => {},
        limit: () => {},
      },
      // Rates have a clock, and tests of their own.
      limits: { messagesPerSecondPerPhone: 1e9, messagesPerSecondPerProvider: 1e9 },
      connect: () => {
        this.#provider = new StandIn();
        return this.#provider as unknown as Socket;
      },
      fromPhone: ({ id }, bytes) => {
        this.#messages++;
        this.#connections.send(
          { transport: 'tcp', side: 'external', local: EXTERNAL, remote: PROVIDER, connection: id },
          edited(bytes),
        );
        return undefined;
      },
      externalAddress: () => EXTERNAL.address,
      notice: (code) => this.#seen(code),
    });
  }

  play(out: Uint8Array, back: Uint8Array): void {
    const { setImmediate: immediate, clearImmediate: clear } = globalThis;
    globalThis.setImmediate = ((turn: () => void) => this.#turns.push(turn)) as never;
    globalThis.clearImmediate = (() => {}) as never;
    try {
      this.#play(out, back);
    } finally {
      this.#connections.stop();
      globalThis.setImmediate = immediate;
      globalThis.clearImmediate = clear;
    }
  }

  #play(out: Uint8Array, back: Uint8Array): void {
    const random = this.#random;
    const largest = out.length + back.length > LONG_STREAM ? 65_536 : random.pick([1, 40, 1500]);
    this.#connections.acceptPhone(this.#phone as unknown as Socket, PROVIDER, PHONE);
    let [sent, returned] = [0, 0];
    let isEnded = false;
    let steps = 0;
    const isDone = (): boolean =>
      isEnded && this.#turns.length === 0 && (this.#provider === undefined || returned === back.length);
    while (!isDone()) {
      assert.ok(++steps < 8 * (out.length + back.length) + 1000, 'it stands still');
      if (sent < out.length && !this.#phone.isPaused) {
        const size = 1 + random.below(Math.min(largest, out.length - sent));
        sent += size;
        this.#phone.emit('data', out.subarray(sent - size, sent));
      } else if (sent === out.length && !isEnded && !this.#phone.isPaused) {
        isEnded = true;
        this.#phone.emit('end');
      }
      const provider = this.#provider;
      if (provider !== undefined && !this.#isConnected && (isEnded || random.once(3))) {
        this.#isConnected = true;
        provider.emit('connect');
      }
      if (this.#isConnected && provider !== undefined && returned < back.length && !provider.isPaused) {
        const size = 1 + random.below(Math.min(largest, back.length - returned));
        returned += size;
        provider.emit('data', back.subarray(returned - size, returned));
      }
      this.#turns.shift()?.();
      if (provider?.isPaused === true || (this.#phone.isPaused && this.#turns.length === 0))
        this.#seen('somebody waits');
      for (const socket of [this.#phone, provider])
        if (random.once(2) || this.#turns.length === 0) socket?.read(random.below(8));
    }
    this.#judge(out, back);
  }

  #judge(out: Uint8Array, back: Uint8Array): void {
    const provider = this.#provider;
    const there = expected(out, { keepalives: EARLY });
    if (provider === undefined) {
      assert.ok(/^(?:\r\n)*$/.test(toText(out)), 'nothing has gone on');
      assert.ok(this.#phone.closed, 'a connection that leads nowhere is closed');
      this.#seen('nowhere');
      assert.equal(this.#connections.size, 0);
      return;
    }
    provider.read(Number.POSITIVE_INFINITY);
    assert.ok(provider.hasEnded, 'the end is not passed on');
    provider.emit('end');
    assert.equal(text(provider.got), there.text, 'from the phone');
    const here = expected(back, { isKnown: there.isKnown });
    this.#phone.read(Number.POSITIVE_INFINITY);
    assert.equal(text(this.#phone.got), here.text, 'from the provider');
    assert.equal(this.#messages, there.messages + here.messages);
    assert.ok(provider.most <= MOST_UNSENT, `${provider.most} octets wait for the provider`);
    assert.ok(this.#phone.most <= MOST_UNSENT, `${this.#phone.most} octets wait for the phone`);
    for (const socket of [this.#phone, provider]) socket.destroy();
    assert.equal(this.#connections.size, 0, 'something is left of it');
    this.#seen(`${bucket(there.messages)} ${bucket(here.messages)} ${there.kinds} ${here.kinds}`);
  }
}

/** What an engine may do to a message, for certain: it gets longer, and its first octet is another. */
function edited(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([Buffer.from('edited '), bytes.subarray(1)]));
}

interface Expected {
  readonly text: string;
  /** That the engine has had. */
  readonly messages: number;
  readonly kinds: string;
  /** It begins with a message, by which the connection has a mapping. */
  readonly isKnown: boolean;
}

/**
 * What has to arrive, from the stream in one piece. What comes to a connection without a mapping is not edited; of the
 * keepalives before the first message only the first octets are kept.
 */
function expected(
  bytes: Uint8Array,
  { isKnown = true, keepalives = Number.POSITIVE_INFINITY } = {},
): Expected {
  const framer = new Framer();
  const all: Frame[] = [...framer.feed(bytes)];
  const found = all.findIndex(({ kind }) => kind !== 'keepalive');
  const first = found < 0 ? all.length : found;
  const frames = all.filter((_one, at) => at >= first || 2 * (at + 1) <= keepalives);
  const parts = frames.map((one) => (isKnown && one.kind === 'message' ? edited(one.bytes) : one.bytes));
  return {
    text: text([...parts, framer.finish()]),
    messages: isKnown ? frames.filter(({ kind }) => kind === 'message').length : 0,
    kinds: [...new Set(frames.map(({ kind }) => kind))].sort().join(),
    isKnown: all[first]?.kind === 'message',
  };
}

function text(parts: readonly Uint8Array[]): string {
  return Buffer.concat(parts).toString('latin1');
}
