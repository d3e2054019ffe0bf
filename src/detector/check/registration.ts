/** A phone that registers at the reflector, and hears that it is registered. */
import type { Passage } from '../../core/detect/passage.ts';
import { contactUri, phoneRequest, responseTo } from '../../core/detect/probe.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';

/**
 * The REGISTER, as it arrived; its answer has been sent, with the Contact that arrived. Undefined where the REGISTER was lost.
 * `when` follows the names of both in the report.
 */
export async function registerPhone(
  stand: Stand,
  phone: Phone,
  place: Place,
  step: string,
  when = '',
): Promise<Passage | undefined> {
  const passage = await stand.sendOut(phone, place, { step, what: `REGISTER${when}` }, (id) =>
    phoneRequest({
      id,
      method: 'REGISTER',
      transport: 'UDP',
      dress: 'plain',
      inside: phone.local,
      server: place,
    }),
  );
  const { received, outside } = passage;
  if (received === undefined || outside === undefined) return undefined;
  const contact = contactUri(received);
  await stand.sendIn(phone, place, { step, what: `200 to REGISTER${when}` }, (id) =>
    responseTo({
      ...{ id, request: received, status: 200, reason: 'OK', own: place, source: outside, transport: 'UDP' },
      bindings: contact === undefined ? undefined : [contact],
    }),
  );
  return passage;
}
