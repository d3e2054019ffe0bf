/** From the provider to the phone: which transaction and mapping it belongs to, and what the registrar has granted. */
import { type Endpoint, sameEndpoint } from '../net/address.ts';
import { type ConnectionId, type Flow, over, type Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import type { Edit } from '../sip/edit.ts';
import type { Message } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { classify } from './classify.ts';
import { decideInbound } from './decide.ts';
import { followSession } from './dialog-session.ts';
import { ANSWER_MS } from './keepalive.ts';
import type { SignallingMapping } from './mappings.ts';
import { expiresHeaderMs, takeGrant } from './registrations.ts';
import type { RuleId } from './rules.ts';
import type { EngineState } from './state.ts';
import type { Packet } from './waiting.ts';

/** Octets in which a start line has to end. */
const START_LINE = 1024;

export function toPhone(state: EngineState, now: TimeMs, packet: Packet, mapping: SignallingMapping): void {
  const { flow, bytes } = packet;
  if (state.mustWait(mapping)) return state.wait(now, mapping, packet);
  mapping.silentSince = undefined;
  const scan = state.scan(bytes);
  const message = scan?.ok === true ? scan.message : undefined;
  const reply = (to: Endpoint, connection: ConnectionId | undefined): Flow =>
    over({ transport: flow.transport, side: 'internal', local: flow.remote, remote: to }, connection);
  if (message === undefined) {
    if (scan === undefined && isOurs(state, now, packet, mapping)) return;
    // A port that a Contact has only named is one for SIP: anything else might be meant for another program behind it.
    if (mapping.lastPeer === undefined && !namesSip(bytes))
      return state.drop(flow, 'no SIP, to a port from which the phone has sent nothing');
    // What is no SIP answers to the port that sent (STUN, keepalives); what is SIP of a kind goes where SIP goes.
    const port = scan === undefined ? mapping.sourcePort : mapping.internal.port;
    const to = reply({ address: mapping.internal.address, port }, flow.connection);
    return state.pass(
      flow,
      to,
      bytes,
      scan === undefined ? 'not SIP' : 'a defect',
      scan?.ok === false ? scan.defects : [],
    );
  }

  if (message.kind === 'request' && message.method === 'OPTIONS')
    noteKeepalive(state, now, mapping, flow.remote);
  const transaction =
    message.kind === 'response'
      ? state.transactions.find(message, 'internal', mapping.internal.address, now)
      : undefined;
  if (transaction !== undefined && message.method === 'REGISTER')
    state.answering.note(mapping.internal.address, flow.remote.address);
  // A response goes back on the connection that its request came on (RFC 3261 §18.2.2).
  const to = reply(transaction?.peer ?? mapping.internal, transaction?.connection ?? flow.connection);
  if (state.observes(now, message, 'in', mapping, flow.remote, transaction)) {
    followSession(state, now, message, 'in', mapping, flow.remote, packet, true);
    if (message.kind === 'request') {
      mapping.lastIncoming = now;
      state.openTransaction(now, message, 'external', mapping, flow, true);
    } else takeLifetimes(state, now, message, mapping, flow.remote, true);
    const why = state.profiles.reason(mapping.internal.address, flow.remote.address);
    state.finish(message, flow, to, [], undefined, why);
    return;
  }
  const edits: Edit<RuleId>[] = decideInbound(message, {
    on: state.on,
    mapping,
    transaction,
    ownMapping: (external, transport) => ownMapping(state, mapping, external, transport),
    isProxy: state.options.isProxy?.(mapping.internal.address) === true,
    ownVia: state.ownEndpoint(mapping.internal.address),
    anyInternal: (external, transport) =>
      state.mappings.byExternal(transport, external)?.internal ??
      state.options.neighbours?.signalling(transport, external),
  });
  const session = followSession(state, now, message, 'in', mapping, flow.remote, packet, false);
  if (session.waitsFor.length > 0) return state.wait(now, mapping, packet, session.waitsFor);
  edits.push(...session.edits);

  if (message.kind === 'request') {
    mapping.lastIncoming = now;
    state.openTransaction(now, message, 'external', mapping, flow, false);
  } else takeLifetimes(state, now, message, mapping, flow.remote, false);
  state.finish(message, flow, to, edits, session.leave);
}

/** Whether the first line says SIP/2.0, whatever else is wrong with it (RFC 3261 §7.1, §7.2). */
function namesSip(bytes: Uint8Array): boolean {
  const end = Math.min(bytes.length, START_LINE);
  const line = textOf(bytes, 0, end);
  const at = line.indexOf('SIP/2.0');
  return at >= 0 && !line.slice(0, at).includes('\n');
}

/** What is no SIP: whether it answers a keepalive of ours. If not, the provider keeps the NAT open of itself. */
function isOurs(
  state: EngineState,
  now: TimeMs,
  { flow, bytes }: Packet,
  mapping: SignallingMapping,
): boolean {
  if (state.keepalives.answers(now, mapping, flow.remote, bytes)) {
    state.event({ kind: 'keepalive.answered', flow });
    return true;
  }
  // What comes soon after the phone has sent may be an answer, as a STUN response always is.
  const isRequest = bytes[0] !== 0x01 && classify(bytes) !== 'other';
  if (isRequest && now - mapping.lastUsed > ANSWER_MS) noteKeepalive(state, now, mapping, flow.remote);
  return false;
}

function noteKeepalive(state: EngineState, now: TimeMs, mapping: SignallingMapping, peer: Endpoint): void {
  state.profiles.note(now, mapping.internal.address, peer.address, 'provider-keepalive', state.out);
}

function ownMapping(
  state: EngineState,
  mapping: SignallingMapping,
  external: Endpoint,
  transport: Transport,
): SignallingMapping | undefined {
  const found = state.mappings.byExternal(transport, external);
  return found?.internal.address === mapping.internal.address ? found : undefined;
}

/** Registrations and subscriptions: how long the phone has to stay reachable. */
function takeLifetimes(
  state: EngineState,
  now: TimeMs,
  message: Message,
  mapping: SignallingMapping,
  peer: Endpoint,
  observed: boolean,
): void {
  if (message.status < 200 || message.status > 299) return;
  if (message.method === 'REGISTER') {
    const phone = mapping.internal.address;
    const written = observed ? state.profiles.written(phone, peer.address) : [];
    // What the phone wrote is what the registrar lists where nothing was translated.
    const own = (listed: Endpoint, transport: Transport): SignallingMapping | undefined =>
      ownMapping(state, mapping, listed, transport) ??
      (written.some((one) => sameEndpoint(one, listed)) ? mapping : undefined);
    for (const changed of takeGrant(state, now, message, mapping, peer, own)) {
      state.mappings.schedule(changed);
      state.hold(changed, now);
    }
    state.profiles.granted(now, message, mapping, peer.address, observed, state.out);
  } else if (message.method === 'SUBSCRIBE' || message.method === 'PUBLISH') {
    const lifetimeMs = expiresHeaderMs(message) ?? 0;
    if (!observed) state.profiles.advertised(mapping.internal.address, peer.address, now + lifetimeMs);
    if (lifetimeMs === 0 || now + lifetimeMs <= mapping.keepUntil) return;
    mapping.keepUntil = now + lifetimeMs;
    state.dirtyMappings.add(mapping);
    state.hold(mapping, now);
  }
}
