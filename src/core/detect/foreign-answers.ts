/**
 * Answers that the server has not given: a response at the phone that repeats a request of ours and bears no mark of the
 * reflector. Where the reflector has answered the same request with the same status it is taken for that one, damaged.
 */
import { type Endpoint, formatEndpoint } from '../net/address.ts';
import { textOf } from '../sip/octets.ts';
import type { BehaviourObservation } from './check-report.ts';
import { faultById } from './faults.ts';
import { fieldText } from './field-text.ts';
import { printable } from './octet-text.ts';
import type { Passage } from './passage.ts';

/** What a socket of the phone has got, from anybody. */
export interface Sight {
  readonly remote: Endpoint;
  readonly bytes: Uint8Array;
}

export interface ForeignAnswer {
  readonly request: Passage;
  readonly remote: Endpoint;
  readonly bytes: Uint8Array;
}

/** In a tag of the reflector’s a letter stands before it. */
const ID = /[g-z]{34,35}/g;
/** One may be a stray; of two different requests it is a habit. */
const ENOUGH = 2;

/** `ofServer`: the ids of all that the reflector has sent. */
export function foreignAnswers(
  sights: readonly Sight[],
  passages: readonly Passage[],
  ofServer: ReadonlySet<string>,
): ForeignAnswer[] {
  const requests = new Map<string, Passage>();
  const given = new Map<string, Set<string>>();
  for (const passage of passages) {
    if (passage.direction === 'to-server') requests.set(passage.id, passage);
    else
      for (const id of idsIn(passage.sent))
        given.set(id, (given.get(id) ?? new Set()).add(statusOf(passage.sent) ?? ''));
  }
  const found: ForeignAnswer[] = [];
  for (const { remote, bytes } of sights) {
    const status = statusOf(bytes);
    if (status === undefined) continue;
    const ids = idsIn(bytes);
    if (ids.some((id) => ofServer.has(id))) continue;
    const request = ids.map((id) => requests.get(id)).find((one) => one !== undefined);
    if (request !== undefined && given.get(request.id)?.has(status) !== true)
      found.push({ request, remote, bytes });
  }
  return found;
}

/** `where`: what is known of the place that answers, as a sentence. */
export function proxyAnswer(all: readonly ForeignAnswer[], where = ''): BehaviourObservation | undefined {
  // A 100 is the word of the next hop alone (RFC 3261 §16.7): of a request that went on it says no more than that there is one.
  const answers = all.filter(
    ({ request, bytes }) => request.received === undefined || statusOf(bytes) !== '100',
  );
  const requests = new Set(answers.map(({ request }) => request.id));
  const [first] = answers;
  if (first === undefined || requests.size < ENOUGH) return undefined;
  const { request, bytes, remote } = first;
  const never = answers.filter((one) => one.request.received === undefined);
  const reached =
    never.length === 0
      ? 'beside the reflector’s own answers'
      : `of which ${new Set(never.map((one) => one.request.id)).size} never reached the reflector`;
  return {
    fault: 'PROXY-ANSWER',
    severity: faultById('PROXY-ANSWER').severity,
    consistent: false,
    confidence: 'A',
    explanation: `${requests.size} requests got an answer which the reflector has not given, ${reached}: “${startLine(bytes)}”${signature(bytes)}, from ${formatEndpoint(remote)}.${where}`,
    portKinds: [request.portKind],
    evidence: {
      what: `an answer to ${request.what} that the reflector has not given`,
      direction: 'to-client',
      transport: request.transport,
      server: `${request.portKind} port ${request.server.port}`,
      sent: new Uint8Array(),
      received: bytes,
      where: undefined,
    },
  };
}

export function startLine(bytes: Uint8Array): string {
  return printable(textOf(bytes, 0, Math.min(bytes.length, 120)).split('\r\n')[0]!);
}

/** What the answering program calls itself. */
function signature(bytes: Uint8Array): string {
  const name = fieldText(bytes, 'server') ?? fieldText(bytes, 'user-agent');
  return name === undefined ? '' : `, by “${printable(name.slice(0, 80))}”`;
}

function statusOf(bytes: Uint8Array): string | undefined {
  return /^SIP\/2\.0 (\d{3})/.exec(textOf(bytes, 0, Math.min(bytes.length, 16)))?.[1];
}

function idsIn(bytes: Uint8Array): string[] {
  return (textOf(bytes, 0, bytes.length).match(ID) ?? []).map((text) => text.slice(-34));
}
