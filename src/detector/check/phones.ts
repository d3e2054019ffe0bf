/**
 * Two phones behind the same box. First both with ports of their own, then, where this machine has a second address, both
 * with the same SIP port and the same RTP port, as two telephones of one make have. Each registers, is called, and has
 * audio; what is for one must not reach the other, and the second must not silence the first.
 */
import { networkInterfaces } from 'node:os';
import type { BehaviourObservation } from '../../core/detect/check-report.ts';
import { mediaEndpoint } from '../../core/detect/dialog.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { phoneRequest, serverRequest } from '../../core/detect/probe.ts';
import { endpointOf } from '../../core/detect/registrar-view.ts';
import {
  type Address,
  type Endpoint,
  formatEndpoint,
  isPrivate,
  sameEndpoint,
} from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import { registerPhone } from './registration.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'phones';
const FIRST_PORT = 16_720;
const LAST_PORT = 16_800;
const USUAL_PORT = 5060;

/** One phone, and what the server knows of it. */
interface Telephone {
  readonly name: string;
  readonly sip: Phone;
  readonly rtp: Phone;
  outside?: Endpoint;
  contact?: string;
  advertised?: Endpoint;
}

/** What is wrong with two phones, in words. */
interface Trouble {
  readonly text: string;
  readonly passage: Passage;
}

export async function checkPhones(stand: Stand): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [media] = stand.udp('media');
  if (sip === undefined || media === undefined) throw new NotChecked('the reflector lacks ports for it');
  const pair = (one: Phone[], other: Phone[]): [Telephone, Telephone] => [
    { name: 'the first phone', sip: one[0]!, rtp: one[1]! },
    { name: 'the second phone', sip: other[0]!, rtp: other[1]! },
  ];
  const apart = pair([await stand.phone(), await stand.phone()], [await stand.phone(), await stand.phone()]);
  const withOwnPorts = await tryPair(stand, sip, media, apart);
  if (withOwnPorts === undefined) throw new NotChecked('the first phone alone does not get through');
  if (withOwnPorts.length > 0)
    return {
      result: withOwnPorts.map(({ text }) => text).join('; '),
      observations: [
        observe(
          'MULTI-ONESERVER',
          `Two phones with different ports do not work side by side: ${withOwnPorts.map(({ text }) => text).join('; ')}.`,
          withOwnPorts[0]!,
        ),
      ],
    };
  const second = otherAddress(stand.control.local.address);
  const equal = second === undefined ? undefined : await openEqual(stand, second);
  if (equal === undefined)
    return {
      result: `two phones with different ports work side by side; the same port was not checked: ${second === undefined ? 'this machine has one address only' : 'no port is free on both addresses'}`,
    };
  const withSamePorts = await tryPair(stand, sip, media, pair(...equal));
  const port = equal[0][0]!.local.port;
  if (withSamePorts === undefined)
    return {
      result:
        'two phones with different ports work side by side; with the same port the first did not get through alone',
    };
  return withSamePorts.length === 0
    ? { result: `two phones work side by side, also both on port ${port}` }
    : {
        result: withSamePorts.map(({ text }) => text).join('; '),
        observations: [
          observe(
            'MULTI-SAMEPORT',
            `Two phones at two addresses, both on SIP port ${port} and RTP port ${equal[0][1]!.local.port}: ${withSamePorts.map(({ text }) => text).join('; ')}. With different ports they work.`,
            withSamePorts[0]!,
          ),
        ],
      };
}

/** Undefined where not even the first works while it is alone: then two of them say nothing. */
async function tryPair(
  stand: Stand,
  sip: Place,
  media: Place,
  [first, second]: readonly [Telephone, Telephone],
): Promise<Trouble[] | undefined> {
  if ((await register(stand, sip, first)) !== undefined) return undefined;
  if ((await call(stand, sip, first, second)) !== undefined) return undefined;
  const troubles: Trouble[] = [];
  const lost = await register(stand, sip, second);
  if (lost !== undefined) troubles.push({ text: 'the second phone cannot register', passage: lost });
  else {
    for (const [own, other] of [
      [second, first],
      [first, second],
    ] as const) {
      const trouble = (await call(stand, sip, own, other)) && (await call(stand, sip, own, other));
      if (trouble !== undefined) troubles.push(trouble);
    }
  }
  if (troubles.length > 0) return troubles;
  for (const own of [first, second]) await offer(stand, sip, own);
  for (const [own, other] of [
    [first, second],
    [second, first],
  ] as const) {
    const trouble = await audio(stand, media, own, other);
    if (trouble !== undefined) troubles.push(trouble);
  }
  return troubles;
}

/** The REGISTER, where it did not arrive. */
async function register(stand: Stand, place: Place, set: Telephone): Promise<Passage | undefined> {
  const { request, registered } = await registerPhone(stand, set.sip, place, STEP, ` of ${set.name}`);
  if (registered === undefined) return request;
  set.outside = registered.outside;
  set.contact = registered.contact ?? `sip:phone@${formatEndpoint(registered.outside)}`;
  return undefined;
}

/** A call in; what is wrong where it does not come, or comes to the other one. */
async function call(
  stand: Stand,
  place: Place,
  set: Telephone,
  other: Telephone,
): Promise<Trouble | undefined> {
  const { outside, contact } = set;
  if (outside === undefined || contact === undefined) return undefined;
  const named = endpointOf(contact);
  const to = named === undefined || isPrivate(named.address) ? outside : named;
  const passage = await stand.sendIn(
    set.sip,
    place,
    { step: STEP, what: `INVITE for ${set.name}` },
    (id) =>
      serverRequest({
        ...{ id, method: 'INVITE', transport: 'UDP', dress: 'plain', server: place, outside },
        requestUri: contact,
      }),
    to,
    undefined,
    other.sip,
  );
  return passage === undefined ? undefined : misdelivered(passage, set.sip, `a call for ${set.name}`);
}

/** INVITE with the phone's RTP port in it. */
async function offer(stand: Stand, place: Place, set: Telephone): Promise<void> {
  const invite = await stand.sendOut(set.sip, place, { step: STEP, what: `INVITE of ${set.name}` }, (id) =>
    phoneRequest({
      ...{ id, method: 'INVITE', transport: 'UDP', dress: 'plain', inside: set.sip.local, server: place },
      media: [set.rtp.local.port],
    }),
  );
  const advertised = invite.received === undefined ? undefined : mediaEndpoint(invite.received);
  if (advertised !== undefined && !isPrivate(advertised.address)) set.advertised = advertised;
}

async function audio(
  stand: Stand,
  media: Place,
  set: Telephone,
  other: Telephone,
): Promise<Trouble | undefined> {
  const label = { step: STEP, what: `RTP of ${set.name}` };
  const out = await stand.sendOut(set.rtp, media, label, (id) => octetsOf(id));
  if (out.received === undefined) return { text: `audio of ${set.name} is lost`, passage: out };
  const back = await stand.sendIn(
    set.rtp,
    media,
    { step: STEP, what: `RTP for ${set.name}` },
    (id) => octetsOf(id),
    set.advertised,
    undefined,
    other.rtp,
  );
  return back === undefined ? undefined : misdelivered(back, set.rtp, `audio for ${set.name}`);
}

function misdelivered(passage: Passage, meant: Phone, what: string): Trouble | undefined {
  if (passage.received === undefined) return { text: `${what} is lost`, passage };
  return passage.deliveredTo === undefined || sameEndpoint(passage.deliveredTo, meant.local)
    ? undefined
    : { text: `${what} reaches the other one`, passage };
}

/** Sockets on the same two ports of both addresses: SIP and RTP. */
async function openEqual(stand: Stand, second: Address): Promise<[Phone[], Phone[]] | undefined> {
  const both = async (port: number): Promise<[Phone, Phone] | undefined> => {
    let one: Phone | undefined;
    try {
      one = await stand.phone(port);
      return [one, await stand.phone(port, second)];
    } catch {
      return undefined;
    }
  };
  const firstOf = async (ports: Iterable<number>): Promise<[Phone, Phone] | undefined> => {
    for (const port of ports) {
      const found = await both(port);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const range = function* (from: number): Iterable<number> {
    for (let port = from; port < LAST_PORT; port += 2) yield port;
  };
  const sip = await firstOf([USUAL_PORT, ...range(FIRST_PORT + 1)]);
  const rtp = await firstOf(range(FIRST_PORT));
  return sip === undefined || rtp === undefined
    ? undefined
    : [
        [sip[0], rtp[0]],
        [sip[1], rtp[1]],
      ];
}

/** Another address of the interface that has this one; undefined where it is the only one. */
export function otherAddress(own: Address, interfaces = networkInterfaces()): Address | undefined {
  for (const infos of Object.values(interfaces)) {
    const mine = infos?.find(({ address }) => address === own);
    if (mine !== undefined)
      return infos!.find(
        ({ address, family, netmask }) =>
          family === mine.family &&
          address !== own &&
          netmask === mine.netmask &&
          // Of one link alone (RFC 4291 §2.5.6): nobody registers from it.
          !address.startsWith('fe80'),
      )?.address;
  }
  return undefined;
}

function observe(fault: FaultId, explanation: string, { passage }: Trouble): BehaviourObservation {
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
