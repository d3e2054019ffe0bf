/**
 * Transactions, as far as a NAT has to remember them: what the phone wrote into its Via, and where its answer has to go.
 *
 * Facts: a response carries the branch and the CSeq method of its request (RFC 3261 §17.1.3); a CANCEL has the branch of
 * the INVITE that it cancels (§9.1), and the ACK to a failure too (§17.1.1.3); elements of RFC 2543 send no branch, so
 * Call-ID and CSeq stand beside it. An INVITE may ring for long: each provisional response keeps it.
 */

import { type HashKey, KeyedHash } from '../nat/keyed-hash.ts';
import { type Count, Tally } from '../nat/tally.ts';
import type { Address, Endpoint } from '../net/address.ts';
import type { ConnectionId } from '../net/flow.ts';
import { MINUTE_MS, SECOND_MS, type TimeMs } from '../net/time.ts';
import type { Message } from '../sip/message.ts';
import { equalsText } from '../sip/octets.ts';
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

/** Good for the input that is being handled: afterwards another transaction may stand in its place. */
export interface Transaction extends Remembered {
  readonly initiator: Initiator;
  readonly method: string;
  readonly cseq: number;
}

/** An INVITE without any response is forgotten after this; timer C is more than 3 min (RFC 3261 §16.6). */
const INVITE_MS = 5 * MINUTE_MS;
/** 64·T1, with room for slow links (RFC 3261 §17.1.2.2, timer F). */
const OTHER_MS = 64 * SECOND_MS;

/** Begins the branch of the Via that the explicit mode puts on top; the other side's branch follows (RFC 3261 §16.6). */
export const OWN_BRANCH = 'z9hG4bK-sipalg-';

/** The digest of branch and Call-ID, computed once for a message. */
class Digest {
  readonly #hash: KeyedHash;
  #of: Message | undefined;

  constructor(key: HashKey) {
    this.#hash = new KeyedHash(key);
  }

  take(message: Message): void {
    if (message === this.#of) return;
    this.#of = message;
    const { bytes, via, callIdSpan } = message;
    this.#hash.begin();
    if (via.branch !== undefined) this.#hash.add(bytes, branchStart(message), via.branch.end);
    this.#hash.add(bytes, callIdSpan.start, callIdSpan.end);
    this.#hash.end();
  }

  get first(): number {
    return this.#hash.first;
  }

  get second(): number {
    return this.#hash.second;
  }
}

/** By everything that tells transactions apart, because not everybody's branches are unique (RFC 3261 §8.1.1.7). */
export class Transactions {
  readonly #digest: Digest;
  readonly #invite: Table;
  readonly #other: Table;
  readonly #perPhone = new Tally();
  readonly #limitPerPhone: number;

  constructor(limit: number, limitPerPhone: number, key: HashKey = [0, 0]) {
    this.#digest = new Digest(key);
    this.#invite = new Table(INVITE_MS, limit, this.#digest, this.#perPhone);
    this.#other = new Table(OTHER_MS, limit, this.#digest, this.#perPhone);
    this.#limitPerPhone = limitPerPhone;
  }

  get size(): number {
    return this.#invite.size + this.#other.size;
  }

  /** Remembers a request; the limit that was met, for which the oldest had to go, or which this phone has reached. */
  open(
    message: Message,
    initiator: Initiator,
    remembered: Remembered,
    now: TimeMs,
  ): 'transactions' | 'transactions-per-phone' | undefined {
    const table = this.#table(message);
    const { phone } = remembered;
    // What has ended and was not looked at since makes room.
    table.expire(now);
    const known = table.find(message, initiator, phone, now);
    if (known !== undefined) {
      table.fill(known, remembered);
      table.refresh(known, now);
      return undefined;
    }
    if (this.#perPhone.of(phone) >= this.#limitPerPhone) return 'transactions-per-phone';
    return table.add(message, initiator, remembered, now) ? 'transactions' : undefined;
  }

  /** The transaction that a response belongs to; a provisional response to INVITE keeps it. */
  find(message: Message, initiator: Initiator, phone: Address, now: TimeMs): Transaction | undefined {
    const table = this.#table(message);
    const found = table.find(message, initiator, phone, now);
    if (found !== undefined && table === this.#invite && message.status < 200) table.refresh(found, now);
    return found;
  }

  #table(message: Message): Table {
    return message.method === 'INVITE' ? this.#invite : this.#other;
  }
}

/**
 * Thousands of them come and go each second, and each lives for a minute: long enough for the collector to carry it about,
 * and to look for it when it is gone. So an entry is one object, and is used again; the octets of branch and Call-ID stand in it
 * as their digest alone, and all else that it names is kept by the phone's mapping anyhow.
 */
class Entry implements Transaction {
  phone: Address = '';
  mapping: MappingId = 0;
  sentBy = '';
  peer: Endpoint = NOWHERE;
  observed = false;
  connection: ConnectionId | undefined;
  initiator: Initiator = 'internal';
  method = '';
  cseq = 0;
  /** The digest; it is found by the first half, and told from others by both. */
  first = 0;
  second = 0;
  expiresAt: TimeMs = 0;
  /** How many its phone has. */
  share: Count | undefined;
  /** The next at the same place of the table, or in the list of those that are free. */
  next: Entry | undefined;
  older: Entry | undefined;
  newer: Entry | undefined;
}

const NOWHERE: Endpoint = { address: '', port: 0 };
const FEWEST_PLACES = 64;

/** A hash table whose entries all live equally long after they were set last: the oldest stands first in a list of its own. */
class Table {
  readonly #lifetimeMs: number;
  readonly #limit: number;
  readonly #digest: Digest;
  readonly #perPhone: Tally;
  /** Chains; their number is a power of two, and no less than that of the entries. */
  #places: (Entry | undefined)[] = new Array(FEWEST_PLACES).fill(undefined);
  #size = 0;
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  /** Entries that are used again; never more than are in use. */
  #free: Entry | undefined;
  #freeCount = 0;

  constructor(lifetimeMs: number, limit: number, digest: Digest, perPhone: Tally) {
    this.#lifetimeMs = lifetimeMs;
    this.#limit = limit;
    this.#digest = digest;
    this.#perPhone = perPhone;
  }

  get size(): number {
    return this.#size;
  }

  find(message: Message, initiator: Initiator, phone: Address, now: TimeMs): Entry | undefined {
    this.#digest.take(message);
    const { first, second } = this.#digest;
    let entry = this.#places[first & (this.#places.length - 1)];
    for (; entry !== undefined; entry = entry.next)
      if (
        entry.first === first &&
        entry.second === second &&
        entry.cseq === message.cseq &&
        entry.initiator === initiator &&
        entry.method === message.method &&
        entry.phone === phone
      )
        return entry.expiresAt <= now ? undefined : entry;
    return undefined;
  }

  /** Of a message for which nothing is found, when what has ended is out of the table; true where another had to go for it. */
  add(message: Message, initiator: Initiator, remembered: Remembered, now: TimeMs): boolean {
    const entry = this.#free ?? new Entry();
    if (entry === this.#free) {
      this.#free = entry.next;
      this.#freeCount--;
    }
    entry.initiator = initiator;
    entry.method = message.method;
    entry.cseq = message.cseq;
    this.#digest.take(message);
    entry.first = this.#digest.first;
    entry.second = this.#digest.second;
    entry.share = this.#perPhone.add(remembered.phone);
    this.fill(entry, remembered);
    entry.expiresAt = now + this.#lifetimeMs;
    if (++this.#size > this.#places.length) this.#grow();
    this.#place(entry);
    this.#append(entry);
    if (this.#size <= this.#limit) return false;
    this.#drop(this.#oldest!);
    return true;
  }

  fill(entry: Entry, { phone, mapping, sentBy, peer, observed, connection }: Remembered): void {
    entry.phone = phone;
    entry.mapping = mapping;
    entry.sentBy = sentBy;
    entry.peer = peer;
    entry.observed = observed;
    entry.connection = connection;
  }

  /** It lives on from now. */
  refresh(entry: Entry, now: TimeMs): void {
    entry.expiresAt = now + this.#lifetimeMs;
    if (entry === this.#newest) return;
    this.#unlink(entry);
    this.#append(entry);
  }

  /** Drops what has ended. */
  expire(now: TimeMs): void {
    while (this.#oldest !== undefined && this.#oldest.expiresAt <= now) this.#drop(this.#oldest);
  }

  #drop(entry: Entry): void {
    this.#unlink(entry);
    const place = entry.first & (this.#places.length - 1);
    let before = this.#places[place]!;
    if (before === entry) this.#places[place] = entry.next;
    else {
      while (before.next !== entry) before = before.next!;
      before.next = entry.next;
    }
    this.#size--;
    this.#perPhone.remove(entry.share!);
    if (this.#freeCount > this.#size) return;
    this.#freeCount++;
    entry.next = this.#free;
    this.#free = entry;
  }

  #grow(): void {
    this.#places = new Array(2 * this.#places.length).fill(undefined);
    for (let entry = this.#oldest; entry !== undefined; entry = entry.newer) this.#place(entry);
  }

  #place(entry: Entry): void {
    const place = entry.first & (this.#places.length - 1);
    entry.next = this.#places[place];
    this.#places[place] = entry;
  }

  #append(entry: Entry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  #unlink({ older, newer }: Entry): void {
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}

/** Where the branch of the topmost Via begins; of our own, the branch of the Via below it, from which ours was made. */
function branchStart({ bytes, via: { branch } }: Message): number {
  if (branch === undefined) return 0;
  const { start, end } = branch;
  const own = start + OWN_BRANCH.length;
  return own <= end && equalsText(bytes, start, own, OWN_BRANCH) ? own : start;
}

/** The branch of the topmost Via; where that is our own, the branch of the Via below it, from which ours was made. */
export function branchOf({ branch }: Message): string {
  return branch.startsWith(OWN_BRANCH) ? branch.slice(OWN_BRANCH.length) : branch;
}
