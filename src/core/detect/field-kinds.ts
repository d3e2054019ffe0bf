/** Which fault a header field shows when it is changed, lost or put in: the names as a table. */
import type { FaultId } from './faults.ts';

/** Say which way requests have to go: never to be changed or lost. */
const ROUTES: readonly string[] = ['route', 'record-route', 'path', 'service-route'];
const EXPIRIES: readonly string[] = [
  'expires',
  'session-expires',
  'min-se',
  'min-expires',
  'subscription-state',
];
const REFERS: readonly string[] = [
  'refer-to',
  'referred-by',
  'replaces',
  'event',
  'target-dialog',
  'join',
  'in-reply-to',
  'refer-sub',
];
const CREDENTIALS: readonly string[] = [
  'authorization',
  'proxy-authorization',
  'www-authenticate',
  'proxy-authenticate',
  'authentication-info',
  'proxy-authentication-info',
  'remote-party-id',
  'identity',
  'identity-info',
  'diversion',
  'history-info',
  'privacy',
];

/** Fields whose values may stand in one line with commas, or in several lines (RFC 3261 §7.3.1). */
const LISTS: ReadonlySet<string> = new Set([
  ...ROUTES,
  'via',
  'contact',
  'allow',
  'supported',
  'require',
  'proxy-require',
  'unsupported',
  'accept',
  'accept-encoding',
  'accept-language',
  'alert-info',
  'allow-events',
  'call-info',
  'error-info',
  'in-reply-to',
  'warning',
  'p-asserted-identity',
  'p-preferred-identity',
  'history-info',
  'diversion',
]);

const DIALOG_ENDS: readonly string[] = ['to', 'from'];

/** From and To: their tags tell dialogs apart (RFC 3261 §12). */
export function isDialogEnd(name: string): boolean {
  return DIALOG_ENDS.includes(name);
}

/** These name-addr fields are compared part by part. */
export function isNameAddr(name: string): boolean {
  return (
    name === 'contact' ||
    isDialogEnd(name) ||
    name === 'refer-to' ||
    name === 'referred-by' ||
    ROUTES.includes(name)
  );
}

export function isList(name: string): boolean {
  return LISTS.has(name);
}

/** What it is called that a value differs for which nothing more exact is known. */
export function faultOfChange(name: string): FaultId {
  if (name === 'call-id') return 'ADDR-CALLID';
  if (isDialogEnd(name)) return 'ADDR-FROMTO';
  if (name === 'cseq' || name === 'rack' || name === 'rseq') return 'HDR-BRANCH';
  if (name === 'max-forwards') return 'HDR-MAXFWD';
  if (EXPIRIES.includes(name)) return 'HDR-EXPIRES';
  if (ROUTES.includes(name)) return 'ADDR-ROUTE';
  if (REFERS.includes(name)) return 'ADDR-REFER';
  if (CREDENTIALS.includes(name) || name.startsWith('p-')) return 'ADDR-AUTH';
  return 'X-UNKNOWN';
}

export function faultOfLoss(name: string): FaultId {
  if (name === 'content-length') return 'LEN-MISSING';
  if (ROUTES.includes(name)) return 'ADDR-ROUTE';
  if (name !== 'subscription-state' && EXPIRIES.includes(name)) return 'HDR-EXPIRES';
  return 'HDR-DROP';
}

export function faultOfAddition(name: string, isThereAlready: boolean): FaultId {
  if (name === 'content-length' && !isThereAlready) return 'LEN-MISSING';
  // A second value of a list is a new one; of anything else it is one too many.
  if (isThereAlready && name !== 'via' && name !== 'record-route' && name !== 'route' && name !== 'warning')
    return 'HDR-DUP';
  return 'HDR-ADD';
}

/** As people write it: `Call-ID`, `Content-Length`. */
export function spelledOut(name: string): string {
  if (name === 'call-id') return 'Call-ID';
  if (name === 'cseq') return 'CSeq';
  if (name === 'www-authenticate') return 'WWW-Authenticate';
  return name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase());
}
