/** The systemd unit: whole, quoted, and as systemd itself judges it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { quoteArgument, renderServiceUnit, UNIT_NAME } from '../../src/linux/service-unit.ts';

/** Programs that exist everywhere stand for ours: systemd looks whether they do. */
const unit = renderServiceUnit({
  command: ['/bin/sh', 'gateway', '--internal', 'br0', '--accept-chain', 'inet filter forward'],
  stateDirectory: 'sipalg',
  privileged: true,
});

test('the unit is the golden one', () => {
  assert.equal(unit, readFileSync(new URL('./fixtures/sipalg.service', import.meta.url), 'utf8'));
});

test('the explicit mode gets no rights at all', () => {
  const plain = renderServiceUnit({ command: ['/bin/sh'], stateDirectory: 'sipalg', privileged: false });
  assert.match(plain, /^AmbientCapabilities=$/m);
  assert.match(plain, /^CapabilityBoundingSet=$/m);
});

test('arguments stand for themselves', () => {
  assert.equal(quoteArgument('inet filter forward'), '"inet filter forward"');
  assert.equal(quoteArgument('/srv/100%/$HOME'), '/srv/100%%/$$HOME');
  assert.equal(quoteArgument('a "b" \\c'), '"a \\"b\\" \\\\c"');
  assert.equal(quoteArgument(''), '""');
});

const analyze = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
const missing = analyze.status === 0 ? false : 'the program systemd-analyze is missing';

test('systemd takes it without a word, and finds it little exposed', { skip: missing }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'sipalg-unit-'));
  try {
    const path = join(folder, UNIT_NAME);
    writeFileSync(path, unit);
    const verified = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
    assert.deepEqual([verified.status, verified.stderr, verified.stdout], [0, '', '']);
    const judged = spawnSync('systemd-analyze', ['security', '--offline=true', path], { encoding: 'utf8' });
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(judged.stdout)?.[1]);
    assert.ok(exposure > 0 && exposure <= 2, `exposure ${exposure}\n${judged.stdout}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
