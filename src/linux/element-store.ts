/**
 * What should stand in our sets and maps, by who wants it; the kernel is brought in line with it in one transaction.
 *
 * Two owners may want the same key (two dialogs of one phone that offer the same RTP port): the latest decides the
 * value, and when it goes the one before it takes over. The whole can be written again, after somebody flushed the ruleset.
 */
import { type ElementChange, type NftElements, remove, renew, type SetElement } from './nft-elements.ts';

export interface WantedElement {
  readonly set: string;
  readonly key: Uint8Array;
  readonly value?: Uint8Array;
  /** Lives this long from each renewal. */
  readonly timeoutMs?: number;
  /** Or ends at this moment of `performance.now()`, whatever is renewed. */
  readonly untilMs?: number;
}

/** Under which the elements of a signalling mapping stand. */
export function signallingOwner(id: number): string {
  return `signalling ${id}`;
}

interface Row {
  readonly set: string;
  readonly key: Uint8Array;
  /** In the order in which they came; the last decides. */
  readonly owners: Map<string, WantedElement>;
}

const RENEW_CHUNK = 500;

function toElement(wanted: WantedElement): SetElement {
  const timeoutMs = wanted.untilMs === undefined ? wanted.timeoutMs : wanted.untilMs - performance.now();
  return {
    key: wanted.key,
    ...(wanted.value === undefined ? {} : { value: wanted.value }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function sameValue(a: WantedElement, b: WantedElement): boolean {
  return (
    a.timeoutMs === b.timeoutMs &&
    a.untilMs === b.untilMs &&
    Buffer.compare(a.value ?? NOTHING, b.value ?? NOTHING) === 0
  );
}

const NOTHING = new Uint8Array();

export class ElementStore {
  readonly #kernel: NftElements;
  readonly #rows = new Map<string, Row>();
  readonly #owners = new Map<string, Set<string>>();
  /** Collected while `together` runs. */
  #additions: BySet | undefined;

  constructor(kernel: NftElements) {
    this.#kernel = kernel;
  }

  get size(): number {
    return this.#rows.size;
  }

  /**
   * What `work` puts goes to the kernel in large transactions, the last of them when it has returned: for thousands of owners
   * at once. Where the kernel refuses one, that is thrown, and what was in it is written again with the next renewal.
   */
  together(work: () => void): void {
    if (this.#additions !== undefined) return work();
    this.#additions = new BySet();
    try {
      work();
    } finally {
      this.flush();
      this.#additions = undefined;
    }
  }

  /** What was put so far is in the kernel when this returns. */
  flush(): void {
    const additions = this.#additions;
    if (additions === undefined || additions.count === 0) return;
    this.#additions = new BySet();
    this.#kernel.apply(additions.changes(renew));
  }

  /** Replaces all that `owner` wants. Throws a `SystemError`, and then neither kernel nor store has changed. */
  put(owner: string, wanted: readonly WantedElement[]): void {
    const next = new Map<string, WantedElement>();
    for (const element of wanted) next.set(rowId(element), element);
    const touched = new Set([...(this.#owners.get(owner) ?? []), ...next.keys()]);
    const removals = new BySet();
    const additions = new BySet();
    for (const id of touched) {
      const row = this.#rows.get(id);
      const before = row === undefined ? undefined : last(row.owners);
      let after = next.get(id);
      if (after === undefined && row !== undefined)
        for (const [other, element] of row.owners) if (other !== owner) after = element;
      if (before !== undefined && after !== undefined && sameValue(before, after)) continue;
      if (before !== undefined) removals.add(before);
      if (after !== undefined) additions.add(after);
    }
    const collected = this.#additions;
    if (collected !== undefined && removals.count === 0) {
      collected.addAll(additions);
      if (collected.count >= RENEW_CHUNK) this.flush();
    } else {
      this.flush();
      this.#kernel.apply([
        ...removals.changes(remove),
        ...additions.changes((set, elements) => [{ action: 'add', set, elements }]),
      ]);
    }
    for (const id of touched) {
      const element = next.get(id);
      let row = this.#rows.get(id);
      row?.owners.delete(owner);
      if (element !== undefined) {
        if (row === undefined) {
          row = { set: element.set, key: element.key, owners: new Map() };
          this.#rows.set(id, row);
        }
        row.owners.set(owner, element);
      } else if (row?.owners.size === 0) this.#rows.delete(id);
    }
    if (next.size === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, new Set(next.keys()));
  }

  /** What `owner` wanted is forgotten, also where the kernel refuses (its table is gone, and the elements with it). */
  drop(owner: string): void {
    try {
      this.put(owner, []);
    } catch (error) {
      for (const id of this.#owners.get(owner) ?? []) {
        const row = this.#rows.get(id);
        row?.owners.delete(owner);
        if (row?.owners.size === 0) this.#rows.delete(id);
      }
      this.#owners.delete(owner);
      throw error;
    }
  }

  /** Gives every element with a timeout its full time again. */
  renewAll(): void {
    this.#write((element) => element.timeoutMs !== undefined);
  }

  /** Writes everything again, into a table that is new. */
  restoreAll(): void {
    const now = performance.now();
    this.#write((element) => element.untilMs === undefined || element.untilMs > now);
  }

  #write(wants: (element: WantedElement) => boolean): void {
    let batch = new BySet();
    for (const row of this.#rows.values()) {
      const element = last(row.owners);
      if (element === undefined || !wants(element)) continue;
      batch.add(element);
      if (batch.count < RENEW_CHUNK) continue;
      this.#kernel.apply(batch.changes(renew));
      batch = new BySet();
    }
    this.#kernel.apply(batch.changes(renew));
  }
}

/** Elements by the set that they belong to, so that one message carries many. */
class BySet {
  count = 0;
  readonly #sets = new Map<string, SetElement[]>();

  add(wanted: WantedElement): void {
    this.count++;
    const list = this.#sets.get(wanted.set);
    if (list === undefined) this.#sets.set(wanted.set, [toElement(wanted)]);
    else list.push(toElement(wanted));
  }

  addAll(others: BySet): void {
    for (const [set, elements] of others.#sets) {
      const list = this.#sets.get(set);
      if (list === undefined) this.#sets.set(set, [...elements]);
      else list.push(...elements);
      this.count += elements.length;
    }
  }

  changes(make: (set: string, elements: readonly SetElement[]) => ElementChange[]): ElementChange[] {
    return [...this.#sets].flatMap(([set, elements]) => make(set, elements));
  }
}

function rowId(element: WantedElement): string {
  return `${element.set} ${Buffer.from(element.key).toString('latin1')}`;
}

function last(owners: ReadonlyMap<string, WantedElement>): WantedElement | undefined {
  let found: WantedElement | undefined;
  for (const element of owners.values()) found = element;
  return found;
}
