/**
 * Transactions, as far as a NAT has to remember them: what the phone wrote into its Via, and where its answer has to go.
 *
 * Facts: a response carries the branch and the CSeq method of its request (RFC 3261 §17.1.3); a CANCEL has the branch of
 * the INVITE that it cancels (§9.1), and the ACK to a failure too (§17.1.1.3); elements of RFC 2543 send no branch, so
 * Call-ID and CSeq stand beside it. An INVITE may ring for long: each provisional response keeps it.
 */

import { ExpiringMap } from '../nat/expiring-map.ts';
import { Tally } from '../nat/tally.ts';
import type { Address, Endpoint } from '../net/address.ts';
import type { ConnectionId } from '../net/flow.ts';
import { MINUTE_MS, SECOND_MS, type TimeMs } from '../net/time.ts';
import type { Message } from '../sip/message.ts';
import { SP } from '../sip/octets.ts';
import type { Initiator } from './dialogs.ts';
import type { MappingId } from './io.ts';

/** What is remembered of a request. */
export interface Remembered {
  readonly phone: Address;
  readonly mapping: MappingId;
  /** Sent by the phone: the sent-by of its topmost Via, as written. */
  readonly sentBy: string;
  /** Sent by the phone: where its response goes. Sent by the provider: where it came from. */
  readonly peer: Endpoint;
  /** It went on as it came, and so does its response. */
  readonly observed: boolean;
  /** The connection that it came on, and that its response goes back on (RFC 3261 §18.2.2). */
  readonly connection: ConnectionId | undefined;
}

export interface Transaction extends Remembered {
  readonly initiator: Initiator;
  readonly method: string;
  readonly cseq: number;
  readonly callId: string;
  /** Where it stands in its table. */
  readonly key: string;
}

/** An INVITE without any response is forgotten after this; timer C is more than 3 min (RFC 3261 §16.6). */
const INVITE_MS = 5 * MINUTE_MS;
/** 64·T1, with room for slow links (RFC 3261 §17.1.2.2, timer F). */
const OTHER_MS = 64 * SECOND_MS;

/** Begins the branch of the Via that the explicit mode puts on top; the other side's branch follows (RFC 3261 §16.6). */
export const OWN_BRANCH = 'z9hG4bK-sipalg-';

/**
 * By branch, which is unique as a rule (RFC 3261 §8.1.1.7). Where one branch means several transactions at a time (CANCEL and
 * ACK, two phones of which one calls the other, elements that send none or always the same), all but the first stand under
 * everything that tells them apart: a key that takes longer to make than all else that is done for a transaction.
 */
export class Transactions {
  readonly #invite: ExpiringMap<Transaction>;
  readonly #other: ExpiringMap<Transaction>;
  readonly #perPhone = new Tally();
  readonly #limitPerPhone: number;
  /** How many stand under a long key. */
  #crowded = 0;

  constructor(limit: number, limitPerPhone: number) {
    const gone = ({ phone, key }: Transaction): void => {
      this.#perPhone.remove(phone);
      if (isLong(key)) this.#crowded--;
    };
    this.#invite = new ExpiringMap(INVITE_MS, limit, gone);
    this.#other = new ExpiringMap(OTHER_MS, limit, gone);
    this.#limitPerPhone = limitPerPhone;
  }

  get size(): number {
    return this.#invite.size + this.#other.size;
  }

  /** Remembers a request; the limit that was met, for which the oldest had to go, or which this phone has reached. */
  open(
    message: Message,
    initiator: Initiator,
    { phone, mapping, sentBy, peer, observed, connection }: Remembered,
    now: TimeMs,
  ): 'transactions' | 'transactions-per-phone' | undefined {
    const table = this.#table(message);
    const { method, cseq, callId } = message;
    const known = this.#look(message, initiator, phone, now)?.key;
    if (known === undefined && this.#perPhone.of(phone) >= this.#limitPerPhone) {
      // What has ended and was not looked at since makes room.
      table.expire(now);
      if (this.#perPhone.of(phone) >= this.#limitPerPhone) return 'transactions-per-phone';
    }
    const branch = branchOf(message);
    const key = known ?? (table.get(branch, now) === undefined ? branch : longKey(message, initiator, phone));
    if (known === undefined) {
      this.#perPhone.add(phone);
      if (isLong(key)) this.#crowded++;
    }
    return table.set(
      key,
      { phone, mapping, sentBy, peer, observed, connection, initiator, method, cseq, callId, key },
      now,
    )
      ? 'transactions'
      : undefined;
  }

  /** The transaction that a response belongs to; a provisional response to INVITE keeps it. */
  find(message: Message, initiator: Initiator, phone: Address, now: TimeMs): Transaction | undefined {
    const found = this.#look(message, initiator, phone, now);
    if (found !== undefined && message.method === 'INVITE' && message.status < 200)
      this.#invite.set(found.key, found, now);
    return found;
  }

  #look(message: Message, initiator: Initiator, phone: Address, now: TimeMs): Transaction | undefined {
    const table = this.#table(message);
    const found = table.get(branchOf(message), now);
    if (
      found !== undefined &&
      found.cseq === message.cseq &&
      found.initiator === initiator &&
      found.method === message.method &&
      found.phone === phone &&
      found.callId === message.callId
    )
      return found;
    return this.#crowded === 0 ? undefined : table.get(longKey(message, initiator, phone), now);
  }

  #table(message: Message): ExpiringMap<Transaction> {
    return message.method === 'INVITE' ? this.#invite : this.#other;
  }
}

/** Begins with what no branch begins with. */
function longKey(message: Message, initiator: Initiator, phone: Address): string {
  return ` ${phone} ${initiator} ${branchOf(message)} ${message.method} ${message.cseq} ${message.callId}`;
}

function isLong(key: string): boolean {
  return key.charCodeAt(0) === SP;
}

/** The branch of the topmost Via; where that is our own, the branch of the Via below it, from which ours was made. */
export function branchOf({ branch }: Message): string {
  return branch.startsWith(OWN_BRANCH) ? branch.slice(OWN_BRANCH.length) : branch;
}
