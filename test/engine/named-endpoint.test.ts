/** A message that names an endpoint for which no mapping can be had goes on by its own, on either transport. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Transport } from '../../src/core/net/flow.ts';
import { octetsOf } from '../../src/core/sip/octets.ts';
import { at, EXTERNAL, PROVIDER, request, sdp, Workbench } from './bench.ts';

const PHONE = '192.168.1.50:5060';
const OTHER = '192.168.1.50:5070';
type Command = Parameters<Workbench['answer']>[0];

/** Of an endpoint of the phone's signalling. */
function isOf(command: Command, ...ports: readonly number[]): boolean {
  return 'transport' in command && ports.includes(command.internal.port);
}

function send(bench: Workbench, transport: Transport, text: string): string[] {
  const before = bench.sent.length;
  bench.feed({
    kind: 'packet',
    flow: {
      transport,
      side: 'internal',
      local: at(PROVIDER),
      remote: at(PHONE),
      ...(transport === 'tcp' ? { connection: 1 } : {}),
    },
    bytes: octetsOf(transport === 'tcp' ? text.replace('SIP/2.0/UDP', 'SIP/2.0/TCP') : text),
    externalAddress: EXTERNAL,
  });
  return bench.sent.slice(before).map((one) => one.text);
}

for (const transport of ['udp', 'tcp'] as const) {
  const suffix = transport === 'tcp' ? ';transport=tcp' : '';
  const contact = `<sip:alice@${PHONE}${suffix}>, <sip:alice@${OTHER}${suffix}>`;
  const invite = (callId: string): string =>
    request('INVITE', { callId, branch: `z9hG4bK${callId}`, contact }, sdp('192.168.1.50', 4000));

  test(`${transport}: what cannot be had stays as it was written, all else is translated, once`, () => {
    const bench = new Workbench();
    bench.answer = (command) => !isOf(command, 5070);
    const [first, ...more] = send(bench, transport, invite('a'));
    assert.deepEqual(more, []);
    const outside = `${EXTERNAL}:5060`;
    assert.match(first ?? '', new RegExp(`^Via: SIP/2.0/${transport.toUpperCase()} ${outside};`, 'm'));
    assert.ok(
      first?.includes(`<sip:alice@${outside}${suffix}>, <sip:alice@${OTHER}${suffix}>`),
      'its own Contact is translated, the other is not',
    );
    assert.match(first ?? '', /^c=IN IP4 203\.0\.113\.1\r$/m);
    assert.deepEqual(
      bench.eventsOf('mapping.failed').map(({ internal }) => internal.port),
      [5070],
      'and it is told',
    );
    assert.deepEqual(bench.eventsOf('message.dropped'), []);
    // The next message asks again, and is carried as well.
    assert.equal(send(bench, transport, invite('b')).length, 1);
  });

  test(`${transport}: it waits for the others that it names, and for one answer each`, () => {
    const bench = new Workbench();
    const asked: number[] = [];
    bench.answer = (command) => {
      if (!isOf(command, 5070, 5080)) return true;
      asked.push(command.id);
      return undefined;
    };
    const third = contact.replace(OTHER, `${OTHER}${suffix}>, <sip:alice@192.168.1.50:5080`);
    const text = request('REGISTER', { contact: third });
    assert.deepEqual(send(bench, transport, text), [], 'it waits');
    const [second, last] = asked;
    // All that may be tried for the second one is refused.
    for (let tries = 0; bench.eventsOf('mapping.failed').length === 0; tries++) {
      assert.ok(tries < 20);
      bench.feed({ kind: 'failed', id: second!, reason: 'in use' });
    }
    assert.equal(bench.sent.length, 0, 'it still waits for the last');
    bench.feed({ kind: 'opened', id: last! });
    const [sent = '', ...more] = bench.sent.map((one) => one.text);
    assert.deepEqual(more, []);
    assert.ok(sent.includes(`<sip:alice@${EXTERNAL}:5080`));
    assert.ok(sent.includes(`<sip:alice@${OTHER}${suffix}>`));
  });

  test(`${transport}: where its own mapping cannot be had, a stream goes on as it came, a datagram comes again`, () => {
    const bench = new Workbench();
    bench.answer = (command) => !('transport' in command);
    const text = invite('own');
    const sent = send(bench, transport, text);
    if (transport === 'udp') assert.deepEqual(sent, []);
    else assert.deepEqual(sent, [text.replace('SIP/2.0/UDP', 'SIP/2.0/TCP')]);
  });
}
