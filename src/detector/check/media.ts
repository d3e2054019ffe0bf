/**
 * Does audio flow? RTP and RTCP from the phone, and to where the description that arrived asks for them.
 */
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import {
  type Endpoint,
  formatEndpoint,
  isPrivate,
  isUnspecified,
  sameEndpoint,
} from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';

const STEP = 'media';
const PACKETS = 3;
/** Even ports, so that RTCP has the next one (RFC 3550 §11). */
const FIRST_PORT = 16_600;
const LAST_PORT = 16_700;

export interface MediaPhone {
  readonly rtp: Phone;
  readonly rtcp: Phone;
}

export async function openMediaPhone(stand: Stand): Promise<MediaPhone | undefined> {
  for (let port = FIRST_PORT; port < LAST_PORT; port += 2) {
    try {
      const rtp = await stand.phone(port);
      return { rtp, rtcp: await stand.phone(port + 1) };
    } catch {
      // Taken: the next pair.
    }
  }
  return undefined;
}

export interface MediaPaths {
  readonly observations: readonly BehaviourObservation[];
  readonly facts: readonly Fact[];
  /** Audio both ways. */
  readonly flows: boolean;
  readonly result: string;
}

/**
 * While a call is up. `advertised`: what the phone's description said when it arrived. `answered`: what the other side's said
 * when it came in; where that names somebody else than was sent, he is taken for a relay, and media goes to him.
 */
export async function tryMedia(
  stand: Stand,
  phone: MediaPhone,
  advertised: Endpoint | undefined,
  answered: Endpoint | undefined,
): Promise<MediaPaths> {
  const [near, nearRtcp] = stand.udp('media');
  if (near === undefined || nearRtcp === undefined)
    return { observations: [], facts: [], flows: false, result: 'the reflector has no media ports' };
  const observations: BehaviourObservation[] = [];
  const facts: Fact[] = [];
  const isRewritten = advertised !== undefined && !sameEndpoint(advertised, phone.rtp.local);
  // A private address cannot be sent to from the Internet: then the provider has to answer to where RTP comes from.
  const aim = (place: Place, socket: Phone, offset: number): Endpoint | undefined =>
    advertised === undefined || isPrivate(advertised.address)
      ? stand.outsideOf(socket, place)
      : { address: advertised.address, port: advertised.port + offset };
  const relay = relayIn(answered, near);
  const out = await burst(stand, phone.rtp, near, 'RTP', relay);
  const back = await burstIn(stand, phone.rtp, near, 'RTP', aim(near, phone.rtp, 0));
  if (lost(out))
    observations.push(
      observe(
        'MEDIA-PINHOLE',
        relay === undefined
          ? 'RTP of the phone does not reach the other side.'
          : `RTP of the phone does not reach the other side by way of ${formatEndpoint(relay)}, which the description that came in names.`,
        out[0],
      ),
    );
  else if (lost(back))
    observations.push(
      observe(
        'MEDIA-PINHOLE',
        isRewritten
          ? `RTP sent to ${formatEndpoint(advertised)}, which the description that arrived asks for, does not reach the phone.`
          : 'RTP sent back to where the phone’s RTP came from does not reach the phone.',
        back[0],
      ),
    );
  const source = stand.outsideOf(phone.rtp, near);
  if (isRewritten && source !== undefined && !sameEndpoint(source, advertised))
    facts.push({
      id: 'media-source',
      text: `The phone’s RTP comes from ${formatEndpoint(source)}, and not from ${formatEndpoint(advertised)}, which its description names when it arrives.`,
    });
  await burst(
    stand,
    phone.rtcp,
    nearRtcp,
    'RTCP',
    relay === undefined ? undefined : { ...relay, port: relay.port + 1 },
  );
  const control = await burstIn(stand, phone.rtcp, nearRtcp, 'RTCP', aim(nearRtcp, phone.rtcp, 1));
  if (isRewritten && !lost(back) && control.length > 0 && lost(control))
    observations.push(observe('MEDIA-RTCP', 'RTP comes in, and RTCP, one port above, does not.', control[0]));
  if (relay !== undefined && !lost(out) && !lost(back)) {
    stand.relays.add(relay.address);
    facts.push({
      id: 'media-relay',
      text: `Media goes through a relay on the way: the phone sends to ${formatEndpoint(relay)}, and the other side to ${advertised === undefined ? 'where it comes from' : formatEndpoint(advertised)}.`,
    });
  }
  const ok = !lost(out) && !lost(back);
  return {
    observations,
    facts,
    flows: ok,
    result: ok
      ? isRewritten
        ? 'audio flows both ways, at the port that the edited description names'
        : 'audio flows both ways, once the phone has sent some'
      : 'audio does not flow both ways',
  };
}

/** Whom a description names that came in, where that is not the place that was sent. */
export function relayIn(named: Endpoint | undefined, place: Place): Endpoint | undefined {
  return named === undefined || sameEndpoint(named, place) || isUnspecified(named.address)
    ? undefined
    : named;
}

/** The same in short, for a call that comes in: RTP both ways, at the port that the phone's answer names when it arrives. */
export async function tryEcho(
  stand: Stand,
  phone: MediaPhone,
  advertised: Endpoint | undefined,
  offered: Endpoint | undefined,
): Promise<{ readonly flows: boolean; readonly observations: readonly BehaviourObservation[] }> {
  const [near] = stand.udp('media');
  if (near === undefined) return { flows: false, observations: [] };
  const relay = relayIn(offered, near);
  const out = await burst(stand, phone.rtp, near, 'RTP in a call that came in', relay);
  const isNamed = advertised !== undefined && !isPrivate(advertised.address);
  const to = isNamed ? advertised : stand.outsideOf(phone.rtp, near);
  const back = await burstIn(stand, phone.rtp, near, 'RTP in a call that came in', to);
  if (!lost(out) && back.length > 0 && !lost(back)) return { flows: true, observations: [] };
  const which = lost(out)
    ? 'RTP of the phone does not reach the caller.'
    : `RTP sent to ${to === undefined ? 'the phone' : formatEndpoint(to)}, ${isNamed ? 'which the answer that arrived asks for' : 'where the phone’s RTP comes from'}, does not reach the phone.`;
  return {
    flows: false,
    observations: [
      observe('MEDIA-PINHOLE', `In a call that comes in: ${which}`, lost(out) ? out[0] : back[0]),
    ],
  };
}

/** After the call: whether somebody whom the phone never sent to still gets in at the media port that was advertised. */
export async function tryLeak(
  stand: Stand,
  phone: MediaPhone,
  advertised: Endpoint | undefined,
): Promise<BehaviourObservation | undefined> {
  const stranger = stand.udp('media')[2];
  const [near] = stand.udp('media');
  if (advertised === undefined || stranger === undefined || near === undefined) return undefined;
  if (sameEndpoint(advertised, phone.rtp.local) || isPrivate(advertised.address)) return undefined;
  // Where the NAT lets in anybody, an open port says nothing about the ALG.
  const plain = await stand.phone();
  await burst(stand, plain, near, 'a datagram');
  const anybody = await burstIn(
    stand,
    plain,
    stranger,
    'from a port never sent to',
    stand.outsideOf(plain, near),
  );
  if (!lost(anybody)) return undefined;
  const after = await burstIn(stand, phone.rtp, stranger, 'RTP after BYE', advertised);
  return after.length === 0 || lost(after)
    ? undefined
    : observe(
        'MEDIA-LEAK',
        `After BYE the media port ${formatEndpoint(advertised)} is still open, to a sender of whom the phone knows nothing.`,
        after.find(({ received }) => received !== undefined),
      );
}

export async function burst(
  stand: Stand,
  phone: Phone,
  place: Place,
  what: string,
  through?: Endpoint,
): Promise<Passage[]> {
  const passages: Passage[] = [];
  const pace = { ...stand.pace, tries: 1 };
  for (let i = 0; isWorthwhile(stand, passages); i++)
    passages.push(
      await stand.sendOut(phone, place, { step: STEP, what }, (id) => rtpPacket(i, id), pace, through),
    );
  return passages;
}

export async function burstIn(
  stand: Stand,
  phone: Phone,
  place: Place,
  what: string,
  to: Endpoint | undefined,
): Promise<Passage[]> {
  const passages: Passage[] = [];
  const pace = { ...stand.pace, tries: 1 };
  for (let i = 0; isWorthwhile(stand, passages); i++) {
    const one = await stand.sendIn(phone, place, { step: STEP, what }, (id) => rtpPacket(i, id), to, pace);
    // Where the server may not send, it will not be allowed to the next time either.
    if (one === undefined) break;
    passages.push(one);
  }
  return passages;
}

/** Version 2, payload type 0 (RFC 3550 §5.1), 160 octets of payload: one packet of G.711. */
function rtpPacket(sequence: number, id: string): Uint8Array {
  const packet = Buffer.alloc(172, 0xff);
  packet.writeUInt16BE(0x8000, 0);
  packet.writeUInt16BE(sequence, 2);
  packet.writeUInt32BE(sequence * 160, 4);
  packet.writeUInt32BE(0x67686a6b, 8);
  packet.write(id, 12, 'latin1');
  return packet;
}

export function lost(passages: readonly Passage[]): boolean {
  return passages.every(({ received }) => received === undefined);
}

/** Three packets, or as many in a row lost as say something: two, and six on a line that loses some anyway. */
function isWorthwhile(stand: Stand, passages: readonly Passage[]): boolean {
  return lost(passages) ? passages.length < (stand.losesPackets ? 6 : 2) : passages.length < PACKETS;
}

function observe(fault: FaultId, explanation: string, passage: Passage | undefined): BehaviourObservation {
  return {
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A',
    explanation,
    ...(passage === undefined ? {} : { evidence: evidenceOf(passage) }),
  };
}
