/**
 * Header fields of the path itself: Record-Route and Route of a proxy that stands inside and is declared, and in explicit
 * mode the Route and the Via of the gateway's own.
 *
 * Facts: a proxy that wants to stay on the path puts itself into Record-Route (RFC 3261 §16.6), both sides make their route
 * set of it (§12.1), and it finds itself again as the topmost Route (§16.4). A phone's Route set names others; only
 * entries that name the sender itself, and only of a declared proxy, are addresses of a mapping.
 */
import { type Endpoint, formatEndpoint, isUnspecified } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import type { Span } from '../net/span.ts';
import { firstField, type Message, scanNameAddrs } from '../sip/message.ts';
import type { NameAddr } from '../sip/name-addr.ts';
import { skipLws, textOf } from '../sip/octets.ts';
import { type SipUri, scanSipUri } from '../sip/uri.ts';
import { scanVia } from '../sip/via.ts';
import { endpointOf, type HeaderEdit, names, plainHostPort } from './decide.ts';
import { branchOf, OWN_BRANCH } from './transactions.ts';

/** Every sip: URI of a field that may stand several times, with several values each. */
export function routeUris(message: Message, name: 'route' | 'record-route'): SipUri[] {
  const uris: SipUri[] = [];
  for (const field of message.fields) {
    if (field.name !== name) continue;
    const values: NameAddr[] = [];
    if (!scanNameAddrs(message.bytes, field, values)) continue;
    for (const value of values) {
      const uri = scanSipUri(message.bytes, value.uri.start, value.uri.end);
      if (uri !== undefined) uris.push(uri);
    }
  }
  return uris;
}

/** Record-Route entries of the declared proxy on their way back: as Route of a request, and as Record-Route of a response. */
export function routeRestoreEdits(
  message: Message,
  internal: Endpoint,
  external: Endpoint,
  written: string | undefined,
): HeaderEdit[] {
  const name = message.kind === 'request' ? 'route' : 'record-route';
  return routeUris(message, name)
    .filter((uri) => names(uri, external))
    .map((uri) => ({
      span: uri.span,
      replacement: written ?? plainHostPort(internal, uri),
      rule: 'record-route.restore' as const,
    }));
}

/** The topmost Route, where it names us, with the comma or the whole field that it leaves behind (RFC 3261 §16.4). */
export function ownRouteEdits(message: Message, own: readonly Endpoint[]): HeaderEdit[] {
  const field = firstField(message, 'route');
  if (field === undefined) return [];
  const values: NameAddr[] = [];
  if (!scanNameAddrs(message.bytes, field, values)) return [];
  const [first, second] = values;
  const uri = first === undefined ? undefined : scanSipUri(message.bytes, first.uri.start, first.uri.end);
  if (first === undefined || uri?.address === undefined) return [];
  const named = endpointOf(uri.address, uri);
  if (
    !own.some(
      (one) => one.port === named.port && (one.address === named.address || isUnspecified(one.address)),
    )
  )
    return [];
  const span: Span =
    second === undefined
      ? { start: field.lineStart, end: field.lineEnd + 2 }
      : { start: field.start, end: first.end + 1 };
  return [{ span, replacement: '', rule: 'route.own' }];
}

/**
 * A Via of ours above the provider's: a phone answers to the topmost Via, and must not answer past the gateway. Its branch is
 * made of the provider's, so that retransmissions and CANCEL carry the same one (RFC 3261 §16.6, §9.1). A peer of RFC 2543
 * without a branch is answered to as it asks.
 */
export function ownViaInsertion(message: Message, own: Endpoint, transport: Transport): HeaderEdit[] {
  const field = firstField(message, 'via');
  const branch = branchOf(message);
  if (field === undefined || branch === '' || !/^[\x21-\x7e]+$/.test(branch)) return [];
  const at = field.lineStart;
  const replacement = `Via: SIP/2.0/${transport.toUpperCase()} ${formatEndpoint(own)};branch=${OWN_BRANCH}${branch};rport\r\n`;
  return [{ span: { start: at, end: at }, replacement, rule: 'via.own' }];
}

export function ownViaRemoval(message: Message): HeaderEdit[] {
  const field = firstField(message, 'via');
  const { branch, end } = message.via;
  if (field === undefined || branch === undefined) return [];
  if (!textOf(message.bytes, branch.start, branch.end).startsWith(OWN_BRANCH)) return [];
  const vias = message.fields.filter((one) => one.name === 'via');
  const inSame = end < field.end;
  // Without a Via below ours that can be read, the response is nobody's, and stays as the phone wrote it.
  const below = inSame ? { start: end + 1, end: field.end } : vias[1];
  if (below === undefined || scanVia(message.bytes, below.start, below.end) === undefined) return [];
  const span: Span = inSame
    ? { start: field.start, end: skipLws(message.bytes, end + 1, field.end) }
    : { start: field.lineStart, end: field.lineEnd + 2 };
  return [{ span, replacement: '', rule: 'via.own' }];
}
