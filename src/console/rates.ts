/**
 * How much there was to do in the last hour: counters, looked at every other second, so that the page shows more than what came
 * since it was opened. Looking costs microseconds; calls are looked at as well, so that who heard whom is known when they end.
 */
import type { Activity } from '../gateway/status-report.ts';

export interface Sample {
  readonly at: number;
  /** Messages since the start. */
  readonly messages: number;
  /** Media packets that crossed between this sample and the one before. */
  readonly packets: number;
  readonly calls: number;
}

/** An hour, at one in five seconds. */
const MOST_SAMPLES = 720;
const SAMPLE_MS = 5_000;

export class Rates {
  readonly #samples: Sample[] = [];
  /** Packets of a call at the last look. */
  #packets = new Map<string, number>();
  /** Since the last sample. */
  #crossed = 0;

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Called more often than that: calls are short. */
  take({ messages, calls, callCount }: Activity, at: number): void {
    const packets = new Map<string, number>();
    for (const { callId, media } of calls) {
      const sum = media.reduce((total, one) => total + (one.fromPhone ?? 0) + (one.toPhone ?? 0), 0);
      packets.set(callId, sum);
      this.#crossed += Math.max(0, sum - (this.#packets.get(callId) ?? 0));
    }
    this.#packets = packets;
    const last = this.#samples.at(-1);
    // A timer may be a little early.
    if (last !== undefined && at - last.at < SAMPLE_MS - 500) return;
    this.#samples.push({
      at,
      messages: messages.translated + messages.passed + messages.dropped,
      packets: this.#crossed,
      calls: callCount,
    });
    this.#crossed = 0;
    if (this.#samples.length > MOST_SAMPLES) this.#samples.shift();
  }
}
