/** What a former run has left, one row after the other: ten thousand phones have thirty thousand, and none of them is kept. */
import type { Row } from '../core/alg/rows.ts';
import type { Store } from '../state/store.ts';

/** Ports before mappings, and these before what belongs to them. */
const TABLES = ['port', 'mapping', 'dialog', 'profile'] as const;

export class StoredRows {
  readonly #store: Pick<Store, 'rows'>;
  /** Rows read so far. */
  count = 0;

  constructor(store: Pick<Store, 'rows'>) {
    this.#store = store;
  }

  *[Symbol.iterator](): Generator<Row> {
    for (const table of TABLES)
      for (const [key, value] of this.#store.rows(table)) {
        this.count++;
        yield { table, key, value };
      }
  }
}
