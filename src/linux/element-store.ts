/**
 * What should stand in our sets and maps, by who wants it; the kernel is brought in line with it in one transaction for all
 * that was asked in a turn of the loop.
 *
 * Two owners may want the same key (two dialogs of one phone that offer the same RTP port): the latest decides the
 * value, and when it goes the one before it takes over. The whole can be written again, after somebody flushed the ruleset.
 */
import {
  type ElementChange,
  keyText,
  type NftElements,
  remove,
  renew,
  type SetElement,
} from './nft-elements.ts';
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

/** That somebody wants an element. */
interface Claim {
  readonly owner: string;
  readonly element: WantedElement;
  readonly row: Row;
}

/** One key of one set. */
interface Row {
  readonly id: string;
  /** In the order in which they came; the last decides. Nearly always one. */
  readonly claims: Claim[];
  /** What the kernel has. */
  written: Claim | undefined;
}

/** Elements in one transaction: what fits the socket's buffers with room to spare. */
const CHUNK = 500;

function toElement(wanted: WantedElement): SetElement {
  if (wanted.untilMs === undefined) return wanted;
  return { ...wanted, timeoutMs: wanted.untilMs - performance.now() };
}

/** Whether the kernel has what is wanted. For another owner it is written anew, so that what it counts begins anew. */
function isWritten({ claims, written }: Row): boolean {
  const wanted = claims.at(-1);
  if (wanted === written) return true;
  if (wanted === undefined || written === undefined || wanted.owner !== written.owner) return false;
  const [a, b] = [wanted.element, written.element];
  return (
    a.timeoutMs === b.timeoutMs &&
    a.untilMs === b.untilMs &&
    Buffer.compare(a.value ?? NOTHING, b.value ?? NOTHING) === 0
  );
}

const NOTHING = new Uint8Array();

const NO_CLAIMS: readonly Claim[] = [];

export class ElementStore {
  readonly #kernel: NftElements;
  readonly #rows = new Map<string, Row>();
  readonly #owners = new Map<string, readonly Claim[]>();
  /** Whose elements are to be written with the next flush, and what they wanted before. */
  #changed = new Map<string, readonly Claim[]>();

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

  /** Replaces all that `owner` wants, with the next flush. What is the same object as before costs nothing. */
  put(owner: string, wanted: readonly WantedElement[]): void {
    const before = this.#owners.get(owner) ?? NO_CLAIMS;
    if (!this.#changed.has(owner)) this.#changed.set(owner, before);
    this.#claim(owner, wanted);
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
    const changed = this.#changed;
    this.#changed = new Map();
    const rows = new Set<Row>();
    for (const [owner, before] of changed) this.#putRows(owner, before, rows);
    try {
      this.#bring(rows);
      return NONE;
    } catch (error) {
      // One owner's mistake must not be everybody's.
      if (changed.size > 1) return this.#flushEach(changed);
      return new Map([...changed].map(([owner, before]) => [owner, this.#undo(owner, before, error)]));
    }
  }

  #flushEach(changed: ReadonlyMap<string, readonly Claim[]>): Map<string, unknown> {
    const refused = new Map<string, unknown>();
    /** Of those that were refused, now and before: with another owner's part they may have been written as was wanted then. */
    const shared = new Set<Row>();
    for (const [owner, before] of changed) {
      const rows = new Set<Row>();
      this.#putRows(owner, before, rows);
      try {
        this.#bring(rows);
      } catch (error) {
        const asked = this.#owners.get(owner) ?? NO_CLAIMS;
        refused.set(owner, this.#undo(owner, before, error));
        for (const { row } of [...asked, ...(this.#owners.get(owner) ?? NO_CLAIMS)]) shared.add(row);
      }
    }
    for (const row of shared) if (isWritten(row)) shared.delete(row);
    try {
      this.#bring(shared);
    } catch {
      // Whose elements these are has been told why.
    }
    return refused;
  }

  #undo(owner: string, before: readonly Claim[], error: unknown): unknown {
    if (this.#owners.has(owner))
      this.#claim(
        owner,
        before.map(({ element }) => element),
      );
    else for (const { row } of before) if (row.claims.length === 0) this.#rows.delete(row.id);
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

  #claim(owner: string, wanted: readonly WantedElement[]): void {
    const before = this.#owners.get(owner) ?? NO_CLAIMS;
    const claims: Claim[] = [];
    for (const element of wanted)
      claims.push(before.find((claim) => claim.element === element) ?? this.#enter(owner, element));
    for (const claim of before) if (!claims.includes(claim)) this.#leave(claim);
    if (claims.length === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, claims);
  }

  #enter(owner: string, element: WantedElement): Claim {
    const id = rowId(element);
    let row = this.#rows.get(id);
    if (row === undefined) {
      row = { id, claims: [], written: undefined };
      this.#rows.set(id, row);
    }
    const claim: Claim = { owner, element, row };
    row.claims.push(claim);
    return claim;
  }

  #leave(claim: Claim): void {
    const { id, claims, written } = claim.row;
    claims.splice(claims.indexOf(claim), 1);
    if (claims.length === 0 && written === undefined) this.#rows.delete(id);
  }

  /** The rows of an owner, now and before, of which the kernel has something else. */
  #putRows(owner: string, before: readonly Claim[], rows: Set<Row>): void {
    for (const { row } of before) if (!isWritten(row)) rows.add(row);
    for (const { row } of this.#owners.get(owner) ?? NO_CLAIMS) if (!isWritten(row)) rows.add(row);
  }

  /** Brings the kernel in line with these rows. Throws a `SystemError`. */
  #bring(rows: ReadonlySet<Row>): void {
    if (rows.size === 0) return;
    const all = [...rows];
    for (let from = 0; from < all.length; from += CHUNK) this.#bringBatch(all.slice(from, from + CHUNK));
  }

  #bringBatch(rows: readonly Row[]): void {
    const removals = new BySet();
    const additions = new BySet();
    for (const { written, claims } of rows) {
      const wanted = claims.at(-1);
      if (written !== undefined) removals.add(written.element);
      if (wanted !== undefined) additions.add(wanted.element);
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
      row.written = row.claims.at(-1);
      if (row.written === undefined) this.#rows.delete(row.id);
    }
  }

  #write(wants: (element: WantedElement) => boolean): void {
    let batch: Row[] = [];
    const apply = (): void => {
      const elements = new BySet();
      for (const { claims } of batch) elements.add(claims.at(-1)!.element);
      this.#kernel.apply(elements.changes(renew));
      for (const row of batch) row.written = row.claims.at(-1);
      batch = [];
    };
    for (const row of this.#rows.values()) {
      const element = row.claims.at(-1)?.element;
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

function rowId({ set, key }: WantedElement): string {
  return `${set} ${keyText(key)}`;
}
