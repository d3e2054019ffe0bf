/** Habits that a reader can rely on, held where the linter cannot. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isTest, root, sourceFiles } from './source.ts';

const MAX_LINES = 500;

const sources = sourceFiles('src');
const all = [...sources, ...sourceFiles('test', 'demo', 'bench', 'scripts')];
const core = sources.filter((file) => file.path.startsWith('src/core/') && !isTest(file.path));

/** `file:line: text` for every place where the pattern is in the code. */
function places(files: readonly { path: string; text: string; bare: string }[], pattern: RegExp): string[] {
  return files.flatMap((file) => {
    const lines = file.text.split('\n');
    return file.bare
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${file.path}:${i + 1}: ${lines[i]!.trim()}`] : []));
  });
}

test('core has no clock, no randomness, no timer, no console, no process', () => {
  const banned =
    /\bDate\b|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bperformance\b|\bconsole\b|\bprocess\b|\bcrypto\b|\bfetch\b/;
  assert.deepEqual(places(core, banned), []);
});

test('core asks nothing of its platform but, in one place, faster text', () => {
  // octets.ts decodes with the platform's own code where there is one, and by itself where there is none.
  const rest = core.filter((file) => file.path !== 'src/core/sip/octets.ts');
  assert.deepEqual(places(rest, /\bglobalThis\b|\bBuffer\b/), []);
});

test('no enum, no namespace, no default export, no any', () => {
  const banned =
    /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s|^\s*(?:export\s+)?namespace\s|\bexport\s+default\b|:\s*any\b|\bas\s+any\b|<any>/;
  assert.deepEqual(places(all, banned), []);
});

test(`a file has at most ${MAX_LINES} lines`, () => {
  const long = all
    .map((file) => ({ path: file.path, lines: file.text.trimEnd().split('\n').length }))
    .filter((file) => file.lines > MAX_LINES)
    .map((file) => `${file.path}: ${file.lines} lines`);
  assert.deepEqual(long, []);
});

test('a source file says at its head what it is', () => {
  const silent = sources
    .filter((file) => !isTest(file.path) && !file.text.startsWith('/**'))
    .map((file) => file.path);
  assert.deepEqual(silent, []);
});

test('no test is commented out, focused, or waits for a later time', () => {
  assert.deepEqual(places(all, /\b(?:test|it|describe)\.only\(|\bonly:\s*true\b/), []);
  const commented = all.flatMap((file) =>
    file.text
      .split('\n')
      .flatMap((line, i) =>
        /^\s*\/\/\s*(?:test|it|describe)\(/.test(line) ? [`${file.path}:${i + 1}`] : [],
      ),
  );
  assert.deepEqual(commented, []);
});

test('what is committed knows nothing of the machine that it was written on', () => {
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter(Boolean);
  // Under /opt, /usr and /srv a checkout may stand at the very place that the documentation names.
  const here = /^\/(?!opt|usr|srv)[^/]+\/./.test(root) ? root.replace(/\/$/, '') : undefined;
  const telling = tracked.filter((path) => {
    const text = readOrEmpty(path);
    return (here !== undefined && text.includes(here)) || /\/home\/[a-z]|\/Users\/[A-Za-z]/.test(text);
  });
  assert.deepEqual(
    telling.filter((path) => path !== 'test/architecture/habit.test.ts'),
    [],
  );
});

function readOrEmpty(path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    // Deleted in the working tree, not yet in the index.
    return '';
  }
}
