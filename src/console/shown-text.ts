/**
 * One line of a message as the console may show it, with what was edited marked in it.
 *
 * The rule of the log holds: user names and credentials are hidden unless `log.reveal` is set, and so are names and keys in
 * an SDP.
 */
import { redactText } from '../observe/redaction.ts';

/** A part of a line. */
export interface Piece {
  readonly text: string;
  /** An edit reaches over it. */
  readonly edited: boolean;
}

/** Within a line, in octets. */
export interface Edited {
  readonly start: number;
  readonly end: number;
}

/** Private-use characters (Unicode §23.5) stand for the ends of an edit while what stands around them is hidden. */
const BEGIN = '\ue000';
const END = '\ue001';
const MARKS = /[\ue000\ue001]/g;

/** `line` holds an octet in each character, without the line's end. `reveal` false: hidden as in the log. */
export function shownLine(line: string, edits: readonly Edited[], reveal: boolean): Piece[] {
  let marked = '';
  let at = 0;
  for (const { start, end } of edits) {
    marked += readable(line.slice(at, start)) + BEGIN + readable(line.slice(start, end)) + END;
    at = end;
  }
  marked += readable(line.slice(at));
  const text = reveal ? marked : hidden(marked);
  // A mark may have been hidden with what stood around it.
  return piecesOf(text) ?? [{ text: text.replaceAll(MARKS, ''), edited: true }];
}

function piecesOf(text: string): Piece[] | undefined {
  const pieces: Piece[] = [];
  let edited = false;
  for (const part of text.split(/([\ue000\ue001])/)) {
    if (part === BEGIN || part === END) {
      if (edited === (part === BEGIN)) return undefined;
      edited = part === BEGIN;
    } else if (part !== '') pieces.push({ text: part, edited });
  }
  return edited ? undefined : pieces;
}

const sdpSecret =
  /^(a=(?:crypto:\d+ \S+ inline:|ice-pwd:|ice-ufrag:|key-mgmt:\S+ ?)|k=|[iuep]=|s=(?=\s*[^\s-])).*/;
const sdpUser = /^o=(?!- )\S+/;

function hidden(line: string): string {
  return redactText(line).replace(sdpSecret, '$1…').replace(sdpUser, 'o=…');
}

/** Octets as people read them. A control character is shown and not obeyed; our own marks mean nothing in a message. */
function readable(octets: string): string {
  const bytes = Buffer.from(octets, 'latin1');
  const utf8 = bytes.toString('utf8');
  return (utf8.includes('\ufffd') ? octets : utf8)
    .replaceAll(
      /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g,
      (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
    .replaceAll(MARKS, '\ufffd');
}
