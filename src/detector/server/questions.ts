/**
 * Asks somebody else's server, politely: one question at a time, no more than two packets a second and 40 in all, and none
 * after it has said 403.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Echo, readEcho } from '../../core/detect/echo.ts';
import { looksLikeSip } from '../../core/detect/layout.ts';
import type { Endpoint } from '../../core/net/address.ts';
import { textOf } from '../../core/sip/octets.ts';
import { NotChecked } from '../check/step.ts';
import type { Leg } from './leg.ts';
import type { ServerTransport } from './target.ts';

export interface Manners {
  /** Between two packets. */
  readonly gapMs: number;
  readonly mostPackets: number;
  /** How long an answer may take before the request is sent again, or given up. */
  readonly patienceMs: number;
  readonly tries: number;
}

export const defaultManners: Manners = { gapMs: 500, mostPackets: 40, patienceMs: 1_500, tries: 3 };

export interface Question {
  /** For people: `OPTIONS, Max-Forwards 0`. */
  readonly what: string;
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Default: as the manners say. */
  readonly tries?: number;
}

export interface Asked {
  readonly what: string;
  readonly id: string;
  readonly transport: ServerTransport;
  readonly inside: Endpoint;
  readonly server: Endpoint;
  readonly sent: Uint8Array;
  /** The final answer; undefined where none came. */
  readonly received: Uint8Array | undefined;
  /** Undefined where the answer is no SIP response. */
  readonly echo: Echo | undefined;
  /** From the last sending to the answer; undefined after a repetition, which one it answers is not known then. */
  readonly afterMs: number | undefined;
  /** Why there is no answer, where the system knows. */
  readonly problem: string | undefined;
  /** Messages that came and were no answer. */
  readonly strays: number;
}

/** A hostile server may send on and on. */
const MOST_STRAYS = 64;
const FORBIDDEN = 403;

export class Questions {
  readonly asked: Asked[] = [];
  readonly #manners: Manners;
  #packets = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  #forbidden = false;

  constructor(manners: Manners) {
    this.#manners = manners;
  }

  get packets(): number {
    return this.#packets;
  }

  /** Throws `NotChecked` where the server is to be left alone. */
  async ask(leg: Leg, question: Question): Promise<Asked> {
    const { what, id, bytes } = question;
    const tries = leg.transport === 'tcp' ? 1 : (question.tries ?? this.#manners.tries);
    const patienceMs = this.#manners.patienceMs * (leg.transport === 'tcp' ? 2 : 1);
    const { promise: answer, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    let first: Uint8Array | undefined;
    let strays = 0;
    leg.listen({
      message: (received) => {
        const kind = kindOf(received, id, this.asked);
        if (kind === 'answer') resolve(received);
        else if (kind === 'unknown') first ??= received;
        if (kind !== 'provisional' && kind !== 'answer' && ++strays >= MOST_STRAYS) resolve(undefined);
      },
      failed: () => resolve(undefined),
    });
    let received: Uint8Array | undefined;
    let afterMs: number | undefined;
    try {
      for (let i = 0; i < tries && received === undefined; i++) {
        await this.#maySend();
        const sentAt = performance.now();
        leg.send(bytes);
        received = await within(answer, patienceMs);
        if (received !== undefined && i === 0) afterMs = performance.now() - sentAt;
        if (leg.problem !== undefined || strays >= MOST_STRAYS) break;
      }
    } finally {
      leg.listen(undefined);
    }
    const { transport, inside, server, problem } = leg;
    received ??= first;
    const echo = received === undefined ? undefined : readEcho(bytes, received, { inside, server, id });
    const asked: Asked = {
      what,
      id,
      transport,
      inside,
      server,
      sent: bytes,
      received,
      echo,
      afterMs,
      problem,
      strays,
    };
    this.asked.push(asked);
    if (echo?.status === FORBIDDEN) this.#forbidden = true;
    return asked;
  }

  async #maySend(): Promise<void> {
    if (this.#forbidden) throw new NotChecked('the server has said 403, and is left alone');
    if (this.#packets >= this.#manners.mostPackets)
      throw new NotChecked(`${this.#packets} packets have been sent, and more is not polite`);
    const wait = this.#sentAt + this.#manners.gapMs - performance.now();
    if (wait > 0) await sleep(wait);
    this.#packets++;
    this.#sentAt = performance.now();
  }
}

/** Answers to earlier questions may come late; one that has lost its id may still be the answer. */
function kindOf(
  received: Uint8Array,
  id: string,
  earlier: readonly Asked[],
): 'answer' | 'provisional' | 'earlier' | 'unknown' {
  if (!looksLikeSip(received)) return 'unknown';
  const text = textOf(received, 0, received.length);
  const status = /^\s*SIP\/\d\.\d (\d{3})/i.exec(text)?.[1];
  if (status === undefined) return 'earlier';
  if (status.startsWith('1')) return 'provisional';
  if (text.includes(id)) return 'answer';
  return earlier.some((one) => text.includes(one.id)) ? 'earlier' : 'unknown';
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
