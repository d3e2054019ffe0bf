/** Copies of what is routed without NAT: the engine follows, and neither sends nor changes anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, MappingId, Output } from '../../src/core/alg/io.ts';
import { type Endpoint, endpoint } from '../../src/core/net/address.ts';

const PHONE = endpoint('2001:db8:1::10', 5060);
const PROVIDER = endpoint('2001:db8:5::5', 5060);

class Watcher {
  readonly engine = new Engine();
  readonly outputs: Output[] = [];
  readonly #atOnce: boolean;
  readonly #asked: MappingId[] = [];
  #now = 1_000_000;

  /** `atOnce`: what is asked for is open at once, and not when `answer` is called. */
  constructor(atOnce = true) {
    this.#atOnce = atOnce;
  }

  answer(): void {
    for (const id of this.#asked.splice(0)) this.feed({ kind: 'opened', id });
  }

  feed(input: Input): Output[] {
    const made = this.engine.handle(this.#now++, input);
    this.outputs.push(...made);
    for (const output of made)
      if ((output.kind === 'signalling' || output.kind === 'media') && output.command.action === 'open')
        if (this.#atOnce) made.push(...this.feed({ kind: 'opened', id: output.command.id }));
        else this.#asked.push(output.command.id);
    return made;
  }

  hear(side: 'internal' | 'external', text: string, phone = PHONE, provider = PROVIDER): Output[] {
    const [local, remote] = side === 'internal' ? [provider, phone] : [phone, provider];
    return this.feed({
      kind: 'packet',
      flow: { transport: 'udp', side, local, remote },
      bytes: Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1'),
      externalAddress: phone.address,
      watched: true,
    });
  }
}

function invite(media: Endpoint, fields = ''): string {
  const sdp = `v=0\no=- 1 1 IN IP6 ${media.address}\ns=-\nc=IN IP6 ${media.address}\nt=0 0\nm=audio ${media.port} RTP/AVP 0\n`;
  const length = sdp.replaceAll('\n', '\r\n').length;
  return `INVITE sip:bob@[2001:db8:5::5] SIP/2.0
Via: SIP/2.0/UDP [2001:DB8:1:0::10];branch=z9hG4bK2
From: <sip:alice@example.net>;tag=a
To: <sip:bob@example.net>
Call-ID: call
CSeq: 1 INVITE
Contact: <sip:alice@[2001:DB8:1:0::10]>
${fields}Content-Type: application/sdp
Content-Length: ${length}

${sdp}`;
}

const REGISTER = `REGISTER sip:[2001:db8:5::5] SIP/2.0
Via: SIP/2.0/UDP [2001:db8:1::10]:5060;branch=z9hG4bK1;rport
From: <sip:alice@example.net>;tag=a
To: <sip:alice@example.net>
Call-ID: reg
CSeq: 1 REGISTER
Contact: <sip:alice@[2001:db8:1::10]:5060>
Content-Length: 0

`;
const GRANTED = `SIP/2.0 200 OK
Via: SIP/2.0/UDP [2001:db8:1::10]:5060;branch=z9hG4bK1;rport=5060;received=2001:db8:1::10
From: <sip:alice@example.net>;tag=a
To: <sip:alice@example.net>;tag=b
Call-ID: reg
CSeq: 1 REGISTER
Contact: <sip:alice@[2001:db8:1::10]:5060>;expires=600
Content-Length: 0

`;

const sends = (outputs: readonly Output[]): Output[] => outputs.filter(({ kind }) => kind === 'send');
const events = (outputs: readonly Output[]): string[] =>
  outputs.flatMap((output) => (output.kind === 'event' ? [output.event.kind] : []));

test('a registration is held at the endpoint of the phone itself, and nothing is sent', () => {
  const watcher = new Watcher();
  watcher.hear('internal', REGISTER);
  const granted = watcher.hear('external', GRANTED);
  const holds = granted.flatMap((o) =>
    o.kind === 'signalling' && o.command.action === 'hold' ? [o.command] : [],
  );
  assert.deepEqual(
    holds.map(({ peer }) => peer),
    [PROVIDER],
  );
  assert.ok(holds[0]!.lifetimeMs >= 600_000);
  const [mapping] = watcher.engine.snapshot().mappings;
  assert.deepEqual([mapping?.internal, mapping?.external], [PHONE, PHONE]);
  assert.deepEqual(sends(watcher.outputs), []);
  assert.ok(!events(watcher.outputs).includes('message.translated'));
});

test('what the phone names is opened as it is, also where a NAT would have to leave it alone', () => {
  for (const [fields, port] of [
    ['', 4000],
    ['Authorization: Digest username="a", qop=auth-int, response="x"\n', 4000],
    ['', 4001],
  ] as const) {
    const watcher = new Watcher();
    watcher.hear('internal', invite(endpoint(PHONE.address, port), fields));
    const [media] = watcher.engine.snapshot().media;
    assert.deepEqual(
      [media?.internal, media?.external],
      [endpoint(PHONE.address, port), endpoint(PHONE.address, port)],
    );
    assert.deepEqual(media?.sources, [], 'before the provider has answered');
    assert.deepEqual(sends(watcher.outputs), []);
    assert.ok(
      !events(watcher.outputs).includes('message.translated'),
      'also where the text is not canonical',
    );
  }
});

test('an answer to the port that sent belongs to the phone that listens on another', () => {
  const watcher = new Watcher();
  const from = endpoint(PHONE.address, 49_152);
  watcher.hear('internal', REGISTER, from);
  watcher.hear('external', GRANTED.replace('rport=5060', 'rport=49152'), from);
  const [mapping] = watcher.engine.snapshot().mappings;
  assert.equal(mapping?.registrations.length, 1);
});

test('what is answered before the data plane has opened anything is followed all the same', () => {
  for (const from of [PHONE, endpoint(PHONE.address, 49_152)]) {
    const watcher = new Watcher(false);
    watcher.hear('internal', REGISTER, from);
    watcher.hear('external', GRANTED, from);
    watcher.hear('internal', invite(endpoint(PHONE.address, 4000)), from);
    const progress = `SIP/2.0 183 Session Progress
Via: SIP/2.0/UDP [2001:DB8:1:0::10];branch=z9hG4bK2
From: <sip:alice@example.net>;tag=a
To: <sip:bob@example.net>;tag=b
Call-ID: call
CSeq: 1 INVITE
Content-Length: 0

`;
    watcher.hear('external', progress, from);
    const { mappings, media } = watcher.engine.snapshot();
    assert.equal(mappings[0]?.registrations.length, 1);
    assert.deepEqual(
      media.map((one) => one.sources.map((source) => source.address)),
      [[PROVIDER.address]],
    );
    watcher.answer();
    assert.equal(watcher.engine.snapshot().mappings.length, 1);
    assert.deepEqual(sends(watcher.outputs), []);
  }
});

test('whom the phone never spoke to is not followed, and nobody is told that it was dropped', () => {
  const watcher = new Watcher();
  watcher.hear('internal', REGISTER);
  const stranger = endpoint('2001:db8:66::66', 5060);
  const heard = watcher.hear('external', invite(endpoint(stranger.address, 9000)), PHONE, stranger);
  assert.deepEqual(events(heard), ['message.passed']);
  assert.equal(watcher.engine.snapshot().dialogs.length, 0);
});

test('it survives a restart as what it is', () => {
  const watcher = new Watcher();
  watcher.hear('internal', REGISTER);
  watcher.hear('external', GRANTED);
  const rows = new Map<string, { table: 'mapping'; key: string; value: unknown }>();
  for (const o of watcher.outputs)
    if (o.kind === 'record' && o.table === 'mapping')
      rows.set(o.key, { table: 'mapping', key: o.key, value: o.value });
  const again = new Engine();
  const outputs = again.restore(1_000_100, JSON.parse(JSON.stringify([...rows.values()])));
  const open = outputs.find((o) => o.kind === 'signalling' && o.command.action === 'open');
  assert.ok(open?.kind === 'signalling' && open.command.action === 'open');
  assert.deepEqual(open.command.external, PHONE);
  // Our own addresses have nothing to do with it.
  const told = again.handle(1_000_200, { kind: 'external-address-changed', addresses: ['2001:db8:ff::1'] });
  assert.ok(!events(told).includes('address.gone'));
});
