/**
 * The Call-ID of a message without a scan of the whole: for whoever looks for one call among thousands of messages.
 *
 * What stands there is taken as it is, also from a message with a defect; it is for people, and nothing is decided by it.
 */
import { classify } from '../core/alg/classify.ts';
import { textOf } from '../core/sip/octets.ts';

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const LONGEST = 512;

/** Undefined: no SIP, or none is in it. `i` is its compact form (RFC 3261 §20.8). */
export function callIdOf(bytes: Uint8Array): string | undefined {
  return fieldOf(bytes, 'call-id', 'i');
}

/** The method of a request, or the one that a response answers (CSeq, RFC 3261 §20.16); undefined where it is no SIP. */
export function methodOf(bytes: Uint8Array): string | undefined {
  if (!isResponse(bytes)) {
    if (classify(bytes) !== 'sip') return undefined;
    const line = textOf(bytes, 0, Math.min(bytes.length, LONGEST));
    return /^([^\s]+) [^\r\n]* SIP\/2\.0\r?\n/.exec(line)?.[1];
  }
  return fieldOf(bytes, 'cseq', undefined)?.split(/\s+/)[1];
}

/** The start line, shortened; undefined where it is no SIP. */
export function startLineOf(bytes: Uint8Array): string | undefined {
  if (classify(bytes) !== 'sip') return undefined;
  let end = 0;
  while (end < bytes.length && end < LONGEST && bytes[end] !== CR && bytes[end] !== LF) end++;
  const line = textOf(bytes, 0, end);
  return line.includes('SIP/2.0') ? line : undefined;
}

export function isResponse(bytes: Uint8Array): boolean {
  // "SIP/"
  return bytes[0] === 0x53 && bytes[1] === 0x49 && bytes[2] === 0x50 && bytes[3] === 0x2f;
}

/** The value of the first header field with this name, in lower case, on one line; undefined where there is none. */
function fieldOf(bytes: Uint8Array, name: string, compact: string | undefined): string | undefined {
  if (classify(bytes) !== 'sip') return undefined;
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const end = bytes.indexOf(LF, start);
    if (end < 0) return undefined;
    at = end + 1;
    // The empty line ends the header.
    if (end === start || (end === start + 1 && bytes[start] === CR)) {
      if (start === 0) continue;
      return undefined;
    }
    const length = nameLength(bytes, start, end, name) ?? nameLength(bytes, start, end, compact);
    if (length === undefined) continue;
    return textOf(bytes, start + length, Math.min(end, start + length + LONGEST)).trim();
  }
  return undefined;
}

/** Octets up to and with the colon, where the line begins with that name. */
function nameLength(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: string | undefined,
): number | undefined {
  if (name === undefined) return undefined;
  for (let i = 0; i < name.length; i++) {
    const c = bytes[start + i]!;
    const lower = c >= 0x41 && c <= 0x5a ? c + 0x20 : c;
    if (lower !== name.charCodeAt(i)) return undefined;
  }
  let at = start + name.length;
  while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x09)) at++;
  return bytes[at] === COLON ? at + 1 - start : undefined;
}
