/**
 * Dialogs, as far as media needs them: one record for all the dialogs that one INVITE of one side opens, early and
 * confirmed, because the phone's media has one external endpoint for all forks.
 *
 * Facts: a dialog is Call-ID, local tag and remote tag (RFC 3261 §12); the tag of whoever sent the INVITE is the same in
 * all forks; a phone that calls itself through the provider has two of these with one Call-ID, told apart by who began;
 * a session is over for its sender when the BYE is sent (§15.1.1); 481 and 408 inside a dialog end it (§12.2.1.2); a
 * failure of the first INVITE may be followed by another attempt with credentials, with the same tag (§22.2).
 */

import { Tally } from '../nat/tally.ts';
import { type Due, TimerQueue, UNQUEUED } from '../nat/timer-queue.ts';
import type { Address, Endpoint } from '../net/address.ts';
import { HOUR_MS, MINUTE_MS, SECOND_MS, type TimeMs } from '../net/time.ts';
import type { Message } from '../sip/message.ts';
import { type NameAddr, nameAddrParameter } from '../sip/name-addr.ts';
import { equalsText, textOf } from '../sip/octets.ts';
import type { MappingId } from './io.ts';

/** An INVITE without an answer; each message of the dialog begins it anew. */
export const EARLY_MS = 5 * MINUTE_MS;
/** A confirmed dialog in which nothing at all is signalled, media or not (RFC 4028 is not used by everybody). */
export const CONFIRMED_MS = 24 * HOUR_MS;
/** A session that has expired is ended by its two ends (RFC 4028 §10); their BYE may be sent again for 64·T1. */
export const SESSION_MARGIN_MS = 32 * SECOND_MS;
/** After a failed first INVITE its media waits for an attempt with credentials. */
export const FAILED_LINGER_MS = 5 * SECOND_MS;
/** After a BYE, its response is waited for this long at most before the media is shut. */
export const BYE_LINGER_MS = 500;
/** An ended dialog is known for a while, so that what is retransmitted does not open it again (64·T1). */
export const ENDED_MS = 32 * SECOND_MS;
const FORKS = 12;
/** Octets of a URI that are kept for people to read. */
const URI_LENGTH = 128;

export type Initiator = 'internal' | 'external';

/** What the other side's SDP names for one media description: RTP, and RTCP where it is elsewhere. */
export type RemoteMedia = readonly Endpoint[];

export interface SessionTimer {
  readonly refresher: Initiator;
  readonly expiresAt: TimeMs;
}

export interface Dialog extends Due {
  readonly key: string;
  readonly callId: string;
  readonly initiator: Initiator;
  /** Of whoever sent the first INVITE. */
  readonly tag: string;
  readonly phone: Address;
  /** The URIs of From and To of the message that opened it, as written: for people. */
  readonly from: string;
  readonly to: string;
  readonly openedAt: TimeMs | undefined;
  answeredAt: TimeMs | undefined;
  /** The other side has sent a message of it, so that its media may come in (answering.ts). */
  heard: boolean;
  mapping: MappingId;
  state: 'early' | 'confirmed' | 'ending' | 'ended';
  why: string;
  /** When its last message came. */
  lastMessageAt: TimeMs;
  /** When it is over whatever happens; `dueAt` is when it has to be looked at, which is never later. */
  endsAt: TimeMs;
  /** The session timer, as the last 2xx granted it; undefined where there is none (RFC 4028 §7.2). */
  session: SessionTimer | undefined;
  /** As agreed last, no stream sends both ways: silence is what was asked for. */
  held: boolean;
  /** The same of each side's newest description, agreed on or not. */
  readonly holds: { out: boolean; in: boolean };
  /** The other tag of the dialog that was confirmed. */
  confirmedTag: string | undefined;
  inviteCSeq: number;
  /** Nothing of it is translated; undefined until its first message has been handled. It stays as it began. */
  observed: boolean | undefined;
  peer: Endpoint;
  /** Media mappings of the phone that both sides have agreed on. */
  readonly committed: Set<MappingId>;
  /** Media mappings that the phone's latest description names. */
  readonly offered: Set<MappingId>;
  /** Other side's tag → media, by media description. */
  remotes: Map<string, readonly RemoteMedia[]>;
  /** The same, as agreed on before the other side's offer that is still open; it comes back where that is refused. */
  agreed: Map<string, readonly RemoteMedia[]> | undefined;
  /** Relay: media mapping of each media description. */
  readonly byDescription: (MappingId | undefined)[];
  /** Its neighbours among those that are over. */
  older: Dialog | undefined;
  newer: Dialog | undefined;
}

export class Dialogs {
  readonly #byKey = new Map<string, Dialog>();
  /** Those that are over, a list from the oldest to the newest: only known still, they make room for what begins. */
  #oldest: Dialog | undefined;
  #newest: Dialog | undefined;
  /** One of the dialogs of each Call-ID, which is the only one as a rule: found without a key being made for it. */
  readonly #byCallId = new Map<string, Dialog>();
  readonly #limit: number;
  readonly #limitPerPhone: number;
  readonly #perPhone = new Tally();
  readonly #callIdleMs: number;
  readonly timers = new TimerQueue<Dialog>();

  /** `callIdleMs`: how soon a call without messages is looked at, whether its media has stopped. */
  constructor(limit: number, limitPerPhone: number, callIdleMs: number) {
    this.#limit = limit;
    this.#limitPerPhone = limitPerPhone;
    this.#callIdleMs = callIdleMs;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** The limit that keeps a phone from another dialog; undefined where none does. */
  limitFor(phone: Address): 'dialogs' | 'dialogs-per-phone' | undefined {
    if (this.#byKey.size >= this.#limit) return 'dialogs';
    return this.#perPhone.of(phone) >= this.#limitPerPhone ? 'dialogs-per-phone' : undefined;
  }

  values(): Iterable<Dialog> {
    return this.#byKey.values();
  }

  byKey(key: string): Dialog | undefined {
    return this.#byKey.get(key);
  }

  /** The dialog that a message between this phone and its provider belongs to. */
  find(message: Message, direction: 'out' | 'in', phone: Address): Dialog | undefined {
    const { callId } = message;
    const likely = this.#byCallId.get(callId);
    if (likely !== undefined && likely.phone === phone && hasTag(message, direction, likely)) return likely;
    if (this.#byKey.size === 0) return undefined;
    const { local, remote } = tagsOf(message, direction);
    return (
      this.#byKey.get(dialogKey(phone, callId, 'internal', local)) ??
      this.#byKey.get(dialogKey(phone, callId, 'external', remote))
    );
  }

  /** A dialog for a message that belongs to none; undefined where the table is full of dialogs that live. */
  create(
    message: Message,
    direction: 'out' | 'in',
    phone: Address,
    mapping: MappingId,
    peer: Endpoint,
    now: TimeMs,
  ): Dialog | undefined {
    if (!this.#makeRoom(phone)) return undefined;
    const { local, remote } = tagsOf(message, direction);
    // A request begins with whoever sends it, a response with the other one.
    const initiator: Initiator =
      (message.kind === 'request') === (direction === 'out') ? 'internal' : 'external';
    const tag = initiator === 'internal' ? local : remote;
    const dialog: Dialog = {
      key: dialogKey(phone, message.callId, initiator, tag),
      callId: message.callId,
      initiator,
      tag,
      phone,
      from: uriOf(message, message.from),
      to: uriOf(message, message.to),
      openedAt: now,
      answeredAt: undefined,
      heard: direction === 'in',
      mapping,
      state: 'early',
      why: '',
      lastMessageAt: now,
      endsAt: now + EARLY_MS,
      session: undefined,
      held: false,
      holds: { out: false, in: false },
      confirmedTag: undefined,
      inviteCSeq: message.cseq,
      observed: undefined,
      peer,
      committed: new Set(),
      offered: new Set(),
      remotes: new Map(),
      agreed: undefined,
      byDescription: [],
      older: undefined,
      newer: undefined,
      dueAt: now + EARLY_MS,
      place: UNQUEUED,
    };
    this.insert(dialog);
    return dialog;
  }

  insert(dialog: Dialog): void {
    if (!this.#byKey.has(dialog.key)) this.#perPhone.add(dialog.phone);
    this.#byKey.set(dialog.key, dialog);
    this.#byCallId.set(dialog.callId, dialog);
    this.lookAt(dialog, dialog.endsAt);
  }

  remove(dialog: Dialog): void {
    if (this.#byKey.delete(dialog.key)) this.#perPhone.remove(dialog.phone);
    this.#unlink(dialog);
    if (this.#byCallId.get(dialog.callId) === dialog) this.#byCallId.delete(dialog.callId);
    this.timers.cancel(dialog);
  }

  /** It is over, and known until `forgottenAt` so that what is retransmitted does not open it again. */
  retire(dialog: Dialog, forgottenAt: TimeMs): void {
    if (dialog.state !== 'ended') this.#append(dialog);
    dialog.state = 'ended';
    this.putOff(dialog, forgottenAt);
  }

  /** Whether there is room for another dialog of this phone, if need be in the place of the oldest one that is over. */
  #makeRoom(phone: Address): boolean {
    for (let limit = this.limitFor(phone); limit !== undefined; limit = this.limitFor(phone)) {
      const oldest = this.#oldestEnded(limit === 'dialogs' ? undefined : phone);
      if (oldest === undefined) return false;
      this.remove(oldest);
    }
    return true;
  }

  #oldestEnded(phone: Address | undefined): Dialog | undefined {
    let dialog = this.#oldest;
    while (dialog !== undefined && phone !== undefined && dialog.phone !== phone) dialog = dialog.newer;
    return dialog;
  }

  #append(dialog: Dialog): void {
    dialog.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = dialog;
    else this.#newest.newer = dialog;
    this.#newest = dialog;
  }

  /** Takes it off the list of those that are over, if it is there. */
  #unlink(dialog: Dialog): void {
    const { older, newer } = dialog;
    if (older !== undefined) older.newer = newer;
    else if (this.#oldest === dialog) this.#oldest = newer;
    if (newer !== undefined) newer.older = older;
    else if (this.#newest === dialog) this.#newest = older;
    dialog.older = undefined;
    dialog.newer = undefined;
  }

  /** Puts its end to `endsAt`. */
  putOff(dialog: Dialog, endsAt: TimeMs): void {
    dialog.endsAt = endsAt;
    this.lookAt(dialog, endsAt);
  }

  /** A message has come: a live dialog lives on from now. */
  touch(dialog: Dialog, now: TimeMs): void {
    if (dialog.state !== 'early' && dialog.state !== 'confirmed') return;
    dialog.lastMessageAt = now;
    if (dialog.state === 'early') return this.putOff(dialog, now + EARLY_MS);
    dialog.endsAt = now + CONFIRMED_MS;
    const sessionEnd = sessionEndOf(dialog);
    const idleAt = now + this.#callIdleMs;
    this.lookAt(dialog, sessionEnd > now ? Math.min(sessionEnd, idleAt) : idleAt);
  }

  /** When it is to be looked at next, at its end at the latest. */
  lookAt(dialog: Dialog, at: TimeMs): void {
    dialog.dueAt = Math.min(at, dialog.endsAt);
    this.timers.schedule(dialog);
  }
}

/** When a session that nobody has refreshed is over for us too; Infinity without a session timer. */
export function sessionEndOf({ session }: Dialog): TimeMs {
  return session === undefined ? Number.POSITIVE_INFINITY : session.expiresAt + SESSION_MARGIN_MS;
}

/** The tag of the other side, as the message has it; empty where it has none. */
export function remoteTag(message: Message, direction: 'out' | 'in'): string {
  return tagsOf(message, direction).remote;
}

/** Notes what the other side's SDP names; bounded by the number of forks. */
export function learnRemote(dialog: Dialog, tag: string, media: readonly RemoteMedia[]): void {
  if (!dialog.remotes.has(tag) && dialog.remotes.size >= FORKS) return;
  dialog.remotes.set(tag, media);
}

/** Once one fork is confirmed, only its media may come in. */
export function keepOnlyRemote(dialog: Dialog, tag: string): void {
  if (dialog.initiator === 'external') return;
  for (const other of [...dialog.remotes.keys()]) if (other !== tag) dialog.remotes.delete(other);
}

/** Bounded, because it is kept. */
function uriOf(message: Message, { uri }: NameAddr): string {
  return textOf(message.bytes, uri.start, Math.min(uri.end, uri.start + URI_LENGTH));
}

/** Whether the tag of whoever began the dialog stands where the message has that side's. */
function hasTag(message: Message, direction: 'out' | 'in', { initiator, tag }: Dialog): boolean {
  const isOfFrom = fromIsLocal(message, direction) === (initiator === 'internal');
  const written = nameAddrParameter(message.bytes, isOfFrom ? message.from : message.to, 'tag');
  return written === undefined ? tag === '' : equalsText(message.bytes, written.start, written.end, tag);
}

/** From is the request's sender in requests and responses alike (RFC 3261 §8.2.6.2). */
function fromIsLocal({ kind }: Message, direction: 'out' | 'in'): boolean {
  return (kind === 'request') === (direction === 'out');
}

function tagsOf(message: Message, direction: 'out' | 'in'): { local: string; remote: string } {
  return fromIsLocal(message, direction)
    ? { local: message.fromTag, remote: message.toTag }
    : { local: message.toTag, remote: message.fromTag };
}

function dialogKey(phone: Address, callId: string, initiator: Initiator, tag: string): string {
  return `${phone} ${initiator} ${tag} ${callId}`;
}
