/**
 * What every step of a check stands on: the control channel, the phones' sockets, ids, and sending a message in a way
 * that both ends' bytes are known afterwards.
 *
 * A message is sent up to three times before it is called lost. What arrives without its id, at the place and in the time
 * in which it was expected, is taken for it: damage may have hit the id as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Direction } from '../../core/detect/comparison.ts';
import type { Passage, PortKind } from '../../core/detect/passage.ts';
import { serialLetters } from '../../core/detect/probe.ts';
import { type Address, type Endpoint, endpointKey } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import { fromBase64 } from '../control/protocol.ts';
import type { Arrival, Control } from './control.ts';
import { Phone, type Sighting } from './phone.ts';

export interface Pace {
  /** How long a message may take before it is sent again, or given up. */
  readonly patienceMs: number;
  readonly tries: number;
  /** Between two messages of one socket. */
  readonly gapMs: number;
}

/** What a passage is called, beside its bytes. */
export interface Label {
  readonly step: string;
  readonly what: string;
}

type Seen = Sighting & { readonly socket: Phone };
type Datagram = Extract<Arrival, { kind: 'datagram' }>;

export class Stand {
  readonly control: Control;
  #pace: Pace;
  readonly passages: Passage[] = [];
  readonly #phones = new Set<Phone>();
  /** Ids of what the server has sent: a message inside with none of them was made by somebody else. */
  readonly serverIds = new Set<string>();
  readonly #ids = new Set<string>();
  #serial = 0;
  /** Messages given up on places of the server from which nothing has ever been told. */
  readonly #misses = new Map<number, number>();
  /** The same of a flow, inwards. */
  readonly #missesIn = new Map<string, number>();
  /** What arrived at another place of the reflector than it was sent to. */
  readonly strays: Stray[] = [];
  /** Messages that arrived, and not at the first try. */
  #retried = 0;
  /** Addresses inside at which a relay takes media in: proven by media that went through both ways. */
  readonly relays = new Set<Address>();
  /** Where the reflector saw the phones' sockets last, by socket and port kind. */
  readonly #outside = new Map<string, Endpoint>();

  constructor(control: Control, pace: Pace) {
    this.control = control;
    this.#pace = pace;
  }

  get pace(): Pace {
    return this.#pace;
  }

  /** Waits no longer than a path of this delay can need: four times there and back, and what busy machines take. */
  hasten(roundTripMs: number): void {
    const patienceMs = Math.min(this.#pace.patienceMs, Math.max(LEAST_PATIENCE_MS, 4 * roundTripMs + 100));
    this.#pace = { ...this.#pace, patienceMs };
  }

  /** A line that loses packets now and then: there it takes more of them until silence means anything. */
  get losesPackets(): boolean {
    return this.#retried > 0;
  }

  /** What the phones' sockets have got, from anybody. */
  *sights(): Iterable<Sighting> {
    for (const phone of this.#phones) yield* phone.received;
  }

  /**
   * Where nothing has arrived in three messages, each tried as often as is due, the next are tried once and shortly. What is
   * tried more than once is tried twice as often on a line that loses packets: one in twenty lost is three in a row lost in
   * every eight thousand, and a check sends hundreds.
   */
  #paceAfter(misses: number | undefined, pace: Pace): Pace {
    if ((misses ?? 0) >= DEAD_AFTER)
      return { ...pace, tries: 1, patienceMs: Math.min(pace.patienceMs, LEAST_PATIENCE_MS) };
    return pace.tries > 1 && this.losesPackets ? { ...pace, tries: 2 * pace.tries } : pace;
  }

  /** The reflector's address that was dialled. */
  get address(): string {
    return this.control.welcome.places[0]!.address;
  }

  newId(): string {
    const id = this.control.welcome.tag + serialLetters(this.#serial++);
    this.#ids.add(id);
    return id;
  }

  /** The reflector's UDP sockets of a role at the address that was dialled (or, with `second`, at the other one). */
  udp(role: Place['role'], second = false): Place[] {
    const [first] = this.control.welcome.places;
    const v6 = first?.address.includes(':');
    return this.control.places(
      (place) =>
        place.transport === 'udp' &&
        place.role === role &&
        place.address.includes(':') === v6 &&
        (place.address === first?.address) !== second,
    );
  }

  /** A socket of this machine; at another of its addresses, where one is named. */
  async phone(port = 0, address = this.control.local.address): Promise<Phone> {
    const phone = await Phone.open(address, port);
    this.#phones.add(phone);
    return phone;
  }

  /** Where the server sees a socket that has sent something to a place. */
  outsideOf(phone: Phone, place: Place): Endpoint | undefined {
    return this.#outside.get(mappingKey(phone, place));
  }

  close(): void {
    for (const phone of this.#phones) phone.close();
  }

  /** From the phone to the server; with `through`, to a relay that is to send it on there. `make` is given the id. */
  async sendOut(
    phone: Phone,
    place: Place,
    label: Label,
    make: (id: string) => Uint8Array,
    pace: Pace = this.pace,
    through?: Endpoint,
  ): Promise<Passage> {
    const id = this.newId();
    const sent = make(id);
    const to = through ?? { address: place.address, port: place.port };
    const orphans: Datagram[] = [];
    let arrived: Datagram | undefined;
    let wake = (): void => {};
    const { tries: mostTries, patienceMs } = this.#paceAfter(this.#misses.get(place.place), pace);
    const stop = this.control.listen((arrival) => {
      if (arrival.kind !== 'datagram') return;
      const bytes = fromBase64(arrival.bytes);
      if (arrival.place !== place.place) {
        if (holds(bytes, id) && this.strays.length < MOST_ORPHANS)
          this.strays.push({ id, sent, to: place, place: arrival.place, bytes });
        return;
      }
      if (!holds(bytes, id)) {
        if (orphans.length < MOST_ORPHANS && !this.#holdsAny(bytes)) orphans.push(arrival);
        return;
      }
      arrived ??= arrival;
      wake();
    });
    let sentAt = 0;
    let tries = 0;
    while (arrived === undefined && tries < mostTries) {
      tries++;
      sentAt = await phone.send(to, sent);
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      if (arrived === undefined) await within(promise, patienceMs);
    }
    stop();
    const found =
      arrived ??
      orphans.find((one) => isAkin(sent, fromBase64(one.bytes)) && this.#isLikely(one, phone, place));
    if (found !== undefined) this.#outside.set(mappingKey(phone, place), found.from);
    if (found !== undefined && tries > 1) this.#retried++;
    const misses = this.#misses.get(place.place);
    if (found !== undefined) this.#misses.set(place.place, Number.NEGATIVE_INFINITY);
    else this.#misses.set(place.place, (misses ?? 0) + 1);
    const passage: Passage = {
      ...this.#frame(label, 'to-server', phone, place),
      id,
      sent,
      sentAt,
      received: found === undefined ? undefined : fromBase64(found.bytes),
      receivedAt: found?.at,
      deliveredTo: undefined,
      tries,
      recognised: arrived !== undefined,
    };
    this.passages.push(passage);
    await sleep(pace.gapMs);
    return passage;
  }

  /**
   * From the server to the phone, at `to`, or where the server has seen it; it may also come to the socket `also`. Undefined
   * where the server may not send there.
   */
  async sendIn(
    phone: Phone,
    place: Place,
    label: Label,
    make: (id: string) => Uint8Array,
    to: Endpoint | undefined = this.outsideOf(phone, place),
    pace: Pace = this.pace,
    also?: Phone,
  ): Promise<Passage | undefined> {
    if (to === undefined) return undefined;
    const id = this.newId();
    const sent = make(id);
    this.serverIds.add(id);
    const orphans: Seen[] = [];
    let arrived: Seen | undefined;
    let wake = (): void => {};
    const listen = (at: Phone) =>
      at.listen((sighting) => {
        if (holds(sighting.bytes, id)) {
          arrived ??= { ...sighting, socket: at };
          wake();
        } else if (orphans.length < MOST_ORPHANS && !this.#holdsAny(sighting.bytes))
          orphans.push({ ...sighting, socket: at });
      });
    const stops = [phone, ...(also === undefined ? [] : [also])].map(listen);
    const flow = mappingKey(phone, place);
    const { tries: mostTries, patienceMs } = this.#paceAfter(this.#missesIn.get(flow), pace);
    let sentAt = 0;
    let tries = 0;
    let isRefused = false;
    while (arrived === undefined && tries < mostTries) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      const outcome = await this.control.send(place.place, to, sent);
      if (!outcome.ok) {
        isRefused = true;
        break;
      }
      tries++;
      sentAt = outcome.at;
      if (arrived === undefined) await within(promise, patienceMs);
    }
    for (const stop of stops) stop();
    if (isRefused && tries === 0) return undefined;
    const found = arrived ?? orphans.find(({ bytes }) => isAkin(sent, bytes));
    if (found !== undefined && tries > 1) this.#retried++;
    const misses = this.#missesIn.get(flow) ?? 0;
    this.#missesIn.set(flow, found === undefined ? misses + 1 : Number.NEGATIVE_INFINITY);
    const passage: Passage = {
      ...this.#frame(label, 'to-client', phone, place),
      id,
      sent,
      sentAt,
      received: found?.bytes,
      receivedAt: found?.at,
      deliveredTo: found?.socket.local,
      tries,
      recognised: arrived !== undefined,
    };
    this.passages.push(passage);
    await sleep(pace.gapMs);
    return passage;
  }

  #frame(label: Label, direction: Direction, phone: Phone, place: Place) {
    return {
      ...label,
      direction,
      transport: 'udp' as const,
      portKind: portKindOf(place),
      inside: phone.local,
      outside: this.outsideOf(phone, place),
      server: { address: place.address, port: place.port },
    };
  }

  #holdsAny(bytes: Uint8Array): boolean {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    for (let i = text.indexOf(this.control.welcome.tag); i >= 0; ) {
      if (this.#ids.has(text.slice(i, i + 34))) return true;
      i = text.indexOf(this.control.welcome.tag, i + 1);
    }
    // Of another check: a proxy sends again what nobody has answered, for half a minute.
    return !text.includes(this.control.welcome.tag) && OTHER_PROBE.test(text);
  }

  #isLikely(arrival: Datagram, phone: Phone, place: Place): boolean {
    const known = this.outsideOf(phone, place);
    return known === undefined || endpointKey(known) === endpointKey(arrival.from);
  }
}

/** What came to another place than it was sent to. */
export interface Stray {
  readonly id: string;
  readonly sent: Uint8Array;
  readonly to: Place;
  readonly place: number;
  readonly bytes: Uint8Array;
}

const LEAST_PATIENCE_MS = 250;
const DEAD_AFTER = 3;
/** Messages without an id that are kept while one is waited for; a flood is not. */
const MOST_ORPHANS = 64;

export function portKindOf(place: Place): PortKind {
  return place.role === 'sip' || place.role === 'control' ? place.role : 'other';
}

function mappingKey(phone: Phone, place: Place): string {
  return `${endpointKey(phone.local)} ${place.place}`;
}

/** An id of any check (probe.ts). */
const OTHER_PROBE = /\r\nX-Probe: [g-z]{34}\r\n/;

/**
 * Whether something without an id may be a message of ours, damaged: text where text was sent, and not less than half as long. A
 * relay sends packets of its own to where media goes (RTCP, keepalives of T.38).
 */
function isAkin(sent: Uint8Array, received: Uint8Array): boolean {
  return 2 * received.length >= sent.length && isMedia(sent) === isMedia(received);
}

/** RTP and RTCP (RFC 3550 §5.1), STUN (RFC 8489 §5), UDPTL: what no text begins with (RFC 7983 §7). */
function isMedia([first = 0]: Uint8Array): boolean {
  return first >= 0x80 || first < 4;
}

function holds(bytes: Uint8Array, id: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(id, 0, 'latin1');
}

/** Waits for the promise, and for so long at most. */
export async function within(promise: Promise<void>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
