/** `sipalg explain` and the profile: what the configuration asks for, and what a REGISTER shows. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-profile-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function explained(...args: readonly string[]): string {
  const { code, out, err } = sipalg(['explain', ...args]);
  assert.equal(code, 0, err);
  return out;
}

const OWN = '<sip:alice@192.168.1.50:5060;ob>;reg-id=1;+sip.instance="<urn:uuid:1>"';

function register(cseq: number, contact = OWN): string {
  return [
    'REGISTER sip:example.net SIP/2.0',
    `Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bK${cseq};rport`,
    'From: <sip:alice@example.net>;tag=a1',
    'To: <sip:alice@example.net>',
    'Call-ID: c1@192.168.1.50',
    `CSeq: ${cseq} REGISTER`,
    'Supported: path, outbound',
    `Contact: ${contact}`,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

function confirmed(cseq: number, address: string): string {
  return [
    'SIP/2.0 200 OK',
    `Via: SIP/2.0/UDP ${address}:5060;branch=z9hG4bK${cseq};rport=5060;received=203.0.113.1`,
    'From: <sip:alice@example.net>;tag=a1',
    'To: <sip:alice@example.net>;tag=r1',
    'Call-ID: c1@192.168.1.50',
    `CSeq: ${cseq} REGISTER`,
    'Require: outbound',
    `Contact: ${OWN.replace('192.168.1.50', address)};expires=600`,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

test('a phone that the configuration observes passes, and the reason is said', () => {
  const config = file('phone.toml', '[[phone]]\naddress = "192.168.1.50"\nmode = "observe"\n');
  const text = explained('--config', config, 'samples/register.sip');
  assert.match(text, /^pass: observed: the configuration says so, not a byte changes$/m);
  assert.match(text, /^profile observe, the configuration says so$/m);
  assert.match(explained('--config', config, 'samples/invite.sip'), /^pass: observed: the configuration/m);
});

test('so does one whose only provider is observed, unless the phone is to be translated', () => {
  const provider = '[[provider]]\nname = "p"\naddresses = ["198.51.100.0/24"]\nmode = "observe"\n';
  assert.match(
    explained('--config', file('provider.toml', provider), 'samples/register.sip'),
    /^pass: observed/m,
  );
  const both = `${provider}[[phone]]\naddress = "192.168.1.50"\nmode = "assist"\n`;
  assert.match(explained('--config', file('both.toml', both), 'samples/register.sip'), /^translate: /m);
});

test('a REGISTER that asks for outbound is translated, and what it shows is said', () => {
  const message = file('ob.sip', register(1));
  const text = explained(message);
  assert.match(text, /^translate: /m);
  assert.match(text, /^profile assist, by default$/m);
  assert.match(
    text,
    /outbound-asked {2}RFC 5626 §4\.2\.1 {2}the phone asks for outbound; only the registrar/,
  );
  const { profile } = JSON.parse(explained('--json', message)) as { profile: unknown };
  assert.deepEqual(profile, {
    mode: 'assist',
    chosen: 'default',
    evidence: [{ what: 'outbound-asked', source: 'RFC 5626 §4.2.1' }],
  });
});

test('a Contact that names the external address is left alone, and the evidence is named', () => {
  const message = file('stun.sip', register(1, '<sip:alice@203.0.113.1:5060>'));
  const text = explained('--mapping', '192.168.1.50=203.0.113.1', message);
  assert.match(
    text,
    /^pass: observed: the Contact of the REGISTER names a public address already.*RFC 3261 §8\.1\.1\.8/m,
  );
});

test('of several messages: from the REGISTER after the confirmation on, nothing changes', () => {
  const all = [register(1), confirmed(1, '203.0.113.1'), register(2), confirmed(2, '192.168.1.50')].join('');
  const out = explained('--json', '--mapping', '192.168.1.50=203.0.113.1', file('all.sip', all));
  const { messages } = JSON.parse(out) as {
    messages: { verdict: string; why?: string; events: { kind: string; mode?: string }[] }[];
  };
  assert.deepEqual(
    messages.map(({ verdict }) => verdict),
    ['translate', 'translate', 'pass', 'pass'],
  );
  assert.match(messages[2]?.why ?? '', /^observed: the registrar confirmed outbound.*RFC 5626 §4\.2\.1/);
  assert.deepEqual(
    messages.flatMap(({ events }) =>
      events.filter(({ kind }) => kind === 'profile.changed').map(({ mode }) => mode),
    ),
    ['observe'],
  );
});
