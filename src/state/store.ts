/**
 * What survives a restart: rows of mappings, dialogs and ports, in one SQLite file in the state directory.
 *
 * `put` only notes a row; a timer writes all that has been noted in one transaction, at most 100 ms later. So a daemon
 * that is killed loses the last 100 ms and nothing else, and a burst of registrations costs one write.
 *
 * Facts:
 * - A transaction that was committed in WAL mode with synchronous=NORMAL survives the end of the process. A power cut
 *   may take the last transactions back, and never damages the file (sqlite.org/pragma.html#pragma_synchronous).
 * - With locking_mode=EXCLUSIVE the lock is held until the file is closed, and no shared memory is needed
 *   (sqlite.org/wal.html#noshm). The system releases it when the process ends, however it ends.
 *
 * The file holds what can be learnt anew when phones register again, so it is never worth refusing to start for: what
 * cannot be read is set aside under another name, never deleted, and an empty one takes its place. Where there can be no
 * file at all (a full disk, a read-only one, a directory of somebody else) the gateway runs without, and says so. Only a file
 * that another daemon holds is refused: two gateways on one machine would take each other's packets.
 */
import { chmodSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';

export interface Store {
  /** Notes a row: written within 100 ms, until when nobody may change the value. Undefined takes the row away. The value has to be JSON. */
  put(table: string, key: string, value: unknown): void;
  /** All rows of a table, those included that are only noted. */
  load(table: string): Map<string, unknown>;
  /** The same one by one, so that thousands need not be there together. Nothing may be put or written meanwhile. */
  rows(table: string): Iterable<readonly [key: string, value: unknown]>;
  /** Writes now what is noted. */
  flush(): void;
  /** Writes what is noted and gives the file free. */
  close(): void;
}

export interface StoreOptions {
  /** Told what an operator should know; codes begin with `state.`. */
  readonly notice?: (code: string, text: string) => void;
  /** Milliseconds from a `put` to its transaction. Default 100. */
  readonly flushAfterMs?: number;
  /** Most rows that are kept noted while the disk refuses them. Default 100,000 (about 50 MB); then new rows are lost. */
  readonly maxNoted?: number;
}

/** `state.in-use` is thrown by `openStore`; everything else is mended or told as a notice. */
export class StoreError extends Error {
  readonly code: 'state.in-use' | 'state.unusable';

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

const FILE = 'state.db';
const FLUSH_AFTER_MS = 100;
const RETRY_AFTER_MS = 1_000;
const MAX_NOTED = 100_000;
/** How long to wait for a daemon that is just leaving. */
const BUSY_TIMEOUT_MS = 2_000;

const NOTHING: ReadonlyMap<string, unknown> = new Map();

/**
 * `migrations[n]` makes version n+1 of version n. Only ever appended to; `user_version` says where a file stands.
 */
const migrations: readonly string[] = [
  'CREATE TABLE record (tbl TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID',
];

/** Result codes of SQLite, whose low byte is the primary one (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

export function openStore(dir: string, options: StoreOptions = {}): Store {
  const notice = options.notice ?? (() => {});
  return new SqliteStore(dir, notice, options);
}

class SqliteStore implements Store {
  readonly #path: string;
  readonly #notice: (code: string, text: string) => void;
  readonly #flushAfterMs: number;
  readonly #maxNoted: number;
  /** By table and key, so that a row that changes often is noted once, and written as text once. Undefined: to be taken away. */
  readonly #noted = new Map<string, Map<string, unknown>>();
  #notedRows = 0;
  #timer: NodeJS.Timeout | undefined;
  #failing = false;
  #losing = false;
  #closed = false;
  /** Undefined while there is no usable file; every write tries again to make one. */
  #db: Database | undefined;

  constructor(dir: string, notice: (code: string, text: string) => void, options: StoreOptions) {
    this.#path = join(dir, FILE);
    this.#notice = notice;
    this.#flushAfterMs = options.flushAfterMs ?? FLUSH_AFTER_MS;
    this.#maxNoted = options.maxNoted ?? MAX_NOTED;
    try {
      this.#db = openOrReplace(this.#path, notice);
    } catch (error) {
      if (error instanceof StoreError && error.code === 'state.in-use') throw error;
      this.#recover(error, 'The state cannot be kept');
    }
  }

  put(table: string, key: string, value: unknown): void {
    if (this.#closed) return;
    let rows = this.#noted.get(table);
    if (rows === undefined) {
      rows = new Map();
      this.#noted.set(table, rows);
    }
    if (!rows.has(key)) {
      if (this.#notedRows >= this.#maxNoted) {
        if (!this.#losing)
          this.#notice(
            'state.full',
            `${this.#notedRows} rows wait for the disk; further rows will not survive.`,
          );
        this.#losing = true;
        return;
      }
      this.#notedRows++;
    }
    rows.set(key, value);
    this.#schedule(this.#flushAfterMs);
  }

  load(table: string): Map<string, unknown> {
    return new Map(this.rows(table));
  }

  *rows(table: string): Generator<readonly [key: string, value: unknown]> {
    this.flush();
    // What the disk refused is not lost as long as we run.
    const noted = this.#noted.get(table) ?? NOTHING;
    try {
      for (const row of this.#open().select.iterate(table)) {
        const { key, value } = row as { key: string; value: string };
        if (!noted.has(key)) yield [key, JSON.parse(value)];
      }
    } catch (error) {
      this.#recover(error, `The table ${table} cannot be read`);
    }
    for (const [key, value] of noted) if (value !== undefined) yield [key, JSON.parse(JSON.stringify(value))];
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#closed || this.#notedRows === 0) return;
    try {
      this.#open().write(this.#noted);
    } catch (error) {
      this.#recover(error, 'The state cannot be written');
      this.#schedule(RETRY_AFTER_MS);
      return;
    }
    this.#noted.clear();
    this.#notedRows = 0;
    this.#losing = false;
    if (this.#failing) this.#notice('state.written', 'The state is being written again.');
    this.#failing = false;
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#db?.close();
  }

  #open(): Database {
    this.#db ??= openOrReplace(this.#path, this.#notice);
    return this.#db;
  }

  /** Never throws. A full disk may pass, so the rows stay noted. A damaged file does not mend itself. Told once. */
  #recover(error: unknown, what: string): void {
    let problem = error;
    if (isDamage(error)) {
      this.#db?.close();
      this.#db = undefined;
      try {
        this.#db = replace(this.#path, 'damaged', text(error), this.#notice);
        return;
      } catch (inTheWay) {
        problem = inTheWay;
      }
    }
    if (!this.#failing)
      this.#notice(
        'state.unwritable',
        `${what}: ${text(problem)}. The gateway runs without: after a restart, phones come back as they register again. It is tried again every second.`,
      );
    this.#failing = true;
  }

  #schedule(afterMs: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.flush(), afterMs);
  }
}

/** One open file, with its statements. */
class Database {
  readonly #db: DatabaseSync;
  readonly select: StatementSync;
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.select = db.prepare('SELECT key, value FROM record WHERE tbl = ?');
    this.#insert = db.prepare(
      'INSERT INTO record (tbl, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
    );
    this.#delete = db.prepare('DELETE FROM record WHERE tbl = ? AND key = ?');
  }

  write(tables: ReadonlyMap<string, ReadonlyMap<string, unknown>>): void {
    this.#db.exec('BEGIN');
    try {
      for (const [table, rows] of tables)
        for (const [key, value] of rows)
          if (value === undefined) this.#delete.run(table, key);
          else this.#insert.run(table, key, JSON.stringify(value));
      this.#db.exec('COMMIT');
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    try {
      this.#db.close();
    } catch {
      // A damaged file need not close well.
    }
  }
}

function openOrReplace(path: string, notice: (code: string, text: string) => void): Database {
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    own(path);
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    // Takes the lock now, and not at the first write.
    db.exec('BEGIN IMMEDIATE; COMMIT');
    const problem = db.prepare('PRAGMA quick_check(1)').get()?.quick_check;
    if (problem !== 'ok') {
      db.close();
      return replace(path, 'damaged', String(problem), notice);
    }
    const version = Number(db.prepare('PRAGMA user_version').get()?.user_version);
    if (version > migrations.length) {
      db.close();
      const why = `it has version ${version}, and this sipalg knows ${migrations.length}: a newer one wrote it`;
      return replace(path, 'newer', why, notice);
    }
    migrate(db, version);
    return new Database(db);
  } catch (error) {
    try {
      db?.close();
    } catch {
      // It is about to be set aside.
    }
    if (isDamage(error)) return replace(path, 'damaged', text(error), notice);
    if (resultCode(error) === SQLITE_BUSY)
      throw new StoreError(
        'state.in-use',
        `${path} is in use: does another sipalg run with this state directory?`,
        {
          cause: error,
        },
      );
    throw new StoreError('state.unusable', `${path} cannot be opened: ${text(error)}`, { cause: error });
  }
}

/** For its owner alone. Somebody else's file that can be written is used as it is. */
function own(path: string): void {
  try {
    chmodSync(path, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}

function migrate(db: DatabaseSync, from: number): void {
  if (from === migrations.length) return;
  db.exec('BEGIN IMMEDIATE');
  for (let version = from; version < migrations.length; version++) db.exec(migrations[version] as string);
  db.exec(`PRAGMA user_version = ${migrations.length}; COMMIT`);
}

/** Renames the file, with what SQLite keeps beside it, and begins anew. */
function replace(
  path: string,
  why: 'damaged' | 'newer',
  detail: string,
  notice: (code: string, text: string) => void,
): Database {
  const aside = `${path}.${why}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  for (const suffix of ['', '-wal', '-shm'])
    try {
      renameSync(path + suffix, aside + suffix);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw new StoreError('state.unusable', `${path}${suffix} cannot be set aside: ${text(error)}`, {
        cause: error,
      });
    }
  notice(
    `state.${why}`,
    `The state file is set aside as ${aside} (${detail}). A new one is begun; phones come back as they register again.`,
  );
  return openOrReplace(path, notice);
}

function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}

function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  // A row whose value is no JSON was not written by us.
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB || error instanceof SyntaxError;
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
