import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, sdp, Workbench } from './bench.ts';
import { invite } from './messages.ts';

/** A body of several parts; the boundary is B unless said otherwise. */
function multipart(parts: readonly string[], boundary = 'B'): string {
  return `${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`;
}

function inviteWith(type: string, body: string): string {
  const text = request('INVITE').replace(
    'Content-Length: 0\r\n',
    `Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n`,
  );
  return text + body;
}

test('multipart: only its SDP parts change, at any depth, and the outer Content-Length by as much', () => {
  const description = `${sdp('192.168.1.50', 4000).join('\r\n')}\r\n`;
  const part = `Content-Type: application/sdp\r\n\r\n${description}`;
  const text = 'Content-Type: text/plain\r\n\r\nc=IN IP4 192.168.1.50\r\nm=audio 4000 RTP/AVP 0';
  const inner = `Content-Type: multipart/alternative; boundary="in ner"\r\n\r\n${multipart([text, part], 'in ner')}`;
  for (const [type, body] of [
    ['multipart/mixed;boundary=B', multipart([text, part, text])],
    ['multipart/mixed; x="a;b"; boundary="B"', `preamble\r\n${multipart([part])}epilogue`],
    ['multipart/mixed;boundary=B', multipart([text, inner, text])],
  ] as const) {
    const [sent] = new Workbench().phone(inviteWith(type, body));
    const changed = body.replace(
      description,
      description
        .replace('c=IN IP4 192.168.1.50', 'c=IN IP4 203.0.113.1')
        .replace('audio 4000', 'audio 30000'),
    );
    assert.notEqual(changed, body);
    assert.ok(sent?.text.endsWith(`Content-Length: ${changed.length}\r\n\r\n${changed}`), sent?.text);
  }
});

test('what is signed, encrypted, encoded, unclosed or no SDP stays, part by part', () => {
  const part = `Content-Type: application/sdp\r\n\r\n${sdp('192.168.1.50', 4000).join('\r\n')}\r\n`;
  for (const [type, body] of [
    ['multipart/signed;boundary=B', multipart([part])],
    ['multipart/encrypted;boundary=B', multipart([part])],
    ['multipart/mixed;boundary=C', multipart([part])],
    ['multipart/mixed', multipart([part])],
    ['multipart/mixed;boundary=B', `--B\r\n${part}`],
    [
      'multipart/mixed;boundary=B',
      multipart([part.replace('\r\n', '\r\nContent-Transfer-Encoding: base64\r\n')]),
    ],
    ['multipart/mixed;boundary=B', multipart([part.replace('\r\n', '\r\nContent-Encoding: gzip\r\n')])],
    ['multipart/mixed;boundary=B', multipart([part.replace('application/sdp', 'text/plain')])],
    ['application/pkcs7-mime', part],
    ['text/sdp', part.slice(part.indexOf('v=0'))],
  ] as const) {
    const bench = new Workbench();
    assert.ok(bench.phone(inviteWith(type, body))[0]?.text.endsWith(`\r\n\r\n${body}`), type);
    assert.equal(bench.openMedia().length, 0);
  }
});

test('RFC 4474 Identity keeps Contact and body as they were signed; RFC 8224 Identity covers neither', () => {
  const old = [
    'Identity: "ZYNBbHC00VMZr2kZt6VmCvPonWJMGvQTBDqghoWeLxJ="',
    'Identity-Info: <https://example.net/c.cer>;alg=rsa-sha1',
  ];
  const covered = invite(new Workbench(), { extra: old });
  assert.match(covered, /UDP 203\.0\.113\.1:5060;.*alice@192\.168\.1\.50:5060.*c=IN IP4 192\.168\.1\.50/s);
  const bench = new Workbench();
  invite(bench, { extra: old });
  assert.match(
    bench.eventsOf('message.translated')[0]?.left ?? '',
    /RFC 4474 §9/,
    'the event says what that costs',
  );
  const passport = invite(new Workbench(), {
    extra: ['Identity: eyJh.eyJk.cnNh;info=<https://example.net/c.cer>;alg=ES256'],
  });
  assert.match(passport, /alice@203\.0\.113\.1:5060.*c=IN IP4 203\.0\.113\.1/s);
});

test('ice = translate-all: every candidate of the phone, or nothing at all', () => {
  const bench = new Workbench({ policy: { ice: 'translate-all' } });
  const candidates = [
    'a=ice-ufrag:x',
    'a=candidate:1 1 UDP 2130706431 192.168.1.50 4000 typ host',
    'a=candidate:1 2 UDP 2130706430 192.168.1.50 4001 typ host',
    'a=candidate:2 1 UDP 1694498815 198.51.100.200 4000 typ srflx raddr 192.168.1.50 rport 4000',
    'a=candidate:3 1 UDP 2130706431 192.168.1.50 4444 typ host',
  ];
  const sent = invite(bench, {}, sdp('192.168.1.50', 4000, candidates));
  assert.match(
    sent,
    /audio 30000 .*:1 1 UDP \d+ 203\.0\.113\.1 30000 typ.*:1 2 UDP \d+ 203\.0\.113\.1 30001 typ/s,
  );
  assert.match(sent, /:2 1 UDP \d+ 198\.51\.100\.200 4000 typ srflx raddr 203\.0\.113\.1 rport 30000\r/);
  assert.match(sent, /:3 1 UDP \d+ 203\.0\.113\.1 30002 typ host/);
  const tcp = [...candidates, 'a=candidate:4 1 TCP 1 192.168.1.50 9 typ host tcptype active'];
  const other = new Workbench({ policy: { ice: 'translate-all' } });
  assert.match(invite(other, {}, sdp('192.168.1.50', 4000, tcp)), /c=IN IP4 192\.168\.1\.50.*audio 4000 /s);
  assert.equal(other.openMedia().length, 0);
});
