import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, request, respond, sdp, Workbench } from './bench.ts';

const EXTERNAL = '203.0.113.1:5060';
const INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"';
const OWN = `<sip:alice@192.168.1.50:5060;ob>;reg-id=1;${INSTANCE}`;
const SOURCE = { address: '203.0.113.1', port: 5060 };

function register(
  bench: Workbench,
  cseq: number,
  contact = OWN,
  extra = ['Supported: path, outbound'],
): string {
  const [sent] = bench.phone(request('REGISTER', { cseq, contact, extra }));
  assert.ok(sent);
  assert.deepEqual(sent.flow.local, SOURCE, 'from the stable external endpoint, whatever the profile');
  return sent.text;
}

function grant(
  bench: Workbench,
  sent: string,
  extra: readonly string[] = ['Require: outbound'],
  expires = 600,
): void {
  const contact = /^Contact: (.*)$/m.exec(sent)?.[1]?.trim();
  bench.provider(
    respond(200, sent.replace(';rport', ';rport=5060;received=203.0.113.1'), {
      to: 'r',
      extra: [`Contact: ${contact};expires=${expires}`, ...extra],
    }),
    EXTERNAL,
  );
}

const isTranslated = (text: string): boolean => text.includes('Contact: <sip:alice@203.0.113.1');

function modes(bench: Workbench): string[] {
  return bench.engine.profiles().map(({ mode, chosen }) => `${mode} ${chosen}`);
}

function restarted(bench: Workbench, options: ConstructorParameters<typeof Workbench>[0] = {}): Workbench {
  const next = new Workbench(options);
  next.now = bench.now;
  for (const [key, row] of bench.records) next.records.set(key, row);
  next.take(next.engine.restore(bench.now, [...bench.records.values()]));
  return next;
}

test('outbound is observed from the REGISTER after its confirmation on, and what was seen is told', () => {
  const bench = new Workbench();
  const first = register(bench, 1);
  assert.ok(isTranslated(first));
  assert.deepEqual(modes(bench), ['assist default']);
  grant(bench, first);
  assert.deepEqual(modes(bench), ['assist default'], 'what the response shows changes nothing by itself');
  bench.pass(300_000);
  const second = register(bench, 2);
  assert.ok(!isTranslated(second));
  assert.deepEqual(modes(bench), ['observe evidence']);
  const [event] = bench.eventsOf('profile.changed');
  assert.equal(event?.mode, 'observe');
  const [profile] = bench.engine.profiles();
  assert.deepEqual(
    profile?.evidence.map(({ what, source }) => `${what} ${source}`),
    ['rport RFC 3581 §4', 'outbound RFC 5626 §4.2.1'],
  );
  assert.equal(profile?.since, bench.now);
  grant(bench, second);
  assert.equal(
    bench.eventsOf('registration.granted').length,
    2,
    'the observed registration is followed as well',
  );
});

test('a registrar that no longer confirms is translated again, and not believed any more', () => {
  const bench = new Workbench();
  grant(bench, register(bench, 1));
  const second = register(bench, 2);
  assert.ok(!isTranslated(second));
  grant(bench, second, []);
  const third = register(bench, 3);
  assert.ok(isTranslated(third));
  for (let cseq = 4; cseq < 8; cseq++) {
    grant(bench, register(bench, cseq));
    assert.deepEqual(modes(bench), ['assist default']);
  }
  assert.deepEqual(
    bench.eventsOf('profile.changed').map(({ mode }) => mode),
    ['observe', 'assist'],
  );
});

test('a REGISTER that is sent again goes out as it went before, whatever has been learnt in between', () => {
  const bench = new Workbench();
  const first = register(bench, 1);
  grant(bench, first);
  assert.equal(register(bench, 1), first);
  assert.ok(!isTranslated(register(bench, 2)));
});

test('a question without a Contact, and Contact: *, change no profile', () => {
  const bench = new Workbench();
  grant(bench, register(bench, 1));
  grant(bench, register(bench, 2));
  const all = request('REGISTER', { cseq: 3, contact: '*', extra: ['Expires: 0'] });
  assert.equal(bench.phone(all)[0]?.text, all);
  const question = request('REGISTER', { cseq: 4 }).replace(/Contact: .*\r\n/, '');
  assert.equal(bench.phone(question)[0]?.text, question);
  // Its answer lists the bindings and confirms nothing, for nothing was asked for.
  bench.provider(respond(200, question, { to: 'r', extra: [`Contact: ${OWN};expires=500`] }), EXTERNAL);
  assert.ok(!isTranslated(register(bench, 5)));
  assert.deepEqual(modes(bench), ['observe evidence']);
});

test('a second account that does not ask for outbound takes the phone back to translation', () => {
  const bench = new Workbench();
  grant(bench, register(bench, 1));
  grant(bench, register(bench, 2));
  assert.deepEqual(modes(bench), ['observe evidence']);
  assert.ok(isTranslated(register(bench, 9, '<sip:alice@192.168.1.50:5060>', [])));
  assert.ok(isTranslated(register(bench, 10)), 'and it does not flap');
});

test('a dialog keeps the profile that it began with, in both directions, media and all', () => {
  const bench = new Workbench();
  grant(bench, register(bench, 1));
  const names = { callId: 'call', from: 'a9' };
  const [invite] = bench.phone(request('INVITE', names, sdp('192.168.1.50', 4000)));
  assert.match(invite?.text ?? '', /c=IN IP4 203\.0\.113\.1/);
  bench.provider(
    respond(
      200,
      invite?.text ?? '',
      { to: 'b9', extra: ['Contact: <sip:bob@198.51.100.5>'] },
      sdp('198.51.100.9', 7000),
    ),
    EXTERNAL,
  );
  assert.ok(!isTranslated(register(bench, 2)), 'the profile changes while the call lasts');
  const [again] = bench.phone(request('INVITE', { ...names, to: 'b9', cseq: 2 }, sdp('192.168.1.50', 4000)));
  assert.ok(isTranslated(again?.text ?? ''));
  assert.match(again?.text ?? '', /c=IN IP4 203\.0\.113\.1/);
  const bye = [
    'BYE sip:alice@203.0.113.1:5060 SIP/2.0',
    'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKbye',
    'From: <sip:bob@example.net>;tag=b9',
    'To: <sip:alice@example.net>;tag=a9',
    'Call-ID: call',
    'CSeq: 1 BYE',
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
  assert.match(bench.provider(bye, EXTERNAL)[0]?.text ?? '', /^BYE sip:alice@192\.168\.1\.50:5060;?/);
  const other = request('INVITE', { callId: 'other', from: 'c9' }, sdp('192.168.1.50', 4002));
  assert.equal(bench.phone(other)[0]?.text, other, 'a new one is observed');
  assert.equal(bench.openMedia().length, 1, 'and its media is left to plain NAT');
});

test('what was advertised by translation is translated back until its registration has ended', () => {
  const bench = new Workbench();
  grant(bench, register(bench, 1));
  grant(bench, register(bench, 2));
  const options = (cseq: number): string =>
    [
      'OPTIONS sip:alice@203.0.113.1:5060;ob SIP/2.0',
      `Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKo${cseq}`,
      'From: <sip:bob@example.net>;tag=b1',
      'To: <sip:alice@example.net>',
      'Call-ID: o',
      `CSeq: ${cseq} OPTIONS`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n');
  assert.match(
    bench.provider(options(1), EXTERNAL)[0]?.text ?? '',
    /^OPTIONS sip:alice@192\.168\.1\.50:5060;ob /,
  );
  bench.pass(400_000);
  grant(bench, register(bench, 3));
  bench.pass(400_000);
  const late = options(2);
  assert.equal(bench.provider(late, EXTERNAL)[0]?.text, late);
});

test('profile, evidence and the dialogs that are observed survive a restart', () => {
  const bench = new Workbench();
  grant(bench, register(bench, 1));
  grant(bench, register(bench, 2));
  const invite = request('INVITE', { callId: 'call', from: 'a9' }, sdp('192.168.1.50', 4000));
  assert.equal(bench.phone(invite)[0]?.text, invite);
  bench.provider(
    respond(200, invite, { to: 'b9', extra: ['Contact: <sip:bob@198.51.100.5>'] }, sdp('198.51.100.9', 7000)),
    EXTERNAL,
  );
  const views = bench.engine.profiles();
  const next = restarted(bench);
  assert.deepEqual(next.engine.profiles(), views);
  const again = request(
    'INVITE',
    { callId: 'call', from: 'a9', to: 'b9', cseq: 2 },
    sdp('192.168.1.50', 4000),
  );
  assert.equal(next.phone(again)[0]?.text, again);
  assert.ok(!isTranslated(register(next, 3)));
  next.pass(2_000_000);
  assert.deepEqual(next.engine.profiles(), [], 'it ends with the registration');
  assert.equal([...next.records.values()].filter(({ table }) => table === 'profile').length, 0);
});

test('what the operator says wins at the next REGISTER, in both directions', () => {
  let choice: 'auto' | 'observe' | 'assist' = 'assist';
  const bench = new Workbench({ choose: () => choice });
  grant(bench, register(bench, 1));
  assert.ok(isTranslated(register(bench, 2)), 'outbound is confirmed, and assist is asked for');
  choice = 'observe';
  const third = register(bench, 3);
  assert.ok(!isTranslated(third));
  assert.deepEqual(modes(bench), ['observe configuration']);
  grant(bench, third, []);
  assert.ok(!isTranslated(register(bench, 4)), 'and no evidence talks it out of it');
});

test('phones that address the gateway itself are never left alone by it', () => {
  for (const options of [
    { media: 'relay' as const, own: [at('192.168.1.1:5060')] },
    { media: 'relay' as const },
  ]) {
    const bench = new Workbench({ ...options, choose: () => 'observe' });
    assert.ok(isTranslated(register(bench, 1)));
  }
});

test('phones behind a declared proxy are not judged by what one of them shows', () => {
  const bench = new Workbench({ isProxy: () => true });
  grant(bench, register(bench, 1));
  assert.ok(isTranslated(register(bench, 2)));
});

test('the table is bounded, and full it is as if nothing had been seen', () => {
  const bench = new Workbench({ limits: { mappings: 2 } });
  for (const provider of ['198.51.100.5:5060', '198.51.100.6:5060', '198.51.100.7:5060'])
    bench.phone(request('REGISTER', { branch: `z9hG4bK${provider}` }), '192.168.1.50:5060', provider);
  assert.equal(bench.engine.profiles().length, 2);
  assert.deepEqual(
    bench.eventsOf('limit.reached').map(({ limit }) => limit),
    ['profiles'],
  );
  bench.pass(70_000);
  assert.deepEqual(bench.engine.profiles(), [], 'a REGISTER that nobody answers is forgotten');
});

test('one phone has no more profiles than a mapping has peers, and each is forgotten by itself', () => {
  const bench = new Workbench({ limits: { peersPerMapping: 3 } });
  const providers = [5, 6, 7, 8].map((n) => `198.51.100.${n}`);
  for (const provider of providers) {
    bench.phone(
      request('REGISTER', { branch: `z9hG4bK${provider}` }),
      '192.168.1.50:5060',
      `${provider}:5060`,
    );
    bench.pass(10_000);
  }
  const kept = (): string[] => bench.engine.profiles().map(({ provider }) => provider);
  assert.deepEqual(kept(), providers.slice(0, 3));
  assert.deepEqual(
    bench.eventsOf('limit.reached').map(({ limit, phone }) => [limit, phone]),
    [['profiles', '192.168.1.50']],
  );
  bench.phone(request('REGISTER', { branch: 'z9hG4bKx' }), '192.168.1.51:5060', '198.51.100.5:5060');
  assert.equal(kept().length, 4, 'another phone has room');
  bench.pass(25_000);
  assert.deepEqual(kept(), ['198.51.100.6', '198.51.100.7', '198.51.100.5'], 'the first of three is gone');
  bench.pass(10_000);
  assert.deepEqual(kept(), ['198.51.100.7', '198.51.100.5']);
});
