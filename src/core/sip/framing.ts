/**
 * Where one message of a stream ends (RFC 3261 §18.3): the header ends at the empty line, the body is as long as
 * Content-Length says, and in a stream that field has to be there.
 *
 * Facts: CRLF between messages is a keepalive (RFC 5626 §4.4.1) and belongs to nobody; what does not begin like SIP, or
 * grows beyond the bound, makes the whole stream opaque for good: it is passed on raw from its first such octet.
 */
import { CR, decimal, equalsIgnoreCase, isWhite, LF, SP, skipLws, skipToken, trimEnd } from './octets.ts';

export type Frame =
  /** One whole message. */
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  /** CRLF between messages, to be passed on as it is. */
  | { readonly kind: 'keepalive'; readonly bytes: Uint8Array }
  /** Not SIP: this and everything after it. */
  | { readonly kind: 'raw'; readonly bytes: Uint8Array };

/** Header and body together; the largest message that is looked at (octets). */
export const MAX_FRAME = 65_536;

/** Cuts a stream into frames, however it is segmented. The frames joined are the octets fed, in order. */
export class Framer {
  /** What has been fed and not been given out stands in `[start, end)`; it grows by doubling, so that feeding is linear. */
  #buffer: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #raw = false;
  /** Why the stream is opaque; undefined while it is not. */
  opaqueBecause: string | undefined;
  /** Of the message that is being read, from its start: how far it has been searched, and what has been found. */
  #searched = 0;
  #startLineEnd = -1;
  #frameLength = -1;

  /** Octets that wait for the rest of their message. */
  get pending(): number {
    return this.#end - this.#start;
  }

  /** The stream has ended: what waits for the rest of its message, which will not come. */
  finish(): Uint8Array {
    this.#raw = true;
    return this.#take(this.pending);
  }

  feed(chunk: Uint8Array): Frame[] {
    if (chunk.length === 0) return [];
    if (this.#raw) return [{ kind: 'raw', bytes: chunk }];
    this.#append(chunk);
    const frames: Frame[] = [];
    for (let length = this.#next(); length !== 0; length = this.#next()) {
      if (length < 0) {
        this.#raw = true;
        frames.push({ kind: 'raw', bytes: this.#take(this.pending) });
        break;
      }
      const bytes = this.#take(length);
      frames.push({ kind: bytes[0] === CR ? 'keepalive' : 'message', bytes });
    }
    return frames;
  }

  #append(chunk: Uint8Array): void {
    const needed = this.pending + chunk.length;
    if (this.#end + chunk.length > this.#buffer.length) {
      const room = needed <= this.#buffer.length / 2 ? this.#buffer.length : Math.max(needed * 2, 1024);
      const next = new Uint8Array(room);
      next.set(this.#buffer.subarray(this.#start, this.#end));
      this.#end -= this.#start;
      this.#start = 0;
      this.#buffer = next;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** A copy: the buffer goes on being used. */
  #take(length: number): Uint8Array {
    const bytes = this.#buffer.slice(this.#start, this.#start + length);
    this.#start += length;
    this.#searched = 0;
    this.#startLineEnd = -1;
    this.#frameLength = -1;
    return bytes;
  }

  #refuse(why: string): number {
    this.opaqueBecause = why;
    return -1;
  }

  /** The length of the first frame; 0 where it is not whole yet; -1 where this is not SIP. */
  #next(): number {
    const bytes = this.#buffer.subarray(this.#start, this.#end);
    if (bytes.length === 0) return 0;
    if (bytes[0] === CR) {
      if (bytes.length === 1) return 0;
      return bytes[1] === LF ? 2 : this.#refuse('it does not begin like SIP');
    }
    if (this.#frameLength < 0) {
      if (this.#startLineEnd < 0) {
        const lf = bytes.indexOf(LF, this.#searched);
        if (lf < 0) {
          // What has come of the start line is judged once at its beginning, and once when it is whole.
          const isPlausible = this.#searched > 128 || couldBeStartLine(bytes, -1);
          this.#searched = bytes.length;
          if (!isPlausible) return this.#refuse('it does not begin like SIP');
          return bytes.length <= MAX_FRAME ? 0 : this.#refuse(TOO_LONG);
        }
        if (!couldBeStartLine(bytes, lf)) return this.#refuse('it does not begin like SIP');
        this.#startLineEnd = lf + 1;
        this.#searched = lf + 1;
      }
      const header = headerEnd(bytes, Math.max(this.#searched - 3, 0));
      if (header < 0) {
        this.#searched = bytes.length;
        return bytes.length > MAX_FRAME ? this.#refuse(TOO_LONG) : 0;
      }
      const body = declaredLength(bytes, this.#startLineEnd, header);
      if (body < 0) return this.#refuse('a message has no usable Content-Length (RFC 3261 §20.14)');
      if (header + body > MAX_FRAME) return this.#refuse(TOO_LONG);
      this.#frameLength = header + body;
    }
    return this.#frameLength <= bytes.length ? this.#frameLength : 0;
  }
}

const TOO_LONG = `a message is longer than ${MAX_FRAME} octets`;

/** One past the empty line that ends the header, looked for from `from` on; -1 where it has not come. */
function headerEnd(bytes: Uint8Array, from: number): number {
  for (let i = from; i + 3 < bytes.length; i++)
    if (bytes[i] === CR && bytes[i + 1] === LF && bytes[i + 2] === CR && bytes[i + 3] === LF) return i + 4;
  return -1;
}

/** Method SP or SIP/; judged on what has arrived so far, where `lf` is -1, or on the whole line. */
function couldBeStartLine(bytes: Uint8Array, lf: number): boolean {
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
function declaredLength(bytes: Uint8Array, from: number, end: number): number {
  let found = -1;
  let i = from;
  while (i < end) {
    let lineEnd = bytes.indexOf(LF, i);
    while (lineEnd + 1 < end - 2 && isWhite(bytes[lineEnd + 1]!)) lineEnd = bytes.indexOf(LF, lineEnd + 1);
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
