/** What the kernel has dropped of floods and of strangers, read from the counters of its sets. */
import { type Address, addressOf } from '../core/net/address.ts';
import { FAMILIES, type Family, IPV4 } from './family.ts';
import type { NftElements } from './nft-elements.ts';
import { FLOOD_SETS } from './rate-rules.ts';

/** Packets dropped since the start. */
export interface Dropped {
  readonly tooFastPhones: number;
  readonly tooFastProviders: number;
  readonly strangers: number;
}

const LOOK_MS = 5_000;

type Name = keyof typeof FLOOD_SETS;

export class FloodWatch {
  readonly #kernel: NftElements;
  readonly #families: readonly Family[];
  /** By set and source, as last read: elements come and go, and their counts with them. */
  #last = new Map<string, number>();
  readonly #totals: Record<Name, number> = { phones: 0, providers: 0, strangers: 0 };

  constructor(kernel: NftElements, families: readonly Family[]) {
    this.#kernel = kernel;
    this.#families = families.includes(IPV4) ? families : FAMILIES;
  }

  get dropped(): Dropped {
    const { phones, providers, strangers } = this.#totals;
    return { tooFastPhones: phones, tooFastProviders: providers, strangers };
  }

  /** Looks every now and then, and tells of phones and providers that have sent too much. */
  watch(tell: (code: string, what: unknown) => void): NodeJS.Timeout {
    return setInterval(() => {
      try {
        this.look((side, source, packets) =>
          tell(
            'linux.too-fast',
            `the ${side} ${source} sends faster than its limit: ${packets} packets dropped, or not looked at where IPv6 is routed (messages-per-second-per-${side})`,
          ),
        );
      } catch (error) {
        tell('linux.floods', error);
      }
    }, LOOK_MS);
  }

  /** Reads the counters; tells of phones and providers that have sent too much since the last time. */
  look(tell: (side: 'phone' | 'provider', source: Address, packets: number) => void): void {
    const seen = new Map<string, number>();
    for (const name of Object.keys(FLOOD_SETS) as Name[])
      for (const { suffix } of this.#families)
        for (const [key, packets] of this.#kernel.counts(`${FLOOD_SETS[name]}${suffix}`)) {
          const id = `${name} ${key}`;
          seen.set(id, packets);
          const before = this.#last.get(id) ?? 0;
          // An element that is there anew, or a table that was written again, counts from nothing.
          const more = packets >= before ? packets - before : packets;
          this.#totals[name] += more;
          if (more > 0 && name !== 'strangers')
            tell(name === 'phones' ? 'phone' : 'provider', addressOf(Buffer.from(key, 'latin1')), more);
        }
    this.#last = seen;
  }
}
