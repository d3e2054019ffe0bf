/**
 * The same messages in two captures, one on each side of a box: what belongs together, although a box may have changed
 * any of it. Call-ID, CSeq, branch and method first; then what of them is left; then likeness, time and IP identification.
 *
 * Learns the mappings of the NAT from the pairs, and how far the two clocks are apart. Linear in the captures but for what
 * nothing identifies, and that is bounded.
 */
import { type Endpoint, endpointKey, isPrivate, sameEndpoint } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { textOf } from '../sip/octets.ts';
import type { Direction, KnownMapping } from './comparison.ts';
import { fieldNamed, type Layout, layoutOf, valueText } from './layout.ts';
import { parameterOf, splitValues, viaParts } from './parts.ts';

/** A message as one of the captures has it. */
export interface Seen {
  readonly frame: number;
  readonly timeMs: TimeMs;
  readonly transport: Transport;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly bytes: Uint8Array;
  readonly ipId?: number;
}

/** The side of the client, and that of the server. */
export type CaptureSide = 'inside' | 'outside';

export interface PairedMessage {
  readonly inside: Seen;
  readonly outside: Seen;
  readonly direction: Direction;
}

export interface LonelyMessage {
  readonly side: CaptureSide;
  readonly seen: Seen;
}

export interface Pairing {
  /** In the order of the capture inside. */
  readonly pairs: readonly PairedMessage[];
  readonly lonely: readonly LonelyMessage[];
  /** Of signalling, from the pairs. */
  readonly mappings: readonly KnownMapping[];
  /** How much later the clock outside is; undefined where nothing is paired. Half a packet's way is in it. */
  readonly clockSkewMs: number | undefined;
}

/** What nothing identifies is compared with so many candidates. */
const MAX_CANDIDATES = 200;
/** Messages that are paired by likeness alone lie no further apart, once the clocks are known. */
const NEAR_MS = 5_000;

interface Item {
  readonly seen: Seen;
  readonly layout: Layout;
  readonly kind: string;
  readonly callId: string;
  readonly cseq: string;
  readonly branch: string;
  mate: Item | undefined;
}

/** `isInside`: whether an address belongs to the client's network, where somebody has said so. */
export function pairCaptures(
  inside: readonly Seen[],
  outside: readonly Seen[],
  isInside?: (endpoint: Endpoint) => boolean,
): Pairing {
  const near = inside.map(itemOf);
  const far = outside.map(itemOf);
  pairBy(near, far, ({ kind, callId, cseq, branch }) => `${kind}\n${callId}\n${cseq}\n${branch}`);
  pairBy(near, far, ({ kind, cseq, branch }) => (branch === '' ? undefined : `${kind}\n${cseq}\n${branch}`));
  pairBy(near, far, ({ kind, callId, cseq }) => (callId === '' ? undefined : `${kind}\n${callId}\n${cseq}`));
  pairByLikeness(near, far, skewOf(near));
  const clients = clientsOf(inside);
  const isClient = isInside ?? ((endpoint: Endpoint) => clients.has(endpointKey(endpoint)));
  const pairs = near.flatMap((item): PairedMessage[] => {
    if (item.mate === undefined) return [];
    const [one, other] = [item.seen, item.mate.seen];
    return [{ inside: one, outside: other, direction: directionOf(one, other, isClient) }];
  });
  const lonely = [
    ...near.filter(({ mate }) => mate === undefined).map(({ seen }) => ({ side: 'inside' as const, seen })),
    ...far.filter(({ mate }) => mate === undefined).map(({ seen }) => ({ side: 'outside' as const, seen })),
  ].sort((a, b) => a.seen.timeMs - b.seen.timeMs);
  return { pairs, lonely, mappings: mappingsOf(pairs), clockSkewMs: skewOf(near) };
}

/** Which endpoints are what on both sides of one pair. */
export function endpointsOf({ inside, outside, direction }: PairedMessage): KnownMapping {
  return direction === 'to-server'
    ? { inside: inside.source, outside: outside.source }
    : { inside: inside.destination, outside: outside.destination };
}

function itemOf(seen: Seen): Item {
  const layout = layoutOf(seen.bytes);
  const via = fieldNamed(layout, 'via');
  const text = via === undefined ? '' : valueText(layout, via);
  const callId = fieldNamed(layout, 'call-id');
  const cseq = fieldNamed(layout, 'cseq');
  const [first] = splitValues(text);
  return {
    seen,
    layout,
    kind: `${seen.transport} ${layout.isRequest ? layout.method : layout.status}`,
    callId: callId === undefined ? '' : valueText(layout, callId),
    cseq: cseq === undefined ? '' : valueText(layout, cseq),
    branch: parameterOf(viaParts(text.slice(first!.start, first!.end), 0), 'branch') ?? '',
    mate: undefined,
  };
}

/** Of several that have the same key, as retransmissions have, those that lie nearest in their order. */
function pairBy(
  near: readonly Item[],
  far: readonly Item[],
  keyOf: (item: Item) => string | undefined,
): void {
  const groups = new Map<string, { near: Item[]; far: Item[] }>();
  const add = (side: 'near' | 'far', item: Item): void => {
    if (item.mate !== undefined) return;
    const key = keyOf(item);
    if (key === undefined) return;
    const group = groups.get(key) ?? { near: [], far: [] };
    group[side].push(item);
    groups.set(key, group);
  };
  for (const item of near) add('near', item);
  for (const item of far) add('far', item);
  const skew = skewOf(near) ?? firstSkew([...groups.values()]);
  for (const group of groups.values()) pairGroup(group.near, group.far, skew);
}

function pairGroup(near: readonly Item[], far: readonly Item[], skew: number): void {
  const [fewer, more] = near.length <= far.length ? [near, far] : [far, near];
  const shift = fewer === near ? skew : -skew;
  let from = 0;
  for (const [i, item] of fewer.entries()) {
    const last = more.length - (fewer.length - i);
    let best = from;
    const gap = (k: number): number => Math.abs(more[k]!.seen.timeMs - item.seen.timeMs - shift);
    // Later ones only move away once they begin to.
    for (let k = from + 1; k <= last && gap(k) < gap(best); k++) best = k;
    join(item, more[best]!);
    from = best + 1;
  }
}

function firstSkew(
  groups: readonly { readonly near: readonly Item[]; readonly far: readonly Item[] }[],
): number {
  return (
    median(
      groups.flatMap(({ near, far }) =>
        near.length === 1 && far.length === 1 ? [far[0]!.seen.timeMs - near[0]!.seen.timeMs] : [],
      ),
    ) ?? 0
  );
}

/** Whatever identified them was changed as well. */
function pairByLikeness(near: readonly Item[], far: readonly Item[], skew: number | undefined): void {
  const rest = far.filter(({ mate }) => mate === undefined);
  let from = 0;
  for (const item of near) {
    if (item.mate !== undefined) continue;
    const expected = item.seen.timeMs + (skew ?? 0);
    if (skew !== undefined) while (from < rest.length && rest[from]!.seen.timeMs < expected - NEAR_MS) from++;
    const lines = linesIn(item);
    let best: { readonly item: Item; readonly score: number } | undefined;
    for (let k = from; k < rest.length && k < from + MAX_CANDIDATES; k++) {
      const other = rest[k]!;
      if (skew !== undefined && other.seen.timeMs > expected + NEAR_MS) break;
      if (other.mate !== undefined || other.layout.isRequest !== item.layout.isRequest) continue;
      const isSamePacket =
        item.seen.ipId !== undefined && item.seen.ipId !== 0 && item.seen.ipId === other.seen.ipId;
      const score =
        shared(lines, linesIn(other)) + (isSamePacket ? 0.25 : 0) + (other.kind === item.kind ? 0.1 : 0);
      if (score >= 0.5 && score > (best?.score ?? 0)) best = { item: other, score };
    }
    if (best !== undefined) join(item, best.item);
  }
}

function linesIn({ seen }: Item): Set<string> {
  return new Set(textOf(seen.bytes, 0, Math.min(seen.bytes.length, 8_192)).split(/[\r\n;]+/));
}

/** How much of the two is the same, 0 to 1. */
function shared(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let same = 0;
  for (const one of a) if (b.has(one)) same++;
  return same / Math.max(a.size, b.size, 1);
}

function join(a: Item, b: Item): void {
  a.mate = b;
  b.mate = a;
}

/** Median of the differences; the way there and the way back cancel each other out where both were seen. */
function skewOf(near: readonly Item[]): number | undefined {
  const differences = near.flatMap(({ seen, mate }) =>
    mate === undefined ? [] : [mate.seen.timeMs - seen.timeMs],
  );
  if (differences.length === 0) return undefined;
  const out: number[] = [];
  const back: number[] = [];
  for (const { seen, mate } of near) {
    if (mate === undefined) continue;
    if (!sameEndpoint(seen.source, mate.seen.source)) out.push(mate.seen.timeMs - seen.timeMs);
    else if (!sameEndpoint(seen.destination, mate.seen.destination))
      back.push(mate.seen.timeMs - seen.timeMs);
  }
  const [there, here] = [median(out), median(back)];
  return there !== undefined && here !== undefined ? (there + here) / 2 : median(differences);
}

function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** NAT changes the source of what goes out, and the destination of what comes in. */
function directionOf(inside: Seen, outside: Seen, isClient: (endpoint: Endpoint) => boolean): Direction {
  const isSourceSame = sameEndpoint(inside.source, outside.source);
  const isDestinationSame = sameEndpoint(inside.destination, outside.destination);
  if (isSourceSame !== isDestinationSame) return isSourceSame ? 'to-client' : 'to-server';
  if (isClient(inside.source) !== isClient(inside.destination))
    return isClient(inside.source) ? 'to-server' : 'to-client';
  if (isPrivate(inside.source.address) !== isPrivate(inside.destination.address))
    return isPrivate(inside.source.address) ? 'to-server' : 'to-client';
  return layoutOf(inside.bytes).isRequest ? 'to-server' : 'to-client';
}

/** Who registers is a client; where nobody does, who spoke first. */
function clientsOf(inside: readonly Seen[]): ReadonlySet<string> {
  const clients = new Set<string>();
  for (const { source, bytes } of inside)
    if (textOf(bytes, 0, 9) === 'REGISTER ') clients.add(endpointKey(source));
  const [first] = inside;
  if (clients.size === 0 && first !== undefined) clients.add(endpointKey(first.source));
  return clients;
}

function mappingsOf(pairs: readonly PairedMessage[]): KnownMapping[] {
  const found = new Map<string, KnownMapping>();
  for (const pair of pairs) {
    const mapping = endpointsOf(pair);
    found.set(`${endpointKey(mapping.inside)} ${endpointKey(mapping.outside)}`, mapping);
  }
  return [...found.values()];
}
