/**
 * What is known about the path between two ends: who the client is inside and outside. What the context does not say is
 * concluded from the messages: a Via that changed from one address to another names both.
 */
import { type Address, type Endpoint, endpointKey, isPrivate, parseAddress } from '../net/address.ts';
import type { ComparisonContext, Direction, KnownMapping } from './comparison.ts';
import { fieldNamed, type Layout, valueText } from './layout.ts';
import { hostOf, nameAddrParts, type Part, splitValues, uriParts, viaParts } from './parts.ts';

/** A host as written, and the port that is meant: 5060 where none is written (RFC 3261 §19.1.2). */
export interface Named {
  readonly host: string;
  readonly address: Address | undefined;
  /** Undefined where none is written, or what is written is no port. */
  readonly port: number | undefined;
  /** 5060 where none is written; undefined where what is written is no port. */
  readonly effectivePort: number | undefined;
}

export interface Known {
  readonly direction: Direction;
  readonly inside: Endpoint | undefined;
  readonly outside: Endpoint | undefined;
  /** Whether `outside` was laid down by the context, and not concluded from the very edits that are judged. */
  readonly isOutsideGiven: boolean;
  isInside(address: Address | undefined): boolean;
  isOutside(address: Address | undefined): boolean;
  /** Whether a relay takes the client's media in there; `hasRelay`: whether there is one at all. */
  isRelay(address: Address | undefined): boolean;
  readonly hasRelay: boolean;
  /** The external endpoint of an internal one, where it is known. */
  externalOf(inside: Endpoint): Endpoint | undefined;
  /** Several where a client sends from one port and listens on another, behind the same external one. */
  internalsOf(outside: Endpoint): readonly Endpoint[];
}

/** How sure it is that a new endpoint is the right one, in words. */
export function realText({ isOutsideGiven }: Known): string {
  return isOutsideGiven ? 'which is the real mapping' : 'like everything else that names the client';
}

export function namedBy(parts: readonly Part[]): Named | undefined {
  const host = hostOf(parts);
  if (host === undefined) return undefined;
  const written = parts
    .find(({ kind }) => kind === 'port')
    ?.text.slice(1)
    .trim();
  const number = written === undefined || !/^\d{1,5}$/.test(written) ? undefined : Number(written);
  const port = number !== undefined && number >= 1 && number <= 65_535 ? number : undefined;
  return {
    host,
    address: parseAddress(host.replace(/^\[|\]$/g, '')),
    port,
    effectivePort: written === undefined ? 5060 : port,
  };
}

export function endpointOf(named: Named | undefined): Endpoint | undefined {
  return named?.address === undefined || named.effectivePort === undefined
    ? undefined
    : { address: named.address, port: named.effectivePort };
}

/** Parts of the topmost Via. */
export function topVia(layout: Layout): Part[] | undefined {
  const field = fieldNamed(layout, 'via');
  if (field === undefined) return undefined;
  const text = valueText(layout, field);
  const [first] = splitValues(text);
  return viaParts(text.slice(first!.start, first!.end), field.value.start + first!.start);
}

/** Parts of the first Contact. */
export function firstContact(layout: Layout): Part[] | undefined {
  const field = fieldNamed(layout, 'contact');
  if (field === undefined) return undefined;
  const text = valueText(layout, field);
  const [first] = splitValues(text);
  return nameAddrParts(text.slice(first!.start, first!.end), field.value.start + first!.start);
}

export function requestUriParts(layout: Layout): Part[] | undefined {
  const span = layout.requestUri;
  if (span === undefined) return undefined;
  let text = '';
  for (let i = span.start; i < span.end; i++) text += String.fromCharCode(layout.bytes[i]!);
  return uriParts(text, span.start);
}

export function learn(sent: Layout, received: Layout, context: ComparisonContext): Known {
  const { direction } = context;
  const guessed = guess(sent, received, direction);
  const inside = context.inside ?? guessed.inside;
  const isOutsideGiven = context.outside !== undefined;
  const outside = context.outside ?? guessed.outside;
  // The flow of the message itself comes last, and wins.
  const mappings: readonly KnownMapping[] = [
    ...(context.mappings ?? []),
    ...(inside !== undefined && outside !== undefined ? [{ inside, outside }] : []),
  ];
  const external = new Map(mappings.map((one) => [endpointKey(one.inside), one.outside]));
  const internal = new Map<string, Endpoint[]>();
  for (const one of mappings) {
    const key = endpointKey(one.outside);
    internal.set(key, [one.inside, ...(internal.get(key) ?? [])]);
  }
  const insideAddresses = new Set(mappings.map((one) => one.inside.address));
  const outsideAddresses = new Set(mappings.map((one) => one.outside.address));
  return {
    direction,
    inside,
    outside,
    isOutsideGiven,
    isInside: (address) =>
      address !== undefined &&
      (address === inside?.address ||
        insideAddresses.has(address) ||
        (context.isInside === undefined ? false : context.isInside(address))),
    isOutside: (address) =>
      address !== undefined &&
      (address === outside?.address ||
        outsideAddresses.has(address) ||
        (context.isOutside === undefined ? false : context.isOutside(address))),
    isRelay: (address) => address !== undefined && context.relays?.includes(address) === true,
    hasRelay: (context.relays ?? []).length > 0,
    externalOf: (one) => external.get(endpointKey(one)),
    internalsOf: (one) => internal.get(endpointKey(one)) ?? [],
  };
}

/** From a pair of values of which one names the client inside and the other outside. */
function guess(
  sent: Layout,
  received: Layout,
  direction: Direction,
): { inside: Endpoint | undefined; outside: Endpoint | undefined } {
  const isClientsVia = sent.isRequest === (direction === 'to-server');
  const pairs = [
    isClientsVia ? [topVia(sent), topVia(received)] : [],
    direction === 'to-client' && sent.isRequest ? [requestUriParts(sent), requestUriParts(received)] : [],
    direction === 'to-server' || sent.method === 'REGISTER'
      ? [firstContact(sent), firstContact(received)]
      : [],
  ].map((pair) => pair.map((parts) => endpointOf(parts === undefined ? undefined : namedBy(parts))));
  let inside: Endpoint | undefined;
  for (const [before, after] of pairs) {
    const [client, server] = direction === 'to-server' ? [before, after] : [after, before];
    inside ??= client;
    if (client === undefined || server === undefined || client.address === server.address) continue;
    // Nobody translates what is public already.
    if (!isPrivate(client.address)) continue;
    return { inside: client, outside: server };
  }
  return { inside, outside: undefined };
}

/** Which way a message went, by the addresses in it, for those who have nothing but its two forms. */
export function guessDirection(sent: Layout, received: Layout): Direction {
  const change = (parts: (layout: Layout) => Part[] | undefined): Direction | undefined => {
    const [before, after] = [sent, received].map((layout) => {
      const found = parts(layout);
      return found === undefined ? undefined : namedBy(found)?.address;
    });
    if (before === undefined || after === undefined || before === after) return undefined;
    if (isPrivate(before) && !isPrivate(after)) return 'to-server';
    return isPrivate(after) && !isPrivate(before) ? 'to-client' : undefined;
  };
  const changed = change(topVia) ?? change(requestUriParts) ?? change(firstContact);
  if (changed !== undefined) return changed;
  const address = (parts: Part[] | undefined): Address | undefined =>
    parts === undefined ? undefined : namedBy(parts)?.address;
  const via = address(topVia(sent));
  const contact = address(firstContact(sent));
  if (sent.isRequest) {
    if (via !== undefined && isPrivate(via)) return 'to-server';
    const uri = address(requestUriParts(sent));
    return uri !== undefined && isPrivate(uri) && via !== undefined ? 'to-client' : 'to-server';
  }
  if (contact !== undefined && isPrivate(contact) && sent.method !== 'REGISTER') return 'to-server';
  return 'to-client';
}
