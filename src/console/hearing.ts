/** Who hears whom in a call, in words: from the packets that crossed each way. */
import type { MediaStatus } from '../gateway/status-report.ts';

export interface Hearing {
  readonly good: boolean;
  readonly text: string;
}

/** Before that, silence means nothing: the first packets are on their way, and phones play before they speak. */
const PATIENCE_MS = 3_000;

/** Undefined: nobody counts, or it is too early to say. */
export function hearing(
  media: readonly MediaStatus[],
  state: string,
  answeredAt: number | undefined,
  now: number,
): Hearing | undefined {
  const counted = media.filter((one) => one.fromPhone !== undefined && one.toPhone !== undefined);
  if (counted.length === 0 || state === 'ringing' || state === 'failed' || state === 'cancelled')
    return undefined;
  const out = counted.reduce((sum, one) => sum + (one.fromPhone ?? 0), 0);
  const into = counted.reduce((sum, one) => sum + (one.toPhone ?? 0), 0);
  const past = state === 'ended';
  if (out > 0 && into > 0)
    return { good: true, text: past ? 'Both sides heard each other.' : 'Both sides hear each other.' };
  if (!past && (answeredAt === undefined || now - answeredAt < PATIENCE_MS)) return undefined;
  if (out === 0 && into === 0)
    return {
      good: false,
      text: past
        ? 'No audio crossed in either direction.'
        : 'No audio crosses in either direction: neither the phone nor the far end sends any to where it belongs.',
    };
  return out > 0
    ? {
        good: false,
        text: `One-way audio: the phone ${past ? 'sent' : 'sends'}, but nothing ${past ? 'came' : 'comes'} back from the provider. The caller at the phone ${past ? 'heard' : 'hears'} silence.`,
      }
    : {
        good: false,
        text: `One-way audio: the provider ${past ? 'sent' : 'sends'}, but nothing ${past ? 'came' : 'comes'} from the phone. The far end ${past ? 'heard' : 'hears'} silence.`,
      };
}
