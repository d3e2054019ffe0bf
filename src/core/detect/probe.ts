/**
 * The messages of a check: whole SIP, as a phone and its provider write it, with an id that survives damage.
 *
 * Facts about what is looked for:
 * - Boxes that know SIP edit only what names the flow's own endpoint, so a probe has to name the very port that it leaves
 *   from; a Contact on 5060 sent from another port would find nothing.
 * - Boxes that replace text edit an address wherever it stands, so the full probe plants it in every place that is no
 *   address to be reached (Call-ID, identity, display name, credentials, text), and other addresses beside it.
 * - An id of letters g–z holds no digit, no dot and no hexadecimal: nothing that a box could take for an address.
 */
import { type Endpoint, formatHost, isIPv6 } from '../net/address.ts';
import { octetsOf, textOf } from '../sip/octets.ts';

export type ProbeTransport = 'UDP' | 'TCP' | 'TLS' | 'WSS';

/** Every method of RFC 3261 and its extensions, and one that nobody knows (RFC 3261 §8.2.1 has it answered, not dropped). */
export const methods = [
  'OPTIONS',
  'REGISTER',
  'INVITE',
  'SUBSCRIBE',
  'NOTIFY',
  'MESSAGE',
  'INFO',
  'REFER',
  'UPDATE',
  'PRACK',
  'PUBLISH',
  'ACK',
  'BYE',
  'CANCEL',
  'QUERTZ',
] as const;
export type Method = (typeof methods)[number];

/** What Via and Contact name: the socket's own port, another one at which the phone listens too, or none (which is 5060). */
export type NamedPort = 'real' | 'other' | 'absent';

/** `plain`: what every phone writes. `full`: with decoys in every place where a bad box replaces text. */
export type Dress = 'plain' | 'full';

export interface Probe {
  /** The session's tag and letters of its own; stands in branch, tag, Call-ID, user part and a header field. */
  readonly id: string;
  readonly method: Method;
  readonly transport: ProbeTransport;
  readonly dress: Dress;
}

export interface PhoneProbe extends Probe {
  /** The phone's socket. */
  readonly inside: Endpoint;
  readonly server: Endpoint;
  /** The port in Via and Contact, where it is not the socket's own; undefined for none. Default: the socket's own. */
  readonly namedPort?: number | undefined;
  /** Ports of the media that the description offers; default ones next to those that phones use. */
  readonly media?: readonly number[];
  /** Brings the message up to this many octets, with a header field that means nothing. */
  readonly size?: number;
}

const LETTERS = 'ghijklmnopqrstuvwxyz';

/** Letters for a number, always four of them: 160 000 ids in one session. */
export function serialLetters(number: number): string {
  let text = '';
  for (let i = 0, rest = number; i < 4; i++, rest = Math.floor(rest / 20)) text = LETTERS[rest % 20] + text;
  return text;
}

/** What bodies carry in which method. */
function hasDescription(method: Method): boolean {
  return method === 'INVITE' || method === 'UPDATE' || method === 'PRACK';
}

/** A request as the phone sends it. */
export function phoneRequest(probe: PhoneProbe): Uint8Array {
  const { id, method, inside, server, transport } = probe;
  const host = formatHost(inside.address);
  const target = formatHost(server.address);
  const port = 'namedPort' in probe ? probe.namedPort : inside.port;
  const named = port === undefined ? host : `${host}:${port}`;
  const lines = [
    `${method} sip:${id}@${target}:${server.port} SIP/2.0`,
    `Via: SIP/2.0/${transport} ${named};branch=z9hG4bK${id};rport`,
    ...(probe.dress === 'full' ? ['Via: SIP/2.0/UDP 10.66.77.88:5070;branch=z9hG4bKinner'] : []),
    'Max-Forwards: 70',
    `From: "${probe.dress === 'full' ? `Phone at ${inside.address}` : 'Phone'}" <sip:${id}@${probe.dress === 'full' ? host : 'example.invalid'}>;tag=${id}`,
    `To: <sip:${id}@${target}>`,
    `Call-ID: ${id}@${host}`,
    `CSeq: ${cseqOf(probe.dress, inside)} ${method}`,
    `Contact: <sip:${id}@${named};transport=${transport === 'WSS' ? 'ws' : transport.toLowerCase()}>${method === 'REGISTER' ? ';expires=300' : ''}`,
  ];
  if (method === 'REGISTER') lines.push('Expires: 300');
  if (method === 'SUBSCRIBE' || method === 'PUBLISH') lines.push('Event: presence', 'Expires: 300');
  if (method === 'NOTIFY') lines.push('Event: dialog', 'Subscription-State: active;expires=300');
  if (method === 'REFER') lines.push(`Refer-To: <sip:${id}@${target}?Replaces=${id}%40${host}>`);
  if (method === 'PRACK') lines.push('RAck: 1 1 INVITE');
  lines.push('Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE', 'Supported: replaces, timer');
  if (probe.dress === 'full')
    lines.push(`Route: <sip:${formatHost(server.address)}:${server.port};lr>`, ...decoyFields(id, inside));
  lines.push('User-Agent: probe', `X-Probe: ${id}`);
  const body = phoneBody(probe);
  return finished(lines, body, probe.size);
}

export interface ServerProbe extends Probe {
  /** The server's socket, as it is seen from outside. */
  readonly server: Endpoint;
  /** The phone, as the server sees it. */
  readonly outside: Endpoint;
  /** Where the request is for: the Contact as the server has received it. */
  readonly requestUri: string;
  /** The phone's own address, as a decoy: where the server knows it at all. */
  readonly inside?: Endpoint;
  readonly media?: readonly number[];
  readonly size?: number;
}

/** A request as the provider sends it. */
export function serverRequest(probe: ServerProbe): Uint8Array {
  const { id, method, server, transport, requestUri, outside } = probe;
  const host = formatHost(server.address);
  const lines = [
    `${method} ${requestUri} SIP/2.0`,
    `Via: SIP/2.0/${transport} ${host}:${server.port};branch=z9hG4bK${id};rport`,
    'Max-Forwards: 70',
    `From: "Caller" <sip:${id}@${host}>;tag=${id}`,
    `To: <sip:${id}@${formatHost(outside.address)}>`,
    `Call-ID: ${id}@${host}`,
    `CSeq: ${cseqOf(probe.dress, outside)} ${method}`,
    `Contact: <sip:${id}@${host}:${server.port};transport=${transport === 'WSS' ? 'ws' : transport.toLowerCase()}>`,
  ];
  if (method === 'NOTIFY') lines.push('Event: dialog', 'Subscription-State: active;expires=300');
  if (method === 'REFER') lines.push(`Refer-To: <sip:${id}@${host}?Replaces=${id}%40${host}>`);
  if (method === 'SUBSCRIBE' || method === 'PUBLISH') lines.push('Event: presence', 'Expires: 300');
  if (method === 'PRACK') lines.push('RAck: 1 1 INVITE');
  lines.push(`Record-Route: <sip:${host}:${server.port};lr>`);
  if (probe.dress === 'full') lines.push(...decoyFields(id, probe.inside ?? outside));
  lines.push('User-Agent: probe', `X-Probe: ${id}`);
  const body = bodyOf(
    method,
    id,
    server.address,
    probe.media ?? [32_100],
    probe.inside ?? outside,
    probe.dress,
  );
  return finished(lines, body, probe.size);
}

export interface Answer {
  /** The request as it was received, octet for octet. */
  readonly request: Uint8Array;
  readonly status: number;
  readonly reason: string;
  /** Who answers, for Contact and description. */
  readonly own: Endpoint;
  /** Where the request came from, for `received` and `rport` (RFC 3581 §4); undefined where none are to be added. */
  readonly source?: Endpoint | undefined;
  readonly id: string;
  readonly transport: ProbeTransport;
  /** Ports of a description to be put in. */
  readonly media?: readonly number[] | undefined;
  /** Whose ports they are, where it is not who answers: a media server of its own. */
  readonly mediaAddress?: string | undefined;
  /** A description in place of the one that `media` makes. */
  readonly described?: string | undefined;
  /** What stands as Contact in place of who answers: a registrar gives back what it has stored (RFC 3261 §10.3). */
  readonly bindings?: readonly string[] | undefined;
}

const COPIED = /^(?:via|v|from|f|to|t|call-id|i|cseq|record-route)[ \t]*:/i;

/**
 * A response, made from the request's own lines as every server does (RFC 3261 §8.2.6): what has been edited on the way
 * comes back edited.
 */
export function responseTo(answer: Answer): Uint8Array {
  const { request, status, reason, own, source, id, transport } = answer;
  const text = textOf(request, 0, request.length);
  const header = text.slice(0, Math.max(text.indexOf('\r\n\r\n'), 0)).replaceAll(/\r\n(?=[ \t])/g, '\n');
  const copied = header
    .split('\r\n')
    .slice(1)
    .filter((line) => COPIED.test(line))
    .map((line) => line.replaceAll('\n', '\r\n'));
  const top = copied.findIndex((line) => /^(?:via|v)[ \t]*:/i.test(line));
  if (source !== undefined && top >= 0) {
    const via = copied[top]!;
    const withPort = via.replace(/;rport(?=[;,\s]|$)/i, `;received=${source.address};rport=${source.port}`);
    copied[top] = withPort === via ? `${via};received=${source.address}` : withPort;
  }
  const to = copied.findIndex((line) => /^(?:to|t)[ \t]*:/i.test(line));
  if (to >= 0 && status > 100 && !/;[ \t]*tag=/i.test(copied[to]!)) copied[to] += `;tag=q${id}`;
  const host = formatHost(own.address);
  const lines = [
    `SIP/2.0 ${status} ${reason}`,
    ...copied,
    ...(answer.bindings?.map((uri) => `Contact: <${uri}>;expires=300`) ?? [
      `Contact: <sip:${id}@${host}:${own.port};transport=${transport === 'WSS' ? 'ws' : transport.toLowerCase()}>`,
    ]),
    `X-Probe: ${id}`,
  ];
  const { media, mediaAddress = own.address } = answer;
  const body =
    answer.described ?? (media === undefined ? undefined : description(mediaAddress, media, 'plain', own));
  return finished(lines, body === undefined ? undefined : { type: 'application/sdp', text: body });
}

/** The URI of the first Contact, as it stands there; undefined where none can be made out. */
export function contactUri(bytes: Uint8Array): string | undefined {
  const text = textOf(bytes, 0, bytes.length);
  const field = /\r\n(?:contact|m)[ \t]*:[ \t]*([^\r]*)/i.exec(text)?.[1];
  return field === undefined ? undefined : (/<([^>\s]+)>/.exec(field)?.[1] ?? /^[^;,\s]+/.exec(field)?.[0]);
}

interface Body {
  readonly type: string;
  readonly text: string;
}

function phoneBody(probe: PhoneProbe): Body | undefined {
  return bodyOf(
    probe.method,
    probe.id,
    probe.inside.address,
    probe.media ?? [16_384],
    probe.inside,
    probe.dress,
  );
}

function bodyOf(
  method: Method,
  id: string,
  address: string,
  media: readonly number[],
  decoy: Endpoint,
  dress: Dress,
): Body | undefined {
  if (hasDescription(method))
    return { type: 'application/sdp', text: description(address, media, dress, decoy) };
  if (method === 'MESSAGE' || method === 'INFO')
    return { type: 'text/plain', text: `${id}: my address is ${decoy.address}, port ${decoy.port}.\r\n` };
  if (method === 'NOTIFY' || method === 'PUBLISH')
    return {
      type: 'application/dialog-info+xml',
      text: `<?xml version="1.0"?>\r\n<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:${id}@${formatHost(decoy.address)}">\r\n</dialog-info>\r\n`,
    };
  return undefined;
}

/** An offer: one audio description for each port; the full one with what ICE and SRTP add. */
export function description(
  address: string,
  ports: readonly number[],
  dress: Dress,
  decoy: Endpoint,
): string {
  const family = isIPv6(address) ? 'IP6' : 'IP4';
  const lines = [
    'v=0',
    `o=- ${decoy.port} 1 IN ${family} ${address}`,
    dress === 'full' ? `s=call from ${decoy.address}` : 's=-',
    `c=IN ${family} ${address}`,
    't=0 0',
  ];
  for (const port of ports) {
    lines.push(
      `m=audio ${port} RTP/AVP 0 8 101`,
      'a=rtpmap:0 PCMU/8000',
      'a=rtpmap:101 telephone-event/8000',
    );
    lines.push(`a=rtcp:${port + 1} IN ${family} ${address}`, 'a=ptime:20', 'a=sendrecv');
    if (dress === 'full')
      lines.push(`a=candidate:1 1 UDP 2130706431 ${address} ${port} typ host`, 'a=setup:actpass');
  }
  lines.push('');
  return lines.join('\r\n');
}

/** Places that no box has any business in, each with the phone's address in another spelling, and other addresses. */
function decoyFields(id: string, phone: Endpoint): string[] {
  const { address } = phone;
  const host = formatHost(address);
  const fields = [
    `P-Asserted-Identity: "${address}" <sip:${id}@${host}>`,
    `Authorization: Digest username="${id}", realm="${address}", nonce="${id}", uri="sip:${host}", response="${id}"`,
    `Subject: ${address} calls from port ${phone.port}`,
    `X-Address: ${address}:${phone.port}`,
    `X-Other: ${neighbourOf(address)} 10.66.77.88 203.0.113.77 fd00::6677`,
    `Warning: 399 ${host} "${address}"`,
  ];
  const octets = address.split('.').map(Number);
  if (octets.length !== 4) return fields;
  const hex = octets.map((octet) => octet.toString(16).padStart(2, '0').toUpperCase()).join('');
  const padded = octets.map((octet) => String(octet).padStart(3, '0')).join('.');
  const number = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  fields.push(
    `X-Spelt: ${number} ${hex} ${octets.join('-')} ${padded} ${octets.join('%2E')} ${octets.toReversed().join('.')} ${btoa(address)}`,
  );
  return fields;
}

/** Another address of the same network: one that a careless box takes for the phone's. */
function neighbourOf(address: string): string {
  const dot = address.lastIndexOf('.');
  if (dot < 0) return 'fd00::6678';
  const last = Number(address.slice(dot + 1));
  return `${address.slice(0, dot)}.${last >= 200 ? last - 100 : last + 50}`;
}

/** The full dress counts from the socket's port: a careless box takes the number for the port. */
function cseqOf(dress: Dress, endpoint: Endpoint): number {
  return dress === 'full' ? endpoint.port : 1;
}

/** Content-Length and body behind the lines, and padding before them where a size is asked for. */
function finished(lines: readonly string[], body: Body | undefined, size = 0): Uint8Array {
  const content = body?.text ?? '';
  const rest = [...lines];
  if (body !== undefined) rest.push(`Content-Type: ${body.type}`);
  rest.push(`Content-Length: ${content.length}`, '', content);
  const text = rest.join('\r\n');
  const missing = size - text.length;
  if (missing <= 0) return octetsOf(text);
  return octetsOf([lines[0]!, ...padding(missing), ...rest.slice(1)].join('\r\n'));
}

/** Header fields of so many octets in all, CRLF included; no line is longer than lines usually are. */
function padding(octets: number): string[] {
  const lines: string[] = [];
  let left = octets;
  while (left > 0) {
    // What would be too short for a line of its own goes into this one.
    const length = left > 220 ? 180 : Math.max(left, 10);
    lines.push(`X-Pad: ${LETTERS.repeat(12).slice(0, length - 9)}`);
    left -= length;
  }
  return lines;
}
