/**
 * Where a session may send to, and how much. Pure, so that its promise can be tested as one: no octet goes to an address
 * that is not the client's own, beyond as many as came from there.
 *
 * An address is proven by the control channel, which is TCP and so has been there and back, or by a secret that was sent
 * to it and came back over the control channel. To a proven address the session may send at any port from 1024 up (the
 * Contact or the description that a box has written may name one that has sent nothing); to any other only at an endpoint
 * that has sent a datagram with the session's tag, and never more octets than came from it.
 */
import { type Address, type Endpoint, endpointKey } from '../../core/net/address.ts';
import type { Limits } from './limits.ts';

export type Refusal = 'not-yours' | 'unproven' | 'port' | 'endpoints' | 'octets';

export const refusals: Readonly<Record<Refusal, string>> = {
  'not-yours': 'nothing has come from that endpoint, and its address is not proven to be yours',
  unproven: 'more octets than have come from that endpoint; prove the address first',
  port: 'ports below 1024 are not sent to, but where they have sent first',
  endpoints: 'too many endpoints that have sent nothing',
  octets: 'the session has sent as much as it may',
};

/** Endpoints that are remembered for one session. */
const MOST_HEARD = 4_096;
const MOST_PROVEN = 16;

export class Ledger {
  readonly #limits: Limits;
  readonly #proven = new Set<Address>();
  /** Octets that came from an endpoint, less those sent to it while its address was not proven. */
  readonly #heard = new Map<string, number>();
  readonly #named = new Set<string>();
  #octets = 0;

  constructor(limits: Limits, client: Address) {
    this.#limits = limits;
    this.#proven.add(client);
  }

  isProven(address: Address): boolean {
    return this.#proven.has(address);
  }

  prove(address: Address): boolean {
    if (this.#proven.size >= MOST_PROVEN) return false;
    this.#proven.add(address);
    return true;
  }

  /** A datagram with the session's tag has come. */
  hear(from: Endpoint, octets: number): void {
    const key = endpointKey(from);
    const known = this.#heard.get(key);
    if (known === undefined && this.#heard.size >= MOST_HEARD) return;
    this.#heard.set(key, (known ?? 0) + octets);
  }

  /** Books a datagram that is about to be sent; why not, where it may not be. */
  spend(to: Endpoint, octets: number): Refusal | undefined {
    if (!this.#fits(octets)) return 'octets';
    const key = endpointKey(to);
    const credit = this.#heard.get(key);
    if (this.#proven.has(to.address)) {
      if (credit === undefined && !this.#named.has(key)) {
        if (to.port < 1024) return 'port';
        if (this.#named.size >= this.#limits.namedEndpoints) return 'endpoints';
        this.#named.add(key);
      }
    } else {
      if (credit === undefined) return 'not-yours';
      if (octets > credit) return 'unproven';
      this.#heard.set(key, credit - octets);
    }
    this.#octets += octets;
    return undefined;
  }

  /** Books octets of a connection: it has been there and back, so that only the amount counts. */
  spendOnStream(octets: number): Refusal | undefined {
    if (!this.#fits(octets)) return 'octets';
    this.#octets += octets;
    return undefined;
  }

  #fits(octets: number): boolean {
    return this.#octets + octets <= this.#limits.sendOctets;
  }
}
