/**
 * What was lost, and whether that has a name. A message that is lost once is nobody's fault; one that is lost at every try
 * while its like passes is somebody's.
 */

import { endpointKey, formatEndpoint } from '../net/address.ts';
import { textOf } from '../sip/octets.ts';
import type { BehaviourObservation } from './check-report.ts';
import { evidenceOf } from './evidence.ts';
import { type FaultId, faultById } from './faults.ts';
import type { Passage } from './passage.ts';

export type LossObservation = BehaviourObservation;

/** A message has to be lost so often before anything is concluded. */
const ENOUGH_TRIES = 3;
/** So many sockets from which nothing passes, beside one from which everything does. */
const ENOUGH_OTHERS = 2;

/** `answered`: the ids of requests that somebody on the way has answered; what becomes of those is told by that. */
export function lossesOf(
  all: readonly Passage[],
  answered: ReadonlySet<string> = new Set(),
): LossObservation[] {
  // Other steps judge what they lose themselves: there silence is what is measured.
  const passages = all.filter(({ step }) => step === 'matrix');
  const found: LossObservation[] = [];
  const out = passages.filter(({ direction, transport }) => direction === 'to-server' && transport === 'udp');
  const into = passages.filter(
    ({ direction, transport }) => direction === 'to-client' && transport === 'udp',
  );
  const sip = out.filter(({ portKind, what }) => portKind === 'sip' && what !== NOT_SIP);
  const control = out.filter(({ portKind }) => portKind === 'control');
  if (sip.length > 0 && sip.every(isLost) && control.some(hasArrived)) {
    const one = onePhone(all);
    if (one !== undefined) return [one];
    const plain = passages.find(({ what }) => what === NOT_SIP);
    found.push(
      observe(
        'DROP-5060',
        plain?.received !== undefined
          ? 'A datagram that is not SIP passes to port 5060, and no SIP message does: SIP is recognised and dropped.'
          : 'Nothing at all passes to UDP port 5060, while the same messages pass to another port: the port is blocked.',
        sip.find(({ tries }) => tries >= ENOUGH_TRIES),
      ),
    );
    return found;
  }
  found.push(...lostKinds(sip, answered, 'DROP-METHOD', 'on their way to the provider'));
  const sipIn = into.filter(({ portKind }) => portKind === 'sip');
  const requestsIn = sipIn.filter(({ what }) => !what.startsWith('200 '));
  const responsesIn = sipIn.filter(({ what }) => what.startsWith('200 '));
  if (requestsIn.length > 2 && requestsIn.every(isLost) && responsesIn.some(hasArrived))
    found.push(
      observe(
        'DROP-INBOUND',
        'On a flow on which responses come in, no request of the server does.',
        requestsIn.find(({ tries }) => tries >= ENOUGH_TRIES),
      ),
    );
  else found.push(...lostKinds(sipIn, answered, 'DROP-METHOD', 'on their way to the phone'));
  return found;
}

/** Where everything of one socket passes, both ways, and nothing of all others: the box has room for one. */
function onePhone(all: readonly Passage[]): LossObservation | undefined {
  const bySocket = new Map<string, Passage[]>();
  for (const passage of all)
    if (passage.portKind === 'sip' && passage.transport === 'udp' && isSip(passage.sent)) {
      const key = endpointKey(passage.inside);
      bySocket.set(key, [...(bySocket.get(key) ?? []), passage]);
    }
  const passing = [...bySocket.values()].filter((some) => some.some(hasArrived));
  const lost = [...bySocket.values()].filter((some) => some.every(isLost));
  const [first] = passing;
  if (first === undefined || passing.length > 1 || lost.length < ENOUGH_OTHERS) return undefined;
  const ways = new Set(first.filter(hasArrived).map(({ direction }) => direction));
  if (first.some(isLost) || ways.size < 2) return undefined;
  return observe(
    'MULTI-ONESERVER',
    `SIP of one socket, ${formatEndpoint(first[0]!.inside)}, passes both ways, and none of ${lost.length} others does: the box has room for one.`,
    lost[0]!.find(({ tries }) => tries >= ENOUGH_TRIES),
  );
}

/** How the datagram is called that has nothing of SIP but its port. */
export const NOT_SIP = 'a datagram that is not SIP';

/** Kinds of messages that were lost at every try, while others passed in the same direction on the same port. */
function lostKinds(
  passages: readonly Passage[],
  answered: ReadonlySet<string>,
  fault: FaultId,
  where: string,
): LossObservation[] {
  if (!passages.some(hasArrived)) return [];
  const kinds = new Map<string, Passage[]>();
  for (const passage of passages) kinds.set(passage.what, [...(kinds.get(passage.what) ?? []), passage]);
  const lost = [...kinds].filter(
    ([, all]) =>
      !all.some(({ id }) => answered.has(id)) &&
      all.every(isLost) &&
      all.some(({ tries }) => tries >= ENOUGH_TRIES),
  );
  if (lost.length === 0) return [];
  const names = lost.map(([what]) => what);
  const isDressed = names.every((name) => /decoys|Contact/.test(name));
  return [
    observe(
      isDressed ? 'DROP-MALFORMED' : fault,
      `Lost at every try ${where}, while others pass: ${names.join('; ')}.`,
      lost[0]![1][0],
    ),
  ];
}

function observe(fault: FaultId, explanation: string, passage: Passage | undefined): LossObservation {
  return {
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A',
    explanation,
    ...(passage === undefined ? {} : { portKinds: [passage.portKind], evidence: evidenceOf(passage) }),
  };
}

function isSip(bytes: Uint8Array): boolean {
  return /^[^\r\n]*\bSIP\/2\.0\b/.test(textOf(bytes, 0, Math.min(bytes.length, 400)));
}

function isLost(passage: Passage): boolean {
  return passage.received === undefined;
}

function hasArrived(passage: Passage): boolean {
  return passage.received !== undefined;
}
