/** What one phone may take: it is bounded, told, and leaves the others theirs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatEndpoint } from '../../src/core/net/address.ts';
import { request, sdp, Workbench } from './bench.ts';

const limits = { mappingsPerPhone: 3, dialogsPerPhone: 4, mediaPerPhone: 2, transactionsPerPhone: 5 };

function call(number: number, sentByPort = 5060): string {
  const names = {
    callId: `greedy-${number}`,
    branch: `z9hG4bKgreedy${number}`,
    sentBy: `192.168.1.50:${sentByPort}`,
  };
  return request('INVITE', names, sdp('192.168.1.50', 20_000 + 2 * number));
}

test('one phone without end: each table holds what one phone may have, and says so', () => {
  const bench = new Workbench({ limits });
  for (let number = 0; number < 20; number++) bench.phone(call(number));
  for (let port = 6000; port < 6010; port++) bench.phone(call(port, port));
  const { mappings, dialogs, media, transactions } = bench.engine.snapshot();
  assert.deepEqual([mappings.length, dialogs.length, media.length, transactions], [3, 4, 2, 5]);
  const met = bench.eventsOf('limit.reached');
  assert.deepEqual([...new Set(met.map(({ limit }) => limit))].sort(), [
    'dialogs-per-phone',
    'mappings-per-phone',
    'media-per-phone',
    'transactions-per-phone',
  ]);
  assert.ok(met.every(({ phone }) => phone === '192.168.1.50'));

  const other = request('INVITE', { callId: 'modest' }, sdp('192.168.1.51', 4000)).replaceAll(
    '.1.50',
    '.1.51',
  );
  const [sent] = bench.phone(other, '192.168.1.51:5060');
  assert.match(sent?.text ?? '', /^c=IN IP4 203\.0\.113\.1\r$/m);
});

test('what has ended is given back', () => {
  const bench = new Workbench({ limits });
  for (let round = 0; round < 5; round++) {
    for (let number = 0; number < 20; number++) bench.phone(call(number));
    bench.now += 3_600_000;
    bench.feed({ kind: 'timeout' });
    bench.now += 3_600_000;
    bench.feed({ kind: 'timeout' });
  }
  const before = bench.eventsOf('limit.reached').length;
  const [sent] = bench.phone(call(1));
  assert.match(sent?.text ?? '', /^c=IN IP4 203\.0\.113\.1\r$/m);
  assert.equal(bench.eventsOf('limit.reached').length, before);
});

test('calls that are over are no reason to refuse another: the oldest of them make room', () => {
  const bench = new Workbench({ limits: { dialogs: 6, dialogsPerPhone: 4 } });
  const short = (number: number, address: string): string => {
    const names = { callId: `short-${number}`, branch: `z9hG4bKshort${number}`, sentBy: `${address}:5060` };
    const text = request('INVITE', names, sdp(address, 20_000)).replaceAll('192.168.1.50', address);
    const [sent] = bench.phone(text, `${address}:5060`);
    // Refused at once; what belongs to it is let go five seconds later, and the dialog is known for 32 s more.
    const refusal = text
      .replace(/^INVITE .*/, 'SIP/2.0 486 Busy Here')
      .replace(/^Via: .*$/m, /^Via: .*$/m.exec(sent?.text ?? '')?.[0] ?? '')
      .replace(/^To: (.*)\r$/m, 'To: $1;tag=busy\r')
      .replace(/Content-Type.*$/s, 'Content-Length: 0\r\n\r\n');
    bench.provider(refusal, formatEndpoint(sent?.flow.local ?? { address: '', port: 0 }));
    return sent?.text ?? '';
  };
  for (let number = 0; number < 40; number++) {
    const address = `192.168.1.${50 + (number % 3)}`;
    assert.match(short(number, address), /^c=IN IP4 203\.0\.113\.1\r$/m, `call ${number}`);
    bench.pass(5_000);
  }
  assert.equal(bench.eventsOf('limit.reached').length, 0);
  assert.equal(bench.engine.snapshot().dialogs.length, 6);
});
