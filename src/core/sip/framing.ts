/**
 * Where one message of a stream ends (RFC 3261 §18.3): the header ends at the empty line, the body is as long as
 * Content-Length says, and in a stream that field has to be there.
 *
 * Facts: CRLF between messages is a keepalive (RFC 5626 §4.4.1) and belongs to nobody; what does not begin like SIP, or
 * grows beyond the bound, makes the whole stream opaque for good: it is passed on raw from its first such octet.
 */
import { CR, decimal, equalsIgnoreCase, isWhite, LF, SP, skipLws, skipToken, trimEnd } from './octets.ts';

export type Frame =
  /** One whole message, a view into what was fed. */
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  /** CRLF between messages, to be passed on as it is. */
  | { readonly kind: 'keepalive'; readonly bytes: Uint8Array }
  /** Not SIP: this and everything after it. */
  | { readonly kind: 'raw'; readonly bytes: Uint8Array };

/** Header and body together; the largest message that is looked at (octets). */
export const MAX_FRAME = 65_536;

/** Cuts a stream into frames, however it is segmented. The frames joined are the octets fed, in order. */
export class Framer {
  #pending: Uint8Array = new Uint8Array(0);
  #raw = false;
  /** How far the search for the end of the header has come, so that many small segments stay linear. */
  #searched = 0;

  /** Octets that wait for the rest of their message. */
  get pending(): number {
    return this.#pending.length;
  }

  feed(chunk: Uint8Array): Frame[] {
    if (this.#raw) return chunk.length === 0 ? [] : [{ kind: 'raw', bytes: chunk }];
    let bytes = this.#pending.length === 0 ? chunk : concatenate(this.#pending, chunk);
    const frames: Frame[] = [];
    for (;;) {
      const length = this.#next(bytes);
      if (length === 0) break;
      if (length < 0) {
        this.#raw = true;
        frames.push({ kind: 'raw', bytes });
        bytes = bytes.subarray(bytes.length);
        break;
      }
      const one = bytes.subarray(0, length);
      frames.push({ kind: one[0] === CR ? 'keepalive' : 'message', bytes: one });
      bytes = bytes.subarray(length);
      this.#searched = 0;
    }
    this.#pending = bytes;
    return frames;
  }

  /** The length of the first frame; 0 where it is not whole yet; -1 where this is not SIP. */
  #next(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    if (bytes[0] === CR) {
      if (bytes.length === 1) return 0;
      return bytes[1] === LF ? 2 : -1;
    }
    if (this.#searched === 0 && !couldBeStartLine(bytes)) return -1;
    let i = Math.max(this.#searched - 3, 0);
    let header = -1;
    for (; i + 3 < bytes.length; i++) {
      if (bytes[i + 2] === CR && bytes[i] === CR && bytes[i + 1] === LF && bytes[i + 3] === LF) {
        header = i + 4;
        break;
      }
    }
    if (header < 0) {
      // The start line is judged anew until it is whole.
      this.#searched = bytes.indexOf(LF) < 0 ? 0 : bytes.length;
      return bytes.length > MAX_FRAME ? -1 : 0;
    }
    const body = declaredLength(bytes, header);
    if (body < 0 || header + body > MAX_FRAME) return -1;
    return header + body <= bytes.length ? header + body : 0;
  }
}

/** Method SP or SIP/; judged on what has arrived so far. */
function couldBeStartLine(bytes: Uint8Array): boolean {
  const lf = bytes.indexOf(LF);
  const end = lf < 0 ? bytes.length : lf;
  if (lf === 0 || (lf > 0 && bytes[lf - 1] !== CR)) return false;
  const token = skipToken(bytes, 0, Math.min(end, 64));
  if (token === 0 || (token >= 64 && lf < 0)) return false;
  if (lf < 0) return token === bytes.length || bytes[token] === SP || bytes[token] === 0x2f;
  return (
    equalsIgnoreCase(bytes, 0, 4, 'sip/') ||
    (bytes[token] === SP && equalsIgnoreCase(bytes, lf - 8, lf - 4, 'sip/'))
  );
}

/** The value of the one Content-Length in the header; -1 where there is none, two, or one that is no number. */
function declaredLength(bytes: Uint8Array, headerEnd: number): number {
  let found = -1;
  let i = bytes.indexOf(LF) + 1;
  while (i < headerEnd) {
    let lineEnd = bytes.indexOf(LF, i);
    while (lineEnd + 1 < headerEnd - 2 && isWhite(bytes[lineEnd + 1]!))
      lineEnd = bytes.indexOf(LF, lineEnd + 1);
    const nameEnd = skipToken(bytes, i, lineEnd);
    if (equalsIgnoreCase(bytes, i, nameEnd, 'content-length') || equalsIgnoreCase(bytes, i, nameEnd, 'l')) {
      let colon = nameEnd;
      while (isWhite(bytes[colon]!)) colon++;
      const start = skipLws(bytes, colon + 1, lineEnd);
      const value = decimal(bytes, start, trimEnd(bytes, start, lineEnd), 9);
      if (found >= 0 || value < 0) return -1;
      found = value;
    }
    i = lineEnd + 1;
  }
  return found;
}

function concatenate(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
