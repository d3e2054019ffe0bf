import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXTERNAL, message, request, respond, sdp, Workbench } from './bench.ts';
import { answer, incoming, invite } from './messages.ts';

const MEDIA = '198.51.100.6';

function answered(options = {}): { bench: Workbench; sent: string } {
  const bench = new Workbench(options);
  const sent = invite(bench);
  bench.provider(
    respond(200, sent, { to: 'b1', extra: ['Contact: <sip:bob@198.51.100.5>'] }, sdp(MEDIA, 9000)),
    '203.0.113.1:5060',
  );
  bench.phone(request('ACK', { to: 'b1' }));
  return { bench, sent };
}

test('an INVITE names a media port that is open before it leaves, on the way out; in, once the provider has answered', () => {
  const bench = new Workbench();
  let leftBefore = -1;
  bench.answer = (command) => {
    if ('ports' in command) leftBefore = bench.sent.length;
    return true;
  };
  const before = request('INVITE', {}, sdp('192.168.1.50', 4000, ['a=rtcp:4001']));
  const [sent] = bench.phone(before);
  assert.equal(leftBefore, 0);
  const [open] = bench.openMedia();
  assert.deepEqual(open?.action === 'open' && [open.internal, open.external, open.ports, open.sources], [
    { address: '192.168.1.50', port: 4000 },
    { address: EXTERNAL, port: 30_000 },
    2,
    [],
  ]);
  bench.provider(respond(100, sent?.text ?? ''), '203.0.113.1:5060');
  const update = bench.media.findLast((one) => one.action === 'update');
  assert.deepEqual(update?.action === 'update' && update.sources, [{ address: '198.51.100.5', port: 5060 }]);
  const body = before
    .slice(before.indexOf('v=0'))
    .replace('c=IN IP4 192.168.1.50', 'c=IN IP4 203.0.113.1')
    .replace('audio 4000', 'audio 30000')
    .replace('rtcp:4001', 'rtcp:30001');
  assert.ok(sent?.text.endsWith(`Content-Length: ${body.length}\r\n\r\n${body}`), sent?.text);
  assert.match(sent?.text ?? '', /o=- 1 1 IN IP4 192\.168\.1\.50/, 'the origin is an identifier');
});

test('the answer says who may send media: the address that its SDP names, and nobody else', () => {
  const { bench } = answered();
  const update = bench.media.findLast((one) => one.action === 'update');
  assert.deepEqual(update?.action === 'update' && update.sources, [{ address: MEDIA, port: 9000 }]);
  assert.equal(bench.eventsOf('dialog.confirmed').length, 1);
});

test('retransmissions give identical octets and open nothing twice', () => {
  const bench = new Workbench();
  const first = invite(bench);
  assert.equal(invite(bench), first);
  assert.equal(bench.openMedia().length, 1);
});

test('an incoming call: the Request-URI becomes what the phone registered, its answer is reachable', () => {
  const bench = new Workbench();
  const rang = incoming(bench, sdp(MEDIA, 9000));
  assert.match(rang, /^INVITE sip:alice@192\.168\.1\.50:5060 SIP/);
  assert.match(rang, /c=IN IP4 198\.51\.100\.6/, 'the provider’s SDP is not touched');
  const [ok] = bench.phone(answer(200, sdp('192.168.1.50', 4000)));
  assert.match(
    ok?.text ?? '',
    /^SIP\/2.0 200 OK\r\nVia: SIP\/2.0\/UDP 198\.51\.100\.5:5060;branch=z9hG4bKin\r/,
  );
  assert.match(
    ok?.text ?? '',
    /Contact: <sip:alice@203\.0\.113\.1:5060>.*c=IN IP4 203\.0\.113\.1.*audio 30000/s,
  );
  const [open] = bench.openMedia();
  assert.deepEqual(open?.action === 'open' && open.sources, [{ address: MEDIA, port: 9000 }]);
});

test('BYE shuts the media at once when it is answered, and soon where it is not', () => {
  for (const respondToBye of [true, false]) {
    const { bench } = answered();
    const [bye] = bench.phone(request('BYE', { to: 'b1', cseq: 2 }));
    assert.equal(bench.openMedia().length, 1);
    if (respondToBye) bench.provider(respond(200, bye?.text ?? ''), '203.0.113.1:5060');
    else bench.pass(1_000);
    assert.equal(bench.openMedia().length, 0);
    assert.deepEqual(
      bench.eventsOf('dialog.ended').map((one) => one.why),
      ['BYE'],
    );
  }
});

test('a retransmitted 200 after the BYE opens nothing again', () => {
  const bench = new Workbench();
  incoming(bench, sdp(MEDIA, 9000));
  const ok = answer(200, sdp('192.168.1.50', 4000));
  bench.phone(ok);
  const bye = message([
    'BYE sip:alice@203.0.113.1:5060 SIP/2.0',
    'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKbye',
    'From: <sip:bob@example.net>;tag=b1',
    'To: <sip:alice@example.net>;tag=a9',
    'Call-ID: in@example.net',
    'CSeq: 2 BYE',
  ]);
  assert.match(
    bench.provider(bye, '203.0.113.1:5060')[0]?.text ?? '',
    /^BYE sip:alice@192\.168\.1\.50:5060 /,
  );
  bench.pass(1_000);
  bench.phone(ok);
  assert.equal(bench.openMedia().length, 0);
  bench.pass(40_000);
  assert.equal(bench.engine.snapshot().dialogs.length, 0);
});

test('a call that is refused or cancelled gives its port back after a moment, in which credentials find it again', () => {
  const bench = new Workbench();
  const sent = invite(bench);
  bench.provider(respond(407, sent, { to: 'x' }), '203.0.113.1:5060');
  bench.pass(4_000);
  const again = invite(bench, { cseq: 2 });
  assert.match(again, /audio 30000/);
  bench.pass(60_000);
  assert.equal(bench.openMedia().length, 1, 'it rings');
  bench.provider(respond(487, again, { to: 'x' }), '203.0.113.1:5060');
  bench.pass(6_000);
  assert.equal(bench.openMedia().length, 0);
});

test('CANCEL and the ACK to a failure have the Via of their INVITE', () => {
  const bench = new Workbench();
  const sent = invite(bench, { branch: 'z9hG4bKsame' });
  const via = (text: string): string | undefined => text.split('\r\n').find((line) => line.startsWith('Via'));
  for (const method of ['CANCEL', 'ACK'])
    assert.equal(via(bench.phone(request(method, { branch: 'z9hG4bKsame' }))[0]?.text ?? ''), via(sent));
});

test('hold and resume keep the ports, with sendonly and with 0.0.0.0', () => {
  for (const hold of [sdp('192.168.1.50', 4000, ['a=sendonly']), sdp('0.0.0.0', 4000)]) {
    const { bench } = answered();
    for (const [cseq, body] of [
      [2, hold],
      [3, sdp('192.168.1.50', 4000)],
    ] as const) {
      const text = invite(bench, { to: 'b1', cseq }, body);
      bench.provider(respond(200, text, {}, sdp(MEDIA, 9000)), '203.0.113.1:5060');
      if (cseq === 3) assert.match(text, /audio 30000/);
    }
    assert.equal(bench.openMedia().length, 1);
    assert.equal(bench.media.filter((one) => one.action === 'open').length, 1);
  }
});

test('a re-INVITE to another port: both are open until it is agreed on, the old one after a refusal, the new one otherwise', () => {
  for (const [status, port] of [
    [200, 4010],
    [488, 4000],
  ] as const) {
    const { bench } = answered();
    const sent = invite(bench, { to: 'b1', cseq: 2 }, sdp('192.168.1.50', 4010));
    assert.equal(bench.openMedia().length, 2);
    bench.provider(
      respond(status, sent, {}, status === 200 ? sdp(MEDIA, 9000) : undefined),
      '203.0.113.1:5060',
    );
    assert.deepEqual(
      bench.openMedia().map((one) => one.action === 'open' && one.internal?.port),
      [port],
    );
    assert.equal(bench.engine.snapshot().dialogs.length, 1);
  }
});

test('the far end’s refused offer leaves its old media address admitted', () => {
  const { bench } = answered();
  const reinvite = message(
    [
      'INVITE sip:alice@203.0.113.1:5060 SIP/2.0',
      'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKre',
      'From: <sip:bob@example.net>;tag=b1',
      'To: <sip:alice@example.net>;tag=a1',
      'Call-ID: a@192.168.1.50',
      'CSeq: 7 INVITE',
    ],
    sdp('198.51.100.99', 9100),
  );
  const [shown] = bench.provider(reinvite, '203.0.113.1:5060');
  const sources = (): string[] => bench.engine.snapshot().media[0]?.sources.map((one) => one.address) ?? [];
  assert.deepEqual(sources(), ['198.51.100.99', MEDIA]);
  bench.phone(respond(488, shown?.text ?? ''));
  assert.deepEqual(sources(), [MEDIA]);
});

test('two phones that offer the same RTP port get a port each', () => {
  const bench = new Workbench();
  invite(bench);
  const other = request('INVITE', { callId: 'other' }, sdp('192.168.1.51', 4000)).replaceAll(
    '192.168.1.50',
    '192.168.1.51',
  );
  const [second] = bench.phone(other, '192.168.1.51:5060');
  assert.match(second?.text ?? '', /audio 30002 /);
});

test('a media port that is taken on the router is passed over', () => {
  const bench = new Workbench();
  bench.answer = (command) => !('ports' in command) || command.external.port !== 30_000;
  assert.match(invite(bench), /audio 30002 /);
});

test('where no port can be had at all, the description goes untouched and says so', () => {
  const bench = new Workbench();
  bench.answer = (command) => !('ports' in command);
  assert.match(invite(bench), /c=IN IP4 192\.168\.1\.50.*audio 4000 /s);
  const full = new Workbench({ mediaPorts: { low: 30_000, high: 30_001 } });
  invite(full);
  assert.match(invite(full, { callId: 'second' }, sdp('192.168.1.50', 5000)), /audio 5000 /);
  assert.equal(full.eventsOf('limit.reached')[0]?.limit, 'media-ports');
});

test('forks share one port, and after the answer only the winner’s media may come', () => {
  const bench = new Workbench();
  const sent = invite(bench);
  bench.provider(respond(183, sent, { to: 'f1' }, sdp(MEDIA, 9000)), '203.0.113.1:5060');
  bench.provider(respond(183, sent, { to: 'f2' }, sdp('198.51.100.7', 9000)), '203.0.113.1:5060');
  const sources = (): string[] => bench.engine.snapshot().media[0]?.sources.map((one) => one.address) ?? [];
  assert.deepEqual(sources(), [MEDIA, '198.51.100.7']);
  bench.provider(respond(200, sent, { to: 'f2' }, sdp('198.51.100.7', 9000)), '203.0.113.1:5060');
  assert.deepEqual(sources(), ['198.51.100.7']);
  assert.equal(bench.openMedia().length, 1);
});

test('late offer: the phone’s offer in the 200 and the answer in the ACK', () => {
  const bench = new Workbench();
  incoming(bench);
  const [ok] = bench.phone(answer(200, sdp('192.168.1.50', 4000)));
  assert.match(ok?.text ?? '', /audio 30000 /);
  const ack = message(
    [
      'ACK sip:alice@203.0.113.1:5060 SIP/2.0',
      'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKack',
      'From: <sip:bob@example.net>;tag=b1',
      'To: <sip:alice@example.net>;tag=a9',
      'Call-ID: in@example.net',
      'CSeq: 1 ACK',
    ],
    sdp(MEDIA, 9000),
  );
  bench.provider(ack, '203.0.113.1:5060');
  assert.deepEqual(bench.engine.snapshot().media[0]?.sources, [{ address: MEDIA, port: 9000 }]);
});

test('phone to phone through the provider: each is told the other’s external port, and hears the other’s internal one', () => {
  const bench = new Workbench();
  const sent = invite(bench);
  bench.phone(
    request('OPTIONS', { callId: 'o' }).replaceAll('192.168.1.50', '192.168.1.51'),
    '192.168.1.51:5060',
  );
  const toB = sent
    .replace('INVITE sip:bob@example.net', 'INVITE sip:bob@203.0.113.1:20000')
    .replace('z9hG4bK', 'z9hG4bKp');
  const [rang] = bench.provider(toB, '203.0.113.1:20000');
  assert.match(rang?.text ?? '', /c=IN IP4 203\.0\.113\.1.*audio 30000/s);
  const [ok] = bench.phone(
    respond(200, rang?.text ?? '', { to: 'b1' }, sdp('192.168.1.51', 4000)),
    '192.168.1.51:5060',
  );
  assert.match(ok?.text ?? '', /audio 30002/);
  const b = bench.engine.snapshot().media.find((one) => one.external.port === 30_002);
  assert.deepEqual(b?.sources, [{ address: '192.168.1.50', port: 4000 }]);
  bench.provider(respond(200, sent, { to: 'b1' }, sdp('203.0.113.1', 30_002)), '203.0.113.1:5060');
  const a = bench.engine.snapshot().media.find((one) => one.external.port === 30_000);
  assert.deepEqual(a?.sources, [{ address: '192.168.1.51', port: 4000 }]);
});

test('a call goes on after a restart: its ports, its sources, its BYE', () => {
  const { bench } = answered();
  const next = new Workbench();
  next.now = bench.now + 5_000;
  next.take(next.engine.restore(next.now, bench.records.values()));
  const [open] = next.openMedia();
  assert.deepEqual(
    open?.action === 'open' && [open.internal?.port, open.external.port, open.sources[0]?.address],
    [4000, 30_000, MEDIA],
  );
  const bye = message([
    'BYE sip:alice@203.0.113.1:5060 SIP/2.0',
    'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKbye',
    'From: <sip:bob@example.net>;tag=b1',
    'To: <sip:alice@example.net>;tag=a1',
    'Call-ID: a@192.168.1.50',
    'CSeq: 2 BYE',
  ]);
  assert.match(next.provider(bye, '203.0.113.1:5060')[0]?.text ?? '', /^BYE sip:alice@192\.168\.1\.50:5060 /);
  next.pass(1_000);
  assert.equal(next.openMedia().length, 0);
});

test('with ICE the whole description stays, and with auth-int the body', () => {
  const bench = new Workbench();
  const ice = sdp('192.168.1.50', 4000, [
    'a=ice-ufrag:x',
    'a=candidate:1 1 UDP 1 192.168.1.50 4000 typ host',
  ]);
  assert.match(invite(bench, {}, ice), /c=IN IP4 192\.168\.1\.50.*audio 4000 /s);
  const covered = invite(bench, {
    extra: ['Authorization: Digest username="a", qop=auth-int, response="x"'],
  });
  assert.match(covered, /UDP 203\.0\.113\.1:5060;.*c=IN IP4 192\.168\.1\.50.*audio 4000 /s);
  assert.equal(bench.openMedia().length, 0);
});

test('a stranger does not reach the phone, and another provider that is configured does', () => {
  const bench = new Workbench({ isProvider: (address) => address === '198.51.100.8' });
  bench.phone(request('OPTIONS'));
  assert.equal(
    bench.provider('INVITE sip:alice@203.0.113.1 SIP/2.0\r\n\r\n', '203.0.113.1:5060', '192.0.2.66:5060')
      .length,
    0,
  );
  assert.equal(bench.eventsOf('message.dropped').length, 1);
  assert.equal(bench.provider('\r\n\r\n', '203.0.113.1:5060', '198.51.100.8:5080').length, 1);
});

test('what is not SIP passes untouched in both directions: keepalives, STUN, empty and malformed datagrams', () => {
  const bench = new Workbench();
  const stun = new Uint8Array([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Array(12).fill(7)]);
  const broken = new TextEncoder().encode(
    request('INVITE', {}, sdp('192.168.1.50', 4000)).replace('CSeq', 'CSeq\x01'),
  );
  for (const bytes of [
    new Uint8Array(0),
    stun,
    new Uint8Array([13, 10, 13, 10]),
    broken,
    new Uint8Array([0, 255, 1]),
  ]) {
    const [out] = bench.phone(bytes);
    assert.equal(out?.bytes, bytes, 'the very same buffer');
    assert.equal(bench.provider(bytes, '203.0.113.1:5060')[0]?.bytes, bytes);
  }
});
