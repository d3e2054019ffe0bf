/**
 * Full load for minutes: all kinds of messages in turn, as many as one core of the router carries beside the load. No message may be
 * lost that a stated limit did not drop; what was dropped, the gateway says itself.
 */
import { BareLoad, KINDS, type Kind } from './bare.ts';
import { Daemon } from './daemon.ts';
import { BenchNetwork, PROVIDER } from './network.ts';

const PHONES = 100;
const TURN_S = 10;
const WARM_UP_PER_S = 3_000;
/** Messages a second, both directions. */
const RATES: Readonly<Record<Kind, number>> = { OPTIONS: 15_000, REGISTER: 12_000, INVITE: 9_000 };

export interface FullLoadResult {
  readonly minutes: number;
  readonly requests: number;
  readonly unanswered: number;
  /** By overload and by limits on senders, as status tells. */
  readonly dropped: number;
  readonly processUs: Readonly<Record<Kind, number>>;
  readonly firstMb: number;
  readonly lastMb: number;
}

export async function measureFullLoad(
  minutes: number,
  told: (text: string) => void,
): Promise<FullLoadResult> {
  const network = new BenchNetwork(PHONES, 'nat');
  let daemon: Daemon | undefined;
  try {
    daemon = await Daemon.start(network, 'info', {
      config:
        '[limits]\nmessages-per-second-per-phone = 1000000\nmessages-per-second-per-provider = 1000000\n',
    });
    const load = new BareLoad(network, PHONES, { address: PROVIDER, port: 5060 });
    try {
      // Each phone has a call from the first turn on: an INVITE is one of a call that is up.
      for (const kind of KINDS) await load.warmUp(kind, WARM_UP_PER_S);
      const cost: Record<Kind, { cpuS: number; messages: number }> = {
        OPTIONS: { cpuS: 0, messages: 0 },
        REGISTER: { cpuS: 0, messages: 0 },
        INVITE: { cpuS: 0, messages: 0 },
      };
      let requests = 0;
      let unanswered = 0;
      let firstMb: number | undefined;
      const untilMs = performance.now() + minutes * 60_000;
      for (let turn = 0; performance.now() < untilMs || turn < KINDS.length; turn++) {
        const kind = KINDS[turn % KINDS.length]!;
        const before = daemon.cpuS();
        const result = await load.run(kind, RATES[kind] / (kind === 'INVITE' ? 3 : 2), TURN_S);
        cost[kind].cpuS += daemon.cpuS() - before;
        cost[kind].messages += result.messages;
        requests += result.requests;
        unanswered += result.requests - result.answered;
        if (turn === KINDS.length - 1) firstMb = daemon.memory().residentMb;
        told(`${kind}: ${result.requests} requests, ${result.requests - result.answered} unanswered`);
      }
      const status = await daemon.status();
      if (status === undefined) throw new Error('the gateway does not answer');
      const us = (kind: Kind): number => (cost[kind].cpuS / cost[kind].messages) * 1e6;
      return {
        ...{ minutes, requests, unanswered },
        dropped: Object.values(status.dropped).reduce((sum, one) => sum + one, status.messages.dropped),
        processUs: { OPTIONS: us('OPTIONS'), REGISTER: us('REGISTER'), INVITE: us('INVITE') },
        firstMb: firstMb ?? Number.NaN,
        lastMb: daemon.memory().residentMb,
      };
    } finally {
      load.close();
    }
  } finally {
    await daemon?.stop();
    network.close();
  }
}
