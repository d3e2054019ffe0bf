/**
 * SIP messages as the peers of the demo and of the lab write and read them.
 *
 * On purpose it shares nothing with src/core: what tests the gateway must not have its misunderstandings.
 */
export interface Message {
  /** Request line or status line. */
  readonly start: string;
  /** In order, as written; names are not normalised. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

const LONG_NAMES: Readonly<Record<string, string>> = {
  c: 'content-type',
  f: 'from',
  i: 'call-id',
  l: 'content-length',
  m: 'contact',
  r: 'refer-to',
  t: 'to',
  v: 'via',
};

/** Undefined where the bytes are no SIP message. */
export function parseMessage(bytes: Uint8Array): Message | undefined {
  const text = Buffer.from(bytes).toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [start = '', ...lines] = text.slice(0, end).split('\r\n');
  if (!/^SIP\/2\.0 \d{3}|^[A-Z]+ \S+ SIP\/2\.0$/.test(start)) return undefined;
  const fields: [string, string][] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (/^[ \t]/.test(line) && fields.length > 0) fields.at(-1)![1] += ` ${line.trim()}`;
    else if (colon > 0) fields.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  return { start, fields, body: text.slice(end + 4) };
}

export function formatMessage(message: Message): Buffer {
  const lines = [message.start, ...message.fields.map(([name, value]) => `${name}: ${value}`)];
  lines.push(`Content-Length: ${Buffer.byteLength(message.body, 'latin1')}`, '', message.body);
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

/** All values of a header field, in order; a comma-separated list is taken apart. `name` in lower case. */
export function values(message: Message, name: string): string[] {
  const found: string[] = [];
  for (const [key, value] of message.fields) {
    const lower = key.toLowerCase();
    if ((LONG_NAMES[lower] ?? lower) !== name) continue;
    found.push(...(/^(via|contact|route|record-route)$/.test(name) ? splitList(value) : [value]));
  }
  return found;
}

export function first(message: Message, name: string): string {
  return values(message, name)[0] ?? '';
}

function splitList(value: string): string[] {
  const parts: string[] = [];
  let part = '';
  let quoted = false;
  let angle = false;
  for (const c of value) {
    if (c === '"') quoted = !quoted;
    else if (!quoted && c === '<') angle = true;
    else if (!quoted && c === '>') angle = false;
    if (c === ',' && !quoted && !angle) {
      parts.push(part.trim());
      part = '';
    } else part += c;
  }
  if (part.trim() !== '') parts.push(part.trim());
  return parts;
}

export function isRequest(message: Message): boolean {
  return !message.start.startsWith('SIP/');
}

/** Of a request: its method. Of a response: the method in its CSeq. */
export function methodOf(message: Message): string {
  return isRequest(message) ? message.start.split(' ')[0]! : (first(message, 'cseq').split(/\s+/)[1] ?? '');
}

export function statusOf(message: Message): number {
  return isRequest(message) ? 0 : Number(message.start.slice(8, 11));
}

/** `<sip:a@h:1;x>;y` or `sip:a@h` → the URI. */
export function uriOf(value: string): string {
  return /<([^>]*)>/.exec(value)?.[1] ?? value.split(';')[0]!.trim();
}

/** The endpoint that a URI names; hosts are literals here. */
export function hostPortOf(uri: string): { address: string; port: number } {
  const match = /^sips?:(?:[^@]*@)?(?:\[([^\]]+)\]|([^:;>]+))(?::(\d+))?/.exec(uri);
  return { address: match?.[1] ?? match?.[2] ?? '', port: Number(match?.[3] ?? 5060) };
}

/** An address as it stands in a URI and in a Via. */
export function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

export function parameter(value: string, name: string): string | undefined {
  return new RegExp(`;\\s*${name}=("?)([^;">]*)\\1`, 'i').exec(value)?.[2];
}

export function tagOf(value: string): string {
  return parameter(value.slice(value.lastIndexOf('>') + 1), 'tag') ?? '';
}

export function sentBy(via: string): { address: string; port: number } {
  const match = /^SIP\/2\.0\/(?:UDP|TCP)\s+(?:\[([^\]]+)\]|([^:;\s]+))(?::(\d+))?/i.exec(via);
  return { address: match?.[1] ?? match?.[2] ?? '', port: Number(match?.[3] ?? 5060) };
}

export interface SdpMedia {
  readonly address: string;
  readonly port: number;
  readonly direction: string;
}

/** Where the first media description asks to be sent to. */
export function parseSdp(body: string): SdpMedia | undefined {
  const port = /^m=audio (\d+)/m.exec(body)?.[1];
  const address = [...body.matchAll(/^c=IN IP[46] (\S+)/gm)].at(-1)?.[1];
  if (port === undefined || address === undefined) return undefined;
  return {
    address,
    port: Number(port),
    direction: /^a=(sendrecv|sendonly|recvonly|inactive)/m.exec(body)?.[1] ?? 'sendrecv',
  };
}

export function formatSdp(address: string, port: number, version: number, direction = 'sendrecv'): string {
  const typed = `${address.includes(':') ? 'IP6' : 'IP4'} ${address}`;
  return [
    'v=0',
    `o=- 4711 ${version} IN ${typed}`,
    's=-',
    `c=IN ${typed}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0`,
    'a=rtpmap:0 PCMU/8000',
    'a=ptime:20',
    `a=${direction}`,
    '',
  ].join('\r\n');
}
