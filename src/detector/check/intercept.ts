/**
 * Does SIP go where it is sent, and is it the server that answers? A request to an address at which nobody is (TEST-NET-1,
 * RFC 5737: no router of the Internet forwards it, so that nobody is bothered) gets no answer on an honest line. Where
 * somebody answers, requests that live for so many hops only tell how far away he is.
 */
import type { BehaviourObservation } from '../../core/detect/check-report.ts';
import { faultById } from '../../core/detect/faults.ts';
import { foreignAnswers, proxyAnswer, startLine } from '../../core/detect/foreign-answers.ts';
import { phoneRequest } from '../../core/detect/probe.ts';
import { type Endpoint, formatEndpoint } from '../../core/net/address.ts';
import { textOf } from '../../core/sip/octets.ts';
import type { Phone } from './phone.ts';
import { type Stand, within } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'intercept';
const NOBODY: Endpoint = { address: '192.0.2.60', port: 5060 };
/** Once may be chance. */
const ENOUGH = 2;
const FARTHEST = 6;

/** Answers that were not the reflector's, and how far away the one is who gives them. */
export async function whoAnswers(stand: Stand, server: Endpoint): Promise<BehaviourObservation | undefined> {
  const answers = foreignAnswers([...stand.sights()], stand.passages, stand.serverIds);
  if (proxyAnswer(answers) === undefined) return undefined;
  const isRegister = textOf(answers[0]!.request.sent, 0, 9) === 'REGISTER ';
  const hops = await hopsTo(stand, server, isRegister ? 'REGISTER' : 'OPTIONS');
  return proxyAnswer(answers, placeOf(hops));
}

export async function checkInterception(stand: Stand): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  if (sip === undefined) throw new NotChecked('the reflector has no UDP port 5060');
  const observations: BehaviourObservation[] = [];
  const second = stand.udp('sip', true)[0];
  if (second !== undefined) {
    const phone = await stand.phone();
    for (let i = 0; i < ENOUGH; i++)
      await stand.sendOut(phone, second, { step: STEP, what: 'OPTIONS to another address' }, (id) =>
        phoneRequest({
          ...{ id, method: 'OPTIONS', transport: 'UDP', dress: 'plain', inside: phone.local, server: second },
        }),
      );
  }
  const led = strayed(stand);
  if (led !== undefined) observations.push(led);
  let nobody = 'IPv6 was not tried';
  if (!stand.address.includes(':')) {
    const phone = await stand.phone();
    const fromNowhere: Uint8Array[] = [];
    for (let i = 0; i < ENOUGH; i++) {
      const answer = await ask(stand, phone, NOBODY, 'OPTIONS');
      if (answer === undefined) break;
      fromNowhere.push(answer);
    }
    nobody =
      fromNowhere.length > 0 ? 'an answer came from where nobody is' : 'nobody answers where nobody is';
    if (fromNowhere.length >= ENOUGH && led === undefined)
      observations.push({
        ...redirect(
          `A request to ${formatEndpoint(NOBODY)}, an address at which nobody is, gets an answer: “${startLine(fromNowhere[0]!)}”. SIP goes to somebody else than it is sent to.${placeOf(await hopsTo(stand, NOBODY, 'OPTIONS'))}`,
        ),
        evidence: {
          ...{ what: 'an answer from where nobody is', direction: 'to-client', transport: 'udp' },
          ...{ server: formatEndpoint(NOBODY), sent: new Uint8Array(), received: fromNowhere[0]! },
          where: undefined,
        },
      });
  }
  const places = second === undefined ? '' : '; what is sent to another address of the reflector was tried';
  return { result: `${nobody}${places}`, observations };
}

/** What was sent to one address or port of the reflector and came to another. */
function strayed(stand: Stand): BehaviourObservation | undefined {
  const [first] = stand.strays;
  if (first === undefined || new Set(stand.strays.map(({ id }) => id)).size < ENOUGH) return undefined;
  const came = stand.control.welcome.places[first.place];
  return {
    ...redirect(
      `What is sent to ${formatEndpoint(first.to)} comes to ${came === undefined ? 'another place' : formatEndpoint(came)}: the destination is changed on the way.`,
    ),
    evidence: {
      ...{ what: 'a message', direction: 'to-server', transport: 'udp', server: formatEndpoint(first.to) },
      ...{ sent: first.sent, received: first.bytes, where: undefined },
    },
  };
}

function redirect(explanation: string): Omit<BehaviourObservation, 'evidence'> {
  return {
    fault: 'PROXY-REDIRECT',
    severity: faultById('PROXY-REDIRECT').severity,
    consistent: false,
    confidence: 'A',
    explanation,
    portKinds: ['sip'],
  };
}

/** A response that repeats the request, or undefined where none comes. */
async function ask(
  stand: Stand,
  phone: Phone,
  server: Endpoint,
  method: 'OPTIONS' | 'REGISTER',
): Promise<Uint8Array | undefined> {
  const id = stand.newId();
  const { promise, resolve } = Promise.withResolvers<void>();
  let answer: Uint8Array | undefined;
  const stop = phone.listen(({ bytes }) => {
    if (!textOf(bytes, 0, 8).startsWith('SIP/2.0 ') || !Buffer.from(bytes).includes(id)) return;
    answer ??= bytes;
    resolve();
  });
  try {
    await phone.send(
      server,
      phoneRequest({ id, method, transport: 'UDP', dress: 'plain', inside: phone.local, server }),
    );
    await within(promise, stand.pace.patienceMs);
  } catch {
    // No route there, which is an answer as well.
  } finally {
    stop();
  }
  return answer;
}

/** How many routers a request has to pass until it is answered; undefined where it is none so near. */
async function hopsTo(
  stand: Stand,
  server: Endpoint,
  method: 'OPTIONS' | 'REGISTER',
): Promise<number | undefined> {
  if (server.address.includes(':')) return undefined;
  const phone = await stand.phone();
  for (let hops = 1; hops <= FARTHEST; hops++) {
    phone.reach(hops);
    if ((await ask(stand, phone, server, method)) !== undefined) return hops;
  }
  return undefined;
}

function placeOf(hops: number | undefined): string {
  if (hops === undefined) return '';
  return hops === 1
    ? ' A request that lives for one hop is answered: it is the next router, your own, that does it.'
    : ` A request has to live for ${hops} hops to be answered: it is the ${hops === 2 ? 'second' : `${hops}th`} box on the way that does it, counted from here; ${hops === 2 ? 'a router behind yours, or yours where it hands on first' : 'it stands beyond your own router'}.`;
}
