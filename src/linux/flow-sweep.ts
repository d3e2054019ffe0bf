/**
 * Flows that must not go on, looked for in one walk of the connection table for all who ask.
 *
 * The kernel walks its whole table for a search, so its cost grows with everybody's flows, and a search for each call
 * would make calls dear on a busy router. What is known exactly (the endpoints that an SDP names) is removed at once by
 * its tuple; what is not (media from another port than was named) is found here, a moment later, for all calls together.
 */
import { type Endpoint, sameEndpoint } from '../core/net/address.ts';
import type { Conntrack, ConntrackEntry } from './conntrack.ts';

/** Whether a flow has to go. */
export type FlowJudgement = (entry: ConntrackEntry) => boolean;

/** From the first request to the walk; so a hole is shut well within a second. */
const DELAY_MS = 200;
/** On a large table walks rest this many times as long as they take, but never so long that a hole is open for a second. */
const REST = 20;
const MAX_DELAY_MS = 450;
/** A list that is this new is new enough for somebody who opens something. */
const RECENT_MS = 1_000;

export class FlowSweep {
  readonly #conntrack: Conntrack;
  readonly #fault: (error: unknown) => void;
  readonly #judgements = new Map<string, FlowJudgement>();
  #timer: NodeJS.Timeout | undefined;
  #delayMs = DELAY_MS;
  #recent: readonly ConntrackEntry[] = [];
  #recentAtMs = Number.NEGATIVE_INFINITY;

  constructor(conntrack: Conntrack, fault: (error: unknown) => void) {
    this.#conntrack = conntrack;
    this.#fault = fault;
  }

  /** Removes what the judgement says, soon. A later one of the same owner takes its place. */
  later(owner: string, judge: FlowJudgement): void {
    this.#judgements.set(owner, judge);
    this.#timer ??= setTimeout(() => {
      try {
        this.run();
      } catch (error) {
        this.#fault(error);
      }
    }, this.#delayMs);
  }

  /** Removes what has been asked for so far, now. */
  run(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#judgements.size === 0) return;
    const judgements = [...this.#judgements.values()];
    this.#judgements.clear();
    const before = performance.now();
    for (const entry of this.#list())
      if (judgements.some((judge) => judge(entry))) this.#conntrack.remove(entry);
    const tookMs = performance.now() - before;
    this.#delayMs = Math.min(Math.max(DELAY_MS, tookMs * REST), MAX_DELAY_MS);
  }

  /** Removes at once, from a list that may be a second old: what was made since is not there yet to be in the way. */
  removeRecent(judge: FlowJudgement): void {
    for (const entry of this.recent()) if (judge(entry)) this.#conntrack.remove(entry);
  }

  /** The table as it is now, or was a second ago at most. */
  recent(): readonly ConntrackEntry[] {
    return performance.now() - this.#recentAtMs > RECENT_MS ? this.#list() : this.#recent;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#judgements.clear();
    this.#recent = [];
  }

  #list(): readonly ConntrackEntry[] {
    this.#recent = this.#conntrack.list();
    this.#recentAtMs = performance.now();
    return this.#recent;
  }
}

/** Flows of a socket of ours, started from either end. */
export function isFlowAt(e: Endpoint): FlowJudgement {
  return ({ original }) => sameEndpoint(original.source, e) || sameEndpoint(original.destination, e);
}

/** Flows of somebody else that leave by an endpoint of ours. */
export function leavesFrom({ reply }: ConntrackEntry, e: Endpoint): boolean {
  return sameEndpoint(reply.destination, e);
}
