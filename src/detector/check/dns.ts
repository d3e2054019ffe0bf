/**
 * DNS, as phones use it (RFC 3263): do the answers come as they were given? Two ways. A question and its answer between this machine and a
 * port 53 of the reflector, both of which are known octet for octet: a NAT that edits addresses in DNS (RFC 2694) or a box that
 * answers in the server's place shows. And where the reflector's operator has named a domain, what this machine's own resolver, mostly
 * the router, says about it, beside what the reflector's says. Nobody else is asked anything.
 */
import { getServers } from 'node:dns';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { dnsAnswer, dnsQuestion, isDnsAnswer } from '../../core/detect/dns-message.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { faultById } from '../../core/detect/faults.ts';
import { isUnaltered, type Passage } from '../../core/detect/passage.ts';
import { isIPv6, isPrivate } from '../../core/net/address.ts';
import { lookUp, type NameRecords } from '../control/names.ts';
import type { Place } from '../control/protocol.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'dns';

export async function checkDns(stand: Stand): Promise<StepResult> {
  const [place] = stand.udp('dns');
  const { names = [] } = stand.control.welcome;
  const direct = place === undefined ? undefined : await askDirectly(stand, place);
  const resolver = names.length === 0 ? undefined : await askResolver(names);
  if (direct === undefined && resolver === undefined)
    throw new NotChecked(
      'the reflector has no port 53, and its operator has named no domain (sipalg reflector --domain)',
    );
  const done = [direct, resolver].filter((one) => one !== undefined);
  return {
    result: [
      direct?.result ?? 'a question to the reflector was not tried: it has no port 53',
      resolver?.result ??
        'the resolver was not checked: the reflector’s operator has named no domain (--domain)',
    ].join('; '),
    observations: done.flatMap(({ observations = [] }) => observations),
    facts: done.flatMap(({ facts = [] }) => facts),
    addresses: [...getServers(), ...names.flatMap(({ type, values }) => (type === 'A' ? values : []))],
  };
}

async function askDirectly(stand: Stand, place: Place): Promise<StepResult> {
  const phone = await stand.phone();
  let question = new Uint8Array();
  const answers: Uint8Array[] = [];
  const stop = phone.listen(({ bytes }) => {
    if (question.length > 0 && isDnsAnswer(bytes, question)) answers.push(bytes);
  });
  const number = Math.floor(Math.random() * 65_536);
  const asked = await stand.sendOut(
    phone,
    place,
    { step: STEP, what: 'a question to a name server' },
    (id) => {
      question = new Uint8Array(dnsQuestion(number, `_sip._udp.${id}.invalid`));
      return question;
    },
  );
  if (asked.received === undefined || answers.length > 0) {
    stop();
    if (answers[0] !== undefined)
      return {
        result: 'a question to the reflector is answered by somebody on the way',
        observations: [
          observe(
            `A question to ${place.address}, port 53, is answered although ${asked.received === undefined ? 'it never arrives there' : 'nothing was answered there yet'}: somebody on the way takes over what is sent to name servers.`,
            { ...asked, direction: 'to-client', sent: new Uint8Array(), received: answers[0] },
          ),
        ],
      };
    return {
      result: 'a question to the reflector does not arrive',
      facts: [
        {
          id: 'dns-closed',
          text: 'What is sent to name servers outside (UDP port 53) does not arrive; resolvers of one’s own choice cannot be used from here.',
        },
      ],
    };
  }
  const { received } = asked;
  const own = [phone.local.address, asked.outside?.address].filter(
    (address): address is string => address !== undefined && !isIPv6(address),
  );
  const answer = await stand.sendIn(phone, place, { step: STEP, what: 'an answer of a name server' }, (id) =>
    dnsAnswer(received, `${id}.invalid`, own),
  );
  stop();
  const altered = [asked, answer].find((one) => one !== undefined && isUnaltered(one) === false);
  if (altered !== undefined)
    return {
      result: 'a question to the reflector or its answer is altered on the way',
      observations: [
        observe(
          `${altered.what === asked.what ? 'A question to' : 'An answer of'} the name server at ${place.address} does not arrive as it was sent.`,
          altered,
        ),
      ],
    };
  return {
    result:
      answer?.received === undefined
        ? 'the answer to a question to the reflector does not arrive'
        : 'a question to the reflector and its answer arrive as they were sent',
  };
}

/** What this machine's resolver says, against what the reflector's does. Each difference is looked up twice. */
async function askResolver(names: readonly NameRecords[]): Promise<StepResult> {
  const servers = getServers().join(', ');
  const wrong: string[] = [];
  const elsewhere: string[] = [];
  let silent = 0;
  await Promise.all(
    names.map(async (truth) => {
      const differs = (found: NameRecords | undefined): found is NameRecords =>
        found !== undefined && found.values.join() !== truth.values.join();
      const found = await lookUp(truth.name, truth.type);
      if (found === undefined) silent++;
      if (!differs(found)) return;
      const again = await lookUp(truth.name, truth.type);
      if (!differs(again)) return;
      const text = `${truth.name} ${truth.type}: here ${again.values.join(', ') || 'nothing'}, there ${truth.values.join(', ')}`;
      (isByPlace(again, truth) ? elsewhere : wrong).push(text);
    }),
  );
  if (silent === names.length) return { result: `the resolver (${servers}) does not answer` };
  const facts: Fact[] = [];
  if (silent > 0)
    facts.push({
      id: 'dns-silent',
      text: `The resolver (${servers}) did not answer ${silent} of ${names.length} questions.`,
    });
  if (elsewhere.length > 0)
    facts.push({
      id: 'dns-by-place',
      text: `Some names have other public addresses here than at the reflector, as large providers have it on purpose: ${elsewhere.join('; ')}.`,
    });
  const other = wrong.length + elsewhere.length;
  return {
    result:
      other === 0
        ? `the resolver (${servers}) says of ${names.length} records what the reflector’s says`
        : `the resolver (${servers}) says something else of ${other} of ${names.length} records`,
    facts,
    observations:
      wrong.length === 0
        ? []
        : [
            {
              ...fault(
                `The resolver of this machine (${servers}) says something else than the reflector’s: ${wrong.join('; ')}. That may be meant so, where a domain has other answers inside.`,
              ),
              confidence: 'B',
            },
          ],
  };
}

/** Other addresses of the Internet: providers answer so by place. A private one, or none at all, is nobody's intention. */
function isByPlace(here: NameRecords, there: NameRecords): boolean {
  return (
    here.type === 'A' &&
    here.values.length > 0 &&
    (!here.values.some(isPrivate) || there.values.some(isPrivate))
  );
}

function fault(explanation: string): BehaviourObservation {
  return {
    fault: 'DNS-ALG',
    severity: faultById('DNS-ALG').severity,
    consistent: false,
    confidence: 'A',
    explanation,
  };
}

function observe(explanation: string, passage: Passage): BehaviourObservation {
  return { ...fault(explanation), evidence: evidenceOf(passage) };
}
