/** Time inside core is a number that the caller passes in: milliseconds since the epoch. Core never reads a clock. */
export type TimeMs = number;

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
