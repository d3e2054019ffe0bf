/**
 * Flows that must not go on, looked for in one walk of the connection table for all who ask.
 *
 * The kernel walks its whole table for a search, so its cost grows with everybody's flows, and a search for each call
 * would make calls dear on a busy router. What is known exactly (the endpoints that an SDP names) is removed at once by
 * its tuple; what is not (media from another port than was named) is found here, a moment later, for all calls together.
 */
import { EndpointMap } from '../core/nat/endpoint-map.ts';
import { type Endpoint, endpointKey } from '../core/net/address.ts';
import { type Conntrack, type ConntrackEntry, IPS_DST_NAT, IPS_SRC_NAT } from './conntrack.ts';
import { FAMILIES, type Family, familyOf } from './family.ts';

/** Whether a flow has to go. */
export type FlowJudgement = (entry: ConntrackEntry) => boolean;

/** From the first request to the walk: as long as a hole is surely shut within a second, because a walk costs its time however few ask. */
const DELAY_MS = 750;
/** Where a walk takes long (a router with a hundred thousand flows), walks take this share of the time, and no more. */
const SHARE = 1 / 20;
const LONGEST_DELAY_MS = 5_000;
/** A list that is this new is new enough for somebody who opens something. */
const RECENT_MS = 1_000;

interface Judged {
  readonly owner: string;
  readonly judge: FlowJudgement;
}

export class FlowSweep {
  readonly #conntrack: Conntrack;
  readonly #fault: (error: unknown) => void;
  readonly #before: () => void;
  readonly #judgements = new Map<string, FlowJudgement>();
  /** Judgements that can only be of flows with one of these ends, one for each owner; undefined while there are none. */
  #byPlace: EndpointMap<readonly Judged[]> | undefined;
  /** Our endpoints that are closed: thousands may close at once. */
  #closed: EndpointMap<true> | undefined;
  /** Of all that is looked for. */
  readonly #families = new Set<Family>();
  #timer: NodeJS.Timeout | undefined;
  #delayMs = DELAY_MS;
  #forgetting: NodeJS.Timeout | undefined;
  #recent: readonly ConntrackEntry[] = [];
  #recentAtMs = Number.NEGATIVE_INFINITY;
  /** What has NAT, by its ends; a second old at most. */
  #byEnd: Map<string, ConntrackEntry[]> | undefined;
  #endsForgetting: NodeJS.Timeout | undefined;

  /** `before` is called before each walk, for what has to be in the kernel first. */
  constructor(conntrack: Conntrack, fault: (error: unknown) => void, before: () => void) {
    this.#conntrack = conntrack;
    this.#fault = fault;
    this.#before = before;
  }

  /** Removes what the judgement says, soon. A later one of the same owner takes its place. */
  later(owner: string, judge: FlowJudgement): void {
    this.#judgements.set(owner, judge);
    for (const family of FAMILIES) this.#families.add(family);
    this.#arm();
  }

  /** The same of flows that have one of these ends, in either direction: so that thousands who ask cost no more than one. */
  laterOf(owner: string, ends: readonly Endpoint[], judge: FlowJudgement): void {
    this.#byPlace ??= new EndpointMap();
    const alone: readonly Judged[] = [{ owner, judge }];
    for (const { address, port } of ends) {
      this.#families.add(familyOf(address));
      const others = this.#byPlace.at(address, port)?.filter((one) => one.owner !== owner) ?? [];
      this.#byPlace.set(address, port, others.length === 0 ? alone : [...others, ...alone]);
    }
    this.#arm();
  }

  /** Removes the flows of an endpoint of ours that is closed, started from either end, soon. */
  laterAt(closed: Endpoint): void {
    this.#closed ??= new EndpointMap();
    this.#closed.set(closed.address, closed.port, true);
    this.#families.add(familyOf(closed.address));
    this.#arm();
  }

  #arm(): void {
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
    this.#before();
    const byPlace = this.#byPlace;
    const closed = this.#closed;
    if (this.#judgements.size === 0 && byPlace === undefined && closed === undefined) return;
    const judgements = [...this.#judgements.values()];
    const families = [...this.#families];
    this.#families.clear();
    this.#judgements.clear();
    this.#byPlace = undefined;
    this.#closed = undefined;
    const isGone = (entry: ConntrackEntry): boolean => {
      const { source, destination } = entry.original;
      if (closed !== undefined && (closed.get(source) ?? closed.get(destination)) === true) return true;
      if (byPlace !== undefined)
        for (const place of [source, destination, entry.reply.destination])
          if (byPlace.get(place)?.some(({ judge }) => judge(entry)) === true) return true;
      return judgements.some((judge) => judge(entry));
    };
    const condemned: ConntrackEntry[] = [];
    const from = performance.now();
    // Nothing else of the walk is kept: with some walks a second, what is kept for a moment is most of what Node has to collect.
    this.#conntrack.each(
      (entry) => {
        if (isGone(entry)) condemned.push(entry);
      },
      {},
      families,
    );
    const tookMs = performance.now() - from;
    this.#delayMs = Math.min(Math.max(DELAY_MS, tookMs / SHARE), LONGEST_DELAY_MS);
    this.#conntrack.carryOut(condemned.map((entry) => ({ kind: 'remove', entry })));
  }

  /**
   * An endpoint of ours opens: what has NAT of somebody else and sits there is removed at once, from a list that may be a
   * second old (what was made since is not there yet to be in the way); what was to be removed later may stay.
   */
  makeRoom(opened: Endpoint): void {
    const key = endpointKey(opened);
    this.#closed?.delete(opened.address, opened.port);
    const inTheWay = this.#translated().get(key) ?? [];
    this.#conntrack.carryOut(inTheWay.map((entry) => ({ kind: 'remove', entry })));
  }

  /** The table as it is now, or was a second ago at most. */
  recent(): readonly ConntrackEntry[] {
    return performance.now() - this.#recentAtMs > RECENT_MS ? this.#list() : this.#recent;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#judgements.clear();
    this.#byPlace = undefined;
    this.#closed = undefined;
    this.#forget();
    clearTimeout(this.#endsForgetting);
    this.#byEnd = undefined;
  }

  /** What has NAT, by each of its ends: the kernel leaves out the rest, which is most of it where thousands of phones are ours. */
  #translated(): ReadonlyMap<string, readonly ConntrackEntry[]> {
    if (this.#byEnd !== undefined) return this.#byEnd;
    const ends = new Map<string, ConntrackEntry[]>();
    const note = (entry: ConntrackEntry): void => {
      const { original, reply } = entry;
      for (const end of [original.source, original.destination, reply.destination]) {
        const key = endpointKey(end);
        const known = ends.get(key);
        if (known === undefined) ends.set(key, [entry]);
        else known.push(entry);
      }
    };
    this.#conntrack.each(note, { status: IPS_SRC_NAT });
    this.#conntrack.each((entry) => (entry.status & IPS_SRC_NAT) === 0 && note(entry), {
      status: IPS_DST_NAT,
    });
    this.#byEnd = ends;
    this.#endsForgetting = setTimeout(() => {
      this.#byEnd = undefined;
    }, RECENT_MS).unref();
    return ends;
  }

  #list(): readonly ConntrackEntry[] {
    this.#forget();
    this.#recent = this.#conntrack.list();
    this.#recentAtMs = performance.now();
    this.#forgetting = setTimeout(() => this.#forget(), RECENT_MS).unref();
    return this.#recent;
  }

  /** A busy router has a hundred thousand flows: their list is not kept for longer than it may be asked for. */
  #forget(): void {
    clearTimeout(this.#forgetting);
    this.#forgetting = undefined;
    this.#recent = [];
    this.#recentAtMs = Number.NEGATIVE_INFINITY;
  }
}
