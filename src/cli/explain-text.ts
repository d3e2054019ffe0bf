/**
 * Several SIP messages in one text, one after another: cut by their Content-Length (RFC 3261 §18.3), as a stream is.
 *
 * Whatever the text, the pieces joined are the text again. A text in which no second message follows a whole first one
 * is one piece: what stands behind it is octets behind a message, as a datagram may have them.
 */
import { Framer } from '../core/sip/framing.ts';
import { isTokenCharacter } from '../core/sip/octets.ts';

export interface Piece {
  /** Empty lines between messages are a gap: they belong to nobody. */
  readonly kind: 'message' | 'gap';
  readonly bytes: Uint8Array;
  /** Where in the text. */
  readonly offset: number;
}

export function splitMessages(text: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  let offset = 0;
  const add = (kind: Piece['kind'], bytes: Uint8Array): void => {
    pieces.push({ kind, bytes, offset });
    offset += bytes.length;
  };
  let messages = 0;
  let rest = text;
  for (;;) {
    const framer = new Framer();
    const before = messages;
    let read = 0;
    for (const { kind, bytes } of framer.feed(rest)) {
      if (kind === 'raw') break;
      add(kind === 'message' ? 'message' : 'gap', bytes);
      if (kind === 'message') messages++;
      read += bytes.length;
    }
    rest = rest.subarray(read);
    if (messages === before) break;
    // What an editor leaves between messages or at the end of the file.
    const gap = whiteBefore(rest);
    if (gap > 0) add('gap', rest.subarray(0, gap));
    rest = rest.subarray(gap);
    if (rest.length === 0) break;
  }
  if (messages === 0 || (messages === 1 && !beginsLikeSip(rest)))
    return [{ kind: 'message', bytes: text, offset: 0 }];
  // The last one: without Content-Length, cut off, or not understood.
  if (rest.length > 0) add('message', rest);
  return pieces;
}

function whiteBefore(bytes: Uint8Array): number {
  let i = 0;
  while (i < bytes.length && (bytes[i] === 0x0d || bytes[i] === 0x0a || bytes[i] === 0x20 || bytes[i] === 9))
    i++;
  return i;
}

/** A start line, whole or as much of it as there is. */
function beginsLikeSip(bytes: Uint8Array): boolean {
  if (bytes.length === 0) return false;
  if (!isTokenCharacter(bytes[0]!)) return false;
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 2_048))
    .toString('latin1')
    .split(/\r?\n/, 1)[0]!;
  return /^SIP\/2\.0 \d{3}\b|^[^\s]+ [^\s]+ SIP\/\d\.\d$/i.test(line);
}
