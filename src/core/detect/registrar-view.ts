/**
 * What a registrar would conclude from a REGISTER as it arrived: would it notice that the phone is behind a NAT, and keep
 * its mapping open? This is where an ALG that means well does its worst: it hides the NAT from the one who would help.
 *
 * Servers look at the host of the topmost Via against the packet's source, at the Contact against private addresses, and
 * at ports (as Kamailio's nat_uac_test and OpenSIPS's of the same name do).
 */
import { type Endpoint, isPrivate, sameEndpoint } from '../net/address.ts';
import { scanMessage } from '../sip/message.ts';
import { octetsOf } from '../sip/octets.ts';
import { scanSipUri } from '../sip/uri.ts';
import { contactUri } from './probe.ts';

export interface RegistrarView {
  /** Undefined where the message could not be read: a registrar could not either. */
  readonly readable: boolean;
  /** Each is a test that servers make; true says "there is a NAT". */
  readonly viaDiffersFromSource: boolean;
  readonly contactIsPrivate: boolean;
  readonly contactDiffersFromSource: boolean;
  /** Whether any of the tests shows a NAT, so that a server with NAT help sends keepalives. */
  readonly noticesNat: boolean;
  /** Where the registrar would send an incoming call, if it believes the Contact. */
  readonly contact: Endpoint | undefined;
}

export function registrarView(received: Uint8Array, source: Endpoint): RegistrarView {
  const scan = scanMessage(received);
  const contact = endpointOf(contactUri(received));
  if (!scan.ok)
    return {
      readable: false,
      viaDiffersFromSource: false,
      contactIsPrivate: false,
      contactDiffersFromSource: false,
      noticesNat: false,
      contact,
    };
  const { via } = scan.message;
  const { address, port = 5060 } = via.sentBy;
  const viaDiffersFromSource = address === undefined || !sameEndpoint({ address, port }, source);
  const contactIsPrivate = contact !== undefined && isPrivate(contact.address);
  const contactDiffersFromSource = contact === undefined || !sameEndpoint(contact, source);
  return {
    readable: true,
    viaDiffersFromSource,
    contactIsPrivate,
    contactDiffersFromSource,
    noticesNat: viaDiffersFromSource || contactIsPrivate || contactDiffersFromSource,
    contact,
  };
}

/** The endpoint that a sip: URI names, where it names an address; the default port is 5060 (RFC 3261 §19.1.2). */
export function endpointOf(uri: string | undefined): Endpoint | undefined {
  if (uri === undefined) return undefined;
  const bytes = octetsOf(uri);
  const { address, port = 5060 } = scanSipUri(bytes, 0, bytes.length) ?? {};
  return address === undefined || port < 1 || port > 65_535 ? undefined : { address, port };
}
