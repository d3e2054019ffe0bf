/** What carries a conversation: telnet's octets wherever TCP cuts them, a terminal's control sequences, and the algorithms of SSH. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadCatalogue, recipeFolder } from '../../src/routers/catalogue.ts';
import { clean } from '../../src/routers/drive/conversation.ts';
import { openDevice } from '../../src/routers/drive/device.ts';
import { HostKeys } from '../../src/routers/drive/host-keys.ts';
import { TelnetDecoder } from '../../src/routers/drive/telnet.ts';
import { Machine, PASSWORD, sshSimulator, USER } from './simulator.ts';

const mikrotik = loadCatalogue(recipeFolder()!).recipes.find(({ id }) => id === 'mikrotik-routeros')!;
const procedure = mikrotik.procedures[0]!;

function decoded(chunks: readonly Uint8Array[]): { text: string; replies: string } {
  const replies: Buffer[] = [];
  const decoder = new TelnetDecoder((bytes) => replies.push(bytes));
  const text = Buffer.concat(chunks.map((chunk) => decoder.decode(chunk)));
  return { text: text.toString('hex'), replies: Buffer.concat(replies).toString('hex') };
}

test('telnet: cut anywhere, it is the same text and the same answers, whatever the octets', () => {
  const octet = fc.oneof(fc.nat(255), fc.constantFrom(255, 254, 253, 252, 251, 250, 240, 1, 3, 10, 13));
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 200 }), (octets) => {
      const whole = decoded([Uint8Array.from(octets)]);
      assert.deepEqual(decoded(octets.map((one) => Uint8Array.of(one))), whole);
    }),
  );
});

test('telnet: echo and suppress-go-ahead are let happen, everything else is refused', () => {
  const asked = [
    255, 251, 1, 255, 251, 3, 255, 251, 5, 255, 253, 24, 255, 253, 1, 65, 255, 255, 255, 250, 24, 1, 255, 240,
    66,
  ];
  const { text, replies } = decoded([Uint8Array.from(asked)]);
  assert.equal(text, '41ff42');
  assert.equal(
    replies,
    Buffer.from([255, 253, 1, 255, 253, 3, 255, 254, 5, 255, 252, 24, 255, 252, 1]).toString('hex'),
  );
});

test('a terminal: what was painted, overwritten or erased is gone, and nothing throws', () => {
  assert.equal(clean('\x1b[2J\x1b[1;31mSIP\x1b[0m on\r\r\n'), 'SIP on\n');
  assert.equal(clean('wrong\rright'), 'right');
  assert.equal(clean('abc\b\b\bxyz'), 'xyz');
  assert.equal(clean('\x1b]0;title\x07> '), '> ');
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !clean(text).includes('\b')));
});

test('SSH: what no longer counts as safe is refused, unless the recipe names it', async () => {
  const algorithms = {
    kex: ['diffie-hellman-group1-sha1' as const],
    cipher: ['aes128-cbc' as const],
    hmac: ['hmac-sha1' as const],
    serverHostKey: ['ssh-rsa' as const],
  };
  const machine = new Machine(procedure, 'on', 'none');
  await using simulator = await sshSimulator(machine, { algorithms });
  const stateDir = mkdtempSync(join(tmpdir(), 'sipalg-keys-'));
  try {
    const hostKeys = new HostKeys(stateDir);
    const shown: string[] = [];
    const settings = {
      host: '127.0.0.1',
      port: simulator.port,
      credentials: { user: USER, password: PASSWORD, agent: undefined },
      hostKeys,
      acceptHostKey: async (fingerprint: string) => shown.push(fingerprint) > 0,
      connectMs: 5_000,
      answerMs: 5_000,
    };
    await assert.rejects(openDevice(procedure, settings, ['ssh']), { code: 'routers/no-common-algorithm' });
    const legacySsh = ['diffie-hellman-group1-sha1', 'aes128-cbc', 'ssh-rsa'].map((algorithm) => ({
      algorithm,
      why: 'old',
    }));
    const old = { ...procedure, legacySsh };
    (await openDevice(old, settings, ['ssh'])).close();
    assert.match(shown.join(), /^SHA256:[\w+/]{43}$/);
    // Remembered: shown once, and for its owner only.
    (await openDevice(old, settings, ['ssh'])).close();
    assert.equal(shown.length, 1);
    assert.equal(statSync(hostKeys.path).mode & 0o777, 0o600);
    assert.doesNotMatch(readFileSync(hostKeys.path, 'utf8'), new RegExp(PASSWORD));
    // Another one at the same place.
    hostKeys.remember('127.0.0.1', simulator.port, 'SHA256:another');
    await assert.rejects(openDevice(old, settings, ['ssh']), { code: 'routers/host-key-changed' });
    assert.deepEqual(machine.heard, []);
  } finally {
    rmSync(stateDir, { recursive: true, force: true });
  }
});
