/**
 * What should stand in our sets and maps, by who wants it; the kernel is brought in line with it in one transaction for all
 * that was asked in a turn of the loop.
 *
 * Two owners may want the same key (two dialogs of one phone that offer the same RTP port): the latest decides the
 * value, and when it goes the one before it takes over. The whole can be written again, after somebody flushed the ruleset.
 */
import { type ElementChange, type NftElements, remove, renew, type SetElement } from './nft-elements.ts';
import { ERRNO, SystemError } from './system-error.ts';

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
  readonly id: string;
  /** In the order in which they came; the last decides. */
  readonly owners: Map<string, WantedElement>;
  /** What the kernel has. */
  written: WantedElement | undefined;
}

/** Elements in one transaction: what fits the socket's buffers with room to spare. */
const CHUNK = 500;

function toElement(wanted: WantedElement): SetElement {
  const timeoutMs = wanted.untilMs === undefined ? wanted.timeoutMs : wanted.untilMs - performance.now();
  return {
    key: wanted.key,
    ...(wanted.value === undefined ? {} : { value: wanted.value }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function sameValue(a: WantedElement | undefined, b: WantedElement | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
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
  readonly #owners = new Map<string, readonly string[]>();
  /** Whose elements are to be written with the next flush, and what they wanted before. */
  readonly #changed = new Map<string, readonly WantedElement[]>();

  constructor(kernel: NftElements) {
    this.#kernel = kernel;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Whether `flush` has something to do. */
  get isDirty(): boolean {
    return this.#changed.size > 0;
  }

  /** Replaces all that `owner` wants, with the next flush. */
  put(owner: string, wanted: readonly WantedElement[]): void {
    if (!this.#changed.has(owner)) this.#changed.set(owner, this.#wantedBy(owner));
    this.#note(owner, wanted);
  }

  /** `owner` wants nothing any more, from the next flush on. */
  drop(owner: string): void {
    this.put(owner, []);
  }

  /**
   * What was put so far is in the kernel when this returns; except for the owners that are given back with the error
   * (`SystemError`) for which the kernel has refused theirs: these want again what they wanted before, or nothing where they
   * had been dropped (the table is gone, and the elements with it).
   */
  flush(): ReadonlyMap<string, unknown> {
    if (this.#changed.size === 0) return NONE;
    const changed = new Map(this.#changed);
    this.#changed.clear();
    const rows = new Set<string>();
    for (const [owner, before] of changed) {
      for (const element of before) rows.add(rowId(element));
      for (const id of this.#owners.get(owner) ?? []) rows.add(id);
    }
    try {
      this.#bring(rows);
      return NONE;
    } catch (error) {
      // One owner's mistake must not be everybody's.
      if (changed.size > 1) return this.#flushEach(changed);
      return new Map([...changed].map(([owner, before]) => [owner, this.#undo(owner, before, error)]));
    }
  }

  #flushEach(changed: ReadonlyMap<string, readonly WantedElement[]>): Map<string, unknown> {
    const refused = new Map<string, unknown>();
    for (const [owner, before] of changed) {
      try {
        this.#bring(new Set([...before.map(rowId), ...(this.#owners.get(owner) ?? [])]));
      } catch (error) {
        refused.set(owner, this.#undo(owner, before, error));
      }
    }
    return refused;
  }

  #undo(owner: string, before: readonly WantedElement[], error: unknown): unknown {
    const dropped = !this.#owners.has(owner);
    if (!dropped) this.#note(owner, before);
    for (const element of before) {
      const row = this.#rows.get(rowId(element));
      if (dropped && row?.owners.size === 0) this.#rows.delete(row.id);
    }
    return error;
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

  #wantedBy(owner: string): WantedElement[] {
    const wanted: WantedElement[] = [];
    for (const id of this.#owners.get(owner) ?? []) {
      const element = this.#rows.get(id)?.owners.get(owner);
      if (element !== undefined) wanted.push(element);
    }
    return wanted;
  }

  #note(owner: string, wanted: readonly WantedElement[]): void {
    for (const id of this.#owners.get(owner) ?? []) {
      const row = this.#rows.get(id);
      row?.owners.delete(owner);
      if (row?.owners.size === 0 && row.written === undefined) this.#rows.delete(id);
    }
    const ids: string[] = [];
    for (const element of wanted) {
      const id = rowId(element);
      const row = this.#rows.get(id);
      if (row === undefined)
        this.#rows.set(id, { id, owners: new Map([[owner, element]]), written: undefined });
      else row.owners.set(owner, element);
      if (!ids.includes(id)) ids.push(id);
    }
    if (ids.length === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, ids);
  }

  /** Brings the kernel in line with these rows. Throws a `SystemError`. */
  #bring(ids: Iterable<string>): void {
    let batch: Row[] = [];
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (row === undefined || sameValue(row.written, last(row.owners))) continue;
      batch.push(row);
      if (batch.length < CHUNK) continue;
      this.#bringBatch(batch);
      batch = [];
    }
    if (batch.length > 0) this.#bringBatch(batch);
  }

  #bringBatch(rows: readonly Row[]): void {
    const removals = new BySet();
    const additions = new BySet();
    for (const { written, owners } of rows) {
      const wanted = last(owners);
      if (written !== undefined) removals.add(written);
      if (wanted !== undefined) additions.add(wanted);
    }
    const add = additions.changes((set, elements) => [{ action: 'add', set, elements }]);
    try {
      this.#kernel.apply([
        // What ends by itself may be gone already.
        ...removals.changes((set, elements) =>
          removals.ends(set) ? remove(set, elements) : [{ action: 'delete', set, elements }],
        ),
        ...add,
      ]);
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== ERRNO.ENOENT || removals.count === 0)
        throw error;
      // An element was not there any more, or the table.
      this.#kernel.apply([...removals.changes(remove), ...add]);
    }
    for (const row of rows) {
      row.written = last(row.owners);
      if (row.written === undefined) this.#rows.delete(row.id);
    }
  }

  #write(wants: (element: WantedElement) => boolean): void {
    let batch: Row[] = [];
    const apply = (): void => {
      const elements = new BySet();
      for (const { owners } of batch) elements.add(last(owners)!);
      this.#kernel.apply(elements.changes(renew));
      for (const row of batch) row.written = last(row.owners);
      batch = [];
    };
    for (const row of this.#rows.values()) {
      const element = last(row.owners);
      if (element === undefined || !wants(element)) continue;
      batch.push(row);
      if (batch.length >= CHUNK) apply();
    }
    apply();
  }
}

const NONE: ReadonlyMap<string, unknown> = new Map();

/** Elements by the set that they belong to, so that one message carries many. */
class BySet {
  count = 0;
  readonly #sets = new Map<string, SetElement[]>();
  readonly #ending = new Set<string>();

  add(wanted: WantedElement): void {
    this.count++;
    if (wanted.untilMs !== undefined) this.#ending.add(wanted.set);
    const list = this.#sets.get(wanted.set);
    if (list === undefined) this.#sets.set(wanted.set, [toElement(wanted)]);
    else list.push(toElement(wanted));
  }

  /** Whether elements of the set end by themselves, each at its own moment. */
  ends(set: string): boolean {
    return this.#ending.has(set);
  }

  changes(make: (set: string, elements: readonly SetElement[]) => ElementChange[]): ElementChange[] {
    return [...this.#sets].flatMap(([set, elements]) => make(set, elements));
  }
}

function rowId(element: WantedElement): string {
  return `${element.set} ${String.fromCharCode(...element.key)}`;
}

function last(owners: ReadonlyMap<string, WantedElement>): WantedElement | undefined {
  let found: WantedElement | undefined;
  for (const element of owners.values()) found = element;
  return found;
}
