/**
 * Where each key and value stands in a TOML text. The TOML parser reports places for syntax errors only, and a problem
 * with a value deserves one as well.
 *
 * It reads a text that the parser has already accepted, so it checks nothing: on a text that is not TOML the places may
 * be wrong, but it always ends.
 */

export interface Location {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units as editors count them. */
  readonly column: number;
}

/** Names of tables and keys, and indices of arrays: `['phone', 1, 'address']`. */
export type Path = readonly (string | number)[];

/** Octets of the text from `start` to before `end`, in UTF-16 units. */
export interface Extent {
  readonly start: number;
  readonly end: number;
}

export class Locations {
  readonly #keys = new Map<string, number>();
  readonly #values = new Map<string, number>();
  readonly #ends = new Map<string, number>();
  readonly #rooms = new Map<string, number>();
  readonly #lineStarts: readonly number[];

  constructor(text: string) {
    const starts = [0];
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) starts.push(i + 1);
    this.#lineStarts = starts;
    new Scanner(text, this.#keys, this.#values, this.#ends, this.#rooms).document();
  }

  /** The value at exactly this path, where it is written in the text. */
  extent(path: Path): Extent | undefined {
    const start = this.#values.get(keyOf(path));
    const end = this.#ends.get(keyOf(path));
    return start === undefined || end === undefined ? undefined : { start, end };
  }

  /** Where a new key of a table that has a header can be put: behind its last one. `[]` is the top of the text. */
  room(table: Path): number | undefined {
    return this.#rooms.get(keyOf(table));
  }

  /** The key at `path`, else the nearest enclosing key or table that is written in the text. */
  key(path: Path): Location | undefined {
    return this.#nearest(this.#keys, path);
  }

  /** The value at `path`; else as `key`. */
  value(path: Path): Location | undefined {
    const offset = this.#values.get(keyOf(path));
    return offset === undefined ? this.key(path) : this.#location(offset);
  }

  #nearest(offsets: ReadonlyMap<string, number>, path: Path): Location | undefined {
    for (let length = path.length; length > 0; length--) {
      const offset =
        offsets.get(keyOf(path.slice(0, length))) ?? this.#values.get(keyOf(path.slice(0, length)));
      if (offset !== undefined) return this.#location(offset);
    }
    return undefined;
  }

  #location(offset: number): Location {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#lineStarts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - this.#lineStarts[low]! + 1 };
  }
}

function keyOf(path: Path): string {
  return JSON.stringify(path);
}

class Scanner {
  readonly #text: string;
  readonly #keys: Map<string, number>;
  readonly #values: Map<string, number>;
  readonly #ends: Map<string, number>;
  readonly #rooms: Map<string, number>;
  /** Elements so far of each array of tables, by its path. */
  readonly #tables = new Map<string, number>();
  #at = 0;

  constructor(
    text: string,
    keys: Map<string, number>,
    values: Map<string, number>,
    ends: Map<string, number>,
    rooms: Map<string, number>,
  ) {
    this.#text = text;
    this.#keys = keys;
    this.#values = values;
    this.#ends = ends;
    this.#rooms = rooms;
  }

  document(): void {
    let table: Path = [];
    this.#rooms.set(keyOf(table), 0);
    for (;;) {
      this.#skipBlank();
      if (this.#at >= this.#text.length) return;
      const before = this.#at;
      if (this.#text[this.#at] === '[') table = this.#header();
      else this.#assignment(table);
      // Nothing was understood: not TOML. Go on with the next line.
      if (this.#at === before) this.#at = this.#lineEnd();
      this.#rooms.set(keyOf(table), Math.min(this.#lineEnd() + 1, this.#text.length));
    }
  }

  #header(): Path {
    const isArray = this.#text.startsWith('[[', this.#at);
    this.#at += isArray ? 2 : 1;
    this.#skipSpace();
    const start = this.#at;
    const names = this.#dottedKey();
    let path: (string | number)[] = [];
    names.forEach((name, i) => {
      path = [...path, name];
      const count = this.#tables.get(keyOf(path));
      // `[a.b]` below `[[a]]` means the b of the last a.
      if (i < names.length - 1 && count !== undefined) path.push(count - 1);
    });
    if (isArray) {
      const count = this.#tables.get(keyOf(path)) ?? 0;
      this.#tables.set(keyOf(path), count + 1);
      if (count === 0) this.#keys.set(keyOf(path), start);
      path = [...path, count];
    }
    this.#keys.set(keyOf(path), start);
    this.#at = this.#lineEnd();
    return path;
  }

  #assignment(table: Path): void {
    const start = this.#at;
    const names = this.#dottedKey();
    const path = [...table, ...names];
    // A dotted key also stands for the tables that it opens.
    for (let length = table.length + 1; length <= path.length; length++) {
      const key = keyOf(path.slice(0, length));
      if (!this.#keys.has(key)) this.#keys.set(key, start);
    }
    this.#skipSpace();
    if (this.#text[this.#at] !== '=') return;
    this.#at++;
    this.#skipSpace();
    this.#value(path);
  }

  #value(path: Path): void {
    this.#values.set(keyOf(path), this.#at);
    this.#anyValue(path);
    let end = this.#at;
    while (this.#text[end - 1] === ' ' || this.#text[end - 1] === '\t') end--;
    this.#ends.set(keyOf(path), end);
  }

  #anyValue(path: Path): void {
    const c = this.#text[this.#at];
    if (c === '"' || c === "'") this.#string();
    else if (c === '[') this.#array(path);
    else if (c === '{') this.#inlineTable(path);
    else while (this.#at < this.#text.length && !/[,\]}#\r\n]/.test(this.#text[this.#at]!)) this.#at++;
  }

  #array(path: Path): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipBlank();
      if (this.#text[this.#at] === ',') this.#at++;
      this.#skipBlank();
      if (this.#at >= this.#text.length) return;
      if (this.#text[this.#at] === ']') {
        this.#at++;
        return;
      }
      const before = this.#at;
      this.#value([...path, index]);
      if (this.#at === before) return;
    }
  }

  #inlineTable(path: Path): void {
    this.#at++;
    for (;;) {
      this.#skipBlank();
      if (this.#text[this.#at] === ',') this.#at++;
      this.#skipBlank();
      if (this.#at >= this.#text.length) return;
      if (this.#text[this.#at] === '}') {
        this.#at++;
        return;
      }
      const before = this.#at;
      this.#assignment(path);
      if (this.#at === before) return;
    }
  }

  #dottedKey(): string[] {
    const names: string[] = [];
    for (;;) {
      this.#skipSpace();
      const start = this.#at;
      const c = this.#text[this.#at];
      if (c === '"' || c === "'") {
        this.#string();
        names.push(this.#text.slice(start + 1, this.#at - 1));
      } else {
        while (/[A-Za-z0-9_-]/.test(this.#text[this.#at] ?? '')) this.#at++;
        if (this.#at === start) return names;
        names.push(this.#text.slice(start, this.#at));
      }
      const end = this.#at;
      this.#skipSpace();
      if (this.#text[this.#at] !== '.') {
        this.#at = end;
        return names;
      }
      this.#at++;
    }
  }

  #string(): void {
    const quote = this.#text[this.#at]!;
    const long = quote.repeat(3);
    const closing = this.#text.startsWith(long, this.#at) ? long : quote;
    this.#at += closing.length;
    while (this.#at < this.#text.length && !this.#text.startsWith(closing, this.#at)) {
      this.#at += quote === '"' && this.#text[this.#at] === '\\' ? 2 : 1;
    }
    this.#at += closing.length;
    // Up to two quotes may stand directly before the closing three.
    if (closing.length === 3) while (this.#text[this.#at] === quote) this.#at++;
  }

  #skipSpace(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at++;
  }

  /** Spaces, line ends and comments. */
  #skipBlank(): void {
    for (;;) {
      const c = this.#text[this.#at];
      if (c === '#') this.#at = this.#lineEnd();
      else if (c === ' ' || c === '\t' || c === '\n' || c === '\r') this.#at++;
      else return;
    }
  }

  #lineEnd(): number {
    const end = this.#text.indexOf('\n', this.#at);
    return end < 0 ? this.#text.length : end;
  }
}
