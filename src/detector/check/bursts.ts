/**
 * Are messages lost when they come fast? Bursts of requests, spread over a second, to the SIP port; and the same number of
 * the same size to the control port, so that a narrow line is not taken for a guard against floods. And: are phones let
 * through by their names?
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { phoneRequest } from '../../core/detect/probe.ts';
import { octetsOf, textOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const RATES = [5, 20, 100] as const;
const SECOND_MS = 1_000;
/** Fewer lost ones may be chance, on any line. */
const LEAST_LOST = 3;
/** And so large a part of them has to be lost, beyond what is lost on the control port. */
const LEAST_SHARE = 0.1;

export async function checkBursts(stand: Stand): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [control] = stand.udp('control');
  if (sip === undefined || control === undefined) throw new NotChecked('the reflector lacks ports for it');
  const [onSip, onControl] = [await stand.phone(), await stand.phone()];
  const texts: string[] = [];
  const observations: BehaviourObservation[] = [];
  for (const rate of RATES) {
    const once = await both(stand, { onSip, sip, onControl, control }, rate);
    texts.push(`${rate} a second: ${once.sip.arrived} of ${rate} arrive, of others ${once.control.arrived}`);
    if (!isThrottled(once)) continue;
    // Once may be chance.
    const again = await both(stand, { onSip, sip, onControl, control }, rate);
    if (!isThrottled(again)) continue;
    observations.push({
      fault: 'DROP-RATE',
      severity: faultById('DROP-RATE').severity,
      consistent: false,
      confidence: 'A',
      explanation: `Of ${rate} SIP messages within a second ${once.sip.arrived} arrive, and ${again.sip.arrived} when it is repeated; of as many other datagrams of that size ${once.control.arrived} and ${again.control.arrived}.`,
      portKinds: ['sip'],
      ...(again.sip.lost === undefined ? {} : { evidence: evidenceOf(again.sip.lost) }),
    });
    break;
  }
  return { result: texts.join('; '), observations };
}

interface Burst {
  readonly sent: number;
  readonly arrived: number;
  readonly lost: Passage | undefined;
}

interface Both {
  readonly sip: Burst;
  readonly control: Burst;
}

interface Ends {
  readonly onSip: Phone;
  readonly sip: Place;
  readonly onControl: Phone;
  readonly control: Place;
}

function isThrottled({ sip, control }: Both): boolean {
  const missing = sip.sent - sip.arrived - (control.sent - control.arrived);
  return missing >= Math.max(LEAST_LOST, sip.sent * LEAST_SHARE);
}

/** At the same time: what the line loses in this second, it loses of both. */
async function both(stand: Stand, ends: Ends, count: number): Promise<Both> {
  const [sip, control] = await Promise.all([
    burst(stand, ends.onSip, ends.sip, count, true),
    burst(stand, ends.onControl, ends.control, count, false),
  ]);
  return { sip, control };
}

async function burst(
  stand: Stand,
  phone: Phone,
  place: Place,
  count: number,
  isSip: boolean,
): Promise<Burst> {
  const pace = { ...stand.pace, tries: 1, gapMs: 0 };
  const label = {
    step: 'burst',
    what: isSip ? `OPTIONS, ${count} a second` : `a datagram, ${count} a second`,
  };
  const sending: Promise<Passage>[] = [];
  for (let i = 0; i < count; i++) {
    sending.push(
      stand.sendOut(
        phone,
        place,
        label,
        (id) => {
          const request = phoneRequest({
            ...{
              id,
              method: 'OPTIONS',
              transport: 'UDP',
              dress: 'plain',
              inside: phone.local,
              server: place,
            },
          });
          return isSip ? request : octetsOf(id.padEnd(request.length, '.'));
        },
        pace,
      ),
    );
    await sleep(SECOND_MS / count);
  }
  const passages = await Promise.all(sending);
  const lost = passages.filter(({ received }) => received === undefined);
  return { sent: count, arrived: count - lost.length, lost: lost[0] };
}

const SCANNERS = ['friendly-scanner', 'sipcli/v1.8'];
const PHONES = ['Yealink SIP-T46S 66.85.0.5', 'snomD785/10.1.42', 'Asterisk PBX 18.10.0', 'Linphone/5.2.4'];

export async function checkNames(stand: Stand): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  if (sip === undefined) throw new NotChecked('the reflector has no UDP port 5060');
  const phone = await stand.phone();
  const send = (name: string): Promise<Passage> =>
    stand.sendOut(phone, sip, { step: 'names', what: `OPTIONS of “${name}”` }, (id) => {
      const request = phoneRequest({
        ...{ id, method: 'OPTIONS', transport: 'UDP', dress: 'plain', inside: phone.local, server: sip },
      });
      return octetsOf(textOf(request, 0, request.length).replace('User-Agent: probe', `User-Agent: ${name}`));
    });
  if ((await send('probe')).received === undefined)
    throw new NotChecked('SIP does not arrive under any name');
  const lost: { name: string; passage: Passage }[] = [];
  for (const name of [...PHONES, ...SCANNERS]) {
    const passage = await send(name);
    if (passage.received === undefined) lost.push({ name, passage });
  }
  const names = lost.map(({ name }) => `“${name}”`).join(', ');
  if (lost.length === 0)
    return { result: `${PHONES.length + SCANNERS.length} names of phones and scanners pass` };
  // Whoever has been locked out as an attacker by now is not filtered by that name.
  if ((await send('probe')).received === undefined)
    return { result: `after ${names} nothing passes any more: this machine has been locked out` };
  const facts: Fact[] = [];
  if (lost.every(({ name }) => SCANNERS.includes(name))) {
    facts.push({
      id: 'names-scanners',
      text: `Messages under the names of attack tools (${names}) are dropped on the way, those of phones are not: a filter that does no harm.`,
    });
    return { result: `${names} do not pass, phones do`, facts };
  }
  return {
    result: `${names} do not pass`,
    observations: [
      {
        fault: 'HDR-UA-FILTER',
        severity: faultById('HDR-UA-FILTER').severity,
        consistent: false,
        confidence: 'A',
        explanation: `The same message is lost at every try when the phone calls itself ${names}, and arrives under other names.`,
        portKinds: ['sip'],
        evidence: evidenceOf(lost[0]!.passage),
      },
    ],
  };
}
