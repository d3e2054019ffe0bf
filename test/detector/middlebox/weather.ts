/** A line on which packets are lost and overtake each other, by chance that can be repeated. */
import type { Behaviour } from './box.ts';

export interface Weather {
  /** Of one packet, in either direction. */
  readonly lossRate: number;
  /** Packets that are late by up to `latenessMs`, so that others overtake them. */
  readonly lateRate: number;
  readonly latenessMs: number;
}

export const badWeather: Weather = { lossRate: 0.05, lateRate: 0.1, latenessMs: 30 };

export function weather({ lossRate, lateRate, latenessMs }: Weather, seed: number): Behaviour {
  const random = generator(seed);
  return {
    delay() {
      if (random() < lossRate) return undefined;
      return random() < lateRate ? Math.ceil(random() * latenessMs) : 0;
    },
  };
}

/** Mulberry32: small, and good enough for weather. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
