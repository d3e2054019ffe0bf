/** Captures and metrics from the console of a gateway that runs: with the token only, bounded, and what they are called. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Gateway } from '../../demo/gateway.ts';
import { CaptureReader } from '../../src/observe/capture/reader.ts';
import { request } from '../engine/bench.ts';

/** An address of 127/8 for every run, so that runs do not meet. */
const HOST = `127.63.${(process.pid >> 8) & 255}.${process.pid & 255}`;
const SIP = 15_061;
const CONSOLE = `http://${HOST}:8061`;
let gateway: Gateway;
let token: string;

before(async () => {
  gateway = await Gateway.started((program, args) =>
    spawn(program, [...args, '--listen', `${HOST}:${SIP}`, '--console', `${HOST}:8061`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  token = readFileSync(join(gateway.stateDir, 'console-token'), 'utf8').trim();
});
after(() => gateway.close());

function ask(path: string, given: string | undefined = token): Promise<Response> {
  return fetch(`${CONSOLE}${path}`, given === '' ? {} : { headers: { authorization: `Bearer ${given}` } });
}

async function send(callId: string): Promise<void> {
  const phone = createSocket('udp4').bind(0, HOST);
  const provider = createSocket('udp4').bind(0, HOST);
  await Promise.all([once(phone, 'listening'), once(provider, 'listening')]);
  const own = `${HOST}:${phone.address().port}`;
  const text = request('OPTIONS', { callId, sentBy: own, contact: `<sip:alice@${own}>` });
  phone.send(
    text.replace('sip:bob@example.net SIP', `sip:bob@${HOST}:${provider.address().port} SIP`),
    SIP,
    HOST,
  );
  await once(provider, 'message');
  phone.close();
  provider.close();
}

function payloads(file: ArrayBuffer): string[] {
  const reader = new CaptureReader();
  const found = [...reader.feed(new Uint8Array(file))].map(({ bytes }) =>
    Buffer.from(bytes).toString('latin1'),
  );
  assert.equal(reader.problem, undefined);
  return found;
}

test('metrics, with the token and not without', async () => {
  assert.equal((await ask('/metrics', '')).status, 401);
  assert.equal((await ask('/metrics', 'wrong')).status, 401);
  const answer = await ask('/metrics');
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(await answer.text(), /^sipalg_active 1$/m);
  await send('counted');
  assert.match(
    await (await ask('/api/v1/metrics')).text(),
    /^sipalg_messages_total\{.*method="OPTIONS".*\} 1$/m,
  );
});

test('a capture of what is remembered, of one call, in the clear only where that is asked for', async () => {
  await send('one');
  await send('two');
  assert.equal((await ask('/api/v1/capture', '')).status, 401);
  const answer = await ask('/api/v1/capture?call=one');
  assert.equal(answer.headers.get('content-type'), 'application/x-pcapng');
  const found = payloads(await answer.arrayBuffer());
  assert.equal(found.length, 2);
  for (const text of found) assert.ok(text.includes('Call-ID: one') && !text.includes('alice'));
  const clear = payloads(await (await ask('/api/v1/capture?call=one&reveal=1')).arrayBuffer());
  assert.ok(clear.every((text) => text.includes('alice')));
  assert.equal((await ask('/api/v1/capture?seconds=x')).status, 400);
});

test('a capture goes on for so long; only a few at a time; one that nobody reads any more makes room', async () => {
  const readers = await Promise.all([0, 1, 2, 3].map(() => ask('/api/v1/capture?seconds=60')));
  assert.deepEqual(
    readers.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  const refused = await ask('/api/v1/capture');
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /console\/too-many-captures/);
  await send('live');
  const [first] = readers;
  let text = '';
  for await (const chunk of first!.body!) {
    text += Buffer.from(chunk).toString('latin1');
    if (text.includes('Call-ID: live')) break;
  }
  await Promise.all(readers.slice(1).map(({ body }) => body?.cancel()));
  // The gateway hears of it when their connections have closed.
  const deadline = performance.now() + 5_000;
  for (;;) {
    const { status, body } = await ask('/api/v1/capture');
    await body?.cancel();
    if (status === 200) break;
    assert.ok(performance.now() < deadline, String(status));
  }
});
