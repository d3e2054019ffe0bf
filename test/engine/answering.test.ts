/** From whom media may come in before there is an answer, and what a port that is only named is good for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineOptions } from '../../src/core/alg/policy.ts';
import { EXTERNAL, request, respond, sdp, Workbench } from './bench.ts';

const PROVIDER = { address: '198.51.100.5', port: 5060 };

function call(bench: Workbench, number: number): string {
  const names = { callId: `c${number}`, branch: `z9hG4bKc${number}` };
  return bench.phone(request('INVITE', names, sdp('192.168.1.50', 4000 + 2 * number)))[0]?.text ?? '';
}

function sources(bench: Workbench, number: number): unknown {
  const { media } = bench.engine.snapshot();
  return media.find(({ callId }) => callId === `c${number}`)?.sources;
}

test('an INVITE to somebody who has never answered opens the way out only; his first response opens the way in', () => {
  for (const status of [100, 180, 401, 486]) {
    const bench = new Workbench();
    const sent = call(bench, 1);
    assert.deepEqual(sources(bench, 1), []);
    bench.provider(respond(status, sent), `${EXTERNAL}:5060`);
    if (status < 200) assert.deepEqual(sources(bench, 1), [PROVIDER]);
    call(bench, 2);
    assert.deepEqual(sources(bench, 2), [PROVIDER], `after a ${status} he is known`);
  }
});

test('what comes from somebody else answers nothing', () => {
  const bench = new Workbench();
  const sent = call(bench, 1);
  bench.provider(respond(180, sent), `${EXTERNAL}:5060`, '198.51.100.66:5060');
  assert.deepEqual(sources(bench, 1), []);
});

test('whoever has answered a REGISTER, or is configured, may send at once', () => {
  const registered = new Workbench();
  const [register] = registered.phone(request('REGISTER', { callId: 'r' }));
  registered.provider(respond(401, register?.text ?? ''), `${EXTERNAL}:5060`);
  const configured = new Workbench({ isProvider: (address) => address === PROVIDER.address });
  for (const bench of [registered, configured]) {
    call(bench, 1);
    assert.deepEqual(sources(bench, 1), [PROVIDER]);
  }
});

test('a relay sends to the other side first, and is not asked', () => {
  const options: EngineOptions = { media: 'relay' };
  const bench = new Workbench(options);
  call(bench, 1);
  assert.equal((sources(bench, 1) as unknown[] | undefined)?.length ?? 1, 1);
});

test('what survives a restart is heard still', () => {
  const before = new Workbench();
  const sent = call(before, 1);
  before.provider(respond(180, sent), `${EXTERNAL}:5060`);
  const after = new Workbench();
  after.take(after.engine.restore(before.now, before.records.values()));
  assert.deepEqual(sources(after, 1), [PROVIDER]);
});

test('a port that a Contact has only named gets SIP, and nothing else', () => {
  const bench = new Workbench();
  const contact = '<sip:alice@192.168.1.50:7777>';
  const [register] = bench.phone(request('REGISTER', { callId: 'r', contact }));
  assert.match(register?.text ?? '', /^Contact: <sip:alice@203\.0\.113\.1:7777>\r$/m);
  const ok = respond(200, register?.text ?? '').replace(
    /\r\n\r\n/,
    '\r\nContact: <sip:alice@203.0.113.1:7777>;expires=300\r\n\r\n',
  );
  bench.provider(ok, `${EXTERNAL}:5060`);
  assert.equal(bench.eventsOf('registration.granted').length, 1);
  assert.deepEqual(bench.provider('M-SEARCH * HTTP/1.1\r\nHOST: x\r\n\r\n', `${EXTERNAL}:7777`), []);
  assert.match(bench.eventsOf('message.dropped')[0]?.why ?? '', /from which the phone has sent nothing/);
  const invite = request('INVITE').replace('sip:bob@example.net SIP', 'sip:alice@203.0.113.1:7777 SIP');
  const [rang] = bench.provider(invite.replaceAll('192.168.1.50', PROVIDER.address), `${EXTERNAL}:7777`);
  assert.equal(rang?.flow.remote.port, 7777);
});
