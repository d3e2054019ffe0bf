/**
 * What gets through here: other ports, TCP, TLS, WebSocket, IPv6. Each is proven by SIP that goes all the way and back, so
 * that nobody is told to try what does not work on this line.
 */
import { createSocket } from 'node:dgram';
import { isEditedCorrectly } from '../../core/detect/assessment.ts';
import type { BehaviourObservation, Workaround } from '../../core/detect/check-report.ts';
import { faultById } from '../../core/detect/faults.ts';
import { isUnaltered, type Passage } from '../../core/detect/passage.ts';
import { serverRequest } from '../../core/detect/probe.ts';
import { type Address, formatEndpoint, parseAddress } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import { Phone } from './phone.ts';
import { registerPhone } from './registration.ts';
import { portKindOf, type Stand, within } from './stand.ts';
import type { StepResult } from './step.ts';
import { Stream, StreamError, WRONG_KEY } from './stream.ts';
import { dialogue } from './streams.ts';

const STEP = 'workaround';

export async function tryWorkarounds(
  stand: Stand,
  pin: string | undefined,
): Promise<StepResult & { workarounds: readonly Workaround[] }> {
  const workarounds: Workaround[] = [];
  const observations: BehaviourObservation[] = [];
  const add = (remedy: Workaround['remedy'], what: string, passages: readonly Passage[] | string): void => {
    workarounds.push({ remedy, what, ...judge(passages, stand.passages) });
  };
  const near = stand.control.places(({ address }) => address === stand.address);
  for (const place of near.filter(({ transport, role }) => transport === 'udp' && role === 'other'))
    add('other-port', `UDP on port ${place.port}`, await overUdp(stand, await stand.phone(), place));
  for (const place of near.filter(
    ({ transport, role }) => transport !== 'udp' && (role !== 'control' || transport !== 'tcp'),
  )) {
    const what = `${NAMES[place.transport]} on port ${place.port}`;
    const first = await overStream(stand, place, pin);
    const isCutOff = (came: typeof first): boolean =>
      place.transport === 'tls' && typeof came === 'string' && came !== WRONG_KEY;
    const tried = isCutOff(first) ? await overStream(stand, place, pin) : first;
    add(remedyOf(place), what, tried);
    if (isCutOff(tried))
      observations.push({
        fault: 'TLS-BLOCK',
        severity: faultById('TLS-BLOCK').severity,
        consistent: false,
        // The reflector's own firewall may be the reason.
        confidence: 'B',
        explanation: `${what} does not come about (${String(tried)}), at two tries, while the control channel does, which is TLS as well. If no firewall at the reflector stops it, something on the way does.`,
        portKinds: [portKindOf(place)],
      });
    if (tried === WRONG_KEY)
      observations.push({
        fault: 'TLS-BLOCK',
        severity: faultById('TLS-BLOCK').severity,
        consistent: false,
        confidence: 'A',
        explanation: `${what}: ${WRONG_KEY}. Something on the way breaks TLS open.`,
        portKinds: [portKindOf(place)],
      });
  }
  const [v6] = stand.control.places(
    ({ address, transport, role }) => address.includes(':') && transport === 'udp' && role === 'sip',
  );
  if (stand.address.includes(':')) add('ipv6', 'IPv6', 'this check went over IPv6 already');
  else if (v6 === undefined) add('ipv6', 'IPv6', 'the reflector has no IPv6 address');
  else {
    add('ipv6', 'UDP over IPv6 on port 5060', await overIPv6(stand, v6));
    const [stream] = stand.control.places(
      ({ address, transport, role }) => address === v6.address && transport === 'tcp' && role === 'sip',
    );
    if (stream !== undefined) add('ipv6', 'TCP over IPv6 on port 5060', await overStream(stand, stream, pin));
  }
  const working = workarounds
    .filter(({ works }) => works === 'yes' || works === 'edited-correctly')
    .map(({ what }) => what);
  return {
    result: working.length === 0 ? 'none of them' : working.join(', '),
    observations,
    workarounds,
  };
}

const NAMES = { udp: 'UDP', tcp: 'TCP', tls: 'TLS', wss: 'WebSocket over TLS' } as const;

function remedyOf({ transport, role }: Place): Workaround['remedy'] {
  if (transport === 'tls' || transport === 'wss') return 'tls';
  return role === 'sip' ? 'tcp' : 'other-port';
}

/** What came of it: texts are reasons for which there is nothing to judge. */
function judge(
  passages: readonly Passage[] | string,
  all: readonly Passage[],
): Pick<Workaround, 'works' | 'result'> {
  if (typeof passages === 'string') {
    const isTried = passages === WRONG_KEY || /^(?:E[A-Z]+|no connection|the )/.test(passages);
    return { works: isTried && !/^the reflector/.test(passages) ? 'no' : 'not-checked', result: passages };
  }
  const lost = passages.filter(({ received }) => received === undefined).length;
  const altered = passages.filter((passage) => isUnaltered(passage) === false).length;
  if (passages.length === 0 || lost > 0) return { works: 'no', result: 'messages are lost' };
  if (altered === 0)
    return { works: 'yes', result: `all ${passages.length} messages arrive as they were sent, both ways` };
  const result = `all ${passages.length} messages arrive, ${altered} of them altered here too`;
  return isEditedCorrectly(passages, all)
    ? { works: 'edited-correctly', result: `${result}, by what is right` }
    : { works: 'edited', result };
}

/** REGISTER and its answer, and a call in. */
async function overUdp(stand: Stand, phone: Phone, place: Place): Promise<Passage[]> {
  const passages: Passage[] = [];
  const { request, registered } = await registerPhone(stand, phone, place, STEP);
  passages.push(request);
  if (registered === undefined) return passages;
  const { outside, answer } = registered;
  const call = await stand.sendIn(phone, place, { step: STEP, what: 'INVITE' }, (id) =>
    serverRequest({
      ...{ id, method: 'INVITE', transport: 'UDP', dress: 'plain', server: place, outside },
      requestUri: `sip:phone@${formatEndpoint(outside)}`,
    }),
  );
  for (const one of [answer, call]) if (one !== undefined) passages.push(one);
  return passages;
}

async function overStream(stand: Stand, place: Place, pin: string | undefined): Promise<Passage[] | string> {
  let stream: Stream;
  try {
    stream = await Stream.open(stand, place, pin);
  } catch (error) {
    if (error instanceof StreamError) return error.message;
    throw error;
  }
  try {
    return await dialogue(stand, stream);
  } finally {
    stream.close();
  }
}

async function overIPv6(stand: Stand, place: Place): Promise<Passage[] | string> {
  const local = await localTowards(place);
  if (local === undefined) return 'this machine has no way to IPv6 addresses';
  const phone = await Phone.open(local);
  try {
    const first = await stand.sendOut(phone, place, { step: STEP, what: 'a datagram' }, (id) =>
      Buffer.from(id.repeat(2)),
    );
    const outside = stand.outsideOf(phone, place);
    if (first.received === undefined || outside === undefined) return 'no connection: nothing arrives';
    if (!(await prove(stand, phone, place))) return 'no connection: nothing comes back';
    return await overUdp(stand, phone, place);
  } finally {
    phone.close();
  }
}

/** Shows the reflector that the phone's address is ours: a secret that it sends there comes back here. */
async function prove(stand: Stand, phone: Phone, place: Place): Promise<boolean> {
  const to = stand.outsideOf(phone, place);
  if (to === undefined) return false;
  const { promise, resolve } = Promise.withResolvers<void>();
  let secret = '';
  const stop = phone.listen(({ bytes }) => {
    const text = Buffer.from(bytes).toString('latin1');
    if (!/^[g-z]{30}$/.test(text)) return;
    secret = text;
    resolve();
  });
  for (let i = 0; i < 2 && secret === ''; i++) {
    await stand.control.ask({ kind: 'prove', place: place.place, to });
    await within(promise, stand.pace.patienceMs);
  }
  stop();
  return secret !== '' && (await stand.control.ask({ kind: 'proof', secret })).ok;
}

/** The address from which this machine would send there. No packet is sent for it. */
export function localTowards({
  address,
  port,
}: {
  readonly address: string;
  readonly port: number;
}): Promise<Address | undefined> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    socket.once('error', () => resolve(undefined));
    socket.connect(port, address, (...[error]: unknown[]) => {
      resolve(error === undefined ? parseAddress(socket.address().address) : undefined);
      socket.close();
    });
  });
}
