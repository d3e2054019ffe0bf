/** Messages that only one of two captures has: who sent them, and what it is called that the other side lacks them. */
import { type Endpoint, endpointKey, formatEndpoint } from '../net/address.ts';
import type { FaultId } from './faults.ts';
import { fieldNamed, type Layout, labelOf, layoutOf, valueText } from './layout.ts';
import type { LonelyMessage, Pairing } from './pairing.ts';

export interface OneSided extends LonelyMessage {
  /** `INVITE`, `200 to REGISTER`. */
  readonly what: string;
  /** Undefined where it is nobody's fault: lost once and repeated, or outside of the time of the other capture. */
  readonly fault: FaultId | undefined;
  readonly explanation: string;
}

export interface Surroundings {
  isInside(endpoint: Endpoint): boolean;
  isOutside(endpoint: Endpoint): boolean;
}

/** A datagram that does not fit into one packet of Ethernet with IPv4 and UDP. */
const ONE_PACKET = 1_472;
/** Before the first message of the other capture it was not running yet, or not awake. */
const EDGE_MS = 1_000;
/** Behind its last message it may have been stopped; a transaction lasts 64·T1 (RFC 3261 §17.1.1.2). */
const AFTER_MS = 32_000;
/** So many, and none that passed, are no accident. */
const ALL_OF_THEM = 2;

export function nameOneSided(pairing: Pairing, surroundings: Surroundings): OneSided[] {
  const window = windowOf(pairing);
  const passed = pairing.pairs.map(({ inside, direction }) => ({
    layout: layoutOf(inside.bytes),
    direction,
    size: inside.bytes.length,
  }));
  const outPassed = passed.filter(({ direction }) => direction === 'to-server');
  const largest = Math.max(0, ...passed.filter(({ size }) => size < 65_536).map(({ size }) => size));
  const passedKeys = new Set(pairing.pairs.map(({ inside }) => transactionOf(layoutOf(inside.bytes))));
  const methodsPassed = new Set(
    passed.map(({ layout, direction }) => `${direction} ${layout.isRequest ? layout.method : 'response'}`),
  );
  const lostOut = pairing.lonely.filter(
    ({ side, seen }) => side === 'inside' && surroundings.isInside(seen.source),
  );
  return pairing.lonely.map((lonely) => {
    const { side, seen } = lonely;
    const layout = layoutOf(seen.bytes);
    const what = labelOf(layout);
    const named = (fault: FaultId | undefined, explanation: string): OneSided => ({
      ...lonely,
      what,
      fault,
      explanation,
    });
    const fromClient = surroundings.isInside(seen.source);
    const fromBox = side === 'inside' ? !fromClient : surroundings.isOutside(seen.source);
    if (fromBox && !isOwnTraffic(seen.source, seen.destination)) {
      const place = side === 'inside' ? 'outside' : 'inside';
      if (window !== undefined && !window(lonely))
        return named(undefined, 'It lies at the edge of the other capture.');
      return layout.isRequest
        ? named('PROXY-B2B', `It came from the box: nobody ${place} has sent it.`)
        : named('PROXY-ANSWER', `It came from the box: nobody ${place} has sent this answer.`);
    }
    if (passedKeys.has(transactionOf(layout)))
      return named(undefined, 'It was lost once; another copy of it passed.');
    if (window !== undefined && !window(lonely))
      return named(undefined, 'It lies at the edge of the other capture.');
    const direction = side === 'inside' ? 'to-server' : 'to-client';
    const size = seen.bytes.length;
    const where = `${formatEndpoint(seen.source)} sent it to ${formatEndpoint(seen.destination)}, and it did not arrive`;
    if (seen.transport === 'udp' && size > ONE_PACKET && size > largest)
      return named(
        'DROP-FRAG',
        `${where}; it has ${size} octets, and the largest message that passed has ${largest}.`,
      );
    if (!layout.isRequest) return named('DROP-MALFORMED', `${where}.`);
    const isInDialog = /;\s*tag=/i.test(textOf(layout, 'to'));
    if (
      side === 'inside' &&
      outPassed.length === 0 &&
      lostOut.length >= ALL_OF_THEM &&
      seen.destination.port === 5060
    )
      return named('DROP-5060', `${where}; nothing that went to port 5060 passed.`);
    if (isInDialog && ['ACK', 'BYE', 'INVITE', 'UPDATE'].includes(layout.method))
      return named('DROP-ACKBYE', `${where}; it belongs to a call.`);
    if (side === 'outside') return named('DROP-INBOUND', `${where}.`);
    return methodsPassed.has(`${direction} ${layout.method}`)
      ? named('DROP-MALFORMED', `${where}, although other ${what} requests did.`)
      : named('DROP-METHOD', `${where}; no ${what} passed.`);
  });
}

function textOf(layout: Layout, name: string): string {
  const field = fieldNamed(layout, name);
  return field === undefined ? '' : valueText(layout, field);
}

/** The same for all copies of a message. */
function transactionOf(layout: Layout): string {
  return `${layout.isRequest ? layout.method : layout.status}\n${textOf(layout, 'call-id')}\n${textOf(layout, 'cseq')}`;
}

/** Both ends in the same network: it has no reason to be on the other side. */
function isOwnTraffic(source: Endpoint, destination: Endpoint): boolean {
  return endpointKey(source) === endpointKey(destination);
}

/** Whether the other capture was running at the time of a message; undefined where nobody can tell. */
function windowOf({ pairs, lonely, clockSkewMs }: Pairing): ((one: LonelyMessage) => boolean) | undefined {
  if (clockSkewMs === undefined) return undefined;
  const range = (times: readonly number[]): readonly [number, number] => {
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const time of times) {
      low = Math.min(low, time);
      high = Math.max(high, time);
    }
    return [low, high];
  };
  const inside = range([
    ...pairs.map((pair) => pair.inside.timeMs),
    ...lonely.filter(({ side }) => side === 'inside').map(({ seen }) => seen.timeMs),
  ]);
  const outside = range([
    ...pairs.map((pair) => pair.outside.timeMs),
    ...lonely.filter(({ side }) => side === 'outside').map(({ seen }) => seen.timeMs),
  ]);
  return ({ side, seen }) => {
    const [low, high] = side === 'inside' ? outside : inside;
    const time = seen.timeMs + (side === 'inside' ? clockSkewMs : -clockSkewMs);
    return time >= low - EDGE_MS && time <= high + AFTER_MS;
  };
}
