/**
 * Which header fields of a message change, and into what. Pure: facts in, edits out; the policy's table says which rules
 * are on.
 *
 * Facts: only the topmost Via is ours to touch (RFC 3261 §16.7, §18.1.2); a Contact is where the phone is to be reached
 * in whatever it stands (§8.1.1.8), but only a sip: URI, without maddr, for UDP or TCP; an absent transport is UDP, an absent port
 * is 5060 (§19.1.2), and stays absent where 5060 is right; a URI with an explicit port is not equal to one without
 * (§19.1.4), so the phone gets back what it wrote, to the octet.
 */
import { type Address, type Endpoint, formatEndpoint, formatHost } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import type { Span } from '../net/span.ts';
import type { Edit } from '../sip/edit.ts';
import { type Message, scanNameAddrs } from '../sip/message.ts';
import type { NameAddr } from '../sip/name-addr.ts';
import {
  COLON,
  EQUALS,
  equalsIgnoreCase,
  find,
  LEFT_BRACKET,
  QUESTION,
  SEMICOLON,
  textOf,
} from '../sip/octets.ts';
import { type HostPort, type SipUri, scanSipUri } from '../sip/uri.ts';
import { receivedAddress } from '../sip/via.ts';
import { SIP_PORT } from './classify.ts';
import { type SignallingMapping, type WrittenContact, writtenContact } from './mappings.ts';
import type { RuleSwitches } from './policy.ts';
import { ownRouteEdits, ownViaInsertion, ownViaRemoval, routeRestoreEdits } from './routes.ts';
import type { RuleId } from './rules.ts';
import type { Transaction } from './transactions.ts';

export type HeaderEdit = Edit<RuleId>;

/** A URI of a message that names an endpoint of its phone. */
export interface OwnUri {
  readonly uri: SipUri;
  readonly internal: Endpoint;
  readonly transport: Transport;
  /** The Contact that was known already, to the octet. */
  readonly known: WrittenContact | undefined;
}

/** Octets of "sip:". */
const SCHEME = 4;

export interface OutboundFacts {
  readonly on: RuleSwitches;
  /** The transport by which the phone sent, which is its Via's. */
  readonly transport: Transport;
  /** The address from which the phone sent. */
  readonly phone: Address;
  /** The URIs of its Contacts that name the phone itself. */
  readonly ownContacts: readonly OwnUri[];
  /** The phone's own signalling mappings: internal endpoint → external endpoint, or undefined where there is none. */
  readonly external: (internal: Endpoint, transport: Transport) => Endpoint | undefined;
  /** The same, of every phone. */
  readonly anyExternal: (internal: Endpoint, transport: Transport) => Endpoint | undefined;
  /** The URIs of its Record-Route entries that name the sender itself, which is a declared proxy; empty otherwise. */
  readonly ownRecordRoutes: readonly OwnUri[];
  /** Our own endpoints, as the phone may name them in Route (explicit mode). */
  readonly own: readonly Endpoint[];
}

export interface InboundFacts {
  readonly on: RuleSwitches;
  readonly mapping: SignallingMapping;
  /** The transaction that a response belongs to. */
  readonly transaction: Transaction | undefined;
  /** The phone's own mapping that has this external endpoint. */
  readonly ownMapping: (external: Endpoint, transport: Transport) => SignallingMapping | undefined;
  readonly anyInternal: (external: Endpoint, transport: Transport) => Endpoint | undefined;
  /** Whether the mapping belongs to a declared proxy, whose Record-Route entries come back. */
  readonly isProxy: boolean;
  /** Explicit mode: where the phone sends to, for a Via of our own. */
  readonly ownVia: Endpoint | undefined;
}

/** Edits of the header of what a phone sends to its provider. */
export function decideOutbound(message: Message, facts: OutboundFacts): HeaderEdit[] {
  const edits: HeaderEdit[] = [];
  const { on } = facts;
  const { bytes } = message;
  if (message.kind === 'request') {
    const { sentBy } = message.via;
    if (on['via.sent-by'] && sentBy.address === facts.phone) {
      const external = facts.external(endpointOf(sentBy.address, sentBy), facts.transport);
      if (external !== undefined) putHostPort(bytes, sentBy, external, 'via.sent-by', edits);
    }
    if (facts.own.length > 0 && on['route.own']) edits.push(...ownRouteEdits(message, facts.own));
    if (on['refer-to.host-port']) putReferTo(message, facts.anyExternal, edits);
  }
  if (on['record-route.host-port'])
    for (const { uri, internal, transport } of facts.ownRecordRoutes) {
      const external = facts.external(internal, transport);
      if (external !== undefined) putHostPort(bytes, uri, external, 'record-route.host-port', edits);
    }
  if (message.kind === 'response' && facts.own.length > 0) edits.push(...ownViaRemoval(message));
  if (on['contact.host-port'] && contactIsTarget(message))
    for (const { uri, internal, transport } of facts.ownContacts) {
      const external = facts.external(internal, transport);
      if (external !== undefined) putHostPort(bytes, uri, external, 'contact.host-port', edits);
    }
  return edits;
}

/** The URIs of a message's Contacts that name this phone. `newest`: the one that it wrote last, which is not read again. */
export function contactsOf(message: Message, phone: Address, newest: WrittenContact | undefined): OwnUri[] {
  const own: OwnUri[] = [];
  const { bytes, text } = message;
  for (const { uri: span } of message.contacts) {
    if (newest !== undefined && text.slice(span.start, span.end) === newest.uri) {
      own.push(placed(newest, span));
      continue;
    }
    const uri = scanSipUri(bytes, span.start, span.end);
    if (uri?.address !== phone) continue;
    const transport = reachedBy(bytes, uri);
    if (transport !== undefined)
      own.push({ uri, internal: endpointOf(phone, uri), transport, known: undefined });
  }
  return own;
}

/** What was read in a Contact, for the same octets at another place. */
function placed(known: WrittenContact, { start, end }: Span): OwnUri {
  const { internal, transport, port, user, written, host } = known;
  const from = start + host.start;
  const to = from + written.length;
  const uri: SipUri = {
    span: { start: from, end: to },
    host: { start: from, end: start + host.end },
    address: internal.address,
    port,
    user: { start: start + SCHEME, end: start + SCHEME + user.length },
    rest: { start: to, end },
  };
  return { uri, internal, transport, known };
}

/** What is to be remembered of a Contact. `user` and `written` stand in it. */
export function writtenContactOf(
  { bytes }: Message,
  { uri, internal, transport }: OwnUri,
  user: string,
  written: string,
): WrittenContact {
  const start = uri.user.start - SCHEME;
  const host = { start: uri.host.start - start, end: uri.host.end - start };
  return {
    uri: textOf(bytes, start, uri.rest.end),
    user,
    written,
    host,
    port: uri.port,
    internal,
    transport,
  };
}

export function ownUri({ bytes }: Message, phone: Address, uri: SipUri): OwnUri {
  return {
    uri,
    internal: endpointOf(phone, uri),
    transport: transportOf(bytes, uri),
    known: undefined,
  };
}

/** Edits of the header of what a provider sends to a phone. */
export function decideInbound(message: Message, facts: InboundFacts): HeaderEdit[] {
  const edits = message.kind === 'request' ? decideRequest(message, facts) : decideResponse(message, facts);
  const { mapping } = facts;
  if (facts.isProxy && facts.on['record-route.restore'])
    edits.push(...routeRestoreEdits(message, mapping.internal, mapping.external, mapping.recordRoute));
  return edits;
}

/** A sip: URI of a Contact that is an address of UDP or TCP; undefined for every other. */
export function contactUri({ bytes }: Message, contact: NameAddr): SipUri | undefined {
  const uri = scanSipUri(bytes, contact.uri.start, contact.uri.end);
  return uri === undefined || reachedBy(bytes, uri) === undefined ? undefined : uri;
}

/** How a sip: URI that is a place to be reached is reached; undefined where that is not by UDP or TCP at its own host. */
function reachedBy(bytes: Uint8Array, uri: SipUri): Transport | undefined {
  const { start, end } = uri.rest;
  if (start === end) return 'udp';
  if (uriParameter(bytes, uri, 'maddr') !== undefined) return undefined;
  const transport = uriParameter(bytes, uri, 'transport');
  if (transport === undefined || equalsIgnoreCase(bytes, transport.start, transport.end, 'udp')) return 'udp';
  return equalsIgnoreCase(bytes, transport.start, transport.end, 'tcp') ? 'tcp' : undefined;
}

/** The transport that a sip: URI asks for; UDP where it says nothing (RFC 3261 §19.1.2, RFC 3263 §4.1). */
export function transportOf(bytes: Uint8Array, uri: SipUri): Transport {
  const transport = uriParameter(bytes, uri, 'transport');
  return transport !== undefined && equalsIgnoreCase(bytes, transport.start, transport.end, 'tcp')
    ? 'tcp'
    : 'udp';
}

export function endpointOf(address: Address, written: HostPort): Endpoint {
  return { address, port: written.port ?? SIP_PORT };
}

function decideRequest(message: Message, facts: InboundFacts): HeaderEdit[] {
  const { on, mapping, anyInternal, ownVia } = facts;
  const edits: HeaderEdit[] = [];
  if (on['request-uri.host-port']) {
    const uri = scanSipUri(message.bytes, message.requestUri.start, message.requestUri.end);
    const named = uri === undefined ? undefined : mappingNamed(message.bytes, uri, facts);
    if (uri !== undefined && named !== undefined) {
      const user = textOf(message.bytes, uri.user.start, uri.user.end);
      const replacement = writtenContact(named, user) ?? plainHostPort(named.internal, uri);
      edits.push({ span: uri.span, replacement, rule: 'request-uri.host-port' });
    }
  }
  if (on['refer-to.host-port']) putReferTo(message, anyInternal, edits);
  if (ownVia !== undefined && on['via.own'])
    edits.push(...ownViaInsertion(message, ownVia, mapping.transport));
  return edits;
}

/** The mapping that a Request-URI names: the one by which it came, or the phone's for the transport that the URI asks for. */
function mappingNamed(bytes: Uint8Array, uri: SipUri, facts: InboundFacts): SignallingMapping | undefined {
  const { mapping } = facts;
  const transport = transportOf(bytes, uri);
  const other =
    transport === mapping.transport || uri.address === undefined
      ? undefined
      : facts.ownMapping(endpointOf(uri.address, uri), transport);
  return other ?? (names(uri, mapping.external) ? mapping : undefined);
}

function decideResponse(message: Message, facts: InboundFacts): HeaderEdit[] {
  const { on, mapping, transaction } = facts;
  const { bytes, via } = message;
  const edits: HeaderEdit[] = [];
  if (on['via.sent-by.restore'] && names(via.sentBy, mapping.external)) {
    edits.push({
      span: via.sentBy.span,
      replacement: transaction?.sentBy ?? plainHostPort(mapping.internal, via.sentBy),
      rule: 'via.sent-by.restore',
    });
  }
  if (on['via.received.restore']) edits.push(...receivedEdits(message, facts));
  if (on['contact.restore'] && message.method === 'REGISTER') {
    for (const contact of message.contacts) {
      const uri = contactUri(message, contact);
      if (uri?.address === undefined) continue;
      const own = facts.ownMapping(endpointOf(uri.address, uri), transportOf(bytes, uri));
      if (own === undefined) continue;
      const user = textOf(bytes, uri.user.start, uri.user.end);
      edits.push({
        span: uri.span,
        replacement: writtenContact(own, user) ?? plainHostPort(own.internal, uri),
        rule: 'contact.restore',
      });
    }
  }
  return edits;
}

/**
 * received and rport, where both name our external endpoint: the phone then sees itself. Where one of them names
 * something else, there is another NAT upstream, and both stay.
 */
function receivedEdits(message: Message, { mapping, transaction }: InboundFacts): HeaderEdit[] {
  const { bytes, via } = message;
  const rule = 'via.received.restore';
  const { received, rport } = via;
  if (received === undefined || receivedAddress(bytes, via) !== mapping.external.address) return [];
  // Brackets around an IPv6 address are seen, and stay (RFC 5118 §4.5).
  const bracketed = bytes[received.start] === LEFT_BRACKET;
  const address = bracketed ? formatHost(mapping.internal.address) : mapping.internal.address;
  const edits: HeaderEdit[] = [{ span: received, replacement: address, rule }];
  if (rport !== undefined && rport.end > rport.start) {
    if (textOf(bytes, rport.start, rport.end) !== String(mapping.external.port)) return [];
    edits.push({ span: rport, replacement: String(transaction?.peer.port ?? mapping.sourcePort), rule });
  }
  return edits;
}

/** Refer-To: only a host and port that are a live mapping as a whole; what is escaped in its header fields never. */
function putReferTo(
  message: Message,
  translate: (from: Endpoint, transport: Transport) => Endpoint | undefined,
  edits: HeaderEdit[],
): void {
  for (const field of message.fields) {
    if (field.name !== 'refer-to') continue;
    const values: NameAddr[] = [];
    if (!scanNameAddrs(message.bytes, field, values)) continue;
    for (const value of values) {
      const uri = scanSipUri(message.bytes, value.uri.start, value.uri.end);
      if (uri?.address === undefined) continue;
      const target = translate(endpointOf(uri.address, uri), transportOf(message.bytes, uri));
      if (target !== undefined) putHostPort(message.bytes, uri, target, 'refer-to.host-port', edits);
    }
  }
}

/**
 * Whether a Contact in it is a place to be reached. In a response to REGISTER it is the registrar's list, and in other
 * final failures it is somebody else's (RFC 3261 §8.1.3.4, §20.10, table 2).
 */
function contactIsTarget(message: Message): boolean {
  if (message.kind === 'request') return true;
  const { status } = message;
  return status < 400 || status === 485;
}

/** Puts edits that make a written host and port name `to`. An absent port stays absent where it means the same. */
export function putHostPort(
  bytes: Uint8Array,
  written: HostPort,
  to: Endpoint,
  rule: RuleId,
  edits: HeaderEdit[],
): void {
  const { span, port } = written;
  if (port === undefined) {
    edits.push({ span, replacement: to.port === SIP_PORT ? formatHost(to.address) : hostPortOf(to), rule });
    return;
  }
  const colon = find(bytes, COLON, written.host.end, span.end);
  const portStart = firstDigit(bytes, colon + 1);
  if (colon === written.host.end && portStart === colon + 1) {
    edits.push({ span, replacement: hostPortOf(to), rule });
    return;
  }
  // White space and folds around the colon of a sent-by stay where they are.
  edits.push(
    { span: written.host, replacement: formatHost(to.address), rule },
    { span: { start: portStart, end: span.end }, replacement: String(to.port), rule },
  );
}

/** The endpoint written last: Via and Contact of one message name the same one. */
let lastWritten: { readonly endpoint: Endpoint; readonly text: string } | undefined;

function hostPortOf(to: Endpoint): string {
  if (lastWritten?.endpoint !== to) lastWritten = { endpoint: to, text: formatEndpoint(to) };
  return lastWritten.text;
}

function firstDigit(bytes: Uint8Array, from: number): number {
  let i = from;
  while (bytes[i]! < 0x30 || bytes[i]! > 0x39) i++;
  return i;
}

/** The endpoint, with a port only where one was written or it is not the default. */
export function plainHostPort(to: Endpoint, written: HostPort): string {
  const host = formatHost(to.address);
  return written.port === undefined && to.port === SIP_PORT ? host : `${host}:${to.port}`;
}

export function names(written: HostPort, endpoint: Endpoint): boolean {
  return written.address === endpoint.address && (written.port ?? SIP_PORT) === endpoint.port;
}

/** The value of a URI parameter; an empty span where it has none; undefined where it is absent. */
function uriParameter(bytes: Uint8Array, uri: SipUri, lowerName: string): Span | undefined {
  const { end: last } = uri.rest;
  let i = uri.rest.start;
  while (i < last && bytes[i] === SEMICOLON) {
    let end = i + 1;
    let nameEnd = -1;
    for (let c = bytes[end]; end < last && c !== SEMICOLON && c !== QUESTION; c = bytes[++end])
      if (c === EQUALS && nameEnd < 0) nameEnd = end;
    if (nameEnd < 0) nameEnd = end;
    if (equalsIgnoreCase(bytes, i + 1, nameEnd, lowerName)) return { start: Math.min(nameEnd + 1, end), end };
    i = end;
  }
  return undefined;
}
