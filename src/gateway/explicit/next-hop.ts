/**
 * Where a datagram from a phone wants to go, as the message itself says it.
 *
 * Facts:
 * - A request goes to the topmost Route, and without one to the Request-URI (RFC 3261 §8.1.2, §12.2.1.1). A proxy takes
 *   the Route off that names itself, and then looks again (§16.4).
 * - The target is the maddr parameter where there is one, else the host (RFC 3263 §4).
 * - A response goes back the way that its request came; its topmost Via is the request's, by branch and sent-by
 *   (RFC 3261 §17.1.3, §18.2.2). A branch without the magic cookie, or none, is told apart by Call-ID and CSeq.
 */
import { type Address, parseAddress } from '../../core/net/address.ts';
import type { Span } from '../../core/net/span.ts';
import { type Message, scanMessage, scanNameAddrs } from '../../core/sip/message.ts';
import type { NameAddr } from '../../core/sip/name-addr.ts';
import { equalsIgnoreCase, textOf } from '../../core/sip/octets.ts';
import { type HostPort, scanSipUri } from '../../core/sip/uri.ts';

/** What a URI or a Via names: an address or a lower-case host name, and a port where one is written. */
export interface HopTarget {
  readonly host: Address | string;
  readonly port: number | undefined;
}

export type Addressee =
  /**
   * The Routes in order, then the Request-URI: the first that is not ourselves is the next hop. Not `complete`: what
   * follows cannot be read, or is of a scheme that names no host (tel:) or needs TLS (sips:).
   */
  | { readonly kind: 'request'; readonly targets: readonly HopTarget[]; readonly complete: boolean }
  /** `transaction` is the key under which the request was remembered. */
  | { readonly kind: 'response'; readonly transaction: string; readonly sentBy: HopTarget }
  /**
   * Not SIP, or not understood. `target` is what a request line names, if there is one to be read: a guess, for a phone
   * of which nothing better is known.
   */
  | { readonly kind: 'unknown'; readonly target: HopTarget | undefined };

export function readAddressee(bytes: Uint8Array): Addressee {
  const scan = scanMessage(bytes);
  if (!scan.ok) return { kind: 'unknown', target: requestLineTarget(bytes) };
  const { message } = scan;
  if (message.kind === 'response')
    return {
      kind: 'response',
      transaction: transactionKey(message),
      sentBy: targetOf(bytes, message.via.sentBy),
    };
  const targets: HopTarget[] = [];
  for (const field of message.fields) {
    if (field.name !== 'route') continue;
    const routes: NameAddr[] = [];
    if (!scanNameAddrs(bytes, field, routes)) return { kind: 'request', targets, complete: false };
    for (const route of routes) {
      const target = uriTarget(bytes, route.uri);
      if (target === undefined) return { kind: 'request', targets, complete: false };
      targets.push(target);
    }
  }
  const target = uriTarget(bytes, message.requestUri);
  if (target === undefined) return { kind: 'request', targets, complete: false };
  targets.push(target);
  return { kind: 'request', targets, complete: true };
}

/** The key of a request that goes to a phone, under which its responses are known; undefined for anything else. */
export function requestTransaction(bytes: Uint8Array): string | undefined {
  if (equalsIgnoreCase(bytes, 0, Math.min(4, bytes.length), 'sip/')) return undefined;
  const scan = scanMessage(bytes);
  return scan.ok && scan.message.kind === 'request' ? transactionKey(scan.message) : undefined;
}

const MAGIC_COOKIE = 'z9hG4bK';

function transactionKey(message: Message): string {
  const { bytes, via } = message;
  const branch = via.branch === undefined ? '' : textOf(bytes, via.branch.start, via.branch.end);
  const sentBy = targetOf(bytes, via.sentBy);
  const unique = branch.startsWith(MAGIC_COOKIE) ? '' : ` ${message.callId} ${message.cseq}`;
  return `${branch} ${sentBy.host} ${sentBy.port ?? ''}${unique}`;
}

const LONGEST_REQUEST_LINE = 2048;

function requestLineTarget(bytes: Uint8Array): HopTarget | undefined {
  const line = textOf(bytes, 0, Math.min(bytes.length, LONGEST_REQUEST_LINE));
  const method = /^([^\s:]{1,64} )sip:\S+ SIP\/2\.0\r?\n/i.exec(line)?.[1];
  if (method === undefined) return undefined;
  return uriTarget(bytes, { start: method.length, end: line.indexOf(' ', method.length) });
}

function uriTarget(bytes: Uint8Array, span: Span): HopTarget | undefined {
  const uri = scanSipUri(bytes, span.start, span.end);
  if (uri === undefined) return undefined;
  const maddr = /^[^?]*?;maddr=([^;?]+)/i.exec(textOf(bytes, uri.rest.start, uri.rest.end))?.[1];
  if (maddr === undefined) return targetOf(bytes, uri);
  return { host: parseAddress(maddr.replace(/^\[(.*)\]$/, '$1')) ?? maddr.toLowerCase(), port: uri.port };
}

function targetOf(bytes: Uint8Array, at: HostPort): HopTarget {
  return { host: at.address ?? textOf(bytes, at.host.start, at.host.end).toLowerCase(), port: at.port };
}
