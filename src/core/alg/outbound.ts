/**
 * From the phone to the provider: which mapping the packet leaves by, which endpoints of the phone it names, and what
 * the phone wrote, to be given back to it later.
 */
import { type Address, type Endpoint, sameEndpoint } from '../net/address.ts';
import { type Flow, over, type Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import type { Edit } from '../sip/edit.ts';
import type { Message } from '../sip/message.ts';
import { equalsText, textOf } from '../sip/octets.ts';
import { isCoveredByIdentity } from './calls.ts';
import { contactsOf, decideOutbound, endpointOf, type OwnUri, ownUri, writtenContactOf } from './decide.ts';
import { followSession } from './dialog-session.ts';
import { toPhone } from './inbound.ts';
import type { MappingId } from './io.ts';
import { type SignallingMapping, USE_UNWRITTEN_MS } from './mappings.ts';
import { LOWEST_INTERNAL_PORT } from './policy.ts';
import { routeUris } from './routes.ts';
import type { RuleId } from './rules.ts';
import type { EngineState } from './state.ts';
import type { Transaction } from './transactions.ts';
import { externalAddressFor } from './uplinks.ts';
import type { Packet } from './waiting.ts';

export function fromPhone(state: EngineState, now: TimeMs, packet: Packet, phone: Address): void {
  const { flow, bytes } = packet;
  if (packet.externalAddress === undefined)
    return state.drop(flow, 'no external address towards the provider');
  const scan = state.scan(bytes);
  const message = scan?.ok === true ? scan.message : undefined;
  const externalAddress = externalAddressFor(state, now, packet, message) ?? packet.externalAddress;

  if (packet.innerAddress !== undefined) state.rememberInner(phone, packet.innerAddress);
  const asked =
    message?.kind === 'response' ? state.transactions.find(message, 'external', phone, now) : undefined;
  const mapping = mappingFor(state, now, flow, message, asked, externalAddress);
  if (mapping === undefined) return state.forgo(packet, 'no mapping can be made');
  if (state.mustWait(mapping)) return state.wait(now, mapping, packet);
  touch(state, now, mapping, flow);
  // A response goes back on the connection that its request came on (RFC 3261 §18.2.2).
  const connection = asked?.connection ?? flow.connection;
  const remote = asked?.connection === undefined ? flow.local : asked.peer;
  const out = over(
    { transport: mapping.transport, side: 'external', local: mapping.external, remote },
    connection,
  );
  if (message === undefined) {
    state.pass(
      flow,
      out,
      bytes,
      scan === undefined ? 'not SIP' : 'a defect',
      scan?.ok === false ? scan.defects : [],
    );
    deliverInside(state, now, out, bytes);
    return;
  }

  const observed = observes(state, now, message, mapping, flow);
  if (observed) return asItIs(state, now, message, mapping, packet, out);

  // Every endpoint of the phone that the message names has to be open before it may be named outside.
  const ownContacts =
    !state.watching && isCoveredByIdentity(message)
      ? NONE
      : contactsOf(message, phone, mapping.newestContact);
  const ownRecordRoutes =
    state.options.isProxy?.(phone) === true
      ? routeUris(message, 'record-route')
          .filter((uri) => uri.address === phone)
          .map((uri) => ownUri(message, phone, uri))
      : NONE;
  const opening = openNamed(state, now, mapping, flow, ownContacts, ownRecordRoutes, externalAddress);
  if (opening !== undefined) return state.wait(now, mapping, packet, opening);
  const external = (internal: Endpoint, transport: Transport): Endpoint | undefined =>
    transport === mapping.transport &&
    (sameEndpoint(internal, mapping.internal) || isConnection(flow, internal, transport))
      ? mapping.external
      : openExternal(state, transport, internal, externalAddress);
  const edits: Edit<RuleId>[] = decideOutbound(message, {
    on: state.on,
    transport: mapping.transport,
    phone,
    ownContacts,
    ownRecordRoutes,
    external,
    anyExternal: external,
    own: state.own,
  });
  const session = followSession(state, now, message, 'out', mapping, flow.local, packet, false);
  if (session.waitsFor.length > 0) return state.wait(now, mapping, packet, session.waitsFor);
  for (const edit of session.edits) edits.push(edit);

  if (message.kind === 'request') state.openTransaction(now, message, 'internal', mapping, flow, false);
  const route = ownRecordRoutes[0]?.uri.span;
  if (route !== undefined) mapping.recordRoute = textOf(message.bytes, route.start, route.end);
  rememberContacts(state, message, ownContacts, mapping, flow, externalAddress);
  const result = state.finish(message, flow, out, edits, session.leave);
  deliverInside(state, now, out, result);
}

const NONE: readonly OwnUri[] = [];

/** Whether the message goes on as it came; a REGISTER is where that is chosen. */
function observes(
  state: EngineState,
  now: TimeMs,
  message: Message,
  mapping: SignallingMapping,
  { local, remote }: Flow,
): boolean {
  // Without NAT there is nothing to choose.
  if (!state.canObserve || mapping.external.address === mapping.internal.address) return false;
  if (message.method !== 'REGISTER' || message.kind === 'response') {
    if (!state.profiles.mayObserve) return false;
    const transaction =
      message.kind === 'response'
        ? state.transactions.find(message, 'external', remote.address, now)
        : undefined;
    return state.observes(now, message, 'out', mapping, local, transaction);
  }
  const known = state.transactions.find(message, 'internal', mapping.internal.address, now)?.observed;
  return state.profiles.atRegister(now, message, mapping, local.address, known, state.out);
}

/** Observed: the dialog and its timers are kept, the message leaves from the phone's stable endpoint, its bytes stay. */
function asItIs(
  state: EngineState,
  now: TimeMs,
  message: Message,
  mapping: SignallingMapping,
  packet: Packet,
  out: Flow,
): void {
  const { flow } = packet;
  followSession(state, now, message, 'out', mapping, flow.local, packet, true);
  if (message.kind === 'request') state.openTransaction(now, message, 'internal', mapping, flow, true);
  const why = state.profiles.reason(mapping.internal.address, flow.local.address);
  deliverInside(state, now, out, state.finish(message, flow, out, [], undefined, why));
}

/**
 * Sees to it that the phone's endpoints have mappings; returns those that are still being opened, or undefined. One that
 * cannot be had is left as the phone wrote it, and the rest of the message is translated.
 */
function openNamed(
  state: EngineState,
  now: TimeMs,
  used: SignallingMapping,
  flow: Flow,
  ownContacts: readonly OwnUri[],
  ownRecordRoutes: readonly OwnUri[],
  externalAddress: Address,
): Set<MappingId> | undefined {
  let opening: Set<MappingId> | undefined;
  let ports: Set<string> | undefined;
  for (const uris of [ownContacts, ownRecordRoutes])
    for (const { internal, transport } of uris) {
      const isUsed = internal.port === used.internal.port && transport === used.transport;
      if (isUsed || internal.port < LOWEST_INTERNAL_PORT || isConnection(flow, internal, transport)) continue;
      // A phone has one or two further ports; a message that names many gets mappings for the first of them only.
      ports ??= new Set();
      ports.add(`${transport} ${internal.port}`);
      if (ports.size > state.limits.newMappingsPerMessage) return opening;
      const named = state.lacking
        ? state.mappings.byInternal(transport, internal, externalAddress)
        : state.ensure(now, transport, internal, externalAddress);
      if (named === undefined || !state.mustWait(named)) continue;
      opening ??= new Set();
      opening.add(named.id);
    }
  return opening;
}

/** The mapping by which a phone's packet leaves. */
function mappingFor(
  state: EngineState,
  now: TimeMs,
  flow: Flow,
  message: Message | undefined,
  asked: Transaction | undefined,
  address: Address,
): SignallingMapping | undefined {
  if (asked !== undefined) {
    // The answer leaves by the mapping at which the request arrived.
    const mapping = state.mappings.byId(asked.mapping);
    if (mapping !== undefined && mapping.internal.address === flow.remote.address) return mapping;
  } else if (message?.kind === 'request') {
    // A phone may send from another port than the one it listens on and names in its Via (RFC 3261 §18.1.1).
    const { sentBy } = message.via;
    if (sentBy.address === flow.remote.address) {
      const listening = endpointOf(sentBy.address, sentBy);
      if (listening.port >= LOWEST_INTERNAL_PORT)
        return state.ensure(now, flow.transport, listening, address);
    }
  }
  const known = state.mappings.byInternal(flow.transport, flow.remote, address);
  if (known !== undefined) return known;
  for (const one of state.mappings.ofPhone(flow.remote.address))
    if (isUsedBy(one, flow) && one.external.address === address) return one;
  return state.ensure(now, flow.transport, flow.remote, address);
}

/** Whether the phone sends by this mapping what comes from the flow's source. */
function isUsedBy(mapping: SignallingMapping, flow: Flow): boolean {
  if (mapping.transport !== flow.transport) return false;
  return flow.connection === undefined
    ? mapping.sourcePort === flow.remote.port
    : mapping.connections.has(flow.connection);
}

/**
 * Whether an endpoint is the phone's end of the connection that the message came on. Nobody can connect to it, and some
 * phones name it in the Contact of a dialog all the same: what is sent there comes by the mapping that the connection uses
 * (servers use the connection again; RFC 5923 lays that down for TLS, and for plain TCP it is custom).
 */
function isConnection(flow: Flow, internal: Endpoint, transport: Transport): boolean {
  return flow.connection !== undefined && transport === flow.transport && sameEndpoint(internal, flow.remote);
}

function openExternal(
  state: EngineState,
  transport: Transport,
  internal: Endpoint,
  address: Address,
): Endpoint | undefined {
  const mapping = state.mappings.byInternal(transport, internal, address);
  return mapping?.state === 'open' ? mapping.external : undefined;
}

/** What the phone wrote, for the day when it has to get it back. */
function rememberContacts(
  state: EngineState,
  message: Message,
  ownContacts: readonly OwnUri[],
  used: SignallingMapping,
  flow: Flow,
  externalAddress: Address,
): void {
  for (const own of ownContacts) {
    const { uri, internal, transport } = own;
    if (own.known !== undefined && own.known === used.newestContact) continue;
    const isUsed = transport === used.transport && sameEndpoint(internal, used.internal);
    const isOwnConnection =
      !isUsed && transport === used.transport && isConnection(flow, internal, transport);
    const mapping =
      isUsed || isOwnConnection ? used : state.mappings.byInternal(transport, internal, externalAddress);
    if (mapping === undefined) continue;
    const { newestContact: newest } = mapping;
    if (
      newest !== undefined &&
      equalsText(message.bytes, uri.user.start, uri.user.end, newest.user) &&
      equalsText(message.bytes, uri.span.start, uri.span.end, newest.written)
    )
      continue;
    const user = textOf(message.bytes, uri.user.start, uri.user.end);
    // What was registered stays what the phone is called by.
    if (isOwnConnection && mapping.contacts.has(user)) continue;
    const written = textOf(message.bytes, uri.span.start, uri.span.end);
    mapping.newestContact = writtenContactOf(message, own, user, written);
    if (mapping.contacts.get(user) === written) continue;
    if (mapping.contacts.size >= state.limits.contactsPerMapping) {
      const oldest = mapping.contacts.keys().next().value;
      if (oldest !== undefined) mapping.contacts.delete(oldest);
    }
    mapping.contacts.set(user, written);
    state.dirtyMappings.add(mapping);
  }
}

function touch(state: EngineState, now: TimeMs, mapping: SignallingMapping, flow: Flow): void {
  mapping.lastUsed = now;
  if (mapping.registrations.size === 0 && now - mapping.storedUse > USE_UNWRITTEN_MS)
    state.dirtyMappings.add(mapping);
  if (flow.connection !== undefined) state.mappings.join(mapping, flow.connection);
  if (mapping.sourcePort !== flow.remote.port) {
    mapping.sourcePort = flow.remote.port;
    state.dirtyMappings.add(mapping);
  }
  const known = mapping.peers.get(flow.local.address);
  if (known === undefined || known.port !== flow.local.port) {
    if (known === undefined && mapping.peers.size >= state.limits.peersPerMapping) {
      const oldest = mapping.peers.keys().next().value;
      if (oldest !== undefined) mapping.peers.delete(oldest);
    }
    mapping.peers.set(flow.local.address, flow.local);
    state.dirtyMappings.add(mapping);
  }
  mapping.lastPeer = flow.local;
}

/** What a phone sends to another phone's external endpoint stays here (hairpin, RFC 4787 REQ-9). */
function deliverInside(state: EngineState, now: TimeMs, sent: Flow, bytes: Uint8Array): void {
  const mapping = state.mappings.byExternal(sent.transport, sent.remote);
  if (mapping === undefined) return;
  const last = state.out.findLastIndex((output) => output.kind === 'send' && output.flow === sent);
  if (last < 0) return;
  state.out.splice(last, 1);
  // The connection is the sender's: whichever leads to the other phone is for the data plane to find.
  const { transport, side } = sent;
  const flow: Flow = { transport, side, local: sent.remote, remote: sent.local };
  toPhone(state, now, { kind: 'packet', flow, bytes }, mapping);
}
