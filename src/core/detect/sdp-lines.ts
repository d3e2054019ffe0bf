/**
 * An SDP description line by line, whatever is wrong with it: which line became which, and what belongs to which media
 * description. The scanner of core/sdp refuses what is damaged; here the damage is what is looked for.
 */
import { type Address, parseAddress } from '../net/address.ts';
import type { Span } from '../net/span.ts';
import { textOf } from '../sip/octets.ts';
import { type Line, linesOf } from './layout.ts';

export interface SdpLine {
  /** The letter before "="; empty where the line is none of an SDP. */
  readonly type: string;
  /** Of `a=`: the name of the attribute. */
  readonly attribute: string;
  readonly text: string;
  readonly span: Span;
  readonly end: Span;
  /** Index of the media description that it belongs to; -1 for the session. */
  readonly media: number;
}

/** One media description, or the session (-1), with what decides where its media goes. */
export interface SdpMedia {
  readonly line: SdpLine | undefined;
  readonly connection: SdpLine | undefined;
  readonly rtcp: SdpLine | undefined;
}

export function sdpLines(bytes: Uint8Array, range: Span): SdpLine[] {
  let media = -1;
  return linesOf(bytes, range).map(({ text: span, end }: Line) => {
    const text = textOf(bytes, span.start, span.end);
    const type = /^[a-z]=/.test(text) ? text[0]! : '';
    if (type === 'm') media++;
    const attribute = type === 'a' ? (/^a=([^:\s]*)/.exec(text)?.[1] ?? '').toLowerCase() : '';
    return { type, attribute, text, span, end, media };
  });
}

/** By index; the session's own connection data at the end of the search of each. */
export function mediaOf(lines: readonly SdpLine[]): { session: SdpLine | undefined; media: SdpMedia[] } {
  let session: SdpLine | undefined;
  const media: { line: SdpLine; connection: SdpLine | undefined; rtcp: SdpLine | undefined }[] = [];
  for (const line of lines) {
    if (line.type === 'm') media.push({ line, connection: undefined, rtcp: undefined });
    else if (line.type === 'c') {
      const current = media.at(-1);
      if (current === undefined) session ??= line;
      else current.connection ??= line;
    } else if (line.attribute === 'rtcp') {
      const current = media.at(-1);
      if (current !== undefined) current.rtcp ??= line;
    }
  }
  return { session, media: media.map((one) => ({ ...one, connection: one.connection ?? session })) };
}

/** The address of a `c=` or `o=` line, or of the end of `a=rtcp`; undefined where it is a name, or none. */
export function addressOf(line: SdpLine | undefined): Address | undefined {
  const written = /\bIN IP[46] ([^\s/]+)/.exec(line?.text ?? '')?.[1];
  return written === undefined ? undefined : parseAddress(written);
}

export interface MediaLine {
  readonly media: string;
  /** As written. */
  readonly port: string;
  readonly count: string;
  readonly protocol: string;
  readonly formats: string;
}

export function mediaLine(text: string): MediaLine | undefined {
  const match = /^m=(\S+) ([^\s/]*)(\/\S*)? (\S+)(.*)$/.exec(text);
  if (match === null) return undefined;
  const [, media = '', port = '', count = '', protocol = '', formats = ''] = match;
  return { media, port, count, protocol, formats };
}

export function rtcpPort(line: SdpLine | undefined): number | undefined {
  const digits = /^a=rtcp:(\d{1,5})/.exec(line?.text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** For people: `SDP c= (session)`, `SDP m= (1)`, `SDP a=rtcp (2)`. */
export function placeIn(line: SdpLine): string {
  const what = line.type === '' ? 'line' : line.type === 'a' ? `a=${line.attribute}` : `${line.type}=`;
  return `SDP ${what} (${line.media < 0 ? 'session' : line.media + 1})`;
}
