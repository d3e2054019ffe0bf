/**
 * Who has answered which phone in SIP: from whom its media may come in at once, and from whom not yet.
 *
 * A phone's offer opens a way in for media. Whoever can make a host send one datagram that looks like an INVITE (a browser, a
 * server that fetches what it is told to) must not open a port of that host by it. So nothing comes in before the far end
 * has shown that it speaks SIP with this phone: it has answered the INVITE, or an earlier request, or granted a
 * registration; or the operator has named it. Every ordinary call goes on as ever: media follows the 100 or 180 at the soonest.
 * (docs/decisions/0014-media-comes-in-from-who-answers.md)
 */
import type { Address } from '../net/address.ts';

export class Answering {
  readonly #pairs = new Set<string>();
  readonly #limit: number;

  /** The pair noted longest ago goes first; it is noted anew with its next call. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  note(phone: Address, peer: Address): void {
    const pair = `${phone} ${peer}`;
    if (this.#pairs.has(pair)) return;
    this.#pairs.add(pair);
    if (this.#pairs.size <= this.#limit) return;
    for (const oldest of this.#pairs) {
      this.#pairs.delete(oldest);
      break;
    }
  }

  has(phone: Address, peer: Address): boolean {
    return this.#pairs.has(`${phone} ${peer}`);
  }
}
