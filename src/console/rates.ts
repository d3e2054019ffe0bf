/**
 * How much there was to do in the last hour: counters, looked at every few seconds, so that the page shows more than what came
 * since it was opened. Looking costs microseconds; calls are looked at as well, so that who heard whom is known when they end.
 */
import type { StatusReport } from '../gateway/status-report.ts';

export interface Sample {
  readonly at: number;
  /** Messages since the start. */
  readonly messages: number;
  /** Media packets that crossed between this sample and the one before. */
  readonly packets: number;
  readonly calls: number;
}

/** An hour of samples of five seconds. */
const MOST_SAMPLES = 720;

export class Rates {
  readonly #samples: Sample[] = [];
  /** Packets of a call at the last look. */
  #packets = new Map<string, number>();

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  take({ messages, calls, callCount }: StatusReport, at: number): void {
    const packets = new Map<string, number>();
    let crossed = 0;
    for (const { callId, media } of calls) {
      const sum = media.reduce((total, one) => total + (one.fromPhone ?? 0) + (one.toPhone ?? 0), 0);
      packets.set(callId, sum);
      crossed += Math.max(0, sum - (this.#packets.get(callId) ?? 0));
    }
    this.#packets = packets;
    this.#samples.push({
      at,
      messages: messages.translated + messages.passed + messages.dropped,
      packets: crossed,
      calls: callCount,
    });
    if (this.#samples.length > MOST_SAMPLES) this.#samples.shift();
  }
}
