import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MappingRow } from '../../src/core/alg/mappings.ts';
import { request, respond, Workbench } from './bench.ts';

const register = (
  extra: string[] = [],
  contact = '<sip:alice@192.168.1.50:5060;transport=udp>;expires=600',
): string => request('REGISTER', { contact, extra });

function registered(): { bench: Workbench; sent: string } {
  const bench = new Workbench();
  const [sent] = bench.phone(register());
  assert.ok(sent);
  return { bench, sent: sent.text };
}

const mappingRecord = (bench: Workbench): { value: unknown } | undefined =>
  [...bench.records.values()].find(({ table }) => table === 'mapping');

/** When the registration ends according to its row. */
function storedEnd(bench: Workbench): number | undefined {
  const row = mappingRecord(bench)?.value as MappingRow | undefined;
  return row?.registrations[0]?.[1].expiresAt;
}

const phoneAt = (i: number): string => `192.168.${2 + (i >> 7)}.${1 + (i & 127)}`;

test('REGISTER leaves with Via and Contact reachable, from the same external port, everything else as it was', () => {
  const bench = new Workbench();
  const before = register();
  const [sent] = bench.phone(before);
  assert.deepEqual(sent?.flow, {
    transport: 'udp',
    side: 'external',
    local: { address: '203.0.113.1', port: 5060 },
    remote: { address: '198.51.100.5', port: 5060 },
  });
  assert.equal(
    sent?.text,
    before
      .replace('UDP 192.168.1.50:5060', 'UDP 203.0.113.1:5060')
      .replace('alice@192.168.1.50:5060;transport', 'alice@203.0.113.1:5060;transport'),
  );
  assert.match(sent?.text ?? '', /Call-ID: a@192\.168\.1\.50\r/, 'the Call-ID is nobody’s to touch');
});

test('the 200 gives the phone back what it wrote, and leaves the bindings of others alone', () => {
  const { bench, sent } = registered();
  const answer = respond(200, sent.replace(';rport', ';rport=5060;received=203.0.113.1'), {
    to: 'r',
    extra: [
      'Contact: <sip:alice@203.0.113.1:5060;transport=udp>;expires=300, <sip:alice@198.51.100.77:5060>;expires=500',
      'Contact: <sip:alice@192.0.2.9:5060>;expires=20',
    ],
  });
  const [back] = bench.provider(answer, '203.0.113.1:5060');
  assert.deepEqual(back?.flow.remote, { address: '192.168.1.50', port: 5060 });
  assert.deepEqual(
    back?.flow.local,
    { address: '198.51.100.5', port: 5060 },
    'to the phone, we are the provider',
  );
  assert.equal(
    back?.text,
    answer
      .replace('UDP 203.0.113.1:5060', 'UDP 192.168.1.50:5060')
      .replace('received=203.0.113.1', 'received=192.168.1.50')
      .replace('alice@203.0.113.1:5060', 'alice@192.168.1.50:5060'),
  );
});

test('the registration lives as long as the registrar granted, not as long as the phone asked for', () => {
  const { bench, sent } = registered();
  bench.provider(
    respond(200, sent, {
      to: 'r',
      extra: ['Contact: <sip:alice@203.0.113.1:5060;transport=udp>;expires=1800'],
    }),
    '203.0.113.1:5060',
  );
  const [hold] = bench.signalling.filter((one) => one.action === 'hold');
  assert.equal(hold?.action === 'hold' ? hold.lifetimeMs : 0, 1_830_000);
  bench.pass(1_829_000);
  assert.equal(bench.eventsOf('registration.removed').length, 0);
  assert.equal(bench.eventsOf('mapping.closed').length, 0, 'with no packet at all');
  bench.pass(2_000);
  assert.equal(bench.eventsOf('registration.removed')[0]?.why, 'expired');
  assert.equal(bench.eventsOf('mapping.closed').length, 1);
  assert.equal(bench.records.size, 1, 'only the remembered port stays');
});

test('Expires in the header holds where the Contact has none, and 0 removes the binding', () => {
  const { bench, sent } = registered();
  const granted = ['Contact: <sip:alice@203.0.113.1:5060;transport=udp>', 'Expires: 90'];
  bench.provider(respond(200, sent, { to: 'r', extra: granted }), '203.0.113.1:5060');
  assert.equal(bench.eventsOf('registration.granted')[0]?.lifetimeMs, 90_000);
  bench.provider(respond(200, sent, { to: 'r', extra: ['Expires: 0'] }), '203.0.113.1:5060');
  assert.equal(bench.eventsOf('registration.removed')[0]?.why, 'unregistered');
});

test('Contact: * and a third party’s Contact are not touched', () => {
  const bench = new Workbench();
  const star = register([], '*');
  assert.equal(bench.phone(star)[0]?.text, star.replace('UDP 192.168.1.50', 'UDP 203.0.113.1'));
  const other = register([], '<sip:alice@192.168.1.60:5060>');
  assert.match(bench.phone(other)[0]?.text ?? '', /alice@192\.168\.1\.60:5060/);
});

test('a Contact without a port stays without one while the external port is 5060, and gets one otherwise', () => {
  const bench = new Workbench();
  const bare = request('REGISTER', { contact: '<sip:a@192.168.1.50>', sentBy: '192.168.1.50' });
  assert.match(bench.phone(bare)[0]?.text ?? '', /UDP 203\.0\.113\.1;branch.*<sip:a@203\.0\.113\.1>/s);
  // The second phone cannot have 5060 on the same address.
  const second = bare.replaceAll('192.168.1.50', '192.168.1.51');
  const [sent] = bench.phone(second, '192.168.1.51:5060');
  assert.match(sent?.text ?? '', /UDP 203\.0\.113\.1:20000;branch.*<sip:a@203\.0\.113\.1:20000>/s);
  const answer = respond(200, sent?.text ?? '', {
    to: 'r',
    extra: ['Contact: <sip:a@203.0.113.1:20000>;expires=60'],
  });
  const [back] = bench.provider(answer, '203.0.113.1:20000');
  assert.match(back?.text ?? '', /UDP 192\.168\.1\.51;branch.*<sip:a@192\.168\.1\.51>;expires=60/s);
});

test('an external port that cannot be bound is passed over, and the message waits for the one that can', () => {
  const bench = new Workbench();
  let refused = 0;
  bench.answer = (command) => !('transport' in command) || command.external.port !== 5060 || ++refused > 99;
  const [sent] = bench.phone(register());
  assert.equal(refused, 1);
  assert.deepEqual(sent?.flow.local, { address: '203.0.113.1', port: 20_000 });
  assert.match(sent?.text ?? '', /UDP 203\.0\.113\.1:20000;/);
});

test('what a phone sends while its mapping is being opened waits, in order', () => {
  const bench = new Workbench();
  bench.answer = () => undefined;
  assert.equal(bench.phone(register()).length, 0);
  assert.equal(bench.phone('\r\n\r\n').length, 0);
  const open = bench.signalling[0];
  assert.ok(open?.action === 'open');
  bench.feed({ kind: 'opened', id: open.id });
  assert.deepEqual(
    bench.sent.map((one) => one.text.slice(0, 8)),
    ['REGISTER', '\r\n\r\n'],
  );
});

test('without rport the answer goes to the port of the sent-by, with rport to the port that sent', () => {
  const high = '192.168.1.50:49152';
  for (const [rport, port] of [
    ['', 5060],
    [';rport', 49_152],
  ] as const) {
    const bench = new Workbench();
    const [sent] = bench.phone(register().replace(';rport', rport), high);
    assert.equal(sent?.flow.local.port, 5060, 'one mapping, of the port that listens');
    const [back] = bench.provider(respond(401, sent?.text ?? '', { to: 'r' }), '203.0.113.1:5060');
    assert.equal(back?.flow.remote.port, port);
  }
});

test('received and rport are restored as a pair, or not at all', () => {
  for (const [parameters, expected] of [
    [';rport=5060;received=203.0.113.1', ';rport=5060;received=192.168.1.50'],
    [';received=203.0.113.1;rport=5060', ';received=192.168.1.50;rport=5060'],
    [';rport=1024;received=203.0.113.1', ';rport=1024;received=203.0.113.1'],
    [';rport=5060;received=192.0.2.1', ';rport=5060;received=192.0.2.1'],
    [';rport=5060', ';rport=5060'],
  ] as const) {
    const { bench, sent } = registered();
    const [back] = bench.provider(
      respond(401, sent.replace(';rport', parameters), { to: 'r' }),
      '203.0.113.1:5060',
    );
    assert.ok(back?.text.includes(`192.168.1.50:5060;branch=z9hG4bK-REGISTER-1${expected}\r`), back?.text);
  }
  const bench = new Workbench({ policy: { received: 'expose' } });
  const [sent] = bench.phone(register());
  const shown = sent?.text.replace(';rport', ';rport=5060;received=203.0.113.1') ?? '';
  assert.match(
    bench.provider(respond(401, shown), '203.0.113.1:5060')[0]?.text ?? '',
    /received=203\.0\.113\.1/,
  );
});

test('a phone that comes back on another port gets another mapping, and the old one ends by itself', () => {
  const { bench, sent } = registered();
  bench.provider(
    respond(200, sent, {
      to: 'r',
      extra: ['Contact: <sip:alice@203.0.113.1:5060;transport=udp>;expires=60'],
    }),
    '203.0.113.1:5060',
  );
  const rebooted = request('REGISTER', {
    callId: 'new@192.168.1.50',
    sentBy: '192.168.1.50:5062',
    contact: '<sip:alice@192.168.1.50:5062>',
  });
  const [again] = bench.phone(rebooted, '192.168.1.50:5062');
  assert.match(again?.text ?? '', /UDP 203\.0\.113\.1:5062;.*alice@203\.0\.113\.1:5062/s);
  bench.pass(400_000);
  assert.deepEqual(bench.engine.snapshot().mappings.length, 0);
});

test('after a restart the phone keeps its port, and is called there without having said anything', () => {
  const { bench, sent } = registered();
  bench.provider(
    respond(200, sent, {
      to: 'r',
      extra: ['Contact: <sip:alice@203.0.113.1:5060;transport=udp>;expires=600'],
    }),
    '203.0.113.1:5060',
  );
  const next = new Workbench();
  next.now = bench.now + 10_000;
  next.take(next.engine.restore(next.now, bench.records.values()));
  const hold = next.signalling.find((one) => one.action === 'hold');
  assert.ok(hold?.action === 'hold' && hold.lifetimeMs === 620_000 && hold.peer.address === '198.51.100.5');
  const invite = respond(200, sent).replace(
    /^SIP.*\r\n/,
    'INVITE sip:alice@203.0.113.1:5060;transport=udp SIP/2.0\r\n',
  );
  const [call] = next.provider(
    invite
      .replace(/Via: .*\r\n/, 'Via: SIP/2.0/UDP 198.51.100.5;branch=z9hG4bKx\r\n')
      .replaceAll('REGISTER', 'INVITE'),
    '203.0.113.1:5060',
  );
  assert.match(call?.text ?? '', /^INVITE sip:alice@192\.168\.1\.50:5060;transport=udp SIP/);
});

test('tables are bounded: the phone beyond the limit is refused with an event, and the others stay', () => {
  const bench = new Workbench({ limits: { mappings: 2 } });
  for (const last of [1, 2, 3])
    bench.phone(register().replaceAll('192.168.1.50', `192.168.1.${last}`), `192.168.1.${last}:5060`);
  assert.equal(bench.sent.length, 2);
  assert.deepEqual(bench.eventsOf('limit.reached')[0], {
    kind: 'limit.reached',
    limit: 'mappings',
    value: 2,
    phone: '192.168.1.3',
  });
});

test('a refresh that moves the end a little is not written again, and costs a phone nothing when the gateway is killed', () => {
  const { bench, sent } = registered();
  const written = (): number | undefined => storedEnd(bench);
  let writes = 0;
  const refresh = (): number => {
    const before = mappingRecord(bench);
    bench.phone(register());
    bench.provider(
      respond(200, sent, { to: 'r', extra: ['Contact: <sip:alice@203.0.113.1:5060>;expires=60'] }),
      '203.0.113.1:5060',
    );
    if (mappingRecord(bench) !== before) writes++;
    return bench.now + 90_000;
  };
  assert.equal(refresh(), written(), 'the first grant stands there as it is');
  for (let i = 1; i <= 40; i++) {
    bench.pass(30_000);
    const ends = refresh();
    const row = written() ?? 0;
    assert.ok(row >= ends && row <= ends + 5 * 60_000, `a row of ${row} for a registration until ${ends}`);
    const killed = new Workbench();
    killed.now = bench.now;
    killed.take(killed.engine.restore(killed.now, bench.records.values()));
    const left = killed.engine.snapshot().mappings[0]?.registrations[0]?.[1].expiresAt ?? 0;
    assert.equal(left, row, 'it goes on by the row');
  }
  assert.ok(writes <= 1 + 40 / 10 + 1, `${writes} rows for 41 grants in 20 minutes`);
  bench.take(bench.engine.settle());
  assert.equal(written(), bench.now + 90_000, 'a gateway that is stopped writes what is');
});

test('who registers again seldom has a row that says what is', () => {
  const { bench, sent } = registered();
  for (let i = 0; i < 4; i++) {
    bench.phone(register());
    bench.provider(
      respond(200, sent, { to: 'r', extra: ['Contact: <sip:alice@203.0.113.1:5060>;expires=3600'] }),
      '203.0.113.1:5060',
    );
    assert.equal(storedEnd(bench), bench.now + 3_630_000);
    bench.pass(1_800_000);
  }
});

test('after a restart with many phones, each is opened when a message needs it, and the others a few at a time', () => {
  const before = new Workbench({ limits: { mappings: 400 } });
  for (let i = 0; i < 300; i++) {
    const phone = phoneAt(i);
    const [sent] = before.phone(register().replaceAll('192.168.1.50', phone), `${phone}:5060`);
    const port = sent?.flow.local.port;
    const contact = `Contact: <sip:alice@203.0.113.1:${port}>;expires=3600`;
    before.provider(respond(200, sent?.text ?? '', { to: 'r', extra: [contact] }), `203.0.113.1:${port}`);
    before.pass(10);
  }
  const ports = new Map(
    before.engine.snapshot().mappings.map(({ internal, external }) => [internal.address, external.port]),
  );
  const after = new Workbench({ limits: { mappings: 400 } });
  after.now = before.now + 1_000;
  after.take(after.engine.restore(after.now, before.records.values(), true));
  assert.equal(after.engine.unopened, 300);
  assert.equal(after.signalling.length, 0, 'nothing is asked of the data plane yet');

  // The phone that was silent for longest would be the last.
  const late = phoneAt(0);
  const [sent] = after.phone(register().replaceAll('192.168.1.50', late), `${late}:5060`);
  assert.equal(sent?.flow.local.port, ports.get(late), 'from the port that it had');
  assert.deepEqual(
    after.signalling.map(({ action }) => action),
    ['open', 'hold'],
  );
  assert.equal(after.engine.unopened, 299);

  const opened: string[] = [];
  for (let slices = 0; after.engine.unopened > 0; slices++) {
    assert.ok(slices < 5, 'each slice opens as many as it may');
    after.signalling.length = 0;
    after.take(after.engine.openRestored(after.now, 64));
    for (const one of after.signalling) if (one.action === 'open') opened.push(one.internal.address);
    assert.ok(after.signalling.filter(({ action }) => action === 'hold').length <= 64);
  }
  const wanted = Array.from({ length: 299 }, (_, i) => phoneAt(299 - i));
  assert.deepEqual(opened, wanted, 'what was used last, first; none twice');
  after.phone(register(), '192.168.1.50:5060');
  assert.deepEqual(after.eventsOf('mapping.closed'), []);
});

test('what has ended before its turn came is closed in the kernel all the same', () => {
  const { bench } = registered();
  const after = new Workbench();
  after.now = bench.now + 1_000;
  after.take(after.engine.restore(after.now, bench.records.values(), true));
  assert.equal(after.engine.unopened, 1);
  after.pass(600_000);
  assert.equal(after.engine.unopened, 0);
  assert.deepEqual(
    after.signalling.map(({ action }) => action),
    ['open', 'close'],
  );
});

test('a phone that only calls, and has been at it for long, finds its mapping after the gateway was killed', () => {
  const bench = new Workbench();
  for (let minute = 0; minute <= 20; minute += 2) {
    assert.equal(bench.phone(request('OPTIONS', { callId: `o${minute}` })).length, 1);
    const after = new Workbench();
    after.now = bench.now + 230_000;
    after.take(after.engine.restore(after.now, bench.records.values()));
    after.pass(0);
    assert.equal(after.engine.snapshot().mappings.length, 1, `${minute} min`);
    bench.pass(120_000);
  }
});
