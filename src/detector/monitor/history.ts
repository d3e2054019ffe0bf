/**
 * What checks have said, run by run, in a SQLite file of its own, and what has still to be told to a web server. Bounded in rows and age. A file that cannot be read is set
 * aside and begun anew; a row that was not written by us is left out. No secret is in it: a reflector is known by host and port.
 */
import { chmodSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type FaultId, findFault } from '../../core/detect/faults.ts';

/** What counts as an answer; a network that fails is none. */
export type KnownVerdict = 'unaltered' | 'correct-alg' | 'faulty';

export interface Run {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly verdict: KnownVerdict;
  /** Of findings, sorted. */
  readonly faults: readonly FaultId[];
}

/** A change that no web server has taken yet. */
export interface Notice {
  readonly id: number;
  /** JSON, as it is sent. */
  readonly body: string;
  /** Runs in which it was sent in vain. */
  readonly tries: number;
}

/** More changes than that, none of them told: the oldest are given up. */
export const MOST_NOTICES = 50;
/** At the default interval of six hours that is a month. */
export const MOST_TRIES = 120;
const LONGEST_NOTICE = 16_384;
export const MOST_ROWS = 5_000;
export const OLDEST_MS = 400 * 24 * 3_600_000;
const LONGEST_TEXT = 4_096;
const BUSY_MS = 2_000;
const FILE = 'monitor.db';
const VERSION = 2;

export class HistoryError extends Error {
  readonly code = 'state/unusable';
  readonly hint = 'name a directory that this user may write to, with --state-dir';
}

export class History {
  readonly #db: DatabaseSync;

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Throws `HistoryError` where there can be no file. */
  static open(directory: string, notice: (text: string) => void): History {
    const path = join(directory, FILE);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      try {
        return new History(opened(path));
      } catch (error) {
        if (!isDamage(error)) throw error;
        const aside = `${path}.damaged-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
        renameSync(path, aside);
        notice(`the history cannot be read and is set aside as ${aside}; a new one is begun`);
        return new History(opened(path));
      }
    } catch (error) {
      throw new HistoryError(`${path}: ${(error as Error).message}`);
    }
  }

  /** Of one reflector, the oldest first; rows that make no sense are left out. */
  runs(reflector: string): Run[] {
    const rows = this.#db
      .prepare(
        // A number that JavaScript cannot hold would be thrown, and not given.
        `SELECT at, verdict, faults FROM run WHERE reflector = ? AND typeof(at) = 'integer'
         AND at BETWEEN 0 AND 8640000000000000 AND length(faults) <= ${LONGEST_TEXT} ORDER BY at DESC LIMIT ?`,
      )
      .all(reflector, MOST_ROWS);
    return rows.flatMap((row) => readRun(row) ?? []).reverse();
  }

  add(reflector: string, { at, verdict, faults }: Run): void {
    this.#db
      .prepare('INSERT INTO run (reflector, at, verdict, faults) VALUES (?, ?, ?, ?)')
      .run(reflector, at, verdict, faults.join(' '));
    this.#db.prepare('DELETE FROM run WHERE at < ?').run(at - OLDEST_MS);
    this.#db
      .prepare('DELETE FROM run WHERE rowid NOT IN (SELECT rowid FROM run ORDER BY at DESC LIMIT ?)')
      .run(MOST_ROWS);
  }

  /** Keeps a change until it is told; gives how many were given up for it. */
  addNotice(body: string): number {
    this.#db.prepare('INSERT INTO notice (body, tries) VALUES (?, 0)').run(body);
    const { changes } = this.#db
      .prepare('DELETE FROM notice WHERE id NOT IN (SELECT id FROM notice ORDER BY id DESC LIMIT ?)')
      .run(MOST_NOTICES);
    return Number(changes);
  }

  /** What has still to be told, the oldest first; rows that make no sense are left out. */
  notices(): Notice[] {
    const rows = this.#db
      .prepare(
        `SELECT id, body, tries FROM notice WHERE typeof(body) = 'text' AND length(body) <= ${LONGEST_NOTICE}
         AND typeof(tries) = 'integer' AND tries BETWEEN 0 AND ${MOST_TRIES} AND id <= ${Number.MAX_SAFE_INTEGER} ORDER BY id LIMIT ${MOST_NOTICES}`,
      )
      .all();
    return rows.flatMap(({ id, body, tries }) =>
      typeof id === 'number' && typeof body === 'string' && typeof tries === 'number' && isJson(body)
        ? [{ id, body, tries }]
        : [],
    );
  }

  noticeTold({ id }: Notice): void {
    this.#db.prepare('DELETE FROM notice WHERE id = ?').run(id);
  }

  /** True where it has been tried often enough, and is given up. */
  noticeFailed({ id, tries }: Notice): boolean {
    const isOver = tries + 1 >= MOST_TRIES;
    if (isOver) this.#db.prepare('DELETE FROM notice WHERE id = ?').run(id);
    else this.#db.prepare('UPDATE notice SET tries = tries + 1 WHERE id = ?').run(id);
    return isOver;
  }

  /** Every reflector that there is history of. */
  reflectors(): string[] {
    const rows = this.#db.prepare('SELECT DISTINCT reflector FROM run ORDER BY reflector LIMIT 100').all();
    return rows.flatMap(({ reflector }) =>
      typeof reflector === 'string' && /^[\w.:[\]-]{1,300}$/.test(reflector) ? [reflector] : [],
    );
  }

  close(): void {
    this.#db.close();
  }
}

function opened(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    chmodSync(path, 0o600);
    if (db.prepare('PRAGMA quick_check(1)').get()?.quick_check !== 'ok') throw new Damage('it is damaged');
    const version = Number(db.prepare('PRAGMA user_version').get()?.user_version);
    if (version > VERSION) throw new Damage('a newer sipalg wrote it');
    db.exec(
      `CREATE TABLE IF NOT EXISTS run (reflector TEXT NOT NULL, at INTEGER NOT NULL, verdict TEXT NOT NULL, faults TEXT NOT NULL);
       CREATE TABLE IF NOT EXISTS notice (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, tries INTEGER NOT NULL);
       PRAGMA user_version = ${VERSION}`,
    );
    db.prepare('SELECT reflector, at, verdict, faults FROM run LIMIT 1').get();
    db.prepare('SELECT id, body, tries FROM notice LIMIT 1').get();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

class Damage extends Error {}

/** SQLITE_ERROR: the tables are not ours. SQLITE_CORRUPT, SQLITE_NOTADB: it is no database (sqlite.org/rescode.html). */
function isDamage(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode;
  return error instanceof Damage || (typeof code === 'number' && [1, 11, 26].includes(code & 0xff));
}

function readRun({ at, verdict, faults }: Record<string, unknown>): Run | undefined {
  if (typeof at !== 'number' || at < 0 || at > 8.64e15) return undefined;
  if (verdict !== 'unaltered' && verdict !== 'correct-alg' && verdict !== 'faulty') return undefined;
  if (typeof faults !== 'string' || faults.length > LONGEST_TEXT) return undefined;
  const known = faults.split(' ').flatMap((id) => findFault(id)?.id ?? []);
  return { at, verdict, faults: known };
}

export interface Change {
  readonly from: Run;
  readonly to: Run;
  readonly appeared: readonly FaultId[];
  readonly gone: readonly FaultId[];
  /** What is wrong had been right before: somebody or something has switched the ALG on again. */
  readonly isBack: boolean;
}

/** Undefined where nothing has changed. */
export function changeBetween(from: Run, to: Run): Change | undefined {
  const appeared = to.faults.filter((fault) => !from.faults.includes(fault));
  const gone = from.faults.filter((fault) => !to.faults.includes(fault));
  if (from.verdict === to.verdict && appeared.length === 0 && gone.length === 0) return undefined;
  return { from, to, appeared, gone, isBack: from.verdict === 'unaltered' && to.verdict !== 'unaltered' };
}

/** Since when the last verdict holds: the first of the runs without interruption that say it. */
export function since(runs: readonly Run[]): number | undefined {
  const last = runs.at(-1);
  if (last === undefined) return undefined;
  return runs[runs.findLastIndex(({ verdict }) => verdict !== last.verdict) + 1]!.at;
}
