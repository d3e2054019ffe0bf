/**
 * Where on the way it sits (core/detect/location.ts): datagrams and SIP that are to live for one hop, for two, and so on. Each has a
 * socket of its own, so that the word of a router is about that one; SIP goes no farther than datagrams have to.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fact } from '../../core/detect/check-report.ts';
import { carrierSign, type HopProbe, type Location, locate } from '../../core/detect/location.ts';
import { isUnaltered } from '../../core/detect/passage.ts';
import { type Method, methods, phoneRequest } from '../../core/detect/probe.ts';
import type { Endpoint } from '../../core/net/address.ts';
import { octetsOf, textOf } from '../../core/sip/octets.ts';
import { QuotingSocket } from '../../linux/quoting-socket.ts';
import { SystemError } from '../../linux/system-error.ts';
import type { Place } from '../control/protocol.ts';
import { fromBase64 } from '../control/protocol.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

/** Ways on the Internet are rarely longer; the second range only where nothing has arrived within the first. */
const RANGES = [
  [1, 20],
  [21, 32],
] as const;
/** The error queue cannot be waited for (quoting-socket.ts). */
const LOOK_EVERY_MS = 10;
const LONGEST_WAIT_MS = 500;

export async function findPlace(stand: Stand): Promise<StepResult & { readonly location: Location }> {
  const [sip] = stand.udp('sip');
  const [control] = stand.udp('control');
  if (sip === undefined || control === undefined) throw new NotChecked('the reflector lacks ports for it');
  if (stand.address.includes(':')) throw new NotChecked('over IPv6 it is not tried');
  let plain: HopProbe[] = [];
  for (const [first, last] of RANGES) {
    const hops = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    plain.push(...(await probe(stand, control, hops, (id) => octetsOf(id.repeat(4)))));
    if (plain.some(hasArrived)) break;
  }
  const distance = Math.min(...plain.filter(hasArrived).map(({ hops }) => hops));
  plain = plain.filter(({ hops }) => hops <= distance);
  const { method, dress } = messageFor(stand);
  const request = (id: string, inside: Endpoint): Uint8Array =>
    phoneRequest({ id, method, transport: 'UDP', dress, inside, server: sip });
  const hops = plain.map((one) => one.hops);
  const onSip = Number.isFinite(distance) ? await probe(stand, sip, hops, request) : [];
  let location = locate(plain, onSip);
  const { confidence, nearest } = location;
  // Once may be chance: a datagram that was lost.
  if (confidence === 'A' && nearest !== undefined) {
    const again = await Promise.all([
      probe(stand, control, [nearest], (id) => octetsOf(id.repeat(4))),
      probe(stand, sip, [nearest], request),
    ]);
    if (again[0].some(hasArrived) || !again[1].some(hasArrived))
      location = { ...location, answer: 'not-checked', text: 'It changes from one try to the next.' };
  }
  return { location, ...factsOf(location) };
}

function factsOf({ text, distance, routers }: Location): StepResult {
  const sign = carrierSign(routers);
  const facts: Fact[] = [];
  if (distance !== undefined) {
    const known = routers.map(({ hop, address }) => `${hop}: ${address}`);
    facts.push({
      id: 'distance',
      text: `The reflector is ${distance} hops away${known.length === 0 ? '; no router on the way says who it is' : ` (${known.join(', ')})`}.`,
    });
  }
  if (sign !== undefined) facts.push({ id: 'nat-carrier-sign', text: sign });
  return { result: text, facts };
}

/** What was altered on its way out, if anything was: that is what has to be followed. */
function messageFor(stand: Stand): { readonly method: Method; readonly dress: 'plain' | 'full' } {
  const altered = stand.passages.filter(
    (passage) =>
      passage.direction === 'to-server' &&
      passage.transport === 'udp' &&
      passage.portKind === 'sip' &&
      isUnaltered(passage) === false,
  );
  const methodOf = (sent: Uint8Array): Method | undefined =>
    methods.find((method) => textOf(sent, 0, Math.min(sent.length, method.length + 1)) === `${method} `);
  const known = altered.flatMap(({ sent, what }) => {
    const method = methodOf(sent);
    return method === undefined
      ? []
      : [{ method, dress: what.includes('decoys') ? 'full' : 'plain' } as const];
  });
  // Its Contact is near the beginning, where quotes show it.
  return (
    known.find(({ method, dress }) => method === 'REGISTER' && dress === 'plain') ??
    known.find(({ dress }) => dress === 'plain') ??
    known[0] ?? { method: 'REGISTER', dress: 'plain' }
  );
}

/** One message for each number of hops; what is not answered by anybody is sent again. */
async function probe(
  stand: Stand,
  place: Place,
  hops: readonly number[],
  make: (id: string, inside: Endpoint) => Uint8Array,
): Promise<HopProbe[]> {
  const to = { address: place.address, port: place.port };
  const trials: Trial[] = [];
  try {
    for (const one of hops) trials.push(await Trial.open(stand, one, make));
    const stop = stand.control.listen((arrival) => {
      if (arrival.kind !== 'datagram' || arrival.place !== place.place) return;
      const bytes = Buffer.from(fromBase64(arrival.bytes));
      for (const trial of trials) if (bytes.includes(trial.id, 0, 'latin1')) trial.received ??= bytes;
    });
    const isOpen = (trial: Trial): boolean => trial.received === undefined && trial.quote === undefined;
    const tries = stand.losesPackets ? 2 * stand.pace.tries : stand.pace.tries;
    for (let i = 0; i < tries && trials.some(isOpen); i++) {
      for (const trial of trials) {
        if (!isOpen(trial)) continue;
        await trial.send(to);
        await sleep(stand.pace.gapMs);
      }
      const until = performance.now() + Math.min(stand.pace.patienceMs, LONGEST_WAIT_MS);
      while (trials.some(isOpen) && performance.now() < until) {
        await sleep(LOOK_EVERY_MS);
        for (const trial of trials) trial.look();
      }
      for (const trial of trials) trial.look();
      // Who lives longer than one that has arrived has nothing more to tell.
      const arrived = Math.min(...trials.filter(hasArrived).map((trial) => trial.hops));
      if (!trials.some((trial) => isOpen(trial) && trial.hops < arrived)) break;
    }
    stop();
  } finally {
    for (const trial of trials) trial.close();
  }
  return trials.map(({ hops: lives, sent, received, quote }) => ({ hops: lives, sent, received, quote }));
}

function hasArrived({ received }: Pick<HopProbe, 'received'>): boolean {
  return received !== undefined;
}

interface Sender {
  readonly local: Endpoint;
  send(bytes: Uint8Array, to: Endpoint): unknown;
  quotes(): readonly NonNullable<HopProbe['quote']>[];
  close(): void;
}

class Trial {
  readonly id: string;
  readonly hops: number;
  readonly sent: Uint8Array;
  received: Uint8Array | undefined;
  quote: HopProbe['quote'];
  readonly #sender: Sender;

  private constructor(id: string, hops: number, sent: Uint8Array, sender: Sender) {
    this.id = id;
    this.hops = hops;
    this.sent = sent;
    this.#sender = sender;
  }

  static async open(
    stand: Stand,
    hops: number,
    make: (id: string, inside: Endpoint) => Uint8Array,
  ): Promise<Trial> {
    const sender = await openSender(stand, hops);
    const id = stand.newId();
    return new Trial(id, hops, make(id, sender.local), sender);
  }

  async send(to: Endpoint): Promise<void> {
    await this.#sender.send(this.sent, to);
  }

  look(): void {
    this.quote ??= this.#sender.quotes()[0];
  }

  close(): void {
    this.#sender.close();
  }
}

async function openSender(stand: Stand, hops: number): Promise<Sender> {
  try {
    const socket = new QuotingSocket({ address: stand.control.local.address, port: 0 });
    return {
      local: socket.local,
      send: (bytes, to) => socket.send(bytes, to, hops),
      quotes: () => socket.quotes(),
      close: () => socket.close(),
    };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    // No Linux: what arrives is seen all the same, what routers say is not.
    const phone = await stand.phone();
    phone.reach(hops);
    return {
      local: phone.local,
      send: (bytes, to) => phone.send(to, bytes).catch(() => undefined),
      quotes: () => [],
      close: () => phone.close(),
    };
  }
}
