/**
 * What a registrar has granted: the response to REGISTER decides, and not what the phone asked for.
 *
 * Facts (RFC 3261 §10.3): the 2xx lists every contact binding of the address-of-record with the time that is left, as its
 * `expires` parameter, or else as the Expires header field for all; the list may hold bindings of other phones; one that
 * is missing, or has 0 left, is gone.
 */

import { type Endpoint, sameEndpoint } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import { SECOND_MS, type TimeMs } from '../net/time.ts';
import { firstField, type Message } from '../sip/message.ts';
import { type NameAddr, nameAddrParameter } from '../sip/name-addr.ts';
import { decimal, textOf } from '../sip/octets.ts';
import { contactUri, endpointOf, transportOf } from './decide.ts';
import type { Output } from './io.ts';
import {
  REGISTRATION_MARGIN_MS,
  REGISTRATION_MAX_MS,
  type Registration,
  rowLeadMs,
  type SignallingMapping,
} from './mappings.ts';
import type { EngineState } from './state.ts';

/** Where a registrar names no time at all (RFC 3261 §10.2). */
const DEFAULT_GRANT_S = 3600;

/**
 * Takes a 2xx to REGISTER in: returns the mappings whose registrations it is about; those whose rows have to be written are
 * noted in `state`. `own` finds the phone's mapping by its external endpoint.
 */
export function takeGrant(
  state: Pick<EngineState, 'out' | 'limits' | 'dirtyMappings'>,
  now: TimeMs,
  message: Message,
  via: SignallingMapping,
  peer: Endpoint,
  own: (external: Endpoint, transport: Transport) => SignallingMapping | undefined,
): Set<SignallingMapping> {
  const { out, dirtyMappings } = state;
  const aor = textOf(message.bytes, message.to.uri.start, message.to.uri.end);
  const changed = new Set([via]);
  const listed = new Set<Registration>();
  for (const contact of message.contacts) {
    const uri = contactUri(message, contact);
    if (uri?.address === undefined) continue;
    const mapping = own(endpointOf(uri.address, uri), transportOf(message.bytes, uri));
    if (mapping === undefined) continue;
    const lifetimeMs = grantedMs(message, contact);
    const key = `${aor} ${textOf(message.bytes, uri.user.start, uri.user.end)}`;
    if (lifetimeMs === 0) continue;
    const known = mapping.registrations.get(key);
    const limit = state.limits.contactsPerMapping;
    if (known === undefined && mapping.registrations.size >= limit) {
      out.push({
        kind: 'event',
        event: { kind: 'limit.reached', limit: 'contacts-per-mapping', value: limit },
      });
      break;
    }
    changed.add(mapping);
    const expiresAt = now + lifetimeMs + REGISTRATION_MARGIN_MS;
    const renewed = known !== undefined && sameEndpoint(known.peer, peer);
    const one = known ?? { aor, peer, expiresAt, storedUntil: expiresAt };
    // Who registers again only now and then has a row that says what is.
    const mayLeadMs = rowLeadMs(lifetimeMs);
    const leadMs = expiresAt - one.expiresAt > mayLeadMs / 2 ? 0 : mayLeadMs;
    if (!renewed) one.peer = peer;
    one.expiresAt = expiresAt;
    if (known === undefined) mapping.registrations.set(key, one);
    listed.add(one);
    if (!renewed) dirtyMappings.add(mapping);
    if (one.storedUntil < expiresAt || one.storedUntil > expiresAt + mayLeadMs) {
      one.storedUntil = expiresAt + leadMs;
      dirtyMappings.add(mapping);
    }
    // The registrar may call where the phone wants to be called, also if nothing was ever sent from there.
    const before = mapping.peers.get(peer.address);
    if (before === undefined || before.port !== peer.port) {
      mapping.peers.set(peer.address, peer);
      dirtyMappings.add(mapping);
    }
    // The registrar may answer to where the phone sent from, too.
    if (mapping !== via) {
      via.keepUntil = Math.max(via.keepUntil, expiresAt);
      dirtyMappings.add(via);
    }
    const { internal, external } = mapping;
    const kind = 'registration.granted';
    out.push({ kind: 'event', event: { kind, aor, internal, external, lifetimeMs, renewed } });
  }
  for (const mapping of changed) {
    for (const [key, one] of mapping.registrations) {
      if (one.aor !== aor || listed.has(one)) continue;
      mapping.registrations.delete(key);
      dirtyMappings.add(mapping);
      out.push({
        kind: 'event',
        event: { kind: 'registration.removed', aor, internal: mapping.internal, why: 'unregistered' },
      });
    }
  }
  return changed;
}

/** The registrations of a mapping that have ended by now, taken off it. */
export function dropExpired(mapping: SignallingMapping, now: TimeMs, out: Output[]): boolean {
  let dropped = false;
  for (const [key, one] of mapping.registrations) {
    if (one.expiresAt > now) continue;
    mapping.registrations.delete(key);
    dropped = true;
    out.push({
      kind: 'event',
      event: { kind: 'registration.removed', aor: one.aor, internal: mapping.internal, why: 'expired' },
    });
  }
  return dropped;
}

/** The Expires header field in milliseconds, bounded; undefined where it is absent or no number. */
export function expiresHeaderMs(message: Message): number | undefined {
  const field = firstField(message, 'expires');
  return field === undefined ? undefined : secondsAt(message.bytes, field.start, field.end);
}

function grantedMs(message: Message, contact: NameAddr): number {
  const parameter = nameAddrParameter(message.bytes, contact, 'expires');
  const own = parameter === undefined ? undefined : secondsAt(message.bytes, parameter.start, parameter.end);
  return own ?? expiresHeaderMs(message) ?? DEFAULT_GRANT_S * SECOND_MS;
}

/** delta-seconds as milliseconds; more than is believed is as much as is believed (RFC 4475 §3.1.2.4). */
function secondsAt(bytes: Uint8Array, start: number, end: number): number | undefined {
  if (end <= start) return undefined;
  for (let i = start; i < end; i++) if (bytes[i]! < 0x30 || bytes[i]! > 0x39) return undefined;
  const seconds = decimal(bytes, start, end, 9);
  return seconds < 0 ? REGISTRATION_MAX_MS : Math.min(seconds * SECOND_MS, REGISTRATION_MAX_MS);
}
