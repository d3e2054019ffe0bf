/**
 * Connections that are silent: after a registration over TCP nothing is said for some time, and then the server calls. Each time has
 * a connection to the SIP port and one to the control port; they wait at the same time.
 *
 * Fact: a NAT has to keep an established connection for 2 hours and 4 minutes (RFC 5382 REQ-5); many keep it for less, and tell
 * nobody when they forget it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { faultById } from '../../core/detect/faults.ts';
import { describeLifetime, type IdleSample, lifetimeOf } from '../../core/detect/lifetime.ts';
import type { Passage } from '../../core/detect/passage.ts';
import { phoneRequest, serverRequest } from '../../core/detect/probe.ts';
import { formatEndpoint } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import type { Stand } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';
import { Stream, StreamError } from './stream.ts';

const STEP = 'tcp-idle';

interface Silence extends IdleSample {
  readonly passage: Passage;
}

/** `opened` is told when all connections are made: which of them is whose can be told of one at a time only. */
export async function measureTcpIdle(
  stand: Stand,
  idleTimesMs: readonly number[],
  opened: () => void,
): Promise<StepResult> {
  const near = stand.control.places(
    ({ address, transport }) => address === stand.address && transport === 'tcp',
  );
  const sip = near.find(({ role }) => role === 'sip');
  const control = near.find(({ role }) => role === 'control');
  if (sip === undefined) throw new NotChecked('the reflector has no TCP port 5060');
  const onSip: Stream[] = [];
  const onControl: Stream[] = [];
  try {
    for (const _ of idleTimesMs) {
      for (const [place, streams] of [
        [sip, onSip],
        [control, onControl],
      ] as const) {
        const stream = place === undefined ? undefined : await register(stand, place);
        if (stream !== undefined) streams.push(stream);
      }
    }
    opened();
    if (onSip.length < idleTimesMs.length) throw new NotChecked('no REGISTER arrives over TCP');
    const silences = (streams: readonly Stream[]): Promise<Silence[]> =>
      Promise.all(streams.map((stream, i) => callAfter(stand, stream, idleTimesMs[i]!)));
    const [calls, others] = await Promise.all([silences(onSip), silences(onControl)]);
    const lifetime = lifetimeOf(calls);
    const facts: Fact[] = [
      {
        id: 'lifetime-tcp',
        text: `A silent TCP connection to the SIP port lives ${describeLifetime(lifetime)}; to the control port ${describeLifetime(lifetimeOf(others))}.`,
      },
    ];
    const dead = calls.find(({ alive, idleMs }) => !alive && idleMs === lifetime.deadMs);
    return {
      result: `a silent connection lives ${describeLifetime(lifetime)}`,
      facts,
      observations: dead === undefined || lifetime.contradictory ? [] : [observe(dead)],
    };
  } finally {
    opened();
    for (const stream of [...onSip, ...onControl]) stream.close();
  }
}

async function register(stand: Stand, place: Place): Promise<Stream | undefined> {
  let stream: Stream;
  try {
    stream = await Stream.open(stand, place, undefined);
  } catch (error) {
    if (error instanceof StreamError) return undefined;
    throw error;
  }
  const [out] = await stream.sendOut({ step: STEP, what: 'REGISTER over TCP, before a pause' }, [
    phoneRequest({
      ...{ id: stand.newId(), method: 'REGISTER', transport: 'TCP', dress: 'plain' },
      inside: stream.local,
      server: place,
    }),
  ]);
  if (out?.received !== undefined) return stream;
  stream.close();
  return undefined;
}

async function callAfter(stand: Stand, stream: Stream, idleMs: number): Promise<Silence> {
  await sleep(idleMs);
  const outside = stream.outside ?? stream.local;
  const call = serverRequest({
    ...{ id: stand.newId(), method: 'INVITE', transport: 'TCP', dress: 'plain' },
    server: stream.place,
    outside,
    requestUri: `sip:phone@${formatEndpoint(outside)};transport=tcp`,
  });
  const label = { step: STEP, what: `INVITE over TCP after ${Math.round(idleMs / 1000)} s of silence` };
  const [passage] = await stream.sendIn(label, [call]);
  // A connection that is closed takes nothing any more, and that was heard.
  const none: Passage = {
    ...{ id: '', ...label, direction: 'to-client', transport: 'tcp', portKind: 'sip' },
    ...{ inside: stream.local, outside, server: stream.place, sent: call, sentAt: performance.now() },
    ...{ received: undefined, receivedAt: undefined, deliveredTo: undefined, tries: 1, recognised: false },
  };
  return { idleMs, alive: passage?.received !== undefined, passage: passage ?? none };
}

function observe({ idleMs, passage }: Silence): BehaviourObservation {
  return {
    fault: 'TCP-IDLE',
    severity: faultById('TCP-IDLE').severity,
    consistent: false,
    confidence: 'A',
    explanation: `After ${Math.round(idleMs / 1000)} s without traffic a call no longer comes in over the connection on which the phone has registered.`,
    portKinds: ['sip'],
    evidence: evidenceOf(passage),
  };
}
