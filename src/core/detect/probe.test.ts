/** The probes are whole SIP: our own scanner, which is strict, has nothing to say against any of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scanMessage } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { contactUri, methods, phoneRequest, responseTo, serialLetters, serverRequest } from './probe.ts';

const inside = { address: '192.168.1.50', port: 40_001 };
const outside = { address: '203.0.113.7', port: 61_002 };
const server = { address: '198.51.100.5', port: 5060 };
const id = `${'ghijklmnopqrstuvwxyzghijklmnop'}gggg`;

function assertSound(bytes: Uint8Array, what: string): void {
  const scan = scanMessage(bytes);
  assert.ok(
    scan.ok,
    `${what}: ${scan.ok ? '' : JSON.stringify(scan.defects)}\n${textOf(bytes, 0, bytes.length)}`,
  );
  assert.deepEqual(scan.message.defects, [], what);
}

test('every method in every dress, from phone and server, and its answer', () => {
  for (const method of methods) {
    for (const dress of ['plain', 'full'] as const) {
      for (const named of [{}, { namedPort: undefined }, { namedPort: 5062 }, { size: 1400 }]) {
        const base = { id, method, transport: 'UDP', dress, server } as const;
        const request = phoneRequest({ ...base, inside, ...named });
        assertSound(request, `${method} ${dress}`);
        if ('size' in named) assert.ok(Math.abs(request.length - 1400) <= 11 || request.length > 1400);
        const back = responseTo({
          ...{ id, request, status: 200, reason: 'OK', own: server, source: outside, transport: 'UDP' },
          media: [32_100],
        });
        assertSound(back, `200 to ${method}`);
        assert.match(textOf(back, 0, back.length), /;received=203\.0\.113\.7;rport=61002\r\n/);
        const requestUri = contactUri(request)!;
        assertSound(serverRequest({ ...base, outside, requestUri, inside }), `${method} from the server`);
      }
    }
  }
});

test('over IPv6 as well', () => {
  const v6 = { address: '2001:db8::5', port: 5060 };
  const base = { id, method: 'INVITE', transport: 'TCP', dress: 'full', server: v6 } as const;
  const request = phoneRequest({ ...base, inside: { address: 'fd00::50', port: 5060 } });
  assertSound(request, 'INVITE');
  assert.equal(contactUri(request), `sip:${id}@[fd00::50]:5060;transport=tcp`);
});

test('letters for numbers are four, all different, and hold nothing that could be a number', () => {
  const all = Array.from({ length: 8000 }, (_, i) => serialLetters(i));
  assert.equal(new Set(all).size, all.length);
  for (const letters of all) assert.match(letters, /^[g-z]{4}$/);
});
