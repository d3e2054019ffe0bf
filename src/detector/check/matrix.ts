/**
 * The matrix (the heart of a check): every method, both ways, requests and responses, on 5060 and on a port that nobody
 * takes for SIP, with Via and Contact that name the real port, another one, or none; then decoys in every place where a
 * bad box replaces text. What comes altered is sent once more.
 *
 * Each lane is one socket and one port of the server; in a lane one message waits for the one before, so that what
 * arrives without its id can still be told. A phone that names another port than it sends from listens there as well, and
 * has a socket of its own: a box may send all answers there from then on (Linux's helper does, for phones that work so).
 */
import { isUnaltered, type Passage } from '../../core/detect/passage.ts';
import {
  contactUri,
  type Dress,
  type Method,
  methods,
  type NamedPort,
  phoneRequest,
  responseTo,
  serverRequest,
} from '../../core/detect/probe.ts';
import { formatEndpoint } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import type { Pace, Stand } from './stand.ts';

export interface Lane {
  readonly phone: Phone;
  readonly place: Place;
  /** The RTP port that its descriptions name; even. No two lanes name the same one: they are not two phones. */
  readonly media: number;
  /** What Via and Contact name. Default: the real port. */
  readonly namedPort?: NamedPort;
  /** With another port: who listens there. */
  readonly listener?: Phone;
}

export interface MatrixPlan {
  readonly methods: readonly Method[];
  readonly dresses: readonly Dress[];
}

export const wholeMatrix: MatrixPlan = { methods, dresses: ['plain', 'full'] };

export const quickMatrix: MatrixPlan = {
  methods: ['OPTIONS', 'REGISTER', 'INVITE', 'NOTIFY', 'BYE'],
  dresses: ['plain', 'full'],
};

/** For lanes whose Via and Contact name something else: where somebody is to be reached at them. */
export const namedMatrix: MatrixPlan = { methods: ['REGISTER', 'INVITE'], dresses: ['plain'] };

const STEP = 'matrix';
/** Messages of a lane that nothing has ever answered; then the rest is tried once each, and shortly. */
const DEAD_AFTER = 3;
/** What a UAS answers at once and with a description. */
const DESCRIBED: readonly Method[] = ['INVITE', 'UPDATE', 'PRACK'];
/** The full dress is for those that carry most, and for those that servers keep. */
const DRESSED: readonly Method[] = ['REGISTER', 'INVITE', 'MESSAGE', 'NOTIFY', 'REFER'];

export async function runLane(stand: Stand, lane: Lane, plan: MatrixPlan): Promise<void> {
  const run = new LaneRun(stand, lane);
  for (const dress of plan.dresses) {
    const chosen = plan.methods.filter((method) => dress === 'plain' || DRESSED.includes(method));
    for (const method of chosen) await run.out(method, dress);
    for (const method of chosen) await run.in(method, dress);
  }
}

class LaneRun {
  readonly #stand: Stand;
  readonly #lane: Lane;
  /** The Contact of the last request, as it arrived: where requests to the phone go. */
  #contact: string | undefined;
  #misses = 0;
  #hits = 0;

  constructor(stand: Stand, lane: Lane) {
    this.#stand = stand;
    this.#lane = lane;
  }

  get #pace(): Pace {
    const { pace } = this.#stand;
    const isDead = this.#hits === 0 && this.#misses >= DEAD_AFTER;
    return isDead ? { ...pace, tries: 1, patienceMs: Math.min(pace.patienceMs, 250) } : pace;
  }

  async out(method: Method, dress: Dress): Promise<void> {
    const what = this.#describe(method, dress);
    const first = await this.#requestOut(what, method, dress);
    if (isUnaltered(first) === false) await this.#requestOut(what, method, dress);
    if (first.received === undefined) return;
    this.#contact = contactUri(first.received) ?? this.#contact;
    if (method === 'ACK') return;
    const answer = await this.#responseIn(what, method, first);
    if (answer !== undefined && isUnaltered(answer) === false) await this.#responseIn(what, method, first);
  }

  async in(method: Method, dress: Dress): Promise<void> {
    const what = this.#describe(method, dress);
    const first = await this.#requestIn(what, method, dress);
    if (first === undefined) return;
    if (isUnaltered(first) === false) await this.#requestIn(what, method, dress);
    if (first.received === undefined || method === 'ACK') return;
    const answer = await this.#responseOut(what, method, first);
    if (isUnaltered(answer) === false) await this.#responseOut(what, method, first);
  }

  async #requestOut(what: string, method: Method, dress: Dress): Promise<Passage> {
    const { phone, place, media, namedPort, listener } = this.#lane;
    const named =
      namedPort === 'absent'
        ? { namedPort: undefined }
        : listener === undefined
          ? {}
          : { namedPort: listener.local.port };
    const passage = await this.#stand.sendOut(
      phone,
      place,
      { step: STEP, what },
      (id) =>
        phoneRequest({
          ...{ id, method, transport: 'UDP', dress, inside: phone.local, server: place, media: [media] },
          ...named,
        }),
      this.#pace,
    );
    if (passage.received === undefined) this.#misses++;
    else this.#hits++;
    return passage;
  }

  #responseIn(what: string, method: Method, request: Passage): Promise<Passage | undefined> {
    const { phone, place, listener } = this.#lane;
    const source = this.#stand.outsideOf(phone, place);
    return this.#stand.sendIn(
      phone,
      place,
      { step: STEP, what: `200 to ${what}` },
      (id) =>
        responseTo({
          id,
          request: request.received!,
          status: 200,
          reason: 'OK',
          own: place,
          source,
          transport: 'UDP',
          media: DESCRIBED.includes(method) ? [32_100] : undefined,
          bindings: bindingsOf(method, request.received!),
        }),
      source,
      this.#pace,
      listener,
    );
  }

  #requestIn(what: string, method: Method, dress: Dress): Promise<Passage | undefined> {
    const { phone, place, listener } = this.#lane;
    const outside = this.#stand.outsideOf(phone, place);
    if (outside === undefined) return Promise.resolve(undefined);
    const requestUri = this.#contact ?? `sip:phone@${formatEndpoint(outside)}`;
    const inside = phone.local;
    return this.#stand.sendIn(
      phone,
      place,
      { step: STEP, what },
      (id) =>
        serverRequest({ id, method, transport: 'UDP', dress, server: place, outside, requestUri, inside }),
      outside,
      this.#pace,
      listener,
    );
  }

  #responseOut(what: string, method: Method, request: Passage): Promise<Passage> {
    const { phone, place, media, listener } = this.#lane;
    return this.#stand.sendOut(
      phone,
      place,
      { step: STEP, what: `200 to ${what}` },
      (id) =>
        responseTo({
          id,
          request: request.received!,
          status: 200,
          reason: 'OK',
          own: (listener ?? phone).local,
          transport: 'UDP',
          media: DESCRIBED.includes(method) ? [media] : undefined,
        }),
      this.#pace,
    );
  }

  #describe(method: Method, dress: Dress): string {
    const port = {
      real: '',
      other: ', Via and Contact name another port',
      absent: ', Via and Contact without a port',
    };
    return `${method}${port[this.#lane.namedPort ?? 'real']}${dress === 'full' ? ', with decoys' : ''}`;
  }
}

/** What a registrar has stored: the Contact as it arrived. */
function bindingsOf(method: Method, request: Uint8Array): string[] | undefined {
  const uri = method === 'REGISTER' ? contactUri(request) : undefined;
  return uri === undefined ? undefined : [uri];
}
