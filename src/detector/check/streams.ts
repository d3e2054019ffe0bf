/**
 * SIP over TCP: whole, cut at the places that hurt (in the middle of a header, of a token, of a line end, octet by octet),
 * two messages in one write, and one that takes several packets. The same on the control port beside it.
 */
import type { BehaviourObservation } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { type FaultId, faultById } from '../../core/detect/faults.ts';
import { isUnaltered, type Passage } from '../../core/detect/passage.ts';
import { contactUri, type Method, phoneRequest, responseTo, serverRequest } from '../../core/detect/probe.ts';
import { formatEndpoint } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';
import { Stream, StreamError } from './stream.ts';

const STEP = 'tcp';
const OCTETS_ALONE = 40;
const LARGE = 6_000;

/** How a message is written; `cuts` are places in it. */
interface Writing {
  readonly what: string;
  cuts(message: string): readonly number[];
}

const writings: readonly Writing[] = [
  { what: 'cut between header and body', cuts: (text) => [text.indexOf('\r\n\r\n') + 4] },
  { what: 'cut inside the topmost Via', cuts: (text) => [text.indexOf('z9hG4bK') + 3] },
  { what: 'cut between CR and LF', cuts: (text) => [text.indexOf('\r\nCall-ID') + 1] },
  { what: 'its first octets one by one', cuts: () => Array.from({ length: OCTETS_ALONE }, (_, i) => i + 1) },
];

export async function checkStreams(stand: Stand, isQuick: boolean): Promise<StepResult> {
  const places = (['sip', 'control'] as const).map(
    (role) =>
      stand.control.places(
        ({ transport, role: of, address }) => transport === 'tcp' && of === role && address === stand.address,
      )[0],
  );
  const [sip, control] = places;
  if (sip === undefined || control === undefined) throw new NotChecked('the reflector has no TCP ports');
  const onSip = await tryPlace(stand, sip, isQuick);
  const onControl = await tryPlace(stand, control, isQuick);
  const observations: BehaviourObservation[] = [];
  if (onSip.refused !== undefined) {
    if (onControl.refused !== undefined) throw new NotChecked(`no TCP connection: ${onSip.refused}`);
    observations.push(
      observe(
        'DROP-5060',
        `TCP to port 5060 does not open (${onSip.refused}), while it does to another port.`,
        undefined,
      ),
    );
    return { result: `port 5060 does not open: ${onSip.refused}`, observations };
  }
  const garbled = onSip.passages.filter(isGarbled);
  if (garbled.length > 1 && !onControl.passages.some(isLate)) {
    // Octets that were sent again on top of others cannot be compared with what was sent.
    for (const passage of garbled) stand.passages.splice(stand.passages.indexOf(passage), 1);
    observations.push({
      ...observe(
        'TCP-SEQ',
        `Over TCP on port 5060 messages arrive altered, and only after their octets were sent again, while nothing is late on another port: ${garbled.map(({ what }) => what).join('; ')}. The numbers of the stream were not adjusted to the edits.`,
        garbled[0],
      ),
      confidence: 'B',
    });
    return { result: `${garbled.length} messages on port 5060 arrive garbled`, observations };
  }
  const isWhole = onSip.passages.some(
    ({ what, received }) => !/ cut | one by one|in one write/.test(what) && received !== undefined,
  );
  const isBroken = ({ what, received, sent }: Passage): boolean =>
    received === undefined || (/cut|one by one|in one write/.test(what) && received.length < sent.length / 2);
  const brokenOnce = onSip.passages.filter(isBroken);
  // A line that is bad enough stops any stream for a while: what is somebody's doing happens again.
  const repeated = brokenOnce.length === 0 ? [] : (await tryPlace(stand, sip, isQuick)).passages;
  const broken = brokenOnce.filter(({ what, direction }) =>
    repeated.some((one) => one.what === what && one.direction === direction && isBroken(one)),
  );
  const samePlace = (passage: Passage): boolean =>
    onControl.passages.some(
      ({ what, direction, received }) =>
        what === passage.what && direction === passage.direction && received !== undefined,
    );
  const first = broken.find(samePlace);
  if (isWhole && first !== undefined)
    observations.push(
      observe(
        'TCP-SEG',
        `Over TCP on port 5060 this does not get through, while it does on another port: ${broken.map(({ what }) => what).join('; ')}.`,
        first,
      ),
    );
  const cutAnew = onSip.chunks > 1 && onControl.chunks === 1;
  const again = cutAnew ? await Promise.all([sip, control].map((place) => chunksOf(stand, place))) : [];
  if (cutAnew && again[0]! > 1 && again[1] === 1)
    observations.push({
      ...observe(
        'PROXY-TCPSPLIT',
        'What is written to TCP port 5060 at once arrives in several pieces, at both of two tries, and not so on another port: somebody takes the stream apart.',
        undefined,
      ),
      confidence: 'B',
    });
  return {
    result: `${onSip.passages.length} messages on port 5060, ${broken.length} lost${cutAnew ? '; they are cut anew on the way' : ''}`,
    observations,
  };
}

/** TCP sends again after 200 ms at the least (Linux; RFC 6298 has 1 s). */
const SENT_AGAIN_MS = 180;

function isLate({ direction, sentAt, receivedAt }: Passage): boolean {
  // The server's clock is another one.
  return direction === 'to-server' && receivedAt !== undefined && receivedAt - sentAt > SENT_AGAIN_MS;
}

function isGarbled(passage: Passage): boolean {
  return isLate(passage) && isUnaltered(passage) === false;
}

/** In how many reads a message comes out that is written at once; 0 where no connection opens. */
async function chunksOf(stand: Stand, place: Place): Promise<number> {
  try {
    const stream = await Stream.open(stand, place, undefined);
    await dialogue(stand, stream);
    stream.close();
    return stream.serverChunks;
  } catch (error) {
    if (error instanceof StreamError) return 0;
    throw error;
  }
}

interface Tried {
  readonly passages: readonly Passage[];
  /** Reads in which a message came out that was written at once. */
  readonly chunks: number;
  readonly refused?: string;
}

async function tryPlace(stand: Stand, place: Place, isQuick: boolean): Promise<Tried> {
  const passages: Passage[] = [];
  let chunks = 0;
  const on = async (work: (stream: Stream) => Promise<Passage[]>): Promise<string | undefined> => {
    let stream: Stream;
    try {
      stream = await Stream.open(stand, place, undefined);
    } catch (error) {
      if (error instanceof StreamError) return error.message;
      throw error;
    }
    try {
      passages.push(...(await work(stream)));
      return undefined;
    } finally {
      stream.close();
    }
  };
  const refused = await on(async (stream) => {
    const found = await dialogue(stand, stream);
    chunks = stream.serverChunks;
    return found;
  });
  if (refused !== undefined) return { passages, chunks, refused };
  for (const { what, cuts } of isQuick ? writings.slice(0, 1) : writings) {
    await on((stream) => {
      const message = request(stand, stream, 'INVITE');
      const text = Buffer.from(message).toString('latin1');
      return stream.sendOut({ step: STEP, what: `INVITE over TCP, ${what}` }, [message], cuts(text));
    });
  }
  await on((stream) =>
    stream.sendOut({ step: STEP, what: 'two messages over TCP in one write' }, [
      request(stand, stream, 'OPTIONS'),
      request(stand, stream, 'REGISTER'),
    ]),
  );
  await on((stream) =>
    stream.sendOut({ step: STEP, what: `INVITE over TCP of ${LARGE} octets` }, [
      request(stand, stream, 'INVITE', LARGE),
    ]),
  );
  return { passages, chunks };
}

/** REGISTER and INVITE out, each answered; then an INVITE in, answered as well. */
export async function dialogue(stand: Stand, stream: Stream): Promise<Passage[]> {
  const { place } = stream;
  const name = place.transport.toUpperCase() as 'TCP' | 'TLS' | 'WSS';
  const passages: Passage[] = [];
  let contact: string | undefined;
  for (const method of ['REGISTER', 'INVITE'] as const) {
    const [out] = await stream.sendOut({ step: STEP, what: `${method} over ${name}` }, [
      request(stand, stream, method),
    ]);
    passages.push(out!);
    if (out!.received === undefined) return passages;
    if (method === 'REGISTER') contact = contactUri(out!.received);
    const answer = responseTo({
      ...{
        id: stand.newId(),
        request: out!.received,
        status: 200,
        reason: 'OK',
        own: place,
        transport: name,
      },
      source: stream.outside,
      media: method === 'INVITE' ? [32_100] : undefined,
      bindings: method === 'REGISTER' && contact !== undefined ? [contact] : undefined,
    });
    passages.push(...(await stream.sendIn({ step: STEP, what: `200 to ${method} over ${name}` }, [answer])));
  }
  const outside = stream.outside ?? stream.local;
  const call = serverRequest({
    ...{ id: stand.newId(), method: 'INVITE', transport: name, dress: 'plain', server: place, outside },
    requestUri: contact ?? `sip:phone@${formatEndpoint(outside)}`,
  });
  passages.push(...(await stream.sendIn({ step: STEP, what: `INVITE over ${name}` }, [call])));
  return passages;
}

function request(stand: Stand, stream: Stream, method: Method, size?: number): Uint8Array {
  return phoneRequest({
    ...{
      id: stand.newId(),
      method,
      dress: 'plain',
      inside: stream.local,
      server: stream.place,
      media: [16_500],
    },
    transport: stream.place.transport.toUpperCase() as 'TCP' | 'TLS' | 'WSS',
    ...(size === undefined ? {} : { size }),
  });
}

function observe(fault: FaultId, explanation: string, passage: Passage | undefined): BehaviourObservation {
  return {
    fault,
    severity: faultById(fault).severity,
    consistent: false,
    confidence: 'A',
    explanation,
    portKinds: ['sip'],
    ...(passage === undefined ? {} : { evidence: evidenceOf(passage) }),
  };
}
