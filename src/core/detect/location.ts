/**
 * Where on the way it sits. Messages that are to live for so many hops show it from two sides:
 *
 * - Who takes a message in and sends it anew gives it a new life. Where SIP reaches the reflector with fewer hops than other
 *   datagrams need, it was sent anew by the box at which its own hops ended (grade A: both ends have seen it).
 * - A router at which a message's life ends says so, and quotes it as it came to him (ICMP, RFC 792). What is quoted as it was
 *   sent has not been altered yet; what is quoted altered has been (grade B: it is the word of a router).
 *
 * Nothing is concluded from a router that is silent, or that quotes too little to show the place that was altered.
 */
import { type Address, isPrivate } from '../net/address.ts';
import type { Confidence } from './comparison.ts';
import { isShared } from './nat-behaviour.ts';

/** One message that was to live for so many hops, and what became of it. */
export interface HopProbe {
  readonly hops: number;
  readonly sent: Uint8Array;
  /** As the reflector got it; undefined where it did not. */
  readonly received: Uint8Array | undefined;
  /** Who said that its life has ended, and the beginning of what he got. */
  readonly quote: { readonly router: Address; readonly payload: Uint8Array } | undefined;
}

export interface Router {
  /** 1 is the next router, as seen from the phone. */
  readonly hop: number;
  readonly address: Address;
}

export interface Location {
  /** `yes`: it can be said between which two hops it sits. `no`: nothing was found that sits anywhere. */
  readonly answer: 'yes' | 'no' | 'not-checked';
  readonly text: string;
  readonly confidence: Confidence | undefined;
  /** It sits at or behind the nearest hop (0: this machine), and at or before the farthest. */
  readonly nearest: number | undefined;
  readonly farthest: number | undefined;
  /** Hops to the reflector for datagrams that are no SIP; undefined where none arrived. */
  readonly distance: number | undefined;
  /** Who has spoken, nearest first. */
  readonly routers: readonly Router[];
}

/** `plain`: datagrams that are no SIP, to another port. `sip`: requests to the SIP port. */
export function locate(plain: readonly HopProbe[], sip: readonly HopProbe[]): Location {
  const routers = routersOf([...plain, ...sip]);
  const distance = distanceOf(plain);
  const name = (hop: number): string => nameOf(hop, distance, routers);
  const tell = (
    answer: Location['answer'],
    text: string,
    found: Partial<Pick<Location, 'confidence' | 'nearest' | 'farthest'>> = {},
  ): Location => ({
    ...{ answer, text, confidence: undefined, nearest: undefined, farthest: undefined, distance, routers },
    ...found,
  });
  if (distance === undefined) return tell('not-checked', 'no datagram arrived, however far it was to live');
  const sipDistance = distanceOf(sip);
  if (sipDistance === undefined) return lostOnTheWay(sip, distance, name, tell);
  if (sipDistance < distance)
    return tell(
      'yes',
      `At ${name(sipDistance)}. A SIP message that lives for ${hopCount(sipDistance)} arrives at the reflector; other datagrams have to live for ${distance}: it is taken in there and sent anew.`,
      { confidence: 'A', nearest: sipDistance, farthest: sipDistance },
    );
  const arrived = sip.find(({ hops, received }) => hops === sipDistance && received !== undefined)!;
  const place = firstDifference(arrived.sent, arrived.received!);
  if (place === undefined)
    return tell(
      'no',
      'The message that was tried arrives as it was sent, and is not sent anew by anybody on the way.',
    );
  return edited(sip, place, distance, name, tell);
}

type Tell = (
  answer: Location['answer'],
  text: string,
  found?: Partial<Pick<Location, 'confidence' | 'nearest' | 'farthest'>>,
) => Location;

/** Altered in flight, somewhere between the last who quotes it as it was sent and the first who does not. */
function edited(
  sip: readonly HopProbe[],
  place: number,
  distance: number,
  name: (hop: number) => string,
  tell: Tell,
): Location {
  // A quote that ends before the place that is altered says nothing.
  const telling = sip.flatMap(({ hops, sent, quote }) =>
    quote === undefined || quote.payload.length <= place
      ? []
      : [
          {
            hop: hops,
            isAltered: firstDifference(sent.subarray(0, quote.payload.length), quote.payload) !== undefined,
          },
        ],
  );
  const firstAltered = Math.min(
    distance,
    ...telling.filter(({ isAltered }) => isAltered).map(({ hop }) => hop),
  );
  const lastSame = Math.max(
    0,
    ...telling.filter(({ isAltered, hop }) => !isAltered && hop < firstAltered).map(({ hop }) => hop),
  );
  if (telling.length === 0)
    return tell(
      'not-checked',
      `No router on the way quotes enough of the message to show where it is altered.`,
    );
  const found = { confidence: 'B' as const, nearest: lastSame, farthest: firstAltered };
  if (lastSame === 0)
    return tell(
      'yes',
      firstAltered === 1
        ? `Before ${name(1)} looks at it: it quotes the message altered already. So it is altered in front of it, or as it comes in: by a switch, by security software on this machine, or by that router.`
        : `Between this machine and ${name(firstAltered)}, who quotes the message altered; those in between quote nothing of it.`,
      found,
    );
  const next =
    firstAltered === distance ? 'the reflector gets it altered' : `${name(firstAltered)} gets it altered`;
  const who =
    firstAltered === lastSame + 1
      ? `it is altered by ${name(lastSame)} as it sends it on, or by what follows it`
      : `it is altered at ${name(lastSame)} or behind it, before hop ${firstAltered}`;
  return tell(
    'yes',
    `${capital(name(lastSame))} quotes the message as it was sent, and ${next}: ${who}.`,
    found,
  );
}

/** No SIP arrives, at whatever distance: how far did it live? */
function lostOnTheWay(
  sip: readonly HopProbe[],
  distance: number,
  name: (hop: number) => string,
  tell: Tell,
): Location {
  const last = Math.max(0, ...sip.filter(({ quote }) => quote !== undefined).map(({ hops }) => hops));
  if (last === 0) return tell('not-checked', 'No SIP arrives, and no router says how far it came.');
  return tell(
    'yes',
    `At ${name(last)} or behind it: SIP comes as far as that, for it says where a message’s life has ended, and no SIP reaches the reflector${distance > last + 1 ? '; those behind it say nothing' : ''}.`,
    { confidence: 'B', nearest: last, farthest: distance },
  );
}

/** The fewest hops with which anything arrived. */
function distanceOf(probes: readonly HopProbe[]): number | undefined {
  const arrived = probes.filter(({ received }) => received !== undefined).map(({ hops }) => hops);
  return arrived.length === 0 ? undefined : Math.min(...arrived);
}

function routersOf(probes: readonly HopProbe[]): Router[] {
  const found = new Map<number, Address>();
  for (const { hops, quote } of probes)
    if (quote !== undefined && !found.has(hops)) found.set(hops, quote.router);
  return [...found].map(([hop, address]) => ({ hop, address })).sort((a, b) => a.hop - b.hop);
}

function nameOf(hop: number, distance: number | undefined, routers: readonly Router[]): string {
  const address = routers.find((one) => one.hop === hop)?.address;
  const at = address === undefined ? '' : ` (${address})`;
  if (hop === 1) return `the next router${at}`;
  return hop === distance ? 'the reflector' : `the ${ordinal(hop)} router on the way${at}`;
}

function ordinal(hop: number): string {
  return ['', 'first', 'second', 'third'][hop] ?? `${hop}th`;
}

function hopCount(hops: number): string {
  return hops === 1 ? 'one hop' : `${hops} hops`;
}

function capital(text: string): string {
  return text.replace(/^./, (c) => c.toUpperCase());
}

/** The first octet in which they differ; undefined where they are the same. */
function firstDifference(sent: Uint8Array, received: Uint8Array): number | undefined {
  const at = sent.findIndex((octet, i) => octet !== received[i]);
  if (at >= 0) return at;
  return received.length === sent.length ? undefined : sent.length;
}

/** What the addresses of routers say about a second NAT, in words; undefined where nothing. */
export function carrierSign(routers: readonly Router[]): string | undefined {
  const shared = routers.find(({ address }) => isShared(address));
  if (shared !== undefined)
    return `The ${ordinal(shared.hop)} router on the way has the address ${shared.address}, of the block that carriers use between their customers and a NAT of their own (100.64.0.0/10, RFC 6598).`;
  const second = routers.find(({ hop, address }) => hop === 2 && isPrivate(address));
  return second === undefined
    ? undefined
    : `The second router on the way has a private address as well (${second.address}): your router may stand behind another one.`;
}
