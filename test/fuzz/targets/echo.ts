/** What a hostile server answers: the reading of it never throws, stays bounded, and its texts are safe to print. */
import assert from 'node:assert/strict';
import { readEcho, storedContact } from '../../../src/core/detect/echo.ts';
import { serverQuestion } from '../../../src/core/detect/server-question.ts';
import type { Target } from '../target.ts';

const id = 'ghijklmnopqrstuvwxyzgggg';
const inside = { address: '192.168.1.50', port: 5060 };
const server = { address: '203.0.113.10', port: 5060 };
const scene = { inside, server, id };
const host = 'example.com';
const sent = serverQuestion({ id, method: 'OPTIONS', transport: 'udp', inside, host, port: undefined });
const request = Buffer.from(sent).toString('latin1');
const copied = request.split('\r\n').slice(1, -2).join('\r\n');

export const echoTarget: Target = {
  name: 'echo',
  share: 30_000,
  seeds: [
    `SIP/2.0 200 OK\r\n${copied.replace(';rport', ';rport=61002;received=203.0.113.7')}\r\n\r\n`,
    `SIP/2.0 400 Bad\r\n${copied}\r\nWarning: 392 x "via_cnt==1"\r\nContent-Length: ${request.length}\r\n\r\n${request}`,
  ],
  tokens: [
    id,
    ';received=',
    ';rport=',
    'Via: ',
    'Contact: ',
    '\r\n\r\n',
    'SIP/2.0 200',
    '192.168.1.50:5060',
    ', ',
  ],
  run(bytes, seen) {
    const before = bytes.slice();
    const echo = readEcho(sent, bytes, scene);
    const stored = storedContact(sent, bytes, scene);
    assert.deepEqual(bytes, before, 'the octets are not touched');
    seen(`stored ${stored?.length ?? 'none'}`);
    if (echo === undefined) return seen('no response');
    assert.ok(echo.status >= 100 && echo.status <= 699);
    for (const text of [echo.statusLine, echo.banner ?? '', ...echo.warnings])
      assert.doesNotMatch(text, /[\0-\x1f\x7f]/);
    for (const { explanation, fault, sent: own, received, consistent } of [
      ...echo.signs,
      ...(stored ?? []),
    ]) {
      assert.doesNotMatch(explanation, /[\0-\x1f\x7f]/);
      assert.ok(explanation.length < 2000);
      assert.ok(0 <= own.start && own.start <= own.end && own.end <= sent.length);
      assert.ok(0 <= received.start && received.start <= received.end && received.end <= bytes.length);
      seen(`${fault} ${consistent}`);
    }
  },
};
