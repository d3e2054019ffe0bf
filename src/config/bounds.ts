/**
 * What a configuration file may measure, looked at before the TOML parser sees it: that parser's work grows with the square of
 * one long or deeply nested value, so a file that somebody else has written could keep a start or a reload waiting. Within
 * these bounds it reads what it is given in well under a second.
 */

/** Characters of the whole file: room for some three thousand phones with a table each. */
export const MAX_FILE = 262_144;
/** Characters of one statement: a key with its value, over however many lines the value goes, or a table's header. */
export const MAX_STATEMENT = 8_192;
/** Names in one dotted key; the deepest key that there is has three. */
export const MAX_NAMES = 16;

export interface Excess {
  /** From 1. */
  readonly line: number;
  readonly what: string;
  readonly remedy: string;
}

/** The first thing that is too long; undefined where nothing is. Linear; checks nothing else of the grammar. */
export function excessOf(text: string): Excess | undefined {
  if (text.length > MAX_FILE)
    return {
      line: 1,
      what: `the file has ${text.length} characters, and ${MAX_FILE} are read at most`,
      remedy:
        'name networks instead of single phones (address = "192.168.1.0/24"), or take out what is not used',
    };
  let line = 1;
  let start = 0;
  let startLine = 1;
  let depth = 0;
  /** Of the dotted key that is being read. */
  let names = 1;
  /** The quotes that close the text in which we are; empty outside texts. */
  let closing = '';
  for (let i = 0; i <= text.length; i++) {
    const c = i < text.length ? text[i]! : '\n';
    if (c === '\n') {
      line++;
      names = 1;
      if (closing.length === 1) closing = '';
      if ((closing === '' && depth === 0) || i === text.length) {
        if (i - start > MAX_STATEMENT)
          return {
            line: startLine,
            what: `what begins here has ${i - start} characters, and ${MAX_STATEMENT} are read at most`,
            remedy: 'end the text or the list (a quote or a bracket may be missing), or make it shorter',
          };
        start = i + 1;
        startLine = line;
      }
    } else if (closing !== '') {
      if (c === '\\' && closing[0] === '"') i++;
      else if (text.startsWith(closing, i)) {
        i += closing.length - 1;
        closing = '';
      }
      // An escaped line end is one nevertheless.
      if (text[i] === '\n') line++;
    } else if (c === '#') {
      // The line end behind the comment is looked at as any other.
      const end = text.indexOf('\n', i);
      // A comment is none of the statement's length.
      start += (end < 0 ? text.length : end) - i;
      i = (end < 0 ? text.length : end) - 1;
    } else if (c === '"' || c === "'") {
      closing = text.startsWith(c.repeat(3), i) ? c.repeat(3) : c;
      i += closing.length - 1;
    } else if (c === '.') {
      if (++names > MAX_NAMES)
        return {
          line,
          what: `a key has more than ${MAX_NAMES} names`,
          remedy: 'take out what does not belong to the key; no key has more than three names',
        };
    } else if (c === '=' || c === ',') names = 1;
    else if (c === '[' || c === '{') depth++;
    else if ((c === ']' || c === '}') && depth > 0) depth--;
  }
  return undefined;
}
