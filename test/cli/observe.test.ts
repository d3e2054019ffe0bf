/** trace, top and capture beside a gateway that runs (explicit mode, loopback), as a person uses them; and what clients may cost. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Gateway, SIPALG } from '../../demo/gateway.ts';
import { followGateway } from '../../src/gateway/follow-client.ts';
import { CaptureReader } from '../../src/observe/capture/reader.ts';
import { request } from '../engine/bench.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'sipalg-observe-'));
let gateway: Gateway;
let phone: Socket;
let provider: Socket;
let sip: number;
let cseq = 0;

before(async () => {
  const probe = createSocket('udp4').bind(0, '127.0.0.1');
  await once(probe, 'listening');
  sip = probe.address().port;
  probe.close();
  gateway = await Gateway.started((program, args) =>
    spawn(program, [...args, '--listen', `127.0.0.1:${sip}`], { stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  phone = createSocket('udp4').bind(0, '127.0.0.1');
  provider = createSocket('udp4').bind(0, '127.0.0.1');
  await Promise.all([once(phone, 'listening'), once(provider, 'listening')]);
});
after(async () => {
  phone.close();
  provider.close();
  await gateway.close();
  rmSync(folder, { recursive: true });
});

/** One request from the phone that has arrived at the provider. */
async function send(callId: string, extra: readonly string[] = []): Promise<void> {
  const own = `127.0.0.1:${phone.address().port}`;
  const text = request('OPTIONS', {
    callId,
    cseq: ++cseq,
    sentBy: own,
    contact: `<sip:alice@${own}>`,
    extra,
  }).replace('sip:bob@example.net SIP', `sip:bob@127.0.0.1:${provider.address().port} SIP`);
  phone.send(text, sip, '127.0.0.1');
  await once(provider, 'message');
}

function sipalg(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run(SIPALG, [...args, '--state-dir', gateway.stateDir]);
}

/** Runs until `says` was printed; then it is told to end. */
async function until(child: ChildProcess, says: RegExp, meanwhile: () => Promise<void>): Promise<string> {
  let text = '';
  child.stdout!.setEncoding('utf8');
  child.stdout!.on('data', (chunk: string) => {
    text += chunk;
  });
  // It says nothing when it has begun: what was sent before is not shown.
  while (!says.test(text)) {
    assert.equal(child.exitCode, null, text);
    await meanwhile();
    await Promise.race([once(child.stdout!, 'data'), wait(100)]);
  }
  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0);
  return text;
}

test('trace: live, a rung and its edits; users are hidden', async () => {
  const child = spawn(SIPALG, ['trace', '--state-dir', gateway.stateDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const text = await until(child, /via/, () => send('live'));
  assert.match(text, /─ OPTIONS ─+▶ ┃ ─+▶ 127\.0\.0\.1:\d+ +\d+ edits/);
  assert.ok(!text.includes('alice'));
});

test('trace: one call that is remembered, as JSON; in the clear only where that is asked for', async () => {
  await send('remembered');
  await send('other');
  const hidden = await sipalg('trace', '--call', 'remembered', '--past', '--json');
  const lines = hidden.stdout.trim().split('\n');
  assert.equal(lines.length, 1);
  const exchange = JSON.parse(lines[0]!) as { callId: string; received: string; verdict: string };
  assert.equal(exchange.callId, 'remembered');
  assert.equal(exchange.verdict, 'message.translated');
  assert.ok(!Buffer.from(exchange.received, 'base64').includes('alice'));
  const clear = await sipalg('trace', '--call', 'remembered', '--past', '--json', '--reveal');
  assert.ok(
    Buffer.from((JSON.parse(clear.stdout) as { received: string }).received, 'base64').includes('alice'),
  );
});

test('capture: a file for its owner, with what is remembered; to standard output as well', async () => {
  await send('captured', ['Authorization: Digest username="alice", response="beef"']);
  const file = join(folder, 'call.pcapng');
  const { stderr } = await sipalg('capture', file, '--call', 'captured', '--past');
  assert.match(stderr, /^1 message, \d+ octets, in .*; users, credentials and bodies are hidden/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { stdout } = await run(SIPALG, ['capture', '-', '--past', '--state-dir', gateway.stateDir], {
    encoding: 'buffer',
    maxBuffer: 64 * 1024 * 1024,
  });
  const reader = new CaptureReader();
  const found = [...reader.feed(stdout)].map(({ bytes }) => Buffer.from(bytes).toString('latin1'));
  assert.equal(reader.problem, undefined);
  assert.ok(found.length >= 2 && found.length % 2 === 0);
  assert.ok(!found.some((text) => text.includes('beef') || text.includes('alice')));
});

test('capture ends by time and by size', async () => {
  await sipalg('capture', join(folder, 'time.pcapng'), '--seconds', '0.3');
  await sipalg('capture', join(folder, 'size.pcapng'), '--size', '0.001', '--past');
  assert.ok(statSync(join(folder, 'size.pcapng')).size <= 1_049);
});

test('top without a terminal: once, as text or JSON with rates', async () => {
  const { stdout } = await sipalg('top', '--interval', '0.3');
  assert.match(stdout, /^sipalg \S+ {2}takes SIP/);
  const { stdout: json } = await sipalg('top', '--interval', '0.3', '--json');
  const { rates, phoneCount } = JSON.parse(json) as { rates: { translated: number }; phoneCount: number };
  assert.equal(phoneCount, 1);
  assert.equal(rates.translated, 0);
});

for (const [what, args] of [
  ['a directory where nothing runs', ['trace', '--state-dir', '/nonexistent']],
  ['the same for top', ['top', '--state-dir', '/nonexistent']],
  ['a file that cannot be written', ['capture', '/nonexistent/x.pcapng']],
] as const)
  test(`an error that says what to do: ${what}`, async () => {
    const all = args.includes('--state-dir' as never) ? args : [...args, '--state-dir', gateway.stateDir];
    await assert.rejects(run(SIPALG, all), ({ code, stderr }: { code: number; stderr: string }) => {
      assert.equal(code, 3);
      assert.match(stderr, /cli\/(not-running|not-writable): .+\n {2}\S/);
      return true;
    });
  });

test('a handful of clients follow, more are refused, and the gateway and status go on', async () => {
  const ends = new AbortController();
  const clients = await Promise.all(
    Array.from({ length: 6 }, () => followGateway(gateway.stateDir, {}, ends.signal)),
  );
  assert.deepEqual(clients.map(({ kind }) => kind).sort(), [
    'following',
    'following',
    'following',
    'following',
    'refused',
    'refused',
  ]);
  await send('while-followed');
  await sipalg('status');
  ends.abort();
  for (const client of clients) if (client.kind === 'following') await client.followed.return(undefined);
  // Their places are free again.
  const { stdout } = await sipalg('trace', '--past', '--call', 'while-followed');
  assert.match(stdout, /OPTIONS/);
});

test('one that asks and does not read costs nothing but what its socket holds', async () => {
  const idle = createConnection(join(gateway.stateDir, 'status.sock'));
  await once(idle, 'connect');
  idle.write('{"follow":1,"since":0,"reveal":true}\n');
  idle.pause();
  for (let i = 0; i < 300; i++) await send(`flood${i}`, [`X-Filler: ${'x'.repeat(2_000)}`]);
  const { stdout } = await sipalg('trace', '--past', '--call', 'flood299');
  assert.match(stdout, /OPTIONS/);
  idle.destroy();
});

test('nonsense is refused in words', async () => {
  for (const line of [
    '{"follow":2}',
    '{"follow":1,"call":7}',
    '{"follow":1,"since":"x"}',
    'junk',
    'x'.repeat(2_000),
  ]) {
    const socket = createConnection(join(gateway.stateDir, 'status.sock'));
    socket.setEncoding('utf8');
    socket.write(`${line}\n`);
    let text = '';
    for await (const chunk of socket) text += chunk;
    assert.match(text, /"error":"/, line);
  }
});

test('a gateway that ends while it is followed is an end like any other, and is told', async () => {
  const child = spawn(SIPALG, ['trace', '--state-dir', gateway.stateDir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  for (let shown = false; !shown; ) {
    await send('last');
    shown = await Promise.race([once(child.stdout, 'data').then(() => true), wait(100, false)]);
  }
  child.stdout.resume();
  await gateway.stop();
  assert.deepEqual(await exited, [0, null]);
  assert.match(said, /the gateway has ended/);
});
