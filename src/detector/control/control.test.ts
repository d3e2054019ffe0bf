/** The parts of the control channel that read what the other end, or a person, has written. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeIdentity } from '../reflector/certificate.ts';
import { formatInvitation, parseInvitation, pinOf } from './invitation.ts';
import { LineReader, MAX_LINE } from './line.ts';
import { readAnswer, readCommand, readHello, readReport } from './protocol.ts';

test('an invitation is read as it was printed, with names, IPv4 and IPv6', () => {
  const token = 'abcdefghijklmnopqrstuv';
  const { certificate } = makeIdentity('reflector', new Date('2026-01-01T00:00:00Z'));
  const pin = pinOf(certificate);
  for (const host of ['reflector.example.org', '203.0.113.10', '2001:db8::10'])
    for (const one of [pin, undefined])
      assert.deepEqual(parseInvitation(formatInvitation({ host, port: 8443, token, pin: one })), {
        host,
        port: 8443,
        token,
        pin: one,
      });
  assert.equal(parseInvitation(`203.0.113.10/${token}`)?.port, 443);
  for (const wrong of ['203.0.113.10', 'h:0/abcdefghijklmnopqrstuv', `h:443/${token}/short`, 'h:443/ /', ''])
    assert.equal(parseInvitation(wrong), undefined, wrong);
});

test('the certificate is one that a TLS library reads, signed by its own key', () => {
  const certificate = new X509Certificate(makeIdentity('reflector', new Date()).certificate);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.equal(certificate.subject, 'CN=reflector');
  assert.ok(new Date(certificate.validTo).getUTCFullYear() >= new Date().getUTCFullYear() + 19);
});

test('lines come out whole however they are cut, and one without end ends the channel', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 40 })), fc.integer({ min: 1, max: 9 }), (texts, size) => {
      const lines = texts.map((text) => text.replaceAll('\n', ' '));
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const reader = new LineReader();
      const read: string[] = [];
      for (let i = 0; i < bytes.length; i += size) read.push(...reader.feed(bytes.subarray(i, i + size))!);
      assert.deepEqual(read, lines);
    }),
  );
  const reader = new LineReader();
  assert.deepEqual(reader.feed(Buffer.alloc(MAX_LINE, 'x')), []);
  assert.equal(reader.feed(Buffer.from('x')), undefined);
});

test('what is not a line of the protocol is nothing, and never an exception', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      for (const read of [readHello, readCommand, readAnswer, readReport])
        assert.equal(read(line), undefined);
    }),
  );
  assert.equal(
    readCommand('{"kind":"send","id":1,"place":0,"to":{"address":"h","port":0},"bytes":""}'),
    undefined,
  );
  assert.equal(readCommand('{"kind":"ping","id":1,"more":1}'), undefined);
});
