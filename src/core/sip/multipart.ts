/**
 * Multipart bodies (RFC 5621 §3, RFC 2046 §5.1): where the parts of a given type stand. Found, not decoded.
 *
 * Facts: a part begins after a line that is "--" and the boundary; the CRLF before that line belongs to the boundary
 * and not to the part; the last one ends in "--"; parts may be multiparts themselves; a part without Content-Type is text.
 * multipart/signed and multipart/encrypted are opaque as a whole: what is in them is covered (RFC 3261 §23).
 */
import type { Span } from '../net/span.ts';
import {
  COLON,
  CR,
  equalsIgnoreCase,
  find,
  isWhite,
  LF,
  SEMICOLON,
  skipLws,
  skipQuoted,
  skipToken,
  textOf,
  trimEnd,
} from './octets.ts';

/** type and subtype, as written, and where the parameters begin. */
export interface MediaType {
  readonly type: Span;
  readonly subtype: Span;
  readonly parameters: Span;
}

const MAX_DEPTH = 4;
const MAX_PARTS = 32;

/** A Content-Type value; undefined where it does not follow the grammar. */
export function scanMediaType(bytes: Uint8Array, value: Span): MediaType | undefined {
  const typeEnd = skipToken(bytes, value.start, value.end);
  const slash = skipLws(bytes, typeEnd, value.end);
  if (typeEnd === value.start || bytes[slash] !== 0x2f || slash >= value.end) return undefined;
  const start = skipLws(bytes, slash + 1, value.end);
  const end = skipToken(bytes, start, value.end);
  if (end === start) return undefined;
  return {
    type: { start: value.start, end: typeEnd },
    subtype: { start, end },
    parameters: { start: skipLws(bytes, end, value.end), end: value.end },
  };
}

export function isMediaType(bytes: Uint8Array, one: MediaType, type: string, subtype: string): boolean {
  return (
    equalsIgnoreCase(bytes, one.type.start, one.type.end, type) &&
    equalsIgnoreCase(bytes, one.subtype.start, one.subtype.end, subtype)
  );
}

/**
 * Every part of type application/sdp in a body of the given type: the body itself, or parts of a multipart at any depth.
 * Parts with a transfer or content encoding are left out: their octets are not the description's.
 */
export function sdpParts(bytes: Uint8Array, contentType: MediaType, body: Span): Span[] {
  const found: Span[] = [];
  collect(bytes, contentType, body, 0, found);
  return found;
}

function collect(bytes: Uint8Array, contentType: MediaType, body: Span, depth: number, found: Span[]): void {
  if (isMediaType(bytes, contentType, 'application', 'sdp')) {
    if (body.end > body.start && found.length < MAX_PARTS) found.push(body);
    return;
  }
  const { type, subtype } = contentType;
  if (depth >= MAX_DEPTH || !equalsIgnoreCase(bytes, type.start, type.end, 'multipart')) return;
  if (equalsIgnoreCase(bytes, subtype.start, subtype.end, 'signed')) return;
  if (equalsIgnoreCase(bytes, subtype.start, subtype.end, 'encrypted')) return;
  const boundary = boundaryOf(bytes, contentType.parameters);
  if (boundary === undefined) return;
  let parts = 0;
  for (const part of splitParts(bytes, body, boundary)) {
    if (++parts > MAX_PARTS) return;
    const inner = scanPart(bytes, part);
    if (inner !== undefined) collect(bytes, inner.contentType, inner.body, depth + 1, found);
  }
}

/** The value of the boundary parameter, quoted or not. */
function boundaryOf(bytes: Uint8Array, parameters: Span): string | undefined {
  let i = parameters.start;
  while (i < parameters.end && bytes[i] === SEMICOLON) {
    const nameStart = skipLws(bytes, i + 1, parameters.end);
    const nameEnd = skipToken(bytes, nameStart, parameters.end);
    i = skipLws(bytes, nameEnd, parameters.end);
    if (bytes[i] !== 0x3d || i >= parameters.end) return undefined;
    const start = skipLws(bytes, i + 1, parameters.end);
    const quoted = bytes[start] === 0x22;
    const end = quoted ? skipQuoted(bytes, start, parameters.end) : valueEnd(bytes, start, parameters.end);
    if (end <= start) return undefined;
    if (equalsIgnoreCase(bytes, nameStart, nameEnd, 'boundary')) {
      const value = quoted ? textOf(bytes, start + 1, end - 1) : textOf(bytes, start, end);
      return value.length >= 1 && value.length <= 70 ? value : undefined;
    }
    i = skipLws(bytes, end, parameters.end);
  }
  return undefined;
}

function valueEnd(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end && bytes[i] !== SEMICOLON && !isWhite(bytes[i]!) && bytes[i] !== CR) i++;
  return i;
}

/** The octets between boundaries; a part that no boundary closes is none. */
function* splitParts(bytes: Uint8Array, body: Span, boundary: string): Generator<Span> {
  let open = -1;
  for (let line = body.start; line < body.end; ) {
    const lf = find(bytes, LF, line, body.end);
    const end = lf < 0 ? body.end : lf;
    if (isDelimiter(bytes, line, end, boundary)) {
      // The line end before the delimiter belongs to it.
      if (open >= 0) {
        const before = line - 1;
        const partEnd = bytes[before - 1] === CR ? before - 1 : before;
        yield { start: open, end: Math.max(partEnd, open) };
      }
      const after = line + 2 + boundary.length;
      if (bytes[after] === 0x2d && bytes[after + 1] === 0x2d && after + 1 < body.end) return;
      open = lf < 0 ? -1 : lf + 1;
    }
    line = lf < 0 ? body.end : lf + 1;
  }
}

function isDelimiter(bytes: Uint8Array, start: number, end: number, boundary: string): boolean {
  if (end - start < boundary.length + 2 || bytes[start] !== 0x2d || bytes[start + 1] !== 0x2d) return false;
  for (let i = 0; i < boundary.length; i++) if (bytes[start + 2 + i] !== boundary.charCodeAt(i)) return false;
  const rest = trimEnd(bytes, start + 2 + boundary.length, end);
  const length = rest - (start + 2 + boundary.length);
  return length === 0 || (length === 2 && bytes[rest - 1] === 0x2d && bytes[rest - 2] === 0x2d);
}

/** Content-Type and body of one part; undefined where it has no type, or an encoding. */
function scanPart(bytes: Uint8Array, part: Span): { contentType: MediaType; body: Span } | undefined {
  let contentType: MediaType | undefined;
  let i = part.start;
  while (i < part.end) {
    let lf = find(bytes, LF, i, part.end);
    if (lf < 0) return undefined;
    if (lf === i || (lf === i + 1 && bytes[i] === CR)) {
      return contentType === undefined ? undefined : { contentType, body: { start: lf + 1, end: part.end } };
    }
    while (lf + 1 < part.end && isWhite(bytes[lf + 1]!)) {
      const next = find(bytes, LF, lf + 1, part.end);
      if (next < 0) return undefined;
      lf = next;
    }
    const nameEnd = skipToken(bytes, i, lf);
    const colon = skipLws(bytes, nameEnd, lf);
    if (nameEnd === i || bytes[colon] !== COLON || colon >= lf) return undefined;
    const start = skipLws(bytes, colon + 1, lf);
    const value: Span = { start: Math.min(start, lf), end: trimEnd(bytes, Math.min(start, lf), lf) };
    if (equalsIgnoreCase(bytes, i, nameEnd, 'content-type') || equalsIgnoreCase(bytes, i, nameEnd, 'c')) {
      contentType = scanMediaType(bytes, value);
    } else if (
      equalsIgnoreCase(bytes, i, nameEnd, 'content-encoding') ||
      equalsIgnoreCase(bytes, i, nameEnd, 'e')
    ) {
      if (!equalsIgnoreCase(bytes, value.start, value.end, 'identity')) return undefined;
    } else if (equalsIgnoreCase(bytes, i, nameEnd, 'content-transfer-encoding')) {
      if (!['binary', '8bit', '7bit'].some((one) => equalsIgnoreCase(bytes, value.start, value.end, one)))
        return undefined;
    }
    i = lf + 1;
  }
  return undefined;
}
