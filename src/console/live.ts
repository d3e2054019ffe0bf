/**
 * Live events to whoever looks: server-sent events (HTML Standard §9.2), few at a time.
 *
 * A reader that is too slow is hung up on: it comes back by itself, and asks for what it has missed.
 */
import type { ServerResponse } from 'node:http';

export const MOST_STREAMS = 16;
/** Octets that wait for one reader. */
const MOST_WAITING = 1024 * 1024;
/** So that both ends notice when the other one is gone. */
const HEARTBEAT_MS = 15_000;

export class LiveStreams {
  readonly #open = new Set<ServerResponse>();
  readonly #changed: (count: number) => void;
  #heartbeat: NodeJS.Timeout | undefined;

  /** `changed` is told how many look on. */
  constructor(changed: (count: number) => void) {
    this.#changed = changed;
  }

  get count(): number {
    return this.#open.size;
  }

  /** False: there are too many already, and nothing was done with it. */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>): boolean {
    if (this.#open.size >= MOST_STREAMS) return false;
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('retry: 2000\n\n');
    this.#open.add(response);
    const forget = (): void => {
      if (!this.#open.delete(response)) return;
      if (this.#open.size === 0) clearInterval(this.#heartbeat);
      this.#changed(this.#open.size);
    };
    response.once('close', forget);
    response.on('error', forget);
    if (this.#open.size === 1) {
      this.#heartbeat = setInterval(() => this.#write(':\n\n'), HEARTBEAT_MS);
      this.#heartbeat.unref();
    }
    this.#changed(this.#open.size);
    return true;
  }

  send(event: string, data: unknown): void {
    if (this.#open.size > 0) this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const response of this.#open) response.destroy();
  }

  #write(text: string): void {
    for (const response of this.#open) {
      if (response.writableLength > MOST_WAITING) response.destroy();
      else response.write(text);
    }
  }
}
