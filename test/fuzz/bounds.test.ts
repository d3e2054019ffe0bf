/** Bounds that mutation does not come near: what the largest messages do to the tables of a gateway with its defaults. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLimits, defaultMediaPorts } from '../../src/core/alg/policy.ts';
import { Driver } from './driver.ts';
import { description, EXTERNAL, message, PHONE } from './messages.ts';
import { toOctets } from './octets.ts';

const ME = `${PHONE}:5060`;
const head = (first: string, via: string, method: string, to = 'sip:b@x'): string[] => [
  first,
  `Via: SIP/2.0/UDP ${via};branch=z9hG4bKa;rport`,
  'From: <sip:a@x>;tag=a1',
  `To: <${to}>`,
  'Call-ID: 1',
  `CSeq: 1 ${method}`,
];

function driver(): Driver {
  return new Driver({ media: 'kernel', limits: {} }, () => undefined);
}

/** REGISTER, and 2xx responses that list `count` contact bindings each, for other addresses-of-record every time. */
function registrationsAfter(responses: number, count: number): number {
  const bench = driver();
  bench.phone(
    toOctets(message([...head('REGISTER sip:x SIP/2.0', ME, 'REGISTER'), `Contact: <sip:a@${ME}>`])),
    ME,
  );
  for (let k = 0; k < responses; k++) {
    const contacts = Array.from({ length: count }, (_, i) => `<sip:${i}@${EXTERNAL}:5060>;expires=60`).join(
      ',',
    );
    const lines = head('SIP/2.0 200 OK', `${EXTERNAL}:5060`, 'REGISTER', `sip:${k}@x`);
    bench.provider(toOctets(message([...lines, `Contact: ${contacts}`])), { address: EXTERNAL, port: 5060 });
  }
  return bench.engine.snapshot().mappings[0]!.registrations.length;
}

test('a provider cannot make a mapping remember more registrations than the bound', () => {
  assert.equal(registrationsAfter(4, 50), defaultLimits.contactsPerMapping);
});

test('one INVITE takes a small part of the media ports', () => {
  const bench = driver();
  const media = Array.from({ length: 15 }, (_, i) => `m=audio ${2600 + 600 * i}/255 RTP/AVP 0`);
  const lines = [...head('INVITE sip:b@x SIP/2.0', ME, 'INVITE'), 'Content-Type: application/sdp'];
  bench.phone(
    toOctets(message(lines, description(PHONE, 2000, media).replace('2000 RTP', '2000/255 RTP'))),
    ME,
  );
  const taken = bench.engine.snapshot().media.reduce((sum, { ports }) => sum + ports, 0);
  const all = defaultMediaPorts.high - defaultMediaPorts.low + 1;
  assert.ok(taken < 0.05 * all, `${taken} of ${all}`);
});

test('where one of two descriptions has to be given up, the message leaves whole, and nothing stays open for it', () => {
  const bench = driver();
  const part = (text: string): string => `--b\r\nContent-Type: application/sdp\r\n\r\n${text}\r\n`;
  // No pair of ports begins at 65535, so the second description stays as it is.
  const second = description(PHONE, 20_000, ['m=video 65535 RTP/AVP 0']);
  const body = `${part(description(PHONE, 20_000))}${part(second)}--b--\r\n`;
  const lines = [...head('INVITE sip:b@x SIP/2.0', ME, 'INVITE'), 'Content-Type: multipart/mixed;boundary=b'];
  bench.phone(toOctets(message(lines, body)), ME);
  assert.deepEqual(bench.engine.snapshot().media, []);
});
