import assert from 'node:assert/strict';
import { test } from 'node:test';
import { message, request, respond, sdp, Workbench } from './bench.ts';

const PBX = '192.168.1.20:5060';

/** What the PBX forwards for a phone behind it: its own Via on top, the phone's below, itself in Record-Route. */
function forwarded(recordRoute = '<sip:192.168.1.20;lr>'): string {
  return request(
    'INVITE',
    { sentBy: PBX, contact: '<sip:77@192.168.1.77:5060>' },
    sdp('192.168.1.20', 4000),
  ).replace(
    'Max-Forwards',
    `Via: SIP/2.0/UDP 192.168.1.77:5060;branch=z9hG4bKphone\r\nRecord-Route: ${recordRoute}\r\nMax-Forwards`,
  );
}

test('a declared proxy inside stays on the path: its Record-Route goes out reachable and comes back as it was', () => {
  const bench = new Workbench({ isProxy: (address) => address === '192.168.1.20' });
  const before = forwarded();
  const [sent] = bench.phone(before, PBX);
  assert.match(sent?.text ?? '', /Record-Route: <sip:203\.0\.113\.1;lr>\r/);
  assert.match(
    sent?.text ?? '',
    /Via: SIP\/2\.0\/UDP 192\.168\.1\.77:5060;branch=z9hG4bKphone\r/,
    'lower Vias stay',
  );
  assert.match(sent?.text ?? '', /Contact: <sip:77@192\.168\.1\.77:5060>\r/, 'another host’s Contact stays');

  const answer = respond(
    200,
    sent?.text ?? '',
    { to: 'b1', extra: ['Record-Route: <sip:198.51.100.5;lr>, <sip:203.0.113.1;lr>'] },
    sdp('198.51.100.6', 9000),
  );
  const [back] = bench.provider(answer, '203.0.113.1:5060');
  assert.match(back?.text ?? '', /Record-Route: <sip:198\.51\.100\.5;lr>, <sip:192\.168\.1\.20;lr>\r/);

  const bye = message([
    'BYE sip:77@192.168.1.77:5060 SIP/2.0',
    'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKbye',
    'Route: <sip:203.0.113.1;lr>',
    'From: <sip:bob@example.net>;tag=b1',
    'To: <sip:alice@example.net>;tag=a1',
    'Call-ID: a@192.168.1.50',
    'CSeq: 2 BYE',
  ]);
  assert.match(bench.provider(bye, '203.0.113.1:5060')[0]?.text ?? '', /Route: <sip:192\.168\.1\.20;lr>\r/);
});

test('what is not declared, or names another host, stays', () => {
  const undeclared = new Workbench().phone(forwarded(), PBX)[0]?.text ?? '';
  assert.match(undeclared, /Record-Route: <sip:192\.168\.1\.20;lr>\r/);
  const bench = new Workbench({ isProxy: () => true });
  const other =
    bench.phone(forwarded('<sip:192.168.1.21:5060;lr>,<sip:192.168.1.20:5060;transport=udp;lr>'), PBX)[0]
      ?.text ?? '';
  assert.match(
    other,
    /Record-Route: <sip:192\.168\.1\.21:5060;lr>,<sip:203\.0\.113\.1:5060;transport=udp;lr>\r/,
  );
});
