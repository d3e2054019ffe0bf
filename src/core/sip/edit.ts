/**
 * Edits: the only way in which a message changes. An edit replaces one span; every octet outside all spans is carried
 * over as it is.
 */
import type { Span } from '../net/span.ts';

export interface Edit<Rule extends string = string> {
  readonly span: Span;
  /** Printable ASCII; a CRLF may end it where a whole header field is put in. */
  readonly replacement: string;
  readonly rule: Rule;
}

/** A mistake of ours, never of a peer: caught once, and the original octets go out. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/**
 * The octets with the edits made. No edits: the very same buffer. Throws InvariantError where edits overlap, leave the
 * message, or would write anything else than they may.
 */
export function applyEdits(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array {
  if (edits.length === 0) return bytes;
  const ordered = inOrder(edits);
  let length = bytes.length;
  let last = 0;
  for (const { span, replacement } of ordered) {
    if (span.start < last || span.end < span.start || span.end > bytes.length)
      throw new InvariantError(`an edit at ${span.start}–${span.end} overlaps another or leaves the message`);
    last = span.end;
    length += replacement.length - (span.end - span.start);
  }
  const result = allocate(length);
  let from = 0;
  let to = 0;
  for (const { span, replacement } of ordered) {
    to = copy(bytes, from, span.start, result, to);
    const isField = span.start === span.end && replacement.endsWith('\r\n');
    const printable = isField ? replacement.length - 2 : replacement.length;
    for (let i = 0; i < replacement.length; i++) {
      const c = replacement.charCodeAt(i);
      if ((c < 0x20 || c > 0x7e) && i < printable)
        throw new InvariantError('an edit would write a control or non-ASCII character');
      result[to++] = c;
    }
    from = span.end;
  }
  copy(bytes, from, bytes.length, result, to);
  return result;
}

/**
 * Results are cut from a slab: to make an ArrayBuffer for each message costs more than to edit it. No octet is given out
 * twice; a slab lives as long as a message in it.
 */
const SLAB = 65_536;
let slab = new Uint8Array(SLAB);
let used = 0;

function allocate(length: number): Uint8Array {
  if (length > SLAB / 4) return new Uint8Array(length);
  if (used + length > SLAB) {
    slab = new Uint8Array(SLAB);
    used = 0;
  }
  used += length;
  return slab.subarray(used - length, used);
}

/** Short runs octet by octet, long ones by the platform. Returns where the copy ends. */
function copy(from: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  if (end - start > 80) into.set(from.subarray(start, end), at);
  else for (let i = start, to = at; i < end; i++, to++) into[to] = from[i]!;
  return at + end - start;
}

/** More edits than this are left to the platform's sort, whose call costs as much as to put a few in order. */
const FEW = 16;

/** By position; the list as it is where it is ordered already. */
export function inOrder<E extends Edit>(edits: readonly E[]): readonly E[] {
  let i = 1;
  while (i < edits.length && !isBefore(edits[i]!, edits[i - 1]!)) i++;
  if (i >= edits.length) return edits;
  const ordered = [...edits];
  if (ordered.length > FEW)
    return ordered.sort((a, b) => a.span.start - b.span.start || a.span.end - b.span.end);
  for (; i < ordered.length; i++) {
    const edit = ordered[i]!;
    let to = i;
    for (; to > 0 && isBefore(edit, ordered[to - 1]!); to--) ordered[to] = ordered[to - 1]!;
    ordered[to] = edit;
  }
  return ordered;
}

function isBefore({ span: a }: Edit, { span: b }: Edit): boolean {
  return a.start < b.start || (a.start === b.start && a.end < b.end);
}
