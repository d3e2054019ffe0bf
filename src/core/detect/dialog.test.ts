import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { octetsOf, textOf } from '../sip/octets.ts';
import { calleeDialog, callerDialog, dialogRequest, mediaEndpoint } from './dialog.ts';
import { phoneRequest, responseTo } from './probe.ts';

const ID = 'g'.repeat(34);
const phone = { address: '192.168.1.33', port: 40_000 };
const server = { address: '203.0.113.10', port: 5060 };
const invite = phoneRequest({
  ...{ id: ID, method: 'INVITE', transport: 'UDP', dress: 'plain', inside: phone, server, media: [17_000] },
});
const ok = responseTo({
  ...{ id: 'h'.repeat(34), request: invite, status: 200, reason: 'OK', own: server, transport: 'UDP' },
  media: [32_100],
});

function lineOf(bytes: Uint8Array, name: string): string | undefined {
  return textOf(bytes, 0, bytes.length)
    .split('\r\n')
    .find((line) => line.startsWith(`${name}: `));
}

test('the caller’s ACK goes to the Contact of the 200, with the tag that came in it', () => {
  const dialog = callerDialog(invite, ok, phone)!;
  const ack = dialogRequest(dialog, { id: ID, method: 'ACK', cseq: 1, transport: 'UDP' });
  assert.match(textOf(ack, 0, 200), /^ACK sip:h{34}@203\.0\.113\.10:5060;transport=udp SIP\/2\.0\r\n/);
  assert.equal(lineOf(ack, 'To'), lineOf(ok, 'To'));
  assert.equal(lineOf(ack, 'From'), lineOf(invite, 'From'));
  assert.equal(lineOf(ack, 'Call-ID'), lineOf(invite, 'Call-ID'));
});

test('the callee’s BYE has From and To the other way round (RFC 3261 §12.2.1.1), and goes to the Contact that arrived', () => {
  const edited = octetsOf(
    textOf(invite, 0, invite.length).replaceAll('192.168.1.33:40000', '203.0.113.1:40123'),
  );
  const bye = dialogRequest(calleeDialog(edited, ok, server)!, {
    ...{ id: ID, method: 'BYE', cseq: 7, transport: 'UDP' },
  });
  assert.match(textOf(bye, 0, 200), /^BYE sip:g{34}@203\.0\.113\.1:40123;transport=udp SIP\/2\.0\r\n/);
  assert.equal(lineOf(bye, 'From')?.slice(6), lineOf(ok, 'To')?.slice(4));
  assert.equal(lineOf(bye, 'To')?.slice(4), lineOf(invite, 'From')?.slice(6));
  assert.equal(lineOf(bye, 'CSeq'), 'CSeq: 7 BYE');
});

test('what has lost its Call-ID, its tags or its Contact is no dialog', () => {
  const without = (name: string): Uint8Array =>
    octetsOf(textOf(ok, 0, ok.length).replace(new RegExp(`${name}: [^\r]*\r\n`), ''));
  assert.equal(callerDialog(invite, without('Contact'), phone), undefined);
  assert.equal(callerDialog(invite, without('To'), phone), undefined);
  assert.equal(callerDialog(octetsOf('nonsense'), ok, phone), undefined);
});

test('media goes to the c= of the description itself, and otherwise to that of the session', () => {
  const sdp = (text: string): Uint8Array => octetsOf(`SIP/2.0 200 OK\r\n\r\nv=0\r\n${text}`);
  assert.deepEqual(mediaEndpoint(ok), { address: server.address, port: 32_100 });
  assert.deepEqual(
    mediaEndpoint(sdp('c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.2\r\n')),
    { address: '192.0.2.2', port: 4000 },
  );
  assert.deepEqual(
    mediaEndpoint(
      sdp('c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\nm=video 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.2\r\n'),
    ),
    { address: '192.0.2.1', port: 4000 },
  );
  assert.equal(mediaEndpoint(sdp('c=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\n')), undefined);
  assert.equal(mediaEndpoint(sdp('c=IN IP4 192.0.2.1\r\nm=audio 70000 RTP/AVP 0\r\n')), undefined);
});

test('whatever comes, the readers end and do not throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ maxLength: 400 }), (one, other) => {
      callerDialog(one, other, phone);
      calleeDialog(one, other, phone);
      mediaEndpoint(one);
    }),
  );
});
