/**
 * What a reflector answers to STUN, on each of its UDP ports. Pure: whether it may be sent is for the session's ledger to say, as with
 * everything that leaves. So strangers get nothing, and an address that is not proven gets no more octets than it has sent.
 */
import type { Endpoint } from '../../core/net/address.ts';
import { isIPv6 } from '../../core/net/address.ts';
import {
  bindingSuccess,
  CHANGE_REQUEST,
  isBindingRequest,
  readStun,
  unknownAttributes,
} from '../../core/net/stun.ts';
import type { Place } from '../control/protocol.ts';

export interface StunReply {
  /** From which place. */
  readonly place: number;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

/** Undefined for what is no Binding request: indications, answers, what only looks like STUN. */
export function stunReply(
  bytes: Uint8Array,
  from: Endpoint,
  place: number,
  places: readonly Place[],
): StunReply | undefined {
  const request = readStun(bytes);
  const asked = places[place];
  if (request === undefined || asked === undefined || !isBindingRequest(request)) return undefined;
  const { change, responsePort, unknown } = request;
  const answering = placeFor(asked, change?.address === true, change?.port === true, places);
  const to = responsePort === undefined || responsePort === 0 ? from : { ...from, port: responsePort };
  if (unknown.length > 0) return { place, to: from, bytes: unknownAttributes(request, unknown) };
  // What cannot be granted is refused as what is not understood (RFC 5780 §6.1).
  if (answering === undefined)
    return { place, to: from, bytes: unknownAttributes(request, [CHANGE_REQUEST]) };
  return {
    place: answering.place,
    to,
    bytes: bindingSuccess(request, {
      mapped: from,
      origin: answering,
      // It is told only where there is a second address (RFC 5780 §7.4).
      other: placeFor(asked, true, true, places),
    }),
  };
}

/** The place with the other address, the other port, or both; undefined where there is none. */
function placeFor(
  asked: Place,
  isOtherAddress: boolean,
  isOtherPort: boolean,
  places: readonly Place[],
): Place | undefined {
  const udp = places.filter(
    ({ transport, address }) => transport === 'udp' && isIPv6(address) === isIPv6(asked.address),
  );
  const port = isOtherPort ? otherPortOf(asked, udp) : asked.port;
  return udp.find((one) => one.port === port && (one.address === asked.address) !== isOtherAddress);
}

/** The other of STUN's own ports; towards any other port, the first of them. */
function otherPortOf(asked: Place, udp: readonly Place[]): number | undefined {
  return udp.find(
    ({ role, address, port }) => role === 'stun' && address === asked.address && port !== asked.port,
  )?.port;
}
