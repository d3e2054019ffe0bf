/**
 * How long a confirmed dialog is kept: what its messages, its session timer and its media say about whether it lives.
 *
 * Facts: a 2xx to INVITE or UPDATE with Session-Expires begins the session timer anew, one without it ends the timer
 * (RFC 4028 §7.2); the refresher is `uac`, who sent that request, or `uas` (§4); a session that nobody refreshes is ended
 * by its two ends with BYE (§10); who stands between them may free what it keeps, and sends none (§8.3); a held stream may
 * be silent for as long as it is held (RFC 3264 §8.4).
 */
import { isUnspecified } from '../net/address.ts';
import { SECOND_MS, type TimeMs } from '../net/time.ts';
import type { Description } from '../sdp/description.ts';
import { firstField, type Message } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { type Dialog, sessionEndOf } from './dialogs.ts';
import type { MediaRecord } from './media.ts';

/** Whether the dialog is over, and why; or when to look again. */
export type Judgement =
  | { readonly over: true; readonly why: string }
  | { readonly over: false; readonly lookAt: TimeMs };

/**
 * Judges a confirmed dialog whose time to be looked at has come. A session that has expired is kept while its media is seen to
 * flow: two ends that talk on are not cut off because neither of them refreshes.
 */
export function judge(
  dialog: Dialog,
  media: readonly MediaRecord[],
  now: TimeMs,
  callIdleMs: number,
): Judgement {
  if (now >= dialog.endsAt) return { over: true, why: 'silence' };
  const flows = media.some((one) => one.flow === 'flowing');
  const sessionEnd = sessionEndOf(dialog);
  if (now >= sessionEnd && !flows) return { over: true, why: `session expired: ${missing(dialog)}` };
  const idle = media.length > 0 && media.every((one) => one.flow === 'idle');
  const idleSince = Math.max(dialog.lastMessageAt, ...media.map((one) => one.flowSince));
  const idleEnd = idle && !dialog.held ? idleSince + callIdleMs : now + callIdleMs;
  if (now >= idleEnd) return { over: true, why: 'no media' };
  return { over: false, lookAt: sessionEnd > now ? Math.min(idleEnd, sessionEnd) : idleEnd };
}

/** Takes a 2xx to INVITE or UPDATE: the session timer that it grants, if any. */
export function takeSessionTimer(
  dialog: Dialog,
  message: Message,
  direction: 'out' | 'in',
  now: TimeMs,
): void {
  const granted = sessionExpires(message);
  if (granted === undefined) {
    dialog.session = undefined;
    return;
  }
  // Whoever sends the response is the server of the request.
  const [server, client] =
    direction === 'out' ? (['internal', 'external'] as const) : (['external', 'internal'] as const);
  dialog.session = {
    refresher: granted.refresher === 'uas' ? server : client,
    expiresAt: now + granted.seconds * SECOND_MS,
  };
}

/** Whether a description holds the call: of its streams that are not rejected, none sends and receives. */
export function holdsCall({ media, connection, direction }: Description): boolean {
  return media.every((one) => {
    const address = (one.connection ?? connection)?.address;
    return (
      one.port === 0 ||
      (one.direction ?? direction ?? 'sendrecv') !== 'sendrecv' ||
      (address !== undefined && isUnspecified(address))
    );
  });
}

function missing({ session }: Dialog): string {
  return `no refresh from the ${session?.refresher ?? 'other'} side`;
}

/** Session-Expires = delta-seconds *(";" se-params) (RFC 4028 §4); undefined where it is absent or no number. */
function sessionExpires(message: Message): { seconds: number; refresher: string } | undefined {
  const field = firstField(message, 'session-expires');
  if (field === undefined) return undefined;
  const { start, end } = field;
  const text = textOf(message.bytes, start, Math.min(end, start + MAX_VALUE));
  const seconds = /^\d{1,9}(?=\s*(?:;|$))/.exec(text)?.[0];
  if (seconds === undefined) return undefined;
  // A response has to name the refresher (§9); where it does not, the one who asked for the timer is meant.
  const refresher = /;\s*refresher\s*=\s*(ua[cs])\s*(?:;|$)/i.exec(text)?.[1]?.toLowerCase() ?? 'uac';
  return { seconds: Number(seconds), refresher };
}

/** A longer value is looked at no further. */
const MAX_VALUE = 200;
