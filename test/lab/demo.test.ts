/** The demonstration shows two calls and leaves nothing behind, however it ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SIPALG } from '../../demo/gateway.ts';
import { Program } from '../../demo/program.ts';
import { labFile } from './lab.ts';

const NOBODY = 65534;

function start(args: readonly string[], uid?: number): Program {
  const ids = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(SIPALG, ['demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
    ...ids,
  });
  return new Program('sipalg demo', child);
}

/** The namespaces and directories that a process has made. */
function tracesOf(pid: number | undefined): string[] {
  const all = [...readdirSync('/run/netns'), ...readdirSync(tmpdir())];
  return all.filter((name) => name.startsWith(`sipnet-${pid}-`));
}

/** Whether a process is there and is not merely waiting for its parent to look. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

function output(program: Program): string {
  return program.lines.entries.join('\n');
}

test('without root the demo says so, and shows the explicit mode on loopback', {
  timeout: 60_000,
}, async () => {
  const program = start(['--once'], process.getuid?.() === 0 ? NOBODY : undefined);
  await program.exited();
  assert.match(output(program), /need root.*explicit mode.*audio both ways.*audio both ways.*ended: 0/s);
});

test('killed without root, it is cleaned up by the next run, its gateway included', {
  timeout: 60_000,
}, async () => {
  const uid = process.getuid?.() === 0 ? NOBODY : undefined;
  const killed = start([], uid);
  await killed.says(/INVITE/, 20_000);
  killed.signal('SIGKILL');
  await killed.exited();
  const [trace] = tracesOf(killed.pid);
  assert.ok(trace !== undefined);
  const gateway = Number(readFileSync(join(tmpdir(), trace, 'process'), 'latin1').split(' ')[0]);
  assert.ok(isRunning(gateway));
  const next = start(['--once'], uid);
  await next.exited();
  assert.match(output(next), /Removed what a crashed run left behind.*ended: 0/s);
  assert.deepEqual(tracesOf(killed.pid), []);
  assert.equal(isRunning(gateway), false);
});

labFile('the demonstration', [], () => {
  test('it shows a call each way, tells what was rewritten and why, and leaves nothing', {
    timeout: 60_000,
  }, async () => {
    const program = start(['--once']);
    await program.exited();
    const text = output(program);
    assert.match(text, /ended: 0/);
    assert.equal(text.match(/audio both ways/g)?.length, 2, text);
    assert.match(text, /192\.168\.1\.10:5060 → 203\.0\.113\.1:\d+ {2}contact\.host-port, RFC 3261/);
    assert.deepEqual(tracesOf(program.pid), []);
  });

  test('as JSON every line is an object', { timeout: 60_000 }, async () => {
    const program = start(['--once', '--json']);
    await program.exited();
    const lines = program.lines.entries
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { kind: string; bothWays?: boolean });
    assert.deepEqual(
      lines.filter((line) => line.kind === 'demo.audio').map((line) => line.bothWays),
      [true, true],
    );
  });

  test('interrupted in the middle of a call it cleans up', { timeout: 60_000 }, async () => {
    const program = start([]);
    await program.says(/INVITE/, 20_000);
    program.signal('SIGINT');
    await program.exited();
    assert.match(output(program), /ended: 0/);
    assert.deepEqual(tracesOf(program.pid), []);
  });

  test('killed in the middle of a call it is cleaned up by the next run', { timeout: 60_000 }, async () => {
    const killed = start([]);
    await killed.says(/INVITE/, 20_000);
    killed.signal('SIGKILL');
    await killed.exited();
    assert.notDeepEqual(tracesOf(killed.pid), []);
    const next = start(['--once']);
    await next.exited();
    assert.deepEqual(tracesOf(killed.pid), []);
    assert.match(output(next), /Removed what a crashed run left behind.*ended: 0/s);
  });
});
