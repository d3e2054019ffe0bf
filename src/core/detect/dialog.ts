/**
 * A call as its two ends know it (RFC 3261 §12): each keeps what it has received itself, so that what a box has edited on the
 * way comes back into the next message, as with real phones and servers.
 */
import { type Endpoint, formatHost } from '../net/address.ts';
import { octetsOf, textOf } from '../sip/octets.ts';
import { fieldText } from './field-text.ts';
import { contactUri, type ProbeTransport } from './probe.ts';

export interface Dialog {
  readonly callId: string;
  /** Values of From and To for requests of this end, tags included. */
  readonly from: string;
  readonly to: string;
  /** The Contact of the other end, as it arrived. */
  readonly target: string;
  /** This end, for Via and Contact. */
  readonly own: Endpoint;
}

/** The caller's view, from its request and the 200 as it arrived; undefined where they cannot be read. */
export function callerDialog(sent: Uint8Array, response: Uint8Array, own: Endpoint): Dialog | undefined {
  const [callId, from] = [fieldText(sent, 'call-id'), fieldText(sent, 'from')];
  const [to, target] = [fieldText(response, 'to'), contactUri(response)];
  return callId === undefined || from === undefined || to === undefined || target === undefined
    ? undefined
    : { callId, from, to, target, own };
}

/** The callee's view, from the request as it arrived and its own 200. */
export function calleeDialog(request: Uint8Array, response: Uint8Array, own: Endpoint): Dialog | undefined {
  const callId = fieldText(request, 'call-id');
  const [from, to] = [fieldText(response, 'to'), fieldText(request, 'from')];
  const target = contactUri(request);
  return callId === undefined || from === undefined || to === undefined || target === undefined
    ? undefined
    : { callId, from, to, target, own };
}

export interface DialogRequest {
  readonly id: string;
  readonly method: string;
  readonly cseq: number;
  readonly transport: ProbeTransport;
  readonly fields?: readonly string[];
  readonly body?: { readonly type: string; readonly text: string };
}

export function dialogRequest(dialog: Dialog, request: DialogRequest): Uint8Array {
  const { callId, from, to, target, own } = dialog;
  const { id, method, cseq, transport, fields = [], body } = request;
  const host = `${formatHost(own.address)}:${own.port}`;
  return octetsOf(
    [
      `${method} ${target} SIP/2.0`,
      `Via: SIP/2.0/${transport} ${host};branch=z9hG4bK${id};rport`,
      'Max-Forwards: 70',
      `From: ${from}`,
      `To: ${to}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      ...(method === 'ACK' || method === 'BYE' ? [] : [`Contact: <sip:${id}@${host}>`]),
      ...fields,
      `X-Probe: ${id}`,
      ...(body === undefined ? [] : [`Content-Type: ${body.type}`]),
      `Content-Length: ${body?.text.length ?? 0}`,
      '',
      body?.text ?? '',
    ].join('\r\n'),
  );
}

/** Where the first media description asks to be sent to; undefined where there is none, or no address. */
export function mediaEndpoint(message: Uint8Array): Endpoint | undefined {
  const text = textOf(message, 0, message.length);
  const body = text.slice(text.indexOf('\r\n\r\n') + 2);
  const media = /\r\nm=[a-z]+ (\d{1,5})/.exec(body);
  const port = Number(media?.[1] ?? 0);
  if (media === null || port < 1 || port > 65_535) return undefined;
  // A c= of the media description itself wins (RFC 8866 §5.7).
  const own = body.slice(media.index + 2).split('\r\nm=')[0]!;
  const address = (/\r\nc=IN IP[46] ([^\s/]+)/.exec(own) ?? /\r\nc=IN IP[46] ([^\s/]+)/.exec(body))?.[1];
  return address === undefined ? undefined : { address, port };
}
