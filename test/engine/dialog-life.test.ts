/** Calls of hours, calls whose BYE was lost, calls that are held: when the state of a call goes, by time jumps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { message, request, respond, sdp, Workbench } from './bench.ts';
import { invite } from './messages.ts';

const OUTSIDE = '203.0.113.1:5060';
const MEDIA = '198.51.100.6';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A call from the phone that was answered; the 200 carries `extra`. */
function answered(extra: readonly string[] = []): Workbench {
  const bench = new Workbench();
  const sent = invite(bench);
  bench.provider(respond(200, sent, { to: 'b1', extra }, sdp(MEDIA, 9000)), OUTSIDE);
  bench.phone(request('ACK', { to: 'b1' }));
  return bench;
}

function offerAgain(
  bench: Workbench,
  cseq: number,
  body: string[],
  answer: string[] | undefined,
  status = 200,
) {
  const [sent] = bench.phone(request('INVITE', { to: 'b1', cseq }, body));
  bench.provider(respond(status, sent?.text ?? '', { to: 'b1' }, answer), OUTSIDE);
  bench.phone(request('ACK', { to: 'b1', cseq }));
}

function refresh(
  bench: Workbench,
  method: 'INVITE' | 'UPDATE',
  cseq: number,
  extra: readonly string[],
): void {
  const body = method === 'INVITE' ? sdp('192.168.1.50', 4000) : undefined;
  const [sent] = bench.phone(request(method, { to: 'b1', cseq }, body));
  const answer = body === undefined ? undefined : sdp(MEDIA, 9000);
  bench.provider(respond(200, sent?.text ?? '', { to: 'b1', extra }, answer), OUTSIDE);
}

function flow(bench: Workbench, state: 'flowing' | 'idle'): void {
  for (const { id } of bench.openMedia()) bench.feed({ kind: 'media', id, flow: state });
}

/** Why the call has ended; undefined while it lives, and then its media is open. */
function ended(bench: Workbench): string | undefined {
  const [event] = bench.eventsOf('dialog.ended');
  assert.equal(bench.openMedia().length, event === undefined ? 1 : 0);
  return event?.why;
}

test('a call without session timer lives for hours, media seen or not, and not for ever', () => {
  const bench = answered();
  bench.pass(23 * HOUR);
  assert.equal(ended(bench), undefined);
  bench.pass(HOUR);
  assert.equal(ended(bench), 'silence');
});

test('any message inside a call begins its long limit anew', () => {
  const bench = answered();
  bench.pass(20 * HOUR);
  bench.phone(request('INFO', { to: 'b1', cseq: 2 }));
  bench.pass(20 * HOUR);
  assert.equal(ended(bench), undefined);
});

for (const method of ['INVITE', 'UPDATE'] as const)
  test(`a session timer is begun anew by the 200 to ${method}, for hours`, () => {
    const timer = ['Session-Expires: 1800;refresher=uac'];
    const bench = answered(timer);
    for (let cseq = 2; cseq < 12; cseq++) {
      bench.pass(29 * MINUTE);
      refresh(bench, method, cseq, timer);
    }
    assert.equal(ended(bench), undefined);
    const before = bench.sent.length;
    bench.pass(31 * MINUTE);
    assert.equal(ended(bench), 'session expired: no refresh from the internal side');
    assert.equal(bench.sent.length, before, 'who stands between the two ends sends no BYE (RFC 4028 §8.3)');
  });

test('the refresher is told in the words of the request: uas is whoever answered', () => {
  const bench = answered(['x: 90 ; refresher=UAS']);
  bench.pass(2 * MINUTE + 3_000);
  assert.equal(ended(bench), 'session expired: no refresh from the external side');
});

test('a session that has expired is kept while its media flows, and goes when that stops', () => {
  const bench = answered(['Session-Expires: 90;refresher=uac']);
  flow(bench, 'flowing');
  bench.pass(HOUR);
  assert.equal(ended(bench), undefined);
  flow(bench, 'idle');
  assert.equal(ended(bench), 'session expired: no refresh from the internal side');
});

test('a 200 to a refresh without Session-Expires ends the timer, and not the call', () => {
  const bench = answered(['Session-Expires: 90;refresher=uac']);
  refresh(bench, 'UPDATE', 2, []);
  bench.pass(HOUR);
  assert.equal(ended(bench), undefined);
});

for (const value of ['', 'soon', '-5', '90x', '99999999999999'])
  test(`a Session-Expires that is no number of seconds (${JSON.stringify(value)}) begins no timer`, () => {
    const bench = answered([`Session-Expires: ${value}`]);
    bench.pass(HOUR);
    assert.equal(ended(bench), undefined);
  });

test('the BYE was lost: media has stopped on both sides and nothing is said, so the state goes after ten minutes', () => {
  const bench = answered();
  flow(bench, 'flowing');
  bench.pass(HOUR);
  assert.equal(ended(bench), undefined);
  const before = bench.sent.length;
  flow(bench, 'idle');
  bench.pass(9 * MINUTE);
  assert.equal(ended(bench), undefined);
  bench.pass(MINUTE);
  assert.equal(ended(bench), 'no media');
  assert.equal(bench.sent.length, before);
  bench.pass(HOUR);
  assert.equal(bench.engine.snapshot().dialogs.length, 0);
  assert.equal(bench.engine.snapshot().media.length, 0);
});

test('media that comes back, or a message, begins the ten minutes anew', () => {
  const bench = answered();
  flow(bench, 'idle');
  bench.pass(9 * MINUTE);
  flow(bench, 'flowing');
  bench.pass(5 * MINUTE);
  flow(bench, 'idle');
  bench.pass(9 * MINUTE);
  bench.phone(request('INFO', { to: 'b1', cseq: 2 }));
  bench.pass(9 * MINUTE);
  assert.equal(ended(bench), undefined);
});

for (const [how, lines] of [
  ['sendonly', ['a=sendonly']],
  ['inactive', ['a=inactive']],
  ['0.0.0.0', []],
] as const) {
  const held = how === '0.0.0.0' ? sdp('0.0.0.0', 4000) : sdp('192.168.1.50', 4000, lines);
  test(`a call that is held (${how}) may be silent for hours, and after it is taken back it may not`, () => {
    const bench = answered();
    flow(bench, 'flowing');
    offerAgain(bench, 2, held, sdp(MEDIA, 9000, how === '0.0.0.0' ? [] : ['a=recvonly']));
    flow(bench, 'idle');
    bench.pass(12 * HOUR);
    assert.equal(ended(bench), undefined);
    offerAgain(bench, 3, sdp('192.168.1.50', 4000), sdp(MEDIA, 9000));
    assert.equal(ended(bench), undefined);
    bench.pass(11 * MINUTE);
    assert.equal(ended(bench), 'no media');
  });

  test(`a held call (${how}) is still held when taking it back is refused`, () => {
    const bench = answered();
    offerAgain(bench, 2, held, sdp(MEDIA, 9000, how === '0.0.0.0' ? [] : ['a=recvonly']));
    flow(bench, 'idle');
    offerAgain(bench, 3, sdp('192.168.1.50', 4000), undefined, 491);
    refresh(bench, 'UPDATE', 4, []);
    bench.pass(12 * HOUR);
    assert.equal(ended(bench), undefined);
  });
}

test('a hold that is refused holds nothing', () => {
  const bench = answered();
  offerAgain(bench, 2, sdp('192.168.1.50', 4000, ['a=sendonly']), undefined, 488);
  flow(bench, 'idle');
  bench.pass(11 * MINUTE);
  assert.equal(ended(bench), 'no media');
});

for (const status of [481, 408])
  for (const method of ['INVITE', 'UPDATE'] as const)
    test(`a ${status} to ${method} inside the dialog ends it`, () => {
      const bench = answered();
      const [sent] = bench.phone(request(method, { to: 'b1', cseq: 2 }, sdp('192.168.1.50', 4000)));
      bench.provider(respond(status, sent?.text ?? '', { to: 'b1' }), OUTSIDE);
      assert.equal(ended(bench), String(status));
    });

test('a 481 to an UPDATE of a fork that lost is not the end of the call that won', () => {
  const bench = answered();
  const [sent] = bench.phone(request('UPDATE', { to: 'b2', cseq: 2 }, sdp('192.168.1.50', 4000)));
  bench.provider(respond(481, sent?.text ?? '', { to: 'b2' }), OUTSIDE);
  assert.equal(ended(bench), undefined);
});

test('what is known of a call survives a restart: held, its session timer, and how long it has been silent', () => {
  const bench = answered(['Session-Expires: 1800;refresher=uac']);
  offerAgain(bench, 2, sdp('192.168.1.50', 4000, ['a=sendonly']), sdp(MEDIA, 9000, ['a=recvonly']));
  refresh(bench, 'UPDATE', 3, ['Session-Expires: 1800;refresher=uac']);
  const after = new Workbench();
  after.now = bench.now + MINUTE;
  after.take(after.engine.restore(after.now, bench.records.values()));
  flow(after, 'idle');
  after.pass(28 * MINUTE);
  assert.equal(ended(after), undefined, 'held');
  after.pass(2 * MINUTE);
  assert.equal(ended(after), 'session expired: no refresh from the internal side');
});

test('a session that expired while the gateway was down is judged when its media has been looked at', () => {
  const bench = answered(['Session-Expires: 90;refresher=uac']);
  const after = new Workbench();
  after.now = bench.now + HOUR;
  after.take(after.engine.restore(after.now, bench.records.values()));
  assert.equal(ended(after), undefined);
  flow(after, 'flowing');
  after.pass(HOUR);
  assert.equal(ended(after), undefined);
});

test('a clock that was set back between two lives makes no call eternal', () => {
  const bench = answered(['Session-Expires: 1800;refresher=uac']);
  const after = new Workbench();
  after.now = 1_000;
  after.take(after.engine.restore(after.now, bench.records.values()));
  flow(after, 'idle');
  assert.equal(ended(after), undefined);
  after.pass(10 * MINUTE);
  assert.equal(ended(after), 'no media');
});

test('two calls on one port: the end of the silent one is not the end of the other', () => {
  const bench = answered();
  const sent = invite(bench, { callId: 'second', from: 'a2' });
  bench.provider(respond(200, sent, { to: 'b2' }, sdp(MEDIA, 9000)), OUTSIDE);
  flow(bench, 'flowing');
  bench.pass(HOUR);
  assert.equal(bench.eventsOf('dialog.ended').length, 0, 'one of them was lost, and nobody can tell which');
  const [bye] = bench.phone(request('BYE', { callId: 'second', from: 'a2', to: 'b2', cseq: 2 }));
  bench.provider(respond(200, bye?.text ?? '', {}), OUTSIDE);
  assert.deepEqual(
    bench.eventsOf('dialog.ended').map((one) => one.callId),
    ['second'],
  );
  assert.equal(bench.openMedia().length, 1);
});

test('CANCEL and 200 cross: the call that came about is one, until its BYE', () => {
  const bench = new Workbench();
  const sent = invite(bench);
  const [cancel] = bench.phone(request('CANCEL', { branch: 'z9hG4bK-INVITE-1' }));
  bench.provider(respond(200, sent, { to: 'b1' }, sdp(MEDIA, 9000)), OUTSIDE);
  bench.provider(respond(200, cancel?.text ?? '', { to: 'b1' }), OUTSIDE);
  bench.phone(request('ACK', { to: 'b1' }));
  bench.pass(MINUTE);
  assert.equal(ended(bench), undefined);
  const [bye] = bench.phone(request('BYE', { to: 'b1', cseq: 2 }));
  bench.provider(respond(200, bye?.text ?? '', {}), OUTSIDE);
  assert.equal(ended(bench), 'BYE');
});

test('the phones of a hairpin find each other again after a restart', () => {
  const bench = new Workbench();
  const rang = invite(bench, {}, sdp('192.168.1.50', 4000));
  const external = /m=audio (\d+)/.exec(rang)?.[1];
  bench.phone(
    request('OPTIONS', { callId: 'o', sentBy: '192.168.1.51:5060', contact: '<sip:b@192.168.1.51:5060>' }),
    '192.168.1.51:5060',
  );
  const second = bench.signalling.findLast((one) => one.action === 'open');
  const port = second?.action === 'open' ? second.external.port : 0;
  bench.provider(
    message(
      [
        `INVITE sip:b@203.0.113.1:${port} SIP/2.0`,
        'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKin',
        'From: <sip:a@example.net>;tag=p1',
        'To: <sip:b@example.net>',
        'Call-ID: leg2',
        'CSeq: 1 INVITE',
        'Contact: <sip:a@198.51.100.5:5060>',
      ],
      sdp('203.0.113.1', Number(external)),
    ),
    `203.0.113.1:${port}`,
  );
  const [ok] = bench.phone(
    message(
      [
        'SIP/2.0 200 OK',
        'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKin',
        'From: <sip:a@example.net>;tag=p1',
        'To: <sip:b@example.net>;tag=b9',
        'Call-ID: leg2',
        'CSeq: 1 INVITE',
        'Contact: <sip:b@192.168.1.51:5060>',
      ],
      sdp('192.168.1.51', 6000),
    ),
    '192.168.1.51:5060',
  );
  const answerPort = Number(/m=audio (\d+)/.exec(ok?.text ?? '')?.[1]);
  bench.provider(respond(200, rang, { to: 'p2' }, sdp('203.0.113.1', answerPort)), OUTSIDE);
  const sources = (of: Workbench): Record<string, string> =>
    Object.fromEntries(
      of.engine
        .snapshot()
        .media.map((one) => [
          one.internal?.address,
          one.sources.map((source) => `${source.address}:${source.port}`).join(),
        ]),
    );
  const expected = { '192.168.1.50': '192.168.1.51:6000', '192.168.1.51': '192.168.1.50:4000' };
  assert.deepEqual(sources(bench), expected);
  const after = new Workbench();
  after.take(after.engine.restore(bench.now, bench.records.values()));
  assert.deepEqual(sources(after), expected);
});
