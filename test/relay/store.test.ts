/** What survives a restart, a kill, a damaged file and a downgrade. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openStore, type Store, StoreError, type StoreOptions } from '../../src/state/store.ts';
import { readSwitch, writeSwitch } from '../../src/state/switch.ts';

const isRoot = process.getuid?.() === 0;
let parent: string;
let dir: string;
let notices: string[];
let stores: Store[];

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'sipalg-state-'));
  dir = join(parent, 'state');
  notices = [];
  stores = [];
});

afterEach(() => {
  for (const store of stores) store.close();
  if (isRoot) spawnSync('umount', [dir], { stdio: 'ignore' });
  rmSync(parent, { recursive: true, force: true });
});

function open(options: StoreOptions = {}): Store {
  const store = openStore(dir, { notice: (code) => notices.push(code), ...options });
  stores.push(store);
  return store;
}

describe('the store', () => {
  test('gives back after a restart what was put, and not what was taken away', () => {
    const store = open();
    store.put('mapping', 'a', { port: 61000, kept: [true, null, 'ü'] });
    store.put('mapping', 'b', 1);
    store.put('mapping', 'b', undefined);
    store.put('dialog', 'a', 'another table');
    assert.deepEqual(store.load('mapping'), new Map([['a', { port: 61000, kept: [true, null, 'ü'] }]]));
    store.close();
    const again = open();
    assert.deepEqual(again.load('mapping'), new Map([['a', { port: 61000, kept: [true, null, 'ü'] }]]));
    again.put('mapping', 'a', undefined);
    again.close();
    assert.deepEqual(open().load('mapping'), new Map());
    assert.deepEqual(notices, []);
  });

  test('makes its directory for its owner alone', () => {
    open();
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    assert.equal(statSync(join(dir, 'state.db')).mode & 0o777, 0o600);
  });

  test('is one process at a time: the second is told so', () => {
    const other = join(parent, 'held');
    const store = openStore(other);
    stores.push(store);
    assert.throws(
      () => openStore(other),
      (error) => error instanceof StoreError && error.code === 'state.in-use',
    );
  });

  test('bounds what it keeps noted, and says so once', () => {
    const store = open({ maxNoted: 2 });
    for (const key of ['a', 'b', 'c', 'd']) store.put('port', key, key);
    assert.deepEqual(notices, ['state.full']);
    assert.deepEqual([...store.load('port').keys()], ['a', 'b']);
    store.put('port', 'e', 'room again');
    assert.equal(store.load('port').size, 3);
  });

  test('put after close is harmless', () => {
    const store = open();
    store.close();
    store.put('port', 'a', 1);
    store.flush();
    store.close();
  });
});

describe('a file that cannot be used', () => {
  const asides = (why: string): string[] => readdirSync(dir).filter((name) => name.includes(`.${why}-`));

  test('that is no database is set aside, unchanged, and a new one begun', () => {
    open().close();
    const garbage = Buffer.alloc(8192, 'this is not a database ');
    writeFileSync(join(dir, 'state.db'), garbage);
    const store = open();
    store.put('mapping', 'a', 1);
    assert.deepEqual(store.load('mapping'), new Map([['a', 1]]));
    assert.deepEqual(notices, ['state.damaged']);
    const [aside] = asides('damaged');
    assert.deepEqual(readFileSync(join(dir, aside as string)), garbage);
  });

  test('with a page overwritten is found out at the start', () => {
    const store = open();
    for (let i = 0; i < 2000; i++) store.put('mapping', `key ${i}`, 'x'.repeat(50));
    store.close();
    const path = join(dir, 'state.db');
    const bytes = readFileSync(path);
    bytes.fill(0xa5, 4096, 4096 * 12);
    writeFileSync(path, bytes);
    assert.deepEqual(open().load('mapping'), new Map());
    assert.deepEqual(notices, ['state.damaged']);
    assert.equal(asides('damaged').length, 1);
  });

  test('cut short is set aside', () => {
    const store = open();
    for (let i = 0; i < 2000; i++) store.put('mapping', `key ${i}`, 'x'.repeat(50));
    store.close();
    const path = join(dir, 'state.db');
    writeFileSync(path, readFileSync(path).subarray(0, 5000));
    open().put('mapping', 'a', 1);
    assert.deepEqual(notices, ['state.damaged']);
  });

  test('of a newer version is kept for the newer version', () => {
    open().close();
    const db = new DatabaseSync(join(dir, 'state.db'));
    db.exec('PRAGMA user_version = 99');
    db.close();
    assert.deepEqual(open().load('mapping'), new Map());
    assert.deepEqual(notices, ['state.newer']);
    const kept = new DatabaseSync(join(dir, asides('newer')[0] as string));
    assert.equal(kept.prepare('PRAGMA user_version').get()?.user_version, 99);
    kept.close();
  });

  test('that is empty is only new', () => {
    open().close();
    writeFileSync(join(dir, 'state.db'), '');
    assert.deepEqual(open().load('mapping'), new Map());
    assert.deepEqual(notices, []);
  });
});

describe('where nothing can be kept', () => {
  const needsRoot = isRoot ? {} : { skip: 'SKIPPED, NOT TESTED: mounting a small disk needs root' };
  const mount = (...args: string[]): void => void execFileSync('mount', [...args, dir]);

  /** The store works in memory, tells once, and writes what it has as soon as it can. */
  function worksWithout(mend: () => void): void {
    const store = open();
    store.put('mapping', 'a', 1);
    assert.deepEqual(store.load('mapping'), new Map([['a', 1]]));
    store.flush();
    assert.deepEqual(notices, ['state.unwritable']);
    mend();
    store.flush();
    assert.deepEqual(notices, ['state.unwritable', 'state.written']);
    store.close();
    assert.deepEqual(open().load('mapping'), new Map([['a', 1]]));
    assert.equal(notices.length, 2);
  }

  test('because a file is in the place of the directory, it runs without', () => {
    writeFileSync(dir, '');
    worksWithout(() => rmSync(dir));
  });

  test('because the disk is read-only, it runs without', needsRoot, () => {
    mkdirSync(dir);
    mount('-t', 'tmpfs', '-o', 'ro,size=1m', 'tmpfs');
    worksWithout(() => mount('-o', 'remount,rw'));
  });

  test('because the disk is full, it runs without', needsRoot, () => {
    mkdirSync(dir);
    mount('-t', 'tmpfs', '-o', 'size=8k', 'tmpfs');
    writeFileSync(join(dir, 'full'), Buffer.alloc(8192));
    worksWithout(() => rmSync(join(dir, 'full')) ?? mount('-o', 'remount,size=1m'));
  });

  test(
    'because the disk was filled up meanwhile, it goes on, and loses nothing that had been written',
    needsRoot,
    () => {
      mkdirSync(dir);
      mount('-t', 'tmpfs', '-o', 'size=256k', 'tmpfs');
      const store = open();
      store.put('mapping', 'before', 1);
      store.flush();
      assert.throws(() => writeFileSync(join(dir, 'full'), Buffer.alloc(1 << 20)), /ENOSPC/);
      for (let i = 0; i < 2000; i++) store.put('mapping', `key ${i}`, 'x'.repeat(100));
      store.flush();
      assert.deepEqual(notices, ['state.unwritable']);
      assert.equal(store.load('mapping').size, 2001);
      mount('-o', 'remount,size=4m');
      store.flush();
      assert.deepEqual(notices, ['state.unwritable', 'state.written']);
      store.close();
      assert.equal(open().load('mapping').size, 2001);
    },
  );

  test('and a file that another daemon holds is refused all the same', () => {
    open();
    assert.throws(() => openStore(dir), /in use/);
  });
});

test('a newer file that was set aside stays for the newer version, and what is written since is taken over by it', () => {
  open().close();
  const path = join(dir, 'state.db');
  const newer = new DatabaseSync(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  const downgraded = open();
  downgraded.put('port', 'a', 5060);
  downgraded.close();
  assert.deepEqual(notices, ['state.newer']);
  assert.deepEqual(open().load('port'), new Map([['a', 5060]]));
  assert.equal(readdirSync(dir).filter((name) => /\.newer-/.test(name)).length, 1);
  assert.deepEqual(notices, ['state.newer']);
});

test('kill -9 loses at most the last 100 ms', { timeout: 30_000 }, async () => {
  const program = `
    import { openStore } from ${JSON.stringify(new URL('../../src/state/store.ts', import.meta.url).href)};
    const store = openStore(${JSON.stringify(dir)});
    let n = 0;
    setInterval(() => {
      for (let i = 0; i < 20; i++) store.put('dialog', 'row ' + n, { n: n++, at: Date.now() });
      console.log(n - 1, Date.now());
    }, 5);
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const written: { n: number; at: number }[] = [];
  let killedAt = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [n, at] = line.split(' ').map(Number) as [number, number];
    written.push({ n, at });
    if (written.length === 100) {
      killedAt = at;
      child.kill('SIGKILL');
    }
  }
  await exited;
  const rows = open().load('dialog') as Map<string, { n: number; at: number }>;
  assert.deepEqual(notices, []);
  // 150: the timer that is due at 100 may run one late turn of the loop afterwards.
  const due = written.filter((w) => w.at <= killedAt - 150).at(-1);
  assert.ok(due !== undefined && due.n > 0);
  for (let n = 0; n <= due.n; n++) assert.ok(rows.has(`row ${n}`), `row ${n} of ${due.n} is there`);
  // Rows arrive in whole transactions, so there is no hole.
  assert.deepEqual(
    [...rows.values()].map((r) => r.n).sort((a, b) => a - b),
    Array.from({ length: rows.size }, (_, n) => n),
  );
});

describe('the switch', () => {
  test('is on until somebody switches it off, and stays where it is put', () => {
    assert.equal(readSwitch(dir), 'on');
    writeSwitch(dir, 'off');
    assert.equal(readSwitch(dir), 'off');
    writeSwitch(dir, 'off');
    writeSwitch(dir, 'on');
    assert.equal(readSwitch(dir), 'on');
    assert.deepEqual(readdirSync(dir), ['switch']);
  });

  test('is off where its file says something else', () => {
    writeSwitch(dir, 'on');
    for (const content of ['', 'OFF', 'o', '\0\0\0']) {
      writeFileSync(join(dir, 'switch'), content);
      assert.equal(readSwitch(dir), 'off');
    }
  });
});
