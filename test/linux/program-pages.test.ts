import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { unwrittenPages } from '../../src/linux/program-pages.ts';

test('pages of the program that were never written, and no others', () => {
  const mapping = (head: string, anonymous: number): string =>
    `${head}\nSize: 8 kB\nAnonymous:             ${anonymous} kB\nVmFlags: rd mr\n`;
  const smaps = [
    mapping(
      '00400000-00402000 r-xp 00000000 fe:00 12345                              /opt/no de (deleted)',
      0,
    ),
    mapping(
      '00402000-00404000 r--p 00002000 fe:00 12345                              /opt/no de (deleted)',
      0,
    ),
    mapping(
      '00404000-00406000 r--p 00004000 fe:00 12345                              /opt/no de (deleted)',
      4,
    ),
    mapping(
      '00406000-00408000 rw-p 00006000 fe:00 12345                              /opt/no de (deleted)',
      0,
    ),
    mapping('00440000-00442000 r-xp 00000000 fe:00 999                              /usr/lib/libc.so.6', 0),
    mapping('00408000-0040a000 r--p 00000000 00:00 0 ', 0),
    mapping('0040a000-0040c000 r--s 00000000 fe:00 777                                /var/cache/shared', 0),
    mapping('7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]', 0),
  ].join('');
  assert.deepEqual(unwrittenPages(smaps, '/opt/no de (deleted)'), [
    { start: 0x40_0000n, length: 0x2000 },
    { start: 0x40_2000n, length: 0x2000 },
  ]);
});

test('a process that gives them back is smaller, and goes on', { skip: process.platform !== 'linux' }, () => {
  const pages = fileURLToPath(new URL('../../src/linux/program-pages.ts', import.meta.url));
  // Everything that is used again is read again: regular expressions, numbers, encodings, the compiler.
  const program = `
    import { returnProgramPages } from ${JSON.stringify(pages)};
    import { readFileSync, readlinkSync } from 'node:fs';
    const fromFiles = () => Number(/^RssFile:\\s+(\\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]);
    const work = () => JSON.stringify([...'äöü'.normalize('NFD')].map((c) => c.localeCompare('o')))
      + new Intl.NumberFormat('de').format(1e6) + [3, 1, 2].toSorted() + new Function('a', 'return a ** 2')(7);
    const before = [work(), fromFiles()];
    returnProgramPages();
    const small = fromFiles();
    console.log(JSON.stringify({ before, small, after: [work(), fromFiles()] }));
  `;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--no-warnings', '-e', program],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  const { before, small, after } = JSON.parse(stdout) as {
    before: [string, number];
    small: number;
    after: [string, number];
  };
  assert.equal(after[0], before[0]);
  assert.ok(small < before[1] / 2, `${before[1]} kB before, ${small} kB after`);
  assert.ok(after[1] < before[1], `${before[1]} kB before, ${after[1]} kB with the same work again`);
});

test('the mappings of a process that runs are understood', { skip: process.platform !== 'linux' }, () => {
  assert.ok(
    unwrittenPages(readFileSync('/proc/self/smaps', 'utf8'), readlinkSync('/proc/self/exe')).length >= 2,
  );
});
