/** One line of a message as people read it, with what was edited marked in it. */

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

/** `line` holds an octet in each character, without the line's end; `edits` are in order. */
export function shownLine(line: string, edits: readonly Edited[]): Piece[] {
  const pieces: Piece[] = [];
  const add = (start: number, end: number, edited: boolean): void => {
    if (end > start) pieces.push({ text: readable(line.slice(start, end)), edited });
  };
  let at = 0;
  for (const { start, end } of edits) {
    add(at, start, false);
    add(start, end, true);
    at = end;
  }
  add(at, line.length, false);
  return pieces;
}

/** Valid UTF-8 as people read it; a control character is shown and not obeyed. */
export function readable(octets: string): string {
  const bytes = Buffer.from(octets, 'latin1');
  const utf8 = bytes.toString('utf8');
  return (utf8.includes('\ufffd') ? octets : utf8).replaceAll(
    /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u{${c.charCodeAt(0).toString(16)}}`,
  );
}
