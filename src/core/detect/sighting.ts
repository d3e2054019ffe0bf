/** What one end saw: the raw material of every verdict. */
import type { Endpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';

export interface Sighting {
  /** Of the end's own monotonic clock; only differences mean something, and `clock.ts` brings two together. */
  readonly at: TimeMs;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly bytes: Uint8Array;
}
