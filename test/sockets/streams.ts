/**
 * TCP of a world: connections that phones and providers make, those that the router makes to them, and the messages on both.
 *
 * A name of a scenario stands for all of one connection, this side of the router and the other. Who connects gives it its name;
 * what the router then connects to the other side has the same.
 */
import type { Socket } from 'node:net';
import { Journal } from '../../demo/journal.ts';
import type { Namespace } from '../../demo/namespace.ts';
import { type Endpoint, formatEndpoint } from '../../src/core/net/address.ts';
import { Framer } from '../../src/core/sip/framing.ts';
import { connectTcp, openTcpListener, type TcpListener } from '../../src/linux/tcp-socket.ts';
import { ARRIVES_MS, chain, type Fence, type Side } from './world.ts';

const SINK: Endpoint = { address: '127.0.0.1', port: 10 };
/** No request and no response begins like that, so that it goes straight across. */
const FENCE = '(fence ';
/** A fence that is on its way has behind it whatever was sent before, and a connection has been made by then, or is refused. */
const FENCES = 2;

export interface Message {
  readonly side: Side;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
  /** The connection. */
  readonly on: string;
}

interface End {
  readonly socket: Socket;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** It was made here, and not by the router. */
  readonly isOwn: boolean;
}

export class Streams {
  readonly #spaces: Readonly<Record<Side, Namespace>>;
  readonly #listeners: TcpListener[] = [];
  readonly #ends: Readonly<Record<Side, Map<string, End>>> = { internal: new Map(), external: new Map() };
  readonly #journal = new Journal<Message>(
    (one) => `${one.on}: ${formatEndpoint(one.from)} > ${formatEndpoint(one.to)}`,
  );
  readonly #fenced = new Journal<string>((text) => text);
  /** On which something was sent last: what the router connects to the other side because of it has its name. */
  #last = '';
  #unnamed = 0;
  #fences = 0;

  constructor(spaces: Readonly<Record<Side, Namespace>>) {
    this.#spaces = spaces;
    for (const side of ['internal', 'external'] as const) {
      const space = spaces[side];
      space.run(
        'nft',
        ['-f', '-'],
        chain(
          'streams',
          'filter hook prerouting priority mangle',
          `iifname "eth0" meta l4proto tcp tproxy to ${SINK.address}:${SINK.port} accept`,
        ),
      );
      this.#listeners.push(
        space.enter(() =>
          openTcpListener({
            local: SINK,
            transparent: true,
            accepted: (socket, local, remote) => this.#accepted(side, socket, local, remote),
            fault: (error) => {
              throw error;
            },
          }),
        ),
      );
    }
  }

  /** On the connection of that name, or on one that is made for it; `refused` may decide that it is not to be had. */
  async send(
    side: Side,
    name: string,
    from: Endpoint,
    to: Endpoint,
    bytes: Uint8Array,
    refused: Promise<void>,
  ): Promise<void> {
    this.#last = name;
    const known = this.#ends[side].get(name);
    if (known !== undefined) {
      known.socket.write(bytes);
      return;
    }
    // A provider does not call from the port at which it listens: from there it has a connection already.
    const local = side === 'internal' ? from : { ...from, port: 0 };
    const socket = this.#spaces[side].enter(() => connectTcp(local, to, true));
    const isThere = await Promise.race([
      new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true))),
      new Promise<boolean>((resolve) => socket.once('close', () => resolve(false))),
      refused.then(() => false),
    ]);
    if (!isThere) {
      socket.destroy();
      return;
    }
    this.#adopt(side, name, {
      socket,
      local: { address: from.address, port: socket.localPort ?? 0 },
      remote: to,
      isOwn: true,
    });
    socket.write(bytes);
  }

  /** Who has made the connection ends it; until that is seen on the other side. */
  async end(name: string): Promise<void> {
    const ends = (['internal', 'external'] as const).flatMap((side) => this.#ends[side].get(name) ?? []);
    const gone = ends.map(
      ({ socket }) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
    );
    ends.find(({ isOwn }) => isOwn)?.socket.end();
    await Promise.all(gone);
  }

  /** What has come since the last time, with the names of a flow: see `named`. */
  taken(): Message[] {
    const all = [...this.#journal.entries];
    this.#journal.clear();
    return all;
  }

  /**
   * An arrival, and where a check wants it. What is a matter of the data plane alone is taken as said: from which of a phone's
   * or a provider's ports a connection of theirs comes; that two connections between the same two endpoints cannot have the same ports;
   * and that a request takes the phone's connection where there is one.
   */
  named(one: Message, at: Endpoint, from: Endpoint | undefined, on: string | undefined): Message {
    const end = this.#ends[one.side].get(one.on);
    const isOwn = end?.isOwn === true;
    const isElsewhere = (on ?? one.on) !== one.on;
    const others = [...this.#ends.external.values()].filter((other) => other !== end && !other.isOwn);
    const isTaken = others.some(({ remote }) => formatEndpoint(remote) === formatEndpoint(from ?? SINK));
    const mayLeaveFrom =
      from !== undefined &&
      from.address === one.from.address &&
      (one.side === 'internal'
        ? this.#ends.external.get(one.on)?.isOwn === true
        : from.port === 0 || isTaken);
    return {
      ...one,
      to: isOwn && at.address === one.to.address ? at : one.to,
      from: mayLeaveFrom ? from : one.from,
      on:
        isElsewhere && isOwn && one.side === 'internal' && !this.#ends.internal.has(on ?? '')
          ? (on ?? one.on)
          : one.on,
    };
  }

  /** Behind it, all that was sent before has arrived: it goes the same way, with a connection of its own. */
  async fence({ inside, outside }: Fence): Promise<void> {
    for (let i = 0; i < FENCES; i++) {
      const text = `${FENCE}${++this.#fences}.`;
      const local = { address: inside.address, port: 0 };
      const socket = this.#spaces.internal.enter(() => connectTcp(local, outside, true));
      socket.on('error', () => {});
      socket.once('connect', () => socket.write(text));
      await this.#fenced.until((one) => one.includes(text), ARRIVES_MS, text);
      const gone = new Promise((resolve) => socket.once('close', resolve));
      socket.end();
      await gone;
    }
  }

  reset(): void {
    for (const ends of Object.values(this.#ends)) {
      for (const { socket } of ends.values()) socket.destroy();
      ends.clear();
    }
    for (const journal of [this.#journal, this.#fenced]) journal.clear();
    this.#last = '';
  }

  close(): void {
    this.reset();
    for (const listener of this.#listeners) listener.close();
  }

  #accepted(side: Side, socket: Socket, local: Endpoint, remote: Endpoint): void {
    let first = '';
    const look = (chunk: Buffer): void => {
      first += chunk.toString('latin1');
      if (FENCE.startsWith(first.slice(0, FENCE.length))) {
        if (first.endsWith('.')) this.#fenced.add(first);
        return;
      }
      socket.off('data', look).off('end', answer);
      const name = this.#ends[side].has(this.#last) ? `unnamed ${++this.#unnamed}` : this.#last;
      this.#adopt(side, name, { socket, local, remote, isOwn: false }, Buffer.from(first, 'latin1'));
    };
    const answer = (): void => {
      socket.end();
    };
    socket.on('data', look).on('end', answer);
    socket.on('error', () => {});
  }

  #adopt(side: Side, on: string, end: End, first?: Uint8Array): void {
    const { socket, local: to, remote: from } = end;
    this.#ends[side].set(on, end);
    const framer = new Framer();
    const read = (chunk: Uint8Array): void => {
      for (const { kind, bytes } of framer.feed(chunk))
        if (kind !== 'keepalive') this.#journal.add({ side, from, to, bytes, on });
    };
    socket.on('data', read);
    socket.on('end', () => socket.end());
    socket.on('error', () => {});
    socket.once('close', () => {
      if (this.#ends[side].get(on) === end) this.#ends[side].delete(on);
    });
    if (first !== undefined) read(first);
  }
}
