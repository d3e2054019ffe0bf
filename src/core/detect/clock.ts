/**
 * Two clocks brought together: of several round trips the quickest tells best what the other clock said in the middle of
 * it (as NTP's clock filter does, RFC 5905 §10).
 */
export interface RoundTrip {
  /** Of our clock. */
  readonly sentAt: number;
  readonly receivedAt: number;
  /** Of the other clock, somewhere in between. */
  readonly at: number;
}

export interface ClockOffset {
  /** What has to be added to our time to have theirs, in milliseconds. */
  readonly offsetMs: number;
  /** Half the quickest round trip: the offset is not wrong by more. */
  readonly uncertaintyMs: number;
  readonly roundTripMs: number;
}

export function clockOffset(trips: readonly RoundTrip[]): ClockOffset | undefined {
  let best: RoundTrip | undefined;
  for (const trip of trips)
    if (best === undefined || trip.receivedAt - trip.sentAt < best.receivedAt - best.sentAt) best = trip;
  if (best === undefined) return undefined;
  const roundTripMs = best.receivedAt - best.sentAt;
  return {
    offsetMs: best.at - (best.sentAt + best.receivedAt) / 2,
    uncertaintyMs: roundTripMs / 2,
    roundTripMs,
  };
}
