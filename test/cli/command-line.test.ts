import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root, sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('without arguments: the help, which names every command', () => {
  const { code, out } = sipalg([]);
  assert.equal(code, 0);
  for (const command of [
    'gateway',
    'demo',
    'preflight',
    'rules',
    'on',
    'off',
    'explain',
    'diff',
    'check-config',
  ]) {
    assert.match(out, new RegExp(`^  ${command}\\b`, 'm'));
  }
});

test('--version', () => {
  assert.match(sipalg(['--version']).out, /^\d+\.\d+\.\d+\n$/);
});

test('every command has a help of its own', () => {
  for (const command of [
    'gateway',
    'demo',
    'preflight',
    'rules',
    'on',
    'off',
    'explain',
    'diff',
    'check-config',
  ]) {
    const { code, out } = sipalg([command, '--help']);
    assert.equal(code, 0, command);
    assert.match(out, new RegExp(`^Usage: sipalg ${command}`), command);
  }
});

test('wrong usage is exit code 2, with a word on what is right', () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [['gatewya'], /Did you mean gateway\?/],
    [['gateway', '--intern', 'br0'], /unknown option '--intern'/],
    [['gateway', '--sip-port', 'sip'], /number from 1 to 65535/],
    [['gateway'], /config\/no-mode.*--internal IF and --external IF/],
    [['gateway', '-i', 'br0'], /nothing says where the provider is/],
    [['gateway', '--listen', '5060'], /config\/not-an-endpoint/],
    [['gateway', '--config', '/nonexistent.toml'], /config\/not-readable/],
    [['explain'], /missing required argument/],
    [['explain', '/nonexistent.sip'], /no such file/],
    [['explain', '--direction', 'up', 'samples/register.sip'], /--direction up: it is out or in/],
    [['explain', '--json', '--raw', 'samples/register.sip'], /exclude each other/],
    [['explain', '--mapping', '192.168.1.50', 'samples/register.sip'], /INTERNAL=EXTERNAL/],
    [
      ['explain', '--mapping', '192.168.1.50:5060=203.0.113.7', 'samples/register.sip'],
      /port stands on one side only/,
    ],
    [['explain', '--media', '192.168.1.300=203.0.113.7', 'samples/register.sip'], /is not an address/],
    [
      ['explain', '--mapping', '::1=::2', '--mapping', '[::1]=[::3]', 'samples/register.sip'],
      /mapped above already/,
    ],
    [['explain', '--origin', 'maybe', 'samples/invite.sip'], /keep or translate/],
  ];
  for (const [args, expected] of cases) {
    const { code, out, err } = sipalg(args);
    assert.match(err, expected, args.join(' '));
    assert.equal(code, 2, args.join(' '));
    assert.equal(out, '', args.join(' '));
  }
});

test('an interface that does not exist is exit code 3, and names those that do', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, () => {
  const { code, err } = sipalg(['gateway', '-i', 'nosuch0', '-e', 'lo']);
  assert.equal(code, 3);
  assert.match(err, /cli\/no-such-interface: --internal nosuch0.*\n {2}known here: .*\blo\b/);
});

test('check-config: ok', () => {
  const path = file('good.toml', 'internal = ["br0"]\nexternal = ["eth0"]\n');
  assert.deepEqual(
    [sipalg(['check-config', path]).code, sipalg(['check-config', path]).out],
    [0, `${path}: ok\n`],
  );
});

test('check-config: all problems, as lines and as JSON', () => {
  const path = file('bad.toml', 'internal = "br0"\n[media]\nports = "7-8"\n');
  const text = sipalg(['check-config', path]);
  assert.equal(text.code, 2);
  assert.deepEqual(
    text.out.split('\n').map((line) => line.replace(/ .*/, '')),
    [`${path}:1:`, `${path}:3:`, '2', ''],
  );
  const json = JSON.parse(sipalg(['check-config', '--json', path]).out) as {
    problems: { code: string; line: number }[];
  };
  assert.deepEqual(
    json.problems.map((problem) => [problem.code, problem.line]),
    [
      ['config/wrong-type', 1],
      ['config/port-range-odd', 3],
    ],
  );
});

test('it runs from any directory, through symbolic links', () => {
  const first = join(folder, 'first');
  const second = join(folder, 'second');
  symlinkSync(`${root}bin/sipalg`, first);
  symlinkSync('first', second);
  const ended = spawnSync(second, ['--version'], { cwd: '/', encoding: 'utf8' });
  assert.equal(ended.stderr, '');
  assert.match(ended.stdout, /^\d+\.\d+\.\d+\n$/);
});

test('the reference pages are what the tables say', () => {
  const ended = spawnSync(process.execPath, ['scripts/generate-docs.ts', '--check'], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.equal(ended.status, 0, ended.stderr);
});
