/**
 * From which size on are messages lost or cut? INVITEs of growing size on the SIP port, and datagrams of the same size on
 * the control port, both ways. Beyond 1472 octets (IPv4 on Ethernet) they travel in fragments.
 */
import type { BehaviourObservation } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { phoneRequest, serverRequest } from '../../core/detect/probe.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

export const ladderSizes = [500, 900, 1200, 1400, 1472, 2000, 4000, 8000] as const;
const STEP = 'size';
/** What fits into one packet on every usual line (RFC 3261 §18.1.1 has 1300 for signalling). */
const ONE_PACKET = 1300;

export async function climbLadder(stand: Stand, sizes: readonly number[]): Promise<StepResult> {
  const [sip] = stand.udp('sip');
  const [control] = stand.udp('control');
  if (sip === undefined || control === undefined) throw new NotChecked('the reflector lacks ports for it');
  const [onSip, onControl] = await Promise.all([
    climb(stand, sip, sizes, true),
    climb(stand, control, sizes, false),
  ]);
  const observations: BehaviourObservation[] = [];
  for (const direction of ['to-server', 'to-client'] as const) {
    const sipLost = smallestLost(onSip, direction);
    const controlLost = smallestLost(onControl, direction);
    if (sipLost === undefined) continue;
    const way = direction === 'to-server' ? 'to the provider' : 'to the phone';
    if (sipLost.sent.length <= ONE_PACKET) continue;
    const size = sipLost.sent.length;
    const largerPasses = onSip.some(
      (one) => one.direction === direction && one.received !== undefined && one.sent.length > size,
    );
    const alsoElsewhere = controlLost !== undefined && controlLost.sent.length <= size + 200;
    observations.push(
      largerPasses && !alsoElsewhere
        ? observe(
            'DROP-FRAG',
            `A SIP message of ${size} octets does not arrive on its way ${way}, while larger ones do, and other datagrams of that size: it just fits into one packet, and editing makes it too long.`,
            sipLost,
          )
        : alsoElsewhere
          ? observe(
              'DROP-FRAG',
              `Datagrams from about ${size} octets on do not arrive on their way ${way}, on any port: fragments of IP packets are dropped.`,
              sipLost,
            )
          : observe(
              'DROP-MALFORMED',
              `SIP messages from about ${size} octets on do not arrive on their way ${way}, while other datagrams of that size do.`,
              sipLost,
            ),
    );
  }
  const largest = (passages: readonly Passage[]): number =>
    Math.max(0, ...passages.filter(({ received }) => received !== undefined).map(({ sent }) => sent.length));
  return {
    result: `SIP messages of up to ${largest(onSip)} octets arrive, other datagrams of up to ${largest(onControl)}`,
    observations,
  };
}

async function climb(
  stand: Stand,
  place: Place,
  sizes: readonly number[],
  isSip: boolean,
): Promise<Passage[]> {
  const phone = await stand.phone();
  const passages: Passage[] = [];
  const media = [isSip ? 16_484 : 16_488];
  const label = (size: number) => ({
    step: STEP,
    what: isSip ? `INVITE of ${size} octets` : `a datagram of ${size} octets`,
  });
  for (const size of sizes) {
    const out = await stand.sendOut(phone, place, label(size), (id) =>
      isSip
        ? phoneRequest({
            id,
            method: 'INVITE',
            transport: 'UDP',
            dress: 'plain',
            inside: phone.local,
            server: place,
            media,
            size,
          })
        : padded(id, size),
    );
    passages.push(out);
    const outside = stand.outsideOf(phone, place);
    if (outside === undefined) break;
    const into = await stand.sendIn(phone, place, label(size), (id) =>
      isSip
        ? serverRequest({
            ...{ id, method: 'INVITE', transport: 'UDP', dress: 'plain', server: place, outside, size },
            requestUri: `sip:phone@${outside.address}:${outside.port}`,
          })
        : padded(id, size),
    );
    if (into !== undefined) passages.push(into);
    // Two steps that neither way is passed are the end of the ladder.
    if (passages.length >= 4 && passages.slice(-4).every(({ received }) => received === undefined)) break;
  }
  return passages;
}

function padded(id: string, size: number): Uint8Array {
  return octetsOf(id + '.'.repeat(Math.max(0, size - id.length)));
}

function smallestLost(passages: readonly Passage[], direction: Passage['direction']): Passage | undefined {
  const way = passages.filter((passage) => passage.direction === direction);
  // Where not even the smallest passes, size is not the question.
  if (way[0]?.received === undefined) return undefined;
  return way.find(({ received }) => received === undefined);
}

function observe(fault: FaultId, explanation: string, passage: Passage): BehaviourObservation {
  return {
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A',
    explanation,
    portKinds: [passage.portKind],
    evidence: evidenceOf(passage),
  };
}
