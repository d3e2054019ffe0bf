/**
 * A whole call on the SIP port (RFC 3261 §13): set up, audio, hold and resume, a refresh by the server, a transfer with its
 * notice, a change to fax, and the end; every message as both ends saw it.
 */
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import {
  calleeDialog,
  callerDialog,
  type Dialog,
  dialogRequest,
  mediaEndpoint,
} from '../../core/detect/dialog.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { description, phoneRequest, responseTo } from '../../core/detect/probe.ts';
import { type Endpoint, formatEndpoint, sameEndpoint } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import { openMediaPhone, tryLeak, tryMedia } from './media.ts';
import { tryMediaServer } from './media-server.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'call';
const SDP = 'application/sdp';
/** Without these a call does not stay up, or does not end. */
const OF_THE_DIALOG = /^(?:\d{3} to )?(?:ACK|BYE|INVITE|UPDATE)/;

export async function makeCall(stand: Stand): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [near] = stand.udp('media');
  if (sip === undefined || near === undefined) throw new NotChecked('the reflector lacks ports for it');
  const media = await openMediaPhone(stand);
  if (media === undefined) throw new NotChecked('no pair of media ports is free on this machine');
  const call = new Call(stand, await stand.phone(), sip, media.rtp.local.port, near);
  const observations: BehaviourObservation[] = [];
  const facts: Fact[] = [];
  const offer = await call.setUp();
  if (offer === undefined) throw new NotChecked('the call was not set up: INVITE or its answer is lost');
  const advertised = mediaEndpoint(offer);
  const paths = await tryMedia(stand, media, advertised, call.answered);
  observations.push(...paths.observations);
  facts.push(...paths.facts);
  const again = await call.inside(advertised);
  if (again !== undefined) observations.push(again);
  await call.end();
  const leak = await tryLeak(stand, media, advertised);
  if (leak !== undefined) observations.push(leak);
  const other = await tryMediaServer(stand, sip, paths.flows);
  observations.push(...other.observations);
  facts.push(...other.facts);
  // A 100 goes no farther than to the next proxy (RFC 3261 §16.7).
  const lost = call.passages.filter(
    ({ received, what }) => received === undefined && !what.startsWith('100 '),
  );
  const fault = lost.some(({ what }) => OF_THE_DIALOG.test(what)) ? 'DROP-ACKBYE' : 'DROP-METHOD';
  if (lost.length > 0)
    observations.push({
      fault,
      severity: faultById(fault).severity,
      consistent: false,
      confidence: 'A',
      explanation: `Inside a call that was set up, this does not arrive: ${lost.map(({ what }) => what).join('; ')}.`,
      portKinds: ['sip'],
      evidence: evidenceOf(lost[0]!),
    });
  return {
    result: `${call.passages.length} messages, ${lost.length} lost; ${paths.result}; ${other.result}`,
    observations,
    facts,
  };
}

/** One call of the phone's, message by message. `step` is what it belongs to in the report. */
export class Call {
  readonly #stand: Stand;
  readonly #step: string;
  readonly #phone: Phone;
  readonly #place: Place;
  readonly #phoneMedia: number;
  readonly #serverMedia: Endpoint;
  #caller: Dialog | undefined;
  #callee: Dialog | undefined;
  #cseq = 1;
  readonly passages: Passage[] = [];
  /** Where the answer asks for media, as it came in. */
  answered: Endpoint | undefined;

  constructor(
    stand: Stand,
    phone: Phone,
    place: Place,
    phoneMedia: number,
    serverMedia: Endpoint,
    step = STEP,
  ) {
    this.#stand = stand;
    this.#step = step;
    this.#phone = phone;
    this.#place = place;
    this.#phoneMedia = phoneMedia;
    this.#serverMedia = serverMedia;
  }

  /** INVITE, 100, 180, 200, ACK. The INVITE as it arrived; undefined where the call did not come about. */
  async setUp(): Promise<Uint8Array | undefined> {
    const invite = await this.#out('INVITE', (id) =>
      phoneRequest({
        ...{
          id,
          method: 'INVITE',
          transport: 'UDP',
          dress: 'plain',
          inside: this.#phone.local,
          server: this.#place,
        },
        media: [this.#phoneMedia],
      }),
    );
    if (invite.received === undefined) return undefined;
    for (const [status, reason] of [
      [100, 'Trying'],
      [180, 'Ringing'],
    ] as const)
      await this.#answer('INVITE', invite.received, status, reason);
    const ok = await this.#answer('INVITE', invite.received, 200, 'OK', true);
    if (ok?.received === undefined) return undefined;
    this.answered = mediaEndpoint(ok.received);
    this.#caller = callerDialog(invite.sent, ok.received, this.#phone.local);
    this.#callee = calleeDialog(invite.received, ok.sent, this.#place);
    if (this.#caller === undefined || this.#callee === undefined) return undefined;
    await this.#request('ACK', 'ACK');
    return invite.received;
  }

  /** Everything between ACK and BYE; a fault where the same offer is given another media port than before. */
  async inside(advertised: Endpoint | undefined): Promise<BehaviourObservation | undefined> {
    const { address } = this.#phone.local;
    const offer = (direction: string): string =>
      description(address, [this.#phoneMedia], 'plain', this.#phone.local).replace(
        'a=sendrecv',
        `a=${direction}`,
      );
    let moved: BehaviourObservation | undefined;
    for (const [what, direction] of [
      ['INVITE that puts the call on hold', 'sendonly'],
      ['INVITE that resumes it', 'sendrecv'],
    ] as const) {
      const again = await this.#request('INVITE', what, { type: SDP, text: offer(direction) });
      const now = again?.received === undefined ? undefined : mediaEndpoint(again.received);
      if (
        again !== undefined &&
        now !== undefined &&
        advertised !== undefined &&
        !sameEndpoint(now, advertised)
      )
        moved = {
          fault: 'SDP-REINVITE',
          severity: faultById('SDP-REINVITE').severity,
          consistent: false,
          confidence: 'A',
          explanation: `In the same call the same media port arrived as ${formatEndpoint(advertised)} first, and then as ${formatEndpoint(now)}.`,
          portKinds: ['sip'],
          evidence: evidenceOf(again),
        };
      if (again?.received !== undefined) {
        await this.#answer('INVITE', again.received, 200, 'OK', true);
        await this.#request('ACK', 'ACK');
      }
    }
    await this.refresh('UPDATE that refreshes the session');
    const refer = await this.#request('REFER', 'REFER that transfers the call', undefined, [
      `Refer-To: <sip:other@${this.#place.address}>`,
    ]);
    if (refer?.received !== undefined) {
      await this.#answer('REFER', refer.received, 202, 'Accepted');
      await this.#serverRequest(
        'NOTIFY',
        'NOTIFY about the transfer',
        ['Event: refer', 'Subscription-State: active;expires=60'],
        {
          type: 'message/sipfrag;version=2.0',
          text: 'SIP/2.0 200 OK\r\n',
        },
      );
    }
    const toFax = await this.#request('INVITE', 'INVITE that changes to fax (T.38)', {
      type: SDP,
      text: fax(this.#phone.local.address, this.#phoneMedia),
    });
    if (toFax?.received !== undefined) {
      const described = fax(this.#serverMedia.address, this.#serverMedia.port);
      await this.#answer('INVITE', toFax.received, 200, 'OK', true, described);
      await this.#request('ACK', 'ACK');
    }
    return moved;
  }

  /** By the server (RFC 4028 §10), answered by the phone. As it arrived; undefined where it could not be sent. */
  refresh(what: string): Promise<Passage | undefined> {
    return this.#serverRequest('UPDATE', what, ['Session-Expires: 90;refresher=uac']);
  }

  end(): Promise<Passage | undefined> {
    return this.#serverRequest('BYE', 'BYE of the server');
  }

  /** Of the phone, in the dialog. An ACK has the number of its INVITE (RFC 3261 §13.2.2.4). */
  async #request(
    method: string,
    what: string,
    body?: { type: string; text: string },
    fields: readonly string[] = [],
  ): Promise<Passage | undefined> {
    const dialog = this.#caller;
    if (dialog === undefined) return undefined;
    if (method !== 'ACK') this.#cseq++;
    const cseq = this.#cseq;
    const withBody = body === undefined ? {} : { body };
    return this.#out(what, (id) =>
      dialogRequest(dialog, { id, method, cseq, transport: 'UDP', fields, ...withBody }),
    );
  }

  /** Of the server, in the dialog, and the phone's answer. */
  async #serverRequest(
    method: string,
    what: string,
    fields: readonly string[] = [],
    body?: { type: string; text: string },
  ): Promise<Passage | undefined> {
    const dialog = this.#callee;
    if (dialog === undefined) return undefined;
    const cseq = ++this.#cseq;
    const withBody = body === undefined ? {} : { body };
    const into = await this.#into(what, (id) =>
      dialogRequest(dialog, { id, method, cseq, transport: 'UDP', fields, ...withBody }),
    );
    const { received } = into ?? {};
    if (received === undefined) return into;
    await this.#out(`200 to ${what}`, (id) =>
      responseTo({
        id,
        request: received,
        status: 200,
        reason: 'OK',
        own: this.#phone.local,
        transport: 'UDP',
      }),
    );
    return into;
  }

  #answer(
    what: string,
    request: Uint8Array,
    status: number,
    reason: string,
    withMedia = false,
    described?: string,
  ): Promise<Passage | undefined> {
    return this.#into(`${status} to ${what}`, (id) =>
      responseTo({
        ...{ id, request, status, reason, own: this.#place, transport: 'UDP' },
        source: this.#stand.outsideOf(this.#phone, this.#place),
        media: withMedia ? [this.#serverMedia.port] : undefined,
        mediaAddress: this.#serverMedia.address,
        described,
      }),
    );
  }

  async #out(what: string, make: (id: string) => Uint8Array): Promise<Passage> {
    const passage = await this.#stand.sendOut(
      this.#phone,
      this.#place,
      { step: this.#step, what: `${what}, in a call` },
      make,
    );
    this.passages.push(passage);
    return passage;
  }

  async #into(what: string, make: (id: string) => Uint8Array): Promise<Passage | undefined> {
    const passage = await this.#stand.sendIn(
      this.#phone,
      this.#place,
      { step: this.#step, what: `${what}, in a call` },
      make,
    );
    if (passage !== undefined) this.passages.push(passage);
    return passage;
  }
}

/** One image description, as T.38 has it (ITU-T T.38 annex D; RFC 3362). */
function fax(address: string, port: number): string {
  const family = address.includes(':') ? 'IP6' : 'IP4';
  return [
    ...['v=0', `o=- 1 2 IN ${family} ${address}`, 's=-', `c=IN ${family} ${address}`, 't=0 0'],
    ...[`m=image ${port} udptl t38`, 'a=T38FaxVersion:0', 'a=T38FaxUdpEC:t38UDPRedundancy', ''],
  ].join('\r\n');
}
