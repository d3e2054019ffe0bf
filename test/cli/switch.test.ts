import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-switch-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('off and on, each as often as one likes', () => {
  // Explicit mode, so that the kernel of the machine that runs the tests is left alone.
  const config = join(folder, 'gateway.toml');
  const dir = join(folder, 'state');
  writeFileSync(config, `listen = ["127.0.0.1:5060"]\nstate-dir = "${dir}"\n`);
  const said = (['off', 'off', 'on', 'on', 'off'] as const).map((position) => {
    const { code, out, err } = sipalg([position, '--config', config]);
    assert.deepEqual([code, err], [0, '']);
    assert.equal(readFileSync(join(dir, 'switch'), 'utf8'), `${position}\n`);
    return out.replace(dir, 'DIR').trim();
  });
  assert.deepEqual(said, [
    'sipalg is off (DIR)',
    'sipalg is already off (DIR)',
    'sipalg is on (DIR)',
    'sipalg is already on (DIR)',
    'sipalg is off (DIR)',
  ]);
});

test('a relative state directory is refused', () => {
  const { code, err } = sipalg(['off', '--state-dir', 'here']);
  assert.equal(code, 2);
  assert.match(err, /config\/not-absolute/);
});

test('rules: what would be set, and nothing is', () => {
  const { code, out } = sipalg([
    'rules',
    '-i',
    'br0',
    '-e',
    'eth0',
    '--accept-chain',
    'inet filter forward',
    '--sip-port',
    '5070',
  ]);
  assert.equal(code, 0);
  assert.match(out, /^table inet sipalg \{$/m);
  assert.match(out, /iifname != \{ "br0" \} return/);
  assert.match(out, /udp dport \{ 5070 \} tproxy/);
  assert.match(out, /^# nft insert rule inet filter forward /m);
});
