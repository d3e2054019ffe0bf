/** What the path does to datagrams that nobody could take for SIP: its delay and loss, before anything is blamed on a box. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClockOffset, clockOffset, type RoundTrip } from '../../core/detect/clock.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Phone } from './phone.ts';
import type { Stand } from './stand.ts';

export interface Baseline {
  readonly clock: ClockOffset | undefined;
  /** Datagrams to and from the control port, sent and lost. */
  readonly sent: number;
  readonly lost: number;
}

const PINGS = 5;
const DATAGRAMS = 10;

export async function measureBaseline(stand: Stand, phone: Phone): Promise<Baseline> {
  const trips: RoundTrip[] = [];
  for (let i = 0; i < PINGS; i++) {
    const sentAt = performance.now();
    const outcome = await stand.control.ask({ kind: 'ping' });
    if (outcome.ok) trips.push({ sentAt, receivedAt: performance.now(), at: outcome.at });
  }
  const [place] = stand.udp('control');
  if (place === undefined) return { clock: clockOffset(trips), sent: 0, lost: 0 };
  const pace = { ...stand.pace, tries: 1 };
  let sent = 0;
  let lost = 0;
  for (let i = 0; i < DATAGRAMS; i++) {
    const label = { step: 'baseline', what: 'a datagram' };
    const out = await stand.sendOut(phone, place, label, (id) => octetsOf(id), pace);
    sent++;
    if (out.received === undefined) lost++;
    else {
      const back = await stand.sendIn(phone, place, label, (id) => octetsOf(id), undefined, pace);
      if (back !== undefined) {
        sent++;
        if (back.received === undefined) lost++;
      }
    }
    // Half of a path that is dead is enough to know.
    if (i === 2 && lost === 3) break;
    await sleep(stand.pace.gapMs);
  }
  return { clock: clockOffset(trips), sent, lost };
}
