/**
 * Why do calls stop ringing? Mappings are left alone for some time, and then the server calls: an INVITE to a phone that
 * has registered on the SIP port, and a plain datagram on the control port beside it. Each idle time has a socket of its
 * own, all of them wait at the same time, while other steps go on (lifetime-search.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { faultById } from '../../core/detect/faults.ts';
import { describeLifetime, type IdleSample, type Lifetime, lifetimeOf } from '../../core/detect/lifetime.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { serverRequest } from '../../core/detect/probe.ts';
import { endpointOf, registrarView } from '../../core/detect/registrar-view.ts';
import { type Endpoint, isPrivate, sameEndpoint } from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import { searchLifetime } from './lifetime-search.ts';
import { registerPhone } from './registration.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'idle';
/**
 * Shorter than keepalives come, mostly. RFC 4787 REQ-5 asks for two minutes; but Linux, and with it many routers, gives half a
 * minute to a flow of one question and one answer, and providers that notice the NAT live with it.
 */
const SHORT_MS = 30_000;
/** What registrars grant: a call within this time has to come in. */
const REGISTERED_MS = 300_000;

/** From which pause on a call is given the time to be taken for established. */
export const SETTLED_MS = 12_000;
export const SETTLE_MS = 2_100;

const KEEPALIVE = octetsOf('\r\n\r\n');

interface Trial extends IdleSample {
  readonly passage: Passage;
  /** The REGISTER before the pause, as it arrived. */
  readonly register?: Passage;
}

/** Narrowed down for as long as `untilMs` of the monotonic clock; undefined: the times that are given are all. */
export async function measureIdle(
  stand: Stand,
  idleTimesMs: readonly number[],
  untilMs?: number,
): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [control] = stand.udp('control');
  if (sip === undefined) throw new NotChecked('the reflector has no UDP port 5060');
  if (idleTimesMs.length === 0) throw new NotChecked('it takes longer than a quick check');
  const search = (attempt: (idleMs: number) => Promise<Trial | undefined>): Promise<Trial[]> =>
    searchLifetime(idleTimesMs, attempt, untilMs);
  const longestMs = Math.max(...idleTimesMs);
  const [refreshed, calls, twoWay, oneWay, settled] = await Promise.all([
    tryRegistered(stand, sip, longestMs, keepaliveEvery(idleTimesMs)),
    search((idleMs) => tryRegistered(stand, sip, idleMs)),
    control === undefined ? [] : search((idleMs) => tryPlain(stand, control, idleMs, 'two-way')),
    control === undefined ? [] : search((idleMs) => tryPlain(stand, control, idleMs, 'one-way')),
    control === undefined || untilMs === undefined
      ? []
      : search((idleMs) => tryPlain(stand, control, idleMs, 'settled')),
  ]);
  if (calls.length === 0) throw new NotChecked('no REGISTER arrived');
  const onSip = lifetimeOf(calls);
  const onControl = lifetimeOf(twoWay);
  const unanswered = lifetimeOf(oneWay);
  const facts: Fact[] = [
    {
      id: 'lifetime-sip',
      text: `Without traffic a registered phone can be called for ${describeLifetime(onSip)}.`,
    },
    ...(control === undefined
      ? []
      : [
          {
            id: 'lifetime-control',
            text: `A mapping that has nothing to do with SIP lives ${describeLifetime(onControl)}; one that was never answered ${describeLifetime(unanswered)}.`,
          },
        ]),
    ...(settled.length === 0
      ? []
      : [
          {
            id: 'lifetime-settled',
            text: `One that was used for some seconds lives ${describeLifetime(lifetimeOf(settled))}.`,
          },
        ]),
  ];
  const observations = observationsOf(calls, onSip, onControl);
  // Only where it would have died without them do keepalives show anything.
  if (refreshed !== undefined && onSip.deadMs !== undefined && !onSip.contradictory) {
    if (refreshed.alive)
      facts.push({
        id: 'refresh-in',
        text: `Packets of the provider keep the mapping alive: with one every ${keepaliveEvery(idleTimesMs) / 1000} s the phone could be called after ${longestMs / 1000} s.`,
      });
    else
      observations.push({
        fault: 'NAT-REFRESH-IN',
        severity: faultById('NAT-REFRESH-IN').severity,
        consistent: false,
        confidence: 'A',
        explanation: `The server has sent a packet every ${keepaliveEvery(idleTimesMs) / 1000} s, and after ${longestMs / 1000} s a call does not reach the phone all the same: only what the phone sends keeps the mapping alive.`,
        portKinds: ['sip'],
        evidence: evidenceOf(refreshed.passage),
      });
  }
  if (onSip.deadMs !== undefined && !onSip.contradictory)
    facts.push({
      id: 'keepalive',
      text: 'So phone or provider has to send keepalives more often than that, or calls stop coming in.',
    });
  return {
    result: `a registered phone can be called for ${describeLifetime(onSip)}`,
    facts,
    observations,
  };
}

function observationsOf(
  calls: readonly Trial[],
  onSip: Lifetime,
  onControl: Lifetime,
): BehaviourObservation[] {
  if (onSip.deadMs === undefined || onSip.contradictory) return [];
  const missed = calls.find(({ alive, idleMs }) => !alive && idleMs === onSip.deadMs);
  const evidence = missed === undefined ? {} : { evidence: evidenceOf(missed.passage) };
  const seconds = Math.round(onSip.deadMs / 1000);
  const register = missed?.register;
  const isHidden =
    register?.outside !== undefined && !registrarView(register.received!, register.outside).noticesNat;
  const observe = (fault: 'TIME-UDP-SHORT' | 'TIME-ALG-SIGNAL' | 'SRV-DEFEAT', explanation: string) => ({
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A' as const,
    explanation,
    portKinds: ['sip' as const],
    ...evidence,
  });
  const found: BehaviourObservation[] = [];
  if (onControl.aliveMs !== undefined && onControl.aliveMs >= onSip.deadMs)
    found.push(
      observe(
        'TIME-ALG-SIGNAL',
        `After ${seconds} s without traffic an INVITE to port 5060's mapping no longer comes in, while a mapping of another port still lives: something ends SIP flows on a timer of its own.`,
      ),
    );
  else if (onSip.deadMs < SHORT_MS)
    found.push(
      observe(
        'TIME-UDP-SHORT',
        `A call that comes in ${seconds} s after the phone has registered does not reach it: the mapping is gone by then.`,
      ),
    );
  if (isHidden && onSip.deadMs < REGISTERED_MS)
    found.push(
      observe(
        'SRV-DEFEAT',
        `The REGISTER arrives with the public address in Via and Contact, so that a registrar notices no NAT and sends no keepalives; and without them the phone cannot be called after ${seconds} s.`,
      ),
    );
  return found;
}

/** Often enough to keep alive what lives as long as the shortest pause; no more often than twice a second. */
function keepaliveEvery(idleTimesMs: readonly number[]): number {
  return Math.max(500, Math.min(10_000, Math.min(...idleTimesMs) / 2));
}

/** With `keepaliveMs` the server sends CRLF CRLF so often while the phone is silent, as servers do for phones behind a NAT. */
async function tryRegistered(
  stand: Stand,
  place: Place,
  idleMs: number,
  keepaliveMs?: number,
): Promise<Trial | undefined> {
  const phone = await stand.phone();
  const { request, registered } = await registerPhone(stand, phone, place, STEP, ', before a pause');
  if (registered === undefined) return undefined;
  const { outside, contact } = registered;
  const until = performance.now() + idleMs;
  if (keepaliveMs !== undefined)
    while (performance.now() + keepaliveMs < until) {
      await sleep(keepaliveMs);
      await stand.control.send(place.place, outside, KEEPALIVE);
    }
  await sleep(Math.max(0, until - performance.now()));
  // Where a provider calls: at the Contact, if it is one that can be reached, and where the REGISTER came from otherwise.
  const named = endpointOf(contact);
  const to =
    named === undefined || isPrivate(named.address) || sameEndpoint(named, outside) ? outside : named;
  const ring = (where: Endpoint): Promise<Passage | undefined> =>
    stand.sendIn(
      phone,
      place,
      {
        step: STEP,
        what: `INVITE after ${Math.round(idleMs / 1000)} s ${keepaliveMs === undefined ? 'of silence' : 'with keepalives of the server'}`,
      },
      (id) =>
        serverRequest({
          ...{ id, method: 'INVITE', transport: 'UDP', dress: 'plain', server: place, outside },
          requestUri: contact ?? `sip:phone@${outside.address}:${outside.port}`,
        }),
      where,
    );
  const call = await ring(to);
  if (call === undefined) return undefined;
  // A Contact that is wrong is no mapping that has died: where the REGISTER came from tells the two apart.
  const isWrongContact = call.received === undefined && !sameEndpoint(to, outside);
  const passage = isWrongContact ? ((await ring(outside)) ?? call) : call;
  return { idleMs, alive: passage.received !== undefined, passage, register: request };
}

/**
 * How a plain mapping was used before the pause. `two-way` is as quick an exchange as a registration, which it is compared with: a
 * flow that has lasted longer may be given another time by the same NAT, and that is no ALG.
 */
type Use = 'one-way' | 'two-way' | 'settled';

async function tryPlain(stand: Stand, place: Place, idleMs: number, use: Use): Promise<Trial | undefined> {
  const phone = await stand.phone();
  const label = { step: STEP, what: 'a datagram, before a pause' };
  const out = await stand.sendOut(phone, place, label, (id) => octetsOf(id));
  if (out.received === undefined) return undefined;
  if (use !== 'one-way') {
    await stand.sendIn(phone, place, label, (id) => octetsOf(id));
    // Linux takes a flow for established only where something comes two seconds after its beginning.
    if (use === 'settled') await sleep(SETTLE_MS);
    await stand.sendOut(phone, place, label, (id) => octetsOf(id));
  }
  await sleep(idleMs);
  const back = await stand.sendIn(
    phone,
    place,
    { step: STEP, what: `a datagram after ${Math.round(idleMs / 1000)} s of silence` },
    (id) => octetsOf(id),
  );
  return back === undefined ? undefined : { idleMs, alive: back.received !== undefined, passage: back };
}
