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
import { textOf } from '../sip/octets.ts';
import type { MappingId } from './io.ts';

export interface Transaction {
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

/** An INVITE without any response is forgotten after this; timer C is more than 3 min (RFC 3261 §16.6). */
const INVITE_MS = 5 * MINUTE_MS;
/** 64·T1, with room for slow links (RFC 3261 §17.1.2.2, timer F). */
const OTHER_MS = 64 * SECOND_MS;

/** Begins the branch of the Via that the explicit mode puts on top; the other side's branch follows (RFC 3261 §16.6). */
export const OWN_BRANCH = 'z9hG4bK-sipalg-';

export class Transactions {
  readonly #invite: ExpiringMap<Transaction>;
  readonly #other: ExpiringMap<Transaction>;
  readonly #perPhone = new Tally();
  readonly #limitPerPhone: number;
  #last:
    | {
        readonly message: Message;
        readonly initiator: 'internal' | 'external';
        readonly phone: Address;
        readonly key: string;
      }
    | undefined;

  constructor(limit: number, limitPerPhone: number) {
    const gone = ({ phone }: Transaction): void => this.#perPhone.remove(phone);
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
    initiator: 'internal' | 'external',
    transaction: Transaction,
    now: TimeMs,
  ): 'transactions' | 'transactions-per-phone' | undefined {
    const { phone } = transaction;
    const table = this.#table(message);
    if (this.#perPhone.of(phone) >= this.#limitPerPhone) {
      // What has ended and was not looked at since makes room.
      table.expire(now);
      if (this.#perPhone.of(phone) >= this.#limitPerPhone) return 'transactions-per-phone';
    }
    this.#perPhone.add(phone);
    return table.set(this.#key(message, initiator, phone), transaction, now) ? 'transactions' : undefined;
  }

  /** The transaction that a response belongs to; a provisional response to INVITE keeps it. */
  find(
    message: Message,
    initiator: 'internal' | 'external',
    phone: Address,
    now: TimeMs,
  ): Transaction | undefined {
    const key = this.#key(message, initiator, phone);
    const table = this.#table(message);
    const found = table.get(key, now);
    if (found !== undefined && message.method === 'INVITE' && message.status < 200) {
      this.#perPhone.add(phone);
      table.set(key, found, now);
    }
    return found;
  }

  /** Two phones may choose the same branch and Call-ID; what one of them sent is not the other's. */
  #key(message: Message, initiator: 'internal' | 'external', phone: Address): string {
    const last = this.#last;
    // A message is looked up and then remembered, and a text that was hashed once is not hashed again.
    if (
      last !== undefined &&
      last.message === message &&
      last.initiator === initiator &&
      last.phone === phone
    )
      return last.key;
    const key = `${phone} ${initiator} ${branchOf(message)} ${message.method} ${message.cseq} ${message.callId}`;
    this.#last = { message, initiator, phone, key };
    return key;
  }

  #table(message: Message): ExpiringMap<Transaction> {
    return message.method === 'INVITE' ? this.#invite : this.#other;
  }
}

/** The branch of the topmost Via; where that is our own, the branch of the Via below it, from which ours was made. */
export function branchOf(message: Message): string {
  const { branch } = message.via;
  const text = branch === undefined ? '' : textOf(message.bytes, branch.start, branch.end);
  return text.startsWith(OWN_BRANCH) ? text.slice(OWN_BRANCH.length) : text;
}
