/**
 * What was on a router before its ALG was switched off, and is wanted to switch it on again: the number and the port of an
 * entry that was deleted, a mode. Kept by host, recipe and procedure.
 */
import { join } from 'node:path';
import type { Procedure } from './schema.ts';
import { readTable, writeEntry } from './state-file.ts';
import { requireSound, type Values } from './values.ts';

export class KeptValues {
  readonly path: string;
  readonly #key: string;

  constructor(stateDir: string, host: string, recipe: string, procedure: string) {
    this.path = join(stateDir, 'router-values.json');
    this.#key = `${host} ${recipe} ${procedure}`;
  }

  /** Checked again: the file may have been edited. */
  read(procedure: Procedure): Values {
    const entry = readTable(this.path)[this.#key];
    if (typeof entry !== 'object' || entry === null) return new Map();
    const texts = Object.entries(entry).filter((one): one is [string, string] => typeof one[1] === 'string');
    const values = new Map(texts.filter(([name]) => procedure.values.some((rule) => rule.name === name)));
    requireSound(values, procedure.values);
    return values;
  }

  write(values: Values): void {
    if (values.size > 0) writeEntry(this.path, this.#key, Object.fromEntries(values));
  }
}
