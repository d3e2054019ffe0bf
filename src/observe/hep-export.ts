/**
 * Exports each SIP message that came and each that left to a collector (Homer, or any that takes HEP3), over UDP or TCP.
 *
 * It fetches from the recorder when the collector can take something. What a collector misses while it is down is sent when it is
 * back, as far as it is remembered; what has gone from the memory meanwhile is counted. Calls are never touched.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { startLineOf } from './call-id.ts';
import type { Exchange } from './exchange.ts';
import { follow } from './follow.ts';
import { encodeHep, type HepAgent, type HepMessage } from './hep.ts';
import type { Recorder } from './recorder.ts';

export interface HepTarget {
  readonly transport: 'udp' | 'tcp';
  /** A name, which is looked up, or an address. */
  readonly host: string;
  readonly port: number;
}

export interface HepOptions extends HepAgent {
  readonly target: HepTarget;
  /** Users, credentials and bodies in the clear. */
  readonly reveal: boolean;
  /** Between two attempts to connect; for tests. */
  readonly retryMs?: number;
  /** Told when the collector goes and when it is back, not for each message. */
  notice(code: string, text: string): void;
}

/** Octets that may wait for a connection that is slow. */
const MOST_UNSENT = 1024 * 1024;
const RETRY_MS = 5_000;
/** A collector is told to be gone no more often than this. */
const NEWS_MS = 60_000;

interface Way {
  /** Resolves when something can be sent, or when it is closed. */
  ready(): Promise<void>;
  send(packet: Uint8Array): void;
  close(): void;
}

export class HepExport {
  readonly #options: HepOptions;
  readonly #way: Way;
  readonly #end = new AbortController();
  #sent = 0;
  #dropped = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(recorder: Recorder, options: HepOptions) {
    this.#options = options;
    const lost = (text: string, count: number): void => this.#lost(text, count);
    const { target, retryMs = RETRY_MS } = options;
    this.#way = target.transport === 'udp' ? udpWay(target, retryMs, lost) : tcpWay(target, retryMs, lost);
    void this.#run(recorder);
  }

  /** Messages; what was dropped includes what went from the memory before it was fetched. */
  get counts(): { readonly sent: number; readonly dropped: number } {
    return { sent: this.#sent, dropped: this.#dropped };
  }

  close(): void {
    this.#end.abort();
    this.#way.close();
  }

  async #run(recorder: Recorder): Promise<void> {
    const { reveal } = this.#options;
    const { signal } = this.#end;
    const followed = follow(recorder, { reveal, signal });
    for (;;) {
      await this.#way.ready();
      const { value, done } = await followed.next();
      if (done === true) return;
      this.#dropped += value.missed;
      for (const exchange of value.exchanges) {
        await this.#way.ready();
        if (signal.aborted) return;
        this.#export(exchange);
      }
    }
  }

  #export(exchange: Exchange): void {
    for (const message of messagesOf(exchange)) {
      const packet = encodeHep(message, this.#options);
      if (packet === undefined) this.#dropped++;
      else {
        this.#way.send(packet);
        this.#sent++;
      }
    }
  }

  /** `count`: messages that were taken for sent and were not. */
  #lost(text: string, count: number): void {
    this.#sent -= count;
    this.#dropped += count;
    const now = performance.now();
    if (now - this.#toldAtMs < NEWS_MS) return;
    this.#toldAtMs = now;
    const { transport, host, port } = this.#options.target;
    this.#options.notice(
      'hep.unreachable',
      `the collector at ${transport}:${host}:${port} takes nothing (${text}): what is not exported is counted, calls are not touched`,
    );
  }
}

/** What came and what left, both with the Call-ID as that by which they belong together; what is no SIP is left out. */
export function messagesOf(exchange: Exchange): HepMessage[] {
  const { received, sent, flow, atMs, handledMs, callId: correlation } = exchange;
  const messages: HepMessage[] = [];
  if (received !== undefined && flow !== undefined && startLineOf(received) !== undefined)
    messages.push({
      transport: flow.transport,
      source: flow.remote,
      destination: flow.local,
      atMs,
      correlation,
      bytes: received,
    });
  for (const { flow: to, bytes } of sent)
    if (startLineOf(bytes) !== undefined)
      messages.push({
        transport: to.transport,
        source: to.local,
        destination: to.remote,
        atMs: handledMs,
        correlation,
        bytes,
      });
  return messages;
}

type Lost = (text: string, count: number) => void;

/** What waits until something has come about. */
class Gate {
  #waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  open(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function udpWay({ host, port }: HepTarget, retryMs: number, lost: Lost): Way {
  const gate = new Gate();
  let socket: DatagramSocket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isReady = false;
  let isClosed = false;
  const open = (): void => {
    const opened = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
    socket = opened;
    opened.on('error', (error) => {
      // A port where nobody listens answers by ICMP, for one that was sent (a connected socket, udp(7)).
      lost(error.message, isReady ? 1 : 0);
      if (isReady || isClosed) return;
      // The name could not be looked up.
      opened.close();
      timer = setTimeout(open, retryMs);
      timer.unref();
    });
    opened.connect(port, host, () => {
      isReady = true;
      gate.open();
    });
    opened.unref();
  };
  open();
  return {
    ready: async () => {
      while (!isReady && !isClosed) await gate.wait();
    },
    send(packet) {
      socket?.send(packet, (error) => {
        if (error !== null) lost(error.message, 1);
      });
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      clearTimeout(timer);
      socket?.close();
      gate.open();
    },
  };
}

function tcpWay({ host, port }: HepTarget, retryMs: number, lost: Lost): Way {
  const gate = new Gate();
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isReady = false;
  let isClosed = false;
  const open = (): void => {
    const opened = connect({ host, port });
    socket = opened;
    opened.setNoDelay(true);
    opened.unref();
    opened.on('error', (error) => lost(error.message, 0));
    opened.on('connect', () => {
      isReady = true;
      gate.open();
    });
    opened.on('drain', () => gate.open());
    // What it says is nothing to us, but that it goes.
    opened.resume();
    opened.on('close', () => {
      isReady = false;
      if (isClosed) return;
      timer = setTimeout(open, retryMs);
      timer.unref();
    });
  };
  open();
  return {
    ready: async () => {
      while (!isClosed && (!isReady || (socket?.writableLength ?? 0) > MOST_UNSENT)) await gate.wait();
    },
    send: (packet) => {
      socket?.write(packet);
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      socket?.destroy();
      gate.open();
    },
  };
}
