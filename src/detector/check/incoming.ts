/**
 * A whole call that comes in after a pause: INVITE to the Contact as it was received, 180, 200, ACK, audio both ways, BYE. And
 * calls from where the phone has not registered: another port of the registrar, another address of the provider. A NAT
 * that lets in nobody but whom was sent to keeps those out as well, and that is nature; so each is compared with a plain
 * datagram from the same place to a mapping that has nothing to do with SIP.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { callerDialog, dialogRequest, mediaEndpoint } from '../../core/detect/dialog.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { contactUri, responseTo, serverRequest } from '../../core/detect/probe.ts';
import { endpointOf } from '../../core/detect/registrar-view.ts';
import { type Endpoint, formatEndpoint, isPrivate, sameEndpoint } from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import { openMediaPhone, tryEcho } from './media.ts';
import type { Phone } from './phone.ts';
import { registerPhone } from './registration.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'incoming';

export async function receiveCalls(stand: Stand, idleMs: number): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [control] = stand.udp('control');
  if (sip === undefined || control === undefined) throw new NotChecked('the reflector lacks ports for it');
  const phone = await stand.phone();
  const plain = await stand.phone();
  const { request, registered } = await registerPhone(stand, phone, sip, STEP);
  const reached = await stand.sendOut(plain, control, { step: STEP, what: 'a datagram' }, (id) =>
    octetsOf(id),
  );
  if (registered === undefined) throw new NotChecked('no REGISTER arrived');
  await sleep(idleMs);
  const observations: BehaviourObservation[] = [];
  const facts: Fact[] = [];
  const incoming = new Incoming(stand, phone, sip, request);
  // First those from elsewhere: the phone's answers to a call would open the way.
  const elsewhere = [
    { place: stand.udp('other')[0], fault: 'DROP-SPI', who: 'another port of the registrar' },
    { place: stand.udp('sip', true)[0], fault: 'DROP-STRICTREG', who: 'another address of the provider' },
  ] as const;
  const missed: { place: Place; fault: FaultId; who: string; passage: Passage }[] = [];
  const results: string[] = [];
  for (const { place, fault, who } of elsewhere) {
    if (place === undefined) {
      results.push(`from ${who}: not checked, the reflector has none`);
      continue;
    }
    const passage = await incoming.ring(place, `INVITE from ${who}`);
    if (passage === undefined) continue;
    results.push(`from ${who}: ${passage.received === undefined ? 'does not ring' : 'rings'}`);
    if (passage.received === undefined) missed.push({ place, fault, who, passage });
  }
  const call = await incoming.answer();
  observations.push(...call.observations);
  for (const { place, fault, who, passage } of missed) {
    // The twin of that place among those that are no SIP: what the NAT itself lets in.
    const twin = fault === 'DROP-SPI' ? stand.udp('media')[0] : stand.udp('control', true)[0];
    const outside = stand.outsideOf(plain, control);
    if (twin === undefined || reached.received === undefined || outside === undefined) continue;
    const label = { step: STEP, what: `a datagram from ${who}` };
    const other = await stand.sendIn(plain, twin, label, (id) => octetsOf(id), outside);
    if (other?.received === undefined)
      facts.push({
        id: fault === 'DROP-SPI' ? 'calls-other-port' : 'calls-other-address',
        text: `A call from ${who} does not ring, and neither does anything else come in from there: the NAT lets in only whom was sent to, as many do.`,
      });
    else if (call.rang)
      observations.push(
        observe(
          fault,
          `A call from ${who} (${formatEndpoint(place)}) does not ring, while one from the registrar does, and while plain datagrams from there come in: it is not the NAT that keeps it out.`,
          passage,
        ),
      );
  }
  return {
    result: [`after ${idleMs / 1000} s of silence ${call.text}`, ...results].join('; '),
    observations,
    facts,
  };
}

interface Outcome {
  readonly rang: boolean;
  readonly text: string;
  readonly observations: readonly BehaviourObservation[];
}

class Incoming {
  readonly #stand: Stand;
  readonly #phone: Phone;
  readonly #sip: Place;
  readonly #outside: Endpoint;
  readonly #contact: string;
  /** The Contact as it arrived, where it names an address that can be reached and is not where the REGISTER came from. */
  readonly #named: Endpoint | undefined;

  constructor(stand: Stand, phone: Phone, sip: Place, register: Passage) {
    this.#stand = stand;
    this.#phone = phone;
    this.#sip = sip;
    this.#outside = register.outside!;
    this.#contact = contactUri(register.received!) ?? `sip:phone@${formatEndpoint(this.#outside)}`;
    const named = endpointOf(this.#contact);
    this.#named =
      named === undefined || isPrivate(named.address) || sameEndpoint(named, this.#outside)
        ? undefined
        : named;
  }

  ring(place: Place, what: string, to = this.#named ?? this.#outside): Promise<Passage | undefined> {
    const [media] = this.#stand.udp('media');
    return this.#stand.sendIn(
      this.#phone,
      place,
      { step: STEP, what },
      (id) =>
        serverRequest({
          ...{
            id,
            method: 'INVITE',
            transport: 'UDP',
            dress: 'plain',
            server: place,
            outside: this.#outside,
          },
          requestUri: this.#contact,
          media: [media?.port ?? 32_100],
        }),
      to,
    );
  }

  async answer(): Promise<Outcome> {
    const observations: BehaviourObservation[] = [];
    let invite = await this.ring(this.#sip, 'INVITE to the Contact as it was received');
    if (invite !== undefined && invite.received === undefined && this.#named !== undefined) {
      const toSource = await this.ring(this.#sip, 'INVITE to where the REGISTER came from', this.#outside);
      if (toSource?.received !== undefined)
        observations.push(
          observe(
            'ADDR-CONTACT-STALE',
            `A call to the Contact as it was received, ${formatEndpoint(this.#named)}, does not reach the phone; one to ${formatEndpoint(this.#outside)}, from where it has registered, does.`,
            invite,
          ),
        );
      invite = toSource;
    }
    const { received } = invite ?? {};
    if (invite === undefined || received === undefined)
      return { rang: false, text: 'a call does not ring', observations };
    const media = await openMediaPhone(this.#stand);
    await this.#respond(received, 180, 'Ringing');
    const ok = await this.#respond(received, 200, 'OK', media?.rtp.local.port);
    const lost: Passage[] = [];
    let audio = 'audio was not tried';
    if (ok.received === undefined) lost.push(ok);
    else {
      // The server is the caller here: its ACK and BYE go to the Contact of the 200, as it arrived.
      const dialog = callerDialog(invite.sent, ok.received, this.#sip);
      const inDialog = async (method: string, cseq: number): Promise<Passage | undefined> => {
        if (dialog === undefined) return undefined;
        const passage = await this.#stand.sendIn(
          this.#phone,
          this.#sip,
          { step: STEP, what: `${method} of the caller` },
          (id) => dialogRequest(dialog, { id, method, cseq, transport: 'UDP' }),
        );
        if (passage !== undefined && passage.received === undefined) lost.push(passage);
        return passage;
      };
      await inDialog('ACK', 1);
      if (media !== undefined) {
        const echo = await tryEcho(this.#stand, media, mediaEndpoint(ok.received), mediaEndpoint(received));
        observations.push(...echo.observations);
        audio = echo.flows ? 'with audio both ways' : 'without audio both ways';
      }
      const bye = await inDialog('BYE', 2);
      if (bye?.received !== undefined) {
        const end = await this.#respond(bye.received, 200, 'OK');
        if (end.received === undefined) lost.push(end);
      }
    }
    if (lost[0] !== undefined)
      observations.push(
        observe(
          'DROP-ACKBYE',
          `In a call that came in, this does not arrive: ${lost.map(({ what }) => what).join('; ')}.`,
          lost[0],
        ),
      );
    return { rang: true, text: `a call comes in, ${audio}`, observations };
  }

  #respond(request: Uint8Array, status: number, reason: string, media?: number): Promise<Passage> {
    return this.#stand.sendOut(
      this.#phone,
      this.#sip,
      { step: STEP, what: `${status} of the phone that is called` },
      (id) =>
        responseTo({
          ...{ id, request, status, reason, own: this.#phone.local, transport: 'UDP' },
          media: media === undefined ? undefined : [media],
        }),
    );
  }
}

function observe(fault: FaultId, explanation: string, passage: Passage): BehaviourObservation {
  return {
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A',
    explanation,
    portKinds: ['sip'],
    evidence: evidenceOf(passage),
  };
}
