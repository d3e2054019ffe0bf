/**
 * What a REGISTER and its response show about who keeps a phone reachable through the NAT: the phone itself, its provider,
 * or nobody but us. Facts only; what follows from them is in profile.ts.
 *
 * Facts: a UA asks for outbound with Supported, +sip.instance and reg-id, and a registrar that does it says so with Require
 * in its 2xx, which vouches for every edge proxy on the way as well (RFC 5626 §4.2.1, §6); `keep` in a Via says who sends
 * keepalives, and not where requests are sent (RFC 6223 §4.3); every server adds `received`, so that alone shows
 * nothing (RFC 3261 §18.2.1), while `rport` is filled only by one that answers to the port it heard (RFC 3581 §4).
 */
import { type Endpoint, isPrivate, sameEndpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { Message } from '../sip/message.ts';
import { type NameAddr, nameAddrParameter } from '../sip/name-addr.ts';
import { hasOptionTag } from '../sip/option-tag.ts';
import { viaParameter } from '../sip/via.ts';
import { contactUri, endpointOf, names } from './decide.ts';
import type { SignallingMapping } from './mappings.ts';

export const evidenceTable = {
  'contact-external': {
    source: 'RFC 3261 §8.1.1.8',
    decides: true,
    text: 'the Contact of the REGISTER names a public address already, so there is nothing to translate in it',
  },
  outbound: {
    source: 'RFC 5626 §4.2.1',
    decides: true,
    text: 'the registrar confirmed outbound: requests come over the flow of the REGISTER, whatever its Contact names',
  },
  'outbound-asked': {
    source: 'RFC 5626 §4.2.1',
    decides: false,
    text: 'the phone asks for outbound; only the registrar can confirm it',
  },
  'outbound-lost': {
    source: 'RFC 5626 §6',
    decides: false,
    text: 'the registrar had confirmed outbound and no longer does: the phone is translated until its registration ends',
  },
  'no-way-back': {
    source: 'RFC 3261 §18.2.2',
    decides: false,
    text: 'the Via names another port than the external one, and the server is not known to answer to rport',
  },
  keep: {
    source: 'RFC 6223 §4.3',
    decides: false,
    text: 'the phone and its provider agreed on keepalives: that keeps the NAT open, and does not say where calls are sent',
  },
  rport: {
    source: 'RFC 3581 §4',
    decides: false,
    text: 'the provider answers to the port that it heard; that is about responses, and not about calls',
  },
  'contact-received': {
    source: 'RFC 3261 §10.3',
    decides: false,
    text: 'the registrar lists the contact binding with received=, a parameter of its own: it remembers the source address',
  },
  'contact-source': {
    source: 'RFC 3261 §10.3',
    decides: false,
    text: 'nothing was translated, and the registrar lists the external endpoint all the same: it mends Contacts itself',
  },
  'provider-keepalive': {
    source: 'RFC 5626 §3.5',
    decides: false,
    text: 'the provider keeps the NAT open by packets of its own',
  },
} as const;

export type EvidenceId = keyof typeof evidenceTable;

export interface Evidence {
  readonly what: EvidenceId;
  /** RFC and section where its meaning stands. */
  readonly source: string;
  /** Seen last. */
  readonly at: TimeMs;
}

/** The endpoints that the Contacts of a REGISTER name, at most `limit`; names of hosts are left out. */
export function writtenContacts(message: Message, limit: number): Endpoint[] {
  const written: Endpoint[] = [];
  for (const contact of message.contacts) {
    const uri = contactUri(message, contact);
    if (uri?.address !== undefined && written.length < limit) written.push(endpointOf(uri.address, uri));
  }
  // What was pushed to has room for more; this is kept for long.
  return written.slice();
}

/**
 * Whether every Contact is reachable from outside as it stands: it names our external address, or, where that is itself
 * behind another NAT, a public one that is not the phone's.
 */
export function contactsAreExternal(message: Message, { external, internal }: SignallingMapping): boolean {
  return (
    message.contacts.length > 0 &&
    message.contacts.every((contact) => {
      const address = contactUri(message, contact)?.address;
      if (address === undefined || address === internal.address) return false;
      return address === external.address || (isPrivate(external.address) && !isPrivate(address));
    })
  );
}

/** RFC 5626 §4.2.1: Supported with outbound, and an instance and a reg-id on a Contact. */
export function asksForOutbound(message: Message): boolean {
  return (
    message.contacts.some(
      (contact) =>
        nameAddrParameter(message.bytes, contact, 'reg-id') !== undefined &&
        nameAddrParameter(message.bytes, contact, '+sip.instance') !== undefined,
    ) && hasOptionTag(message, 'supported', 'outbound')
  );
}

/** Whether the response to an untranslated Via finds its way back to the mapping. */
export function responseComesBack(
  { via }: Message,
  { transport, internal, external }: SignallingMapping,
  answersToRport: boolean,
): boolean {
  // On a connection the response comes by the connection; a sent-by that is not the phone's is not translated either.
  if (transport === 'tcp' || via.sentBy.address !== internal.address) return true;
  return (
    endpointOf(internal.address, via.sentBy).port === external.port ||
    (answersToRport && via.rport !== undefined)
  );
}

/** What a 2xx to REGISTER shows besides what was granted. `written`: the Contacts as they were sent, where untranslated. */
export function responseEvidence(
  message: Message,
  { external }: SignallingMapping,
  written: readonly Endpoint[] | undefined,
): EvidenceId[] {
  const { bytes, via } = message;
  const found: EvidenceId[] = [];
  const keep = viaParameter(bytes, via, 'keep');
  if (keep !== undefined && keep.end > keep.start) found.push('keep');
  if (via.rport !== undefined && via.rport.end > via.rport.start) found.push('rport');
  if (written === undefined) return found;
  const isWritten = (contact: NameAddr): boolean => {
    const uri = contactUri(message, contact);
    if (uri?.address === undefined) return false;
    const named = endpointOf(uri.address, uri);
    return written.some((one) => sameEndpoint(one, named));
  };
  if (
    message.contacts.some(
      (contact) => isWritten(contact) && nameAddrParameter(bytes, contact, 'received') !== undefined,
    )
  )
    found.push('contact-received');
  const shows = message.contacts.some((contact) => {
    const uri = contactUri(message, contact);
    return uri !== undefined && names(uri, external);
  });
  if (shows && !written.some((one) => sameEndpoint(one, external))) found.push('contact-source');
  return found;
}
