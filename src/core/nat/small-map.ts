/**
 * Tables of one entry, nearly always: a phone has one contact, one registrar, one registration. A Map takes 180 octets for one
 * entry as for four, and a phone has eight of them. These take 48, until there is a second entry.
 *
 * They do what a Map and a Set do, in the same order; who goes through one while he adds to it may miss what he added.
 */
export class SmallMap<Key extends string | number, Value> {
  #key: Key | undefined;
  #value: Value | undefined;
  /** In the place of both, from the second entry on. */
  #more: Map<Key, Value> | undefined;

  constructor(entries: Iterable<readonly [Key, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#more?.size ?? (this.#key === undefined ? 0 : 1);
  }

  has(key: Key): boolean {
    return this.#more?.has(key) ?? this.#key === key;
  }

  get(key: Key): Value | undefined {
    if (this.#more !== undefined) return this.#more.get(key);
    return this.#key === key ? this.#value : undefined;
  }

  set(key: Key, value: Value): this {
    if (this.#more !== undefined) this.#more.set(key, value);
    else if (this.#key === undefined || this.#key === key) {
      this.#key = key;
      this.#value = value;
    } else {
      this.#more = new Map([
        [this.#key, this.#value as Value],
        [key, value],
      ]);
      this.#key = undefined;
      this.#value = undefined;
    }
    return this;
  }

  delete(key: Key): boolean {
    if (this.#more !== undefined) {
      const isGone = this.#more.delete(key);
      if (this.#more.size === 0) this.#more = undefined;
      return isGone;
    }
    if (this.#key !== key) return false;
    this.clear();
    return true;
  }

  clear(): void {
    this.#key = undefined;
    this.#value = undefined;
    this.#more = undefined;
  }

  *entries(): Generator<[Key, Value], undefined> {
    if (this.#more !== undefined) yield* this.#more;
    else if (this.#key !== undefined) yield [this.#key, this.#value as Value];
  }

  *keys(): Generator<Key, undefined> {
    if (this.#more !== undefined) yield* this.#more.keys();
    else if (this.#key !== undefined) yield this.#key;
  }

  *values(): Generator<Value, undefined> {
    if (this.#more !== undefined) yield* this.#more.values();
    else if (this.#key !== undefined) yield this.#value as Value;
  }

  [Symbol.iterator](): Generator<[Key, Value], undefined> {
    return this.entries();
  }
}

export class SmallSet<Key extends string | number> {
  #key: Key | undefined;
  #more: Set<Key> | undefined;

  get size(): number {
    return this.#more?.size ?? (this.#key === undefined ? 0 : 1);
  }

  has(key: Key): boolean {
    return this.#more?.has(key) ?? this.#key === key;
  }

  add(key: Key): this {
    if (this.#more !== undefined) this.#more.add(key);
    else if (this.#key === undefined || this.#key === key) this.#key = key;
    else {
      this.#more = new Set([this.#key, key]);
      this.#key = undefined;
    }
    return this;
  }

  delete(key: Key): boolean {
    if (this.#more !== undefined) {
      const isGone = this.#more.delete(key);
      if (this.#more.size === 0) this.#more = undefined;
      return isGone;
    }
    if (this.#key !== key) return false;
    this.#key = undefined;
    return true;
  }

  clear(): void {
    this.#key = undefined;
    this.#more = undefined;
  }

  *values(): Generator<Key, undefined> {
    if (this.#more !== undefined) yield* this.#more;
    else if (this.#key !== undefined) yield this.#key;
  }

  [Symbol.iterator](): Generator<Key, undefined> {
    return this.values();
  }
}
