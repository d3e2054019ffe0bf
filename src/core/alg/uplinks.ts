/**
 * Several external addresses: which of them a phone's packet leaves by.
 *
 * A registrar calls the address that a phone has registered, and many providers take calls from that address only; so what
 * belongs to a registration or a dialog goes on by its address, although the route to the provider may meanwhile prefer
 * another, for as long as that address is there, leads to the provider, and is answered. Everything else, and all media,
 * takes the address that the route prefers: forwarded RTP follows the route, whatever its source becomes.
 */
import type { Address } from '../net/address.ts';
import { SECOND_MS, type TimeMs } from '../net/time.ts';
import type { Message } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import type { SignallingMapping } from './mappings.ts';
import type { EngineState } from './state.ts';
import type { Packet } from './waiting.ts';

/** A request is given up by whoever sent it after 64·T1 (RFC 3261 §17.1.1.2, §17.1.2.2): then the route decides again. */
export const SILENT_MS = 32 * SECOND_MS;

export function externalAddressFor(
  state: EngineState,
  now: TimeMs,
  packet: Packet,
  message: Message | undefined,
): Address | undefined {
  const { externalAddress, otherAddresses = [], flow } = packet;
  if (externalAddress === undefined || otherAddresses.length === 0) return externalAddress;
  const phone = flow.remote.address;
  const serves = (mapping: SignallingMapping | undefined): mapping is SignallingMapping =>
    mapping !== undefined &&
    (mapping.external.address === externalAddress || otherAddresses.includes(mapping.external.address)) &&
    (mapping.silentSince === undefined || now - mapping.silentSince < SILENT_MS);
  const dialog = message === undefined ? undefined : state.dialogs.find(message, 'out', phone);
  const ofDialog = dialog === undefined ? undefined : state.mappings.byId(dialog.mapping);
  if (serves(ofDialog)) return ofDialog.external.address;
  const uri = message?.method === 'REGISTER' ? message.to.uri : message?.from.uri;
  const aor = message === undefined || uri === undefined ? '' : textOf(message.bytes, uri.start, uri.end);
  let best: { address: Address; isAccount: boolean; expiresAt: TimeMs } | undefined;
  for (const mapping of state.mappings.ofPhone(phone)) {
    if (mapping.transport !== flow.transport || !serves(mapping)) continue;
    for (const one of mapping.registrations.values()) {
      const isAccount = one.aor === aor;
      if (!isAccount && one.peer.address !== flow.local.address) continue;
      // The account's own registration comes before another account's at the same provider; the newest before an older one.
      if (
        best === undefined ||
        (isAccount && !best.isAccount) ||
        (isAccount === best.isAccount && one.expiresAt >= best.expiresAt)
      )
        best = { address: mapping.external.address, isAccount, expiresAt: one.expiresAt };
    }
  }
  return best?.address ?? externalAddress;
}
