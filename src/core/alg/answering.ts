/**
 * Who has answered which phone in SIP: from whom its media may come in at once, and from whom not yet.
 *
 * A phone's offer opens a way in for media. Whoever can make a host send one datagram that looks like an INVITE (a browser, a
 * server that fetches what it is told to) must not open a port of that host by it. So nothing comes in before the far end
 * has shown that it speaks SIP with this phone: it has answered the INVITE, or an earlier request, or granted a
 * registration; or the operator has named it. Every ordinary call goes on as ever: media follows the 100 or 180 at the soonest.
 * (docs/decisions/0014-media-comes-in-from-who-answers.md)
 */
import { SmallSet } from '../nat/small-map.ts';
import type { Address } from '../net/address.ts';

export class Answering {
  readonly #peers = new Map<Address, SmallSet<Address>>();
  readonly #limit: number;
  #pairs = 0;

  /** Where there are too many, one of the phone that was noted first goes; it is noted anew with its next call. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  note(phone: Address, peer: Address): void {
    const known = this.#peers.get(phone);
    if (known?.has(peer) === true) return;
    if (known === undefined) this.#peers.set(phone, new SmallSet<Address>().add(peer));
    else known.add(peer);
    if (++this.#pairs <= this.#limit) return;
    const [phoneBefore, peersBefore] = this.#peers.entries().next().value!;
    const peerBefore = peersBefore.values().next().value!;
    peersBefore.delete(peerBefore);
    if (peersBefore.size === 0) this.#peers.delete(phoneBefore);
    this.#pairs--;
  }

  has(phone: Address, peer: Address): boolean {
    return this.#peers.get(phone)?.has(peer) === true;
  }
}
