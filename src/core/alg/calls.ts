/**
 * What a message does to its dialog and to the dialog's media: begins, confirms, changes or ends it.
 *
 * Facts: a 2xx to INVITE confirms a dialog (RFC 3261 §12.1); a failed re-INVITE or UPDATE leaves everything as it was
 * before (§14.1, RFC 3311 §5.2); BYE ends it for its sender at once (§15.1.1); 481 and 408 inside it end it (§12.2.1.2).
 */
import type { Address, Endpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import { type Description, scanDescription } from '../sdp/description.ts';
import { firstField, type Message } from '../sip/message.ts';
import { scanMediaType, sdpParts } from '../sip/multipart.ts';
import {
  COMMA,
  EQUALS,
  equalsIgnoreCase,
  find,
  QUOTE,
  SEMICOLON,
  skipLws,
  skipQuoted,
  skipToken,
} from '../sip/octets.ts';
import { holdsCall, takeSessionTimer } from './dialog-life.ts';
import {
  BYE_LINGER_MS,
  type Dialog,
  type Dialogs,
  ENDED_MS,
  FAILED_LINGER_MS,
  keepOnlyRemote,
  learnRemote,
  remoteTag,
} from './dialogs.ts';
import type { MappingId, Output } from './io.ts';
import type { MediaTable } from './media.ts';
import { remoteMedia } from './session.ts';

export type Direction = 'out' | 'in';

/** The dialog that a message belongs to or opens; undefined where it has none, or the table is full. */
export function dialogOf(
  dialogs: Dialogs,
  message: Message,
  direction: Direction,
  phone: Address,
  mapping: MappingId,
  peer: Endpoint,
  now: TimeMs,
  carriesSession: boolean,
): Dialog | undefined {
  if (message.method === 'REGISTER') return undefined;
  const found = dialogs.find(message, direction, phone);
  const opens = message.kind === 'request' && message.method === 'INVITE';
  if (found !== undefined) {
    // The same INVITE again after its end, with credentials for instance, begins anew; what is retransmitted does not.
    if (found.state !== 'ended' || !opens || message.cseq <= found.inviteCSeq) return found;
    dialogs.remove(found);
  }
  if (!opens && !carriesSession) return undefined;
  return dialogs.create(message, direction, phone, mapping, peer, now);
}

/** What a message has brought its dialog. */
export type Progress = 'confirmed' | 'refreshed' | undefined;

/** Takes a message into account, before its media. */
export function advance(
  dialogs: Dialogs,
  dialog: Dialog,
  message: Message,
  direction: Direction,
  now: TimeMs,
): Progress {
  if (dialog.state === 'ended') return undefined;
  const { method, status, kind } = message;
  if (kind === 'request') {
    if (method === 'INVITE') {
      dialog.inviteCSeq = message.cseq;
      if (dialog.state === 'ending' && dialog.why === 'failed') dialog.state = 'early';
    } else if (method === 'BYE' && isConfirmedFork(dialog, message, direction)) {
      end(dialogs, dialog, 'BYE', now + BYE_LINGER_MS);
      return undefined;
    }
  } else if ((method === 'INVITE' || method === 'UPDATE') && status >= 200 && status < 300) {
    takeSessionTimer(dialog, message, direction, now);
    const opens = dialog.state === 'early' || (dialog.state === 'ending' && dialog.why === 'failed');
    if (method === 'INVITE' && opens) {
      dialog.state = 'confirmed';
      dialog.answeredAt ??= now;
      dialog.confirmedTag = remoteTag(message, direction);
      if (direction === 'in') keepOnlyRemote(dialog, dialog.confirmedTag);
      dialogs.touch(dialog, now);
      return 'confirmed';
    }
    dialogs.touch(dialog, now);
    return dialog.state === 'confirmed' ? 'refreshed' : undefined;
  } else if (method === 'INVITE' || method === 'UPDATE') {
    if (
      method === 'INVITE' &&
      status >= 300 &&
      dialog.state === 'early' &&
      message.cseq === dialog.inviteCSeq
    ) {
      end(dialogs, dialog, 'failed', now + FAILED_LINGER_MS);
      return undefined;
    }
    const isOver = status === 481 || status === 408;
    if (isOver && dialog.state === 'confirmed' && isConfirmedFork(dialog, message, direction))
      end(dialogs, dialog, String(status), now);
  } else if (method === 'BYE' && status >= 200 && dialog.state === 'ending') {
    end(dialogs, dialog, 'BYE', now);
    return undefined;
  }
  dialogs.touch(dialog, now);
  return undefined;
}

/** Notes the other side's description. */
export function learn(dialog: Dialog, message: Message, description: Description, peer: Endpoint): void {
  const tag = remoteTag(message, 'in');
  const offersAnew = message.kind === 'request' && dialog.state === 'confirmed' && message.method !== 'ACK';
  if (offersAnew) dialog.agreed ??= new Map(dialog.remotes);
  const before = dialog.remotes.get(tag) ?? dialog.agreed?.get(tag);
  learnRemote(dialog, tag, remoteMedia(description, before, peer));
}

/** Notes whether a side's description holds the call. It takes effect where it is agreed on. */
export function noteHold(dialog: Dialog, description: Description, direction: Direction): void {
  dialog.holds[direction] = holdsCall(description);
}

/** What the phone's description names is now on offer. What was on offer before and never agreed on is let go. */
export function offer(dialog: Dialog, named: ReadonlySet<MappingId>, media: MediaTable, out: Output[]): void {
  for (const id of dialog.offered)
    if (!named.has(id) && !dialog.committed.has(id)) {
      dialog.offered.delete(id);
      media.release(id, dialog, out);
    }
  dialog.offered.clear();
  for (const id of named) dialog.offered.add(id);
}

/**
 * Where a message settles an offer: answered, and what was agreed on before goes; refused, and what was offered goes
 * (RFC 3261 §14.1, RFC 3311 §5.2). `answers`: the message carries a description.
 */
export function settle(
  dialog: Dialog,
  message: Message,
  answers: boolean,
  media: MediaTable,
  out: Output[],
): void {
  const { kind, method, status } = message;
  const offers = method === 'INVITE' || method === 'UPDATE';
  if (kind === 'response' && status >= 300) {
    if (!offers || (method === 'INVITE' && dialog.state !== 'confirmed')) return;
    if (dialog.agreed !== undefined) dialog.remotes = dialog.agreed;
    dialog.holds.out = dialog.held;
    dialog.holds.in = dialog.held;
    for (const id of dialog.offered) if (!dialog.committed.has(id)) media.release(id, dialog, out);
    dialog.offered.clear();
    for (const id of dialog.committed) dialog.offered.add(id);
  } else if (kind === 'request' ? method === 'ACK' : answers || (offers && status >= 200)) {
    for (const id of dialog.committed) if (!dialog.offered.has(id)) media.release(id, dialog, out);
    dialog.committed.clear();
    for (const id of dialog.offered) dialog.committed.add(id);
    dialog.held = dialog.holds.out || dialog.holds.in;
  } else return;
  dialog.agreed = undefined;
}

/** Lets everything of the dialog go; it is known for a while still, so that a retransmission does not open it again. */
export function finish(
  dialogs: Dialogs,
  dialog: Dialog,
  media: MediaTable,
  now: TimeMs,
  out: Output[],
): void {
  for (const id of new Set([
    ...dialog.offered,
    ...dialog.committed,
    ...dialog.byDescription.filter((one) => one !== undefined),
  ]))
    media.release(id, dialog, out);
  dialog.offered.clear();
  dialog.committed.clear();
  dialog.byDescription.length = 0;
  dialog.remotes.clear();
  dialog.agreed = undefined;
  dialogs.retire(dialog, now + ENDED_MS);
  out.push({ kind: 'event', event: { kind: 'dialog.ended', callId: dialog.callId, why: dialog.why } });
}

/** What keeps a body, or more, as it is, and what that costs. */
export const leaveReasons = {
  encoded: 'the body is encoded, so the description in it cannot be read (RFC 3261 §20.12)',
  'auth-int':
    'the digest covers the body (RFC 7616 §3.4.3): the description stays private, and media works only if the provider latches',
  identity:
    'the Identity signature covers Contact and body (RFC 4474 §9): both stay private, and the far end reaches neither',
  sdp: 'the description does not follow the grammar (RFC 8866 §9)',
} as const;

export type LeaveReason = keyof typeof leaveReasons;

export interface Session {
  /** Of the body, or of every application/sdp part of a multipart. Empty where there is none, or it is left alone. */
  readonly descriptions: readonly Description[];
  readonly leave: LeaveReason | undefined;
}

const NO_SESSION: Session = { descriptions: [], leave: undefined };

/** The descriptions in a message that may carry an offer or an answer; `toRead`: also those that must not be changed. */
export function sessionOf(message: Message, toRead = false): Session {
  const { bytes, body } = message;
  if (body.end === body.start || !carriesOffers(message)) return NO_SESSION;
  const type = firstField(message, 'content-type');
  const mediaType = type === undefined ? undefined : scanMediaType(bytes, type);
  if (mediaType === undefined) return NO_SESSION;
  const parts = sdpParts(bytes, mediaType, body);
  if (parts.length === 0) return NO_SESSION;
  const leave = toRead ? undefined : reasonToLeave(message);
  if (leave !== undefined) return { descriptions: [], leave };
  const descriptions: Description[] = [];
  for (const part of parts) {
    const description = scanDescription(bytes, part, message.text);
    if (description === undefined) return { descriptions: [], leave: 'sdp' };
    descriptions.push(description);
  }
  return { descriptions, leave: undefined };
}

/** RFC 4474 Identity covers Contact and the whole body; its successor (RFC 8224) neither, and is told by its parameters. */
export function isCoveredByIdentity(message: Message): boolean {
  const field = firstField(message, 'identity');
  return field !== undefined && find(message.bytes, SEMICOLON, field.start, field.end) < 0;
}

function reasonToLeave(message: Message): LeaveReason | undefined {
  const encoding = firstField(message, 'content-encoding');
  if (encoding !== undefined && !equalsIgnoreCase(message.bytes, encoding.start, encoding.end, 'identity'))
    return 'encoded';
  if (isCoveredByIdentity(message)) return 'identity';
  return isCoveredByDigest(message) ? 'auth-int' : undefined;
}

function end(dialogs: Dialogs, dialog: Dialog, why: string, at: TimeMs): void {
  dialog.state = 'ending';
  dialog.why = why;
  dialogs.putOff(dialog, at);
}

/** What ends a fork that lost ends that fork, not the call. */
function isConfirmedFork(dialog: Dialog, message: Message, direction: Direction): boolean {
  return dialog.confirmedTag === undefined
    ? dialog.remotes.size <= 1
    : remoteTag(message, direction) === dialog.confirmedTag;
}

/** Methods in which an offer or an answer may stand (RFC 3261 §13.2.1, 3262 §5, 3311 §5). */
function carriesOffers({ kind, method, status }: Message): boolean {
  if (method === 'INVITE') return kind === 'request' || status < 300;
  if (method === 'ACK') return kind === 'request';
  return (method === 'PRACK' || method === 'UPDATE') && (kind === 'request' || status < 300);
}

/** Digest with qop=auth-int covers the body, of a request and of its response (RFC 7616 §3.4.3, §3.5). */
function isCoveredByDigest(message: Message): boolean {
  const { bytes, fields } = message;
  for (let i = 0; i < fields.length; i++) {
    const { name, start, end } = fields[i]!;
    if (name === 'authorization' || name === 'proxy-authorization') {
      if (hasAuthInt(bytes, skipToken(bytes, start, end), end)) return true;
    } else if (
      (name === 'authentication-info' || name === 'proxy-authentication-info') &&
      hasAuthInt(bytes, start, end)
    )
      return true;
  }
  return false;
}

/** Whether one of the comma-separated parameters is qop, with the value auth-int; quoted strings are passed over whole. */
function hasAuthInt(bytes: Uint8Array, start: number, end: number): boolean {
  let i = skipLws(bytes, start, end);
  while (i < end) {
    const nameEnd = skipToken(bytes, i, end);
    const equals = skipLws(bytes, nameEnd, end);
    if (nameEnd === i || bytes[equals] !== EQUALS || equals >= end) return false;
    const from = skipLws(bytes, equals + 1, end);
    const quoted = bytes[from] === QUOTE;
    const to = quoted ? skipQuoted(bytes, from, end) : skipToken(bytes, from, end);
    if (to <= from) return false;
    if (equalsIgnoreCase(bytes, i, nameEnd, 'qop')) {
      const inner = quoted ? 1 : 0;
      if (equalsIgnoreCase(bytes, from + inner, to - inner, 'auth-int')) return true;
    }
    i = skipLws(bytes, to, end);
    if (bytes[i] !== COMMA) return false;
    i = skipLws(bytes, i + 1, end);
  }
  return false;
}
