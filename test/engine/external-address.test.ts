/** External addresses that go, come back, or are replaced: what the scenarios cannot state. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Engine } from '../../src/core/alg/engine.ts';
import { ADDRESS_GRACE_MS } from '../../src/core/alg/external-addresses.ts';
import { EXTERNAL, PROVIDER, request, respond, sdp, Workbench } from './bench.ts';

const NEW = '203.0.113.9';

function tell(bench: Workbench, ...addresses: string[]): void {
  bench.feed({ kind: 'external-address-changed', addresses });
}

function call(bench: Workbench, callId: string, port: number): void {
  const [sent] = bench.phone(request('INVITE', { callId }, sdp('192.168.1.50', port)));
  bench.provider(respond(200, sent!.text, { to: 'b1' }, sdp('198.51.100.6', 9000)), '203.0.113.1:5060');
  bench.phone(request('ACK', { callId, to: 'b1' }));
}

function register(bench: Workbench): void {
  const [sent] = bench.phone(request('REGISTER'));
  const contact = 'Contact: <sip:alice@203.0.113.1:5060>;expires=3600';
  bench.provider(respond(200, sent!.text, { to: 'r', extra: [contact] }), '203.0.113.1:5060');
}

describe('an address that was lost while the gateway was away', () => {
  function restarted(...addresses: string[]): Workbench {
    const before = new Workbench();
    register(before);
    call(before, 'c1', 4000);
    const after = new Workbench();
    after.now = before.now + 1000;
    tell(after, ...addresses);
    after.take(after.engine.restore(after.now, before.records.values()));
    return after;
  }

  test('is gone from the start, and lost when its grace has ended', () => {
    const bench = restarted(NEW);
    assert.deepEqual(
      bench.eventsOf('address.gone').map(({ address, mappings, calls }) => [address, mappings, calls]),
      [[EXTERNAL, 1, 1]],
    );
    bench.pass(ADDRESS_GRACE_MS - 1);
    assert.equal(bench.eventsOf('mapping.closed').length, 0);
    bench.pass(1);
    assert.equal(bench.eventsOf('mapping.closed').length, 1);
    assert.deepEqual(
      bench.eventsOf('dialog.stranded').map((event) => event.callId),
      ['c1'],
    );
    assert.deepEqual(bench.openMedia(), []);
  });

  test('is waited for while there is none: the line comes up after the gateway', () => {
    const bench = restarted();
    bench.pass(30 * 60_000);
    tell(bench, EXTERNAL);
    bench.pass(ADDRESS_GRACE_MS * 2);
    assert.equal(bench.eventsOf('mapping.closed').length, 0);
    assert.equal(bench.openMedia().length, 1);
    const held = bench.signalling.filter((command) => command.action === 'hold').length;
    assert.ok(held > 1, 'the way in is held again when the address is back');
  });
});

test('an address of the other family is no replacement', () => {
  const bench = new Workbench();
  register(bench);
  tell(bench, '2001:db8::1');
  bench.pass(ADDRESS_GRACE_MS * 10);
  assert.equal(bench.eventsOf('mapping.closed').length, 0);
});

test('what the operator has laid down need not be an address of this machine', () => {
  const map = { internal: { address: '192.168.1.50' }, external: { address: '192.0.2.7' } };
  const bench = new Workbench({ mappings: [map] });
  tell(bench, EXTERNAL);
  bench.phone(request('REGISTER'));
  tell(bench, NEW);
  bench.pass(ADDRESS_GRACE_MS * 2);
  assert.deepEqual([bench.eventsOf('address.gone'), bench.eventsOf('mapping.closed')], [[], []]);
});

test('calls are named one by one up to a bound, and all are counted', () => {
  const bench = new Workbench();
  for (let i = 0; i < 150; i++) call(bench, `c${i}`, 4000 + 2 * i);
  tell(bench, NEW);
  bench.pass(ADDRESS_GRACE_MS);
  assert.equal(bench.eventsOf('dialog.stranded').length, 100);
  assert.equal(bench.eventsOf('address.lost')[0]?.calls, 150);
  assert.deepEqual(bench.openMedia(), []);
  // Their rows have no mapping any more, and a next gateway starts without them.
  const next = new Engine();
  assert.doesNotThrow(() => next.restore(bench.now, bench.records.values()));
});

test('a provider that calls the old address meanwhile is let through, should the packet come', () => {
  const bench = new Workbench();
  register(bench);
  tell(bench, NEW);
  const options = request('OPTIONS', { sentBy: PROVIDER, contact: `<sip:bob@${PROVIDER}>` });
  assert.equal(bench.provider(options, '203.0.113.1:5060').length, 1);
});
