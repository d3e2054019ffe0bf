import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXTERNAL, request, respond, sdp, Workbench } from './bench.ts';
import { answer, incoming } from './messages.ts';

const MEDIA = '198.51.100.6';

test('relay: both sides are told to send to the gateway, and a hold keeps its sockets', () => {
  const bench = new Workbench({ media: 'relay' });
  const flow = {
    transport: 'udp',
    side: 'internal',
    local: { address: '198.51.100.5', port: 5060 },
    remote: { address: '192.168.1.50', port: 5060 },
  } as const;
  const text = request('INVITE', {}, sdp('192.168.1.50', 4000));
  bench.feed({
    kind: 'packet',
    flow,
    bytes: new TextEncoder().encode(text),
    externalAddress: EXTERNAL,
    innerAddress: '192.168.1.1',
  });
  const sent = bench.sent[0]?.text ?? '';
  assert.match(sent, /c=IN IP4 203\.0\.113\.1.*audio 30000 /s);
  const [back] = bench.provider(respond(200, sent, { to: 'b1' }, sdp(MEDIA, 9000)), '203.0.113.1:5060');
  assert.match(back?.text ?? '', /c=IN IP4 192\.168\.1\.1\r.*audio 30002 /s);
  const last = bench.media.at(-1);
  assert.deepEqual(last?.action === 'update' && [last.internal, last.sources], [
    { address: '192.168.1.50', port: 4000 },
    [{ address: MEDIA, port: 9000 }],
  ]);
});

test('explicit mode: the phone answers to us, however it writes the Vias, and the provider sees only its own', () => {
  const own = { address: '192.168.1.1', port: 5070 };
  for (const joined of [false, true]) {
    const bench = new Workbench({ media: 'relay', own: [own] });
    const rang = incoming(bench);
    const vias = rang.split('\r\n').filter((line) => line.startsWith('Via: '));
    assert.deepEqual(vias, [
      'Via: SIP/2.0/UDP 192.168.1.1:5070;branch=z9hG4bK-sipalg-z9hG4bKin;rport',
      'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKin',
    ]);
    assert.equal(incoming(bench), rang, 'a retransmission is the same');
    const both = joined ? vias.join(', ').replace(', Via: ', ' ,\t') : vias.join('\r\n');
    const [back] = bench.phone(answer(180).replace(/Via: .*/, both));
    assert.equal(back?.text, answer(180).replace('alice@192.168.1.50:5060', 'alice@203.0.113.1:5060'));
  }
});
