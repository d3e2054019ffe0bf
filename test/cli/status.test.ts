/** `sipalg status` against a gateway that runs: the explicit mode, which needs no root. The lab has the calls. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Program } from '../../demo/program.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { root, sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-status-'));
const dir = join(folder, 'state');
const path = join(dir, 'status.sock');
/** An address of 127/8 for every run, so that runs do not meet. */
const LISTEN = `127.60.${(process.pid >> 8) & 255}.${process.pid & 255}:15060`;
let gateway: Program;

before(async () => {
  gateway = new Program(
    'sipalg gateway',
    spawn(`${root}bin/sipalg`, ['gateway', '--listen', LISTEN, '--state-dir', dir, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  await gateway.says(/"msg":"ready"/, 20_000);
});

after(async () => {
  await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Everything that comes until the gateway hangs up. */
function ask(write: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += String(chunk);
    });
    socket.on('error', () => {});
    socket.once('close', () => resolve(text));
    socket.once('connect', () => write(socket));
  });
}

test('on: what it does, for people and for programs', () => {
  const { code, out, err } = sipalg(['status', '--state-dir', dir]);
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^sipalg \d+\.\d+\.\d+ is on since [\d: -]+, explicit mode, pid \d+$/m);
  assert.match(out, /^takes SIP: phones name 127\.[\d.]+:15060 as outbound proxy$/m);
  assert.match(out, /^no phones$/m);
  assert.match(out, /^limits {2}mappings 0\/4096 /m);
  assert.doesNotMatch(out, /\u001b/);
  assert.ok(out.split('\n').every((line) => line.length <= 80));
  const report = JSON.parse(sipalg(['status', '--state-dir', dir, '--json']).out) as StatusReport;
  assert.equal(report.status, 1);
  assert.equal(report.pid, gateway.pid);
  assert.equal(report.interception.active, true);
});

test('the socket is for its user alone', () => {
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('what is no request is refused in words, and costs nothing else', async () => {
  assert.match(await ask((socket) => socket.write('nonsense\n')), /"error":"the request is not JSON"/);
  assert.match(
    await ask((socket) => socket.write('{"status":2}\n')),
    /"error":"the request asks for status 2/,
  );
  assert.match(await ask((socket) => socket.write('null\n')), /"error":/);
  assert.match(await ask((socket) => socket.write('x'.repeat(100_000))), /"error":"the request is too long"/);
  assert.equal(await ask((socket) => socket.end()), '');
});

test('clients that say nothing, or do not read, are hung up on, and others are served', async () => {
  const begun = performance.now();
  const slow = Array.from({ length: 7 }, () => ask(() => {}));
  assert.equal(sipalg(['status', '--state-dir', dir]).code, 0);
  assert.deepEqual(await Promise.all(slow), Array(7).fill(''));
  assert.ok(performance.now() - begun < 8_000);
  // More than are served at one time: the rest is hung up on at once.
  const crowd = await Promise.all(Array.from({ length: 40 }, () => ask((s) => s.write('{"status":1}\n'))));
  assert.ok(crowd.every((text) => text === '' || (JSON.parse(text) as StatusReport).status === 1));
  assert.equal(sipalg(['status', '--state-dir', dir]).code, 0);
});

test('off: plain NAT, and how it is switched on again', async () => {
  assert.equal(sipalg(['off', '--state-dir', dir, '--config', config()]).code, 0);
  await gateway.says(/"msg":"off"/, 5_000);
  const { code, out } = sipalg(['status', '--state-dir', dir]);
  assert.equal(code, 1);
  assert.match(out, / is off since /);
  assert.match(out, /^plain NAT: .* \(switched off\)$/m);
  assert.match(out, /`sipalg on`/);
  const ready = gateway.lines.entries.length;
  assert.equal(sipalg(['on', '--state-dir', dir, '--config', config()]).code, 0);
  await gateway.says(/"msg":"ready"/, 5_000, ready);
});

test('standing still: it is told, and so is what that means', () => {
  gateway.signal('SIGSTOP');
  try {
    const { code, out } = sipalg(['status', '--state-dir', dir]);
    assert.equal(code, 1);
    assert.match(out, /is running, and does not answer/);
  } finally {
    gateway.signal('SIGCONT');
  }
});

test('not running: what that means, and how to start it', () => {
  const empty = join(folder, 'empty');
  const { code, out } = sipalg(['status', '--state-dir', empty]);
  assert.equal(code, 1);
  assert.match(out, /is not running/);
  assert.match(out, /plain NAT/);
  assert.match(out, /sipalg gateway -i IF -e IF/);
  assert.deepEqual(JSON.parse(sipalg(['status', '--state-dir', empty, '--json']).out), {
    status: 1,
    running: false,
    state: 'not running',
    switch: 'on',
  });
});

/** Explicit mode, so that the kernel of the machine that runs the tests is left alone. */
function config(): string {
  const file = join(folder, 'gateway.toml');
  writeFileSync(file, `listen = ["${LISTEN}"]\nstate-dir = "${dir}"\n`);
  return file;
}
