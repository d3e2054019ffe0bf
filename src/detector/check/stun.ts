/**
 * What a phone would learn by STUN (RFC 8489, RFC 5780), and whether it is true: the reflector tells by which address the request came
 * and with which octets it was answered. On STUN's own port, on the SIP port, where phones send it to keep their flow alive (RFC 5626
 * §3.5.2), and on a port that is nobody's. Then a phone that has learnt its public address and writes it itself.
 */
import { randomBytes } from 'node:crypto';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import { dependences, filteringOf, mappingOf } from '../../core/detect/nat-behaviour.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { phoneRequest } from '../../core/detect/probe.ts';
import { type Endpoint, endpointKey, formatEndpoint, sameEndpoint } from '../../core/net/address.ts';
import {
  bindingRequest,
  readStun,
  type StunChange,
  type StunMessage,
  sameTransaction,
} from '../../core/net/stun.ts';
import { fromBase64, type Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import { portKindOf, type Stand, within } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'stun';

export async function checkStun(stand: Stand): Promise<StepResult> {
  const [own, ownOther] = stand.udp('stun');
  const [sip] = stand.udp('sip');
  const [control] = stand.udp('control');
  if (own === undefined) throw new NotChecked('the reflector has no STUN port');
  const observations: BehaviourObservation[] = [];
  const facts: Fact[] = [];
  const phone = await stand.phone();
  const first = await ask(stand, phone, own);
  // Asked for before anything is sent elsewhere, which would open the way.
  const [farPlace] = stand.udp('stun', true);
  const letsIn = async (change: StunChange, place: Place | undefined): Promise<boolean | undefined> =>
    place === undefined || first.mapped === undefined
      ? undefined
      : (await ask(stand, phone, own, change)).answer !== undefined;
  const otherAddress = await letsIn({ address: true, port: true }, farPlace);
  const otherPort =
    otherAddress === true ? undefined : await letsIn({ address: false, port: true }, ownOther);
  const reached: string[] = [];
  const silent: { place: Place; asked: Asked }[] = [];
  const onSip = sip === undefined ? undefined : await ask(stand, phone, sip);
  for (const [place, asked] of [
    [own, first],
    [sip, onSip],
    [control, control === undefined ? undefined : await ask(stand, phone, control)],
  ] as const) {
    if (place === undefined || asked === undefined) continue;
    if (asked.mapped === undefined) silent.push({ place, asked });
    else reached.push(String(place.port));
    const lie = wrongAddress(asked, place);
    if (lie !== undefined) facts.push(lie);
  }
  if (reached.length === 0) throw new NotChecked('no STUN request is answered, on any port');
  const deaf = silent.find(({ place }) => place === sip);
  if (deaf !== undefined) observations.push(...(await deafness(stand, phone, deaf)));
  for (const { place, asked } of silent)
    if (place !== sip)
      facts.push({
        id: 'stun-silent',
        text: `STUN to port ${place.port} ${asked.request.received === undefined ? 'does not arrive' : 'is answered, and the answer does not arrive'}, while it works on port ${reached.join(' and ')}: phones that use STUN there learn nothing.`,
      });
  const texts = [`STUN is answered on port ${reached.join(', ')}`];
  const { mapped } = first;
  if (mapped !== undefined) {
    const far = farPlace === undefined ? undefined : await ask(stand, phone, farPlace);
    const near = ownOther === undefined ? undefined : await ask(stand, phone, ownOther);
    const mapping = mappingOf({ first: mapped, atOtherPort: near?.mapped, atOtherAddress: far?.mapped });
    const filtering = filteringOf({ otherPort, otherAddress });
    const say = (name: typeof mapping): string =>
      name === 'not-checked' ? 'not to be told with one address' : dependences[name];
    facts.push({
      id: 'stun-behaviour',
      text: `By STUN, mapping is ${say(mapping)}, filtering is ${say(filtering)}.`,
    });
    texts.push('what it says is true');
    facts.push(...(await usualPort(stand, own, phone, mapped)));
    if (sip !== undefined && onSip?.mapped !== undefined)
      await writePublicAddress(stand, phone, sip, onSip.mapped);
  }
  return {
    result: facts.some(({ id }) => id === 'stun-wrong') ? texts[0]! : texts.join('; '),
    observations,
    facts,
  };
}

/** One request, its answer, and what became of both. */
interface Asked {
  readonly request: Passage;
  readonly answer: Uint8Array | undefined;
  /** What the answer says; undefined where none came. */
  readonly mapped: Endpoint | undefined;
  /** From where the request came, by the reflector. */
  readonly source: Endpoint | undefined;
}

async function ask(stand: Stand, phone: Phone, place: Place, change?: StunChange): Promise<Asked> {
  const transaction = new Uint8Array(randomBytes(12));
  const isOurs = (bytes: Uint8Array): StunMessage | undefined => {
    const message = readStun(bytes);
    return message !== undefined &&
      message.kind !== 'request' &&
      sameTransaction(message.transaction, transaction)
      ? message
      : undefined;
  };
  let answered: { bytes: Uint8Array; place: number; at: number } | undefined;
  let answer: { bytes: Uint8Array; at: number } | undefined;
  let wake = (): void => {};
  const stop = stand.control.listen((arrival) => {
    if (arrival.kind !== 'answered') return;
    const bytes = fromBase64(arrival.bytes);
    if (isOurs(bytes) !== undefined) answered ??= { bytes, place: arrival.place, at: arrival.at };
  });
  // An answer that is altered beyond recognition came from the place that was asked, at a time when nothing else does.
  const stopAnswers = phone.listen(({ bytes, at, remote }) => {
    const isIt = isOurs(bytes) !== undefined || (change === undefined && sameEndpoint(remote, place));
    if (!isIt) return;
    answer ??= { bytes, at };
    wake();
  });
  const what =
    change === undefined ? 'a STUN request' : `a STUN request for an answer from ${nameOf(change)}`;
  const make = (id: string): Uint8Array =>
    bindingRequest({ transaction, software: `sipalg ${id}`, ...(change === undefined ? {} : { change }) });
  const pace = { ...stand.pace, tries: 1 };
  let request!: Passage;
  for (let i = 0; i < (change === undefined ? stand.pace.tries : 2) && answer === undefined; i++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    const tried = await stand.sendOut(phone, place, { step: STEP, what }, make, pace);
    if (i === 0 || request.received === undefined) request = tried;
    if (answer === undefined) await within(promise, stand.pace.patienceMs);
  }
  stop();
  stopAnswers();
  const source = stand.outsideOf(phone, place);
  const found = answer as { bytes: Uint8Array; at: number } | undefined;
  const sent = answered as { bytes: Uint8Array; place: number; at: number } | undefined;
  if (sent !== undefined && found !== undefined) {
    const from = stand.control.welcome.places[sent.place] ?? place;
    stand.passages.push({
      ...{ id: request.id, step: STEP, what: 'an answer to STUN', direction: 'to-client', transport: 'udp' },
      ...{ portKind: portKindOf(from), inside: phone.local, outside: source },
      server: { address: from.address, port: from.port },
      ...{ sent: sent.bytes, sentAt: sent.at, received: found.bytes, receivedAt: found.at },
      ...{ deliveredTo: phone.local, tries: 1, recognised: true },
    });
  }
  const message = found === undefined ? undefined : isOurs(found.bytes);
  return { request, answer: found?.bytes, mapped: message?.mapped, source };
}

function nameOf({ address, port }: StunChange): string {
  return [...(address ? ['another address'] : []), ...(port ? ['another port'] : [])].join(' and ');
}

function wrongAddress({ mapped, source }: Asked, place: Place): Fact | undefined {
  if (mapped === undefined || source === undefined || sameEndpoint(mapped, source)) return undefined;
  return {
    id: 'stun-wrong',
    text: `STUN on port ${place.port} says ${formatEndpoint(mapped)}, and the request came from ${formatEndpoint(source)}: its answer is altered on the way, or made there.`,
  };
}

/** Silence on the SIP port alone: flows cannot be kept alive as RFC 5626 has it. Only where SIP itself comes through there. */
async function deafness(
  stand: Stand,
  phone: Phone,
  { place, asked }: { place: Place; asked: Asked },
): Promise<BehaviourObservation[]> {
  if (asked.request.received !== undefined) return [];
  const options = await stand.sendOut(
    phone,
    place,
    { step: STEP, what: 'OPTIONS where STUN is silent' },
    (id) =>
      phoneRequest({
        id,
        method: 'OPTIONS',
        transport: 'UDP',
        dress: 'plain',
        inside: phone.local,
        server: place,
      }),
  );
  if (options.received === undefined) return [];
  return [
    {
      // Few phones do so; what else is wrong on that port matters more.
      ...observe(
        'DROP-MALFORMED',
        `STUN to port ${place.port} does not arrive, however often it is sent, while SIP does, and while STUN arrives on other ports: phones that keep their flow alive by STUN (RFC 5626 §3.5.2) lose it.`,
        asked.request,
      ),
      severity: 2,
    },
  ];
}

/** Whether source port 5060 is treated as others are: a router may keep it for itself, or for one phone. */
async function usualPort(stand: Stand, own: Place, phone: Phone, mapped: Endpoint): Promise<Fact[]> {
  let usual: Phone;
  try {
    usual = await stand.phone(5060);
  } catch {
    return [];
  }
  const seen = (await ask(stand, usual, own)).mapped;
  usual.close();
  if (seen === undefined || sameEndpoint(mapped, phone.local)) return [];
  const [keepsHigh, keepsUsual] = [mapped.port === phone.local.port, seen.port === 5060];
  if (keepsHigh === keepsUsual) return [];
  return [
    {
      id: 'nat-port-5060',
      text: keepsHigh
        ? `The NAT keeps other source ports, and changes 5060 into ${seen.port}: it has it for itself, or for another phone.`
        : 'The NAT changes other source ports, and keeps 5060.',
    },
  ];
}

/** As phones with STUN do it: Via, Contact and description name the public endpoint already, and there is nothing to edit. */
async function writePublicAddress(stand: Stand, phone: Phone, sip: Place, mapped: Endpoint): Promise<void> {
  if (endpointKey(mapped) === endpointKey(phone.local)) return;
  for (const method of ['REGISTER', 'INVITE'] as const)
    await stand.sendOut(
      phone,
      sip,
      { step: STEP, what: `${method} of a phone that knows its public address` },
      (id) => phoneRequest({ id, method, transport: 'UDP', dress: 'plain', inside: mapped, server: sip }),
    );
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
