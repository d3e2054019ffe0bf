/** A phone that registers at the reflector, and hears that it is registered. */
import type { Passage } from '../../core/detect/passage.ts';
import { contactUri, phoneRequest, responseTo } from '../../core/detect/probe.ts';
import type { Endpoint } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';

export interface Registration {
  readonly request: Passage;
  /** What came of the REGISTER; undefined where it was lost. */
  readonly registered:
    | {
        /** As it arrived. */
        readonly received: Uint8Array;
        /** Where it came from. */
        readonly outside: Endpoint;
        /** The Contact that arrived, which a registrar stores. */
        readonly contact: string | undefined;
        /** The 200, with that Contact; undefined where it could not be sent. */
        readonly answer: Passage | undefined;
      }
    | undefined;
}

/** `who` follows the names of both messages in the report. */
export async function registerPhone(
  stand: Stand,
  phone: Phone,
  place: Place,
  step: string,
  who = '',
): Promise<Registration> {
  const request = await stand.sendOut(phone, place, { step, what: `REGISTER${who}` }, (id) =>
    phoneRequest({
      ...{ id, method: 'REGISTER', transport: 'UDP', dress: 'plain', inside: phone.local, server: place },
    }),
  );
  const { received, outside } = request;
  if (received === undefined || outside === undefined) return { request, registered: undefined };
  const contact = contactUri(received);
  const answer = await stand.sendIn(phone, place, { step, what: `200 to REGISTER${who}` }, (id) =>
    responseTo({
      ...{ id, request: received, status: 200, reason: 'OK', own: place, source: outside, transport: 'UDP' },
      bindings: contact === undefined ? undefined : [contact],
    }),
  );
  return { request, registered: { received, outside, contact, answer } };
}
